//! The programs in `examples/`, which are modules of the library as well: `kiln train NAME` runs the same file as
//! `cargo run --release --example NAME`.

use super::error::CliError;
use super::options::Options;
use super::train::{carry_out, named};
use clap::{CommandFactory, FromArgMatches, Parser};
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

#[path = "../../examples/autoencoder.rs"]
pub mod autoencoder;
#[path = "../../examples/char-rnn.rs"]
pub mod char_rnn;
#[path = "../../examples/dcgan.rs"]
pub mod dcgan;
#[path = "../../examples/ddpm.rs"]
pub mod ddpm;
#[path = "../../examples/digits-mlp.rs"]
pub mod digits_mlp;
#[path = "../../examples/gan.rs"]
pub mod gan;
#[path = "../../examples/gpt.rs"]
pub mod gpt;
#[path = "../../examples/gru.rs"]
pub mod gru;
#[path = "../../examples/logistic-regression.rs"]
pub mod logistic_regression;
#[path = "../../examples/lstm.rs"]
pub mod lstm;
#[path = "../../examples/mnist-cnn.rs"]
pub mod mnist_cnn;
#[path = "../../examples/mnist-mlp.rs"]
pub mod mnist_mlp;
#[path = "../../examples/overfitting.rs"]
pub mod overfitting;
#[path = "../../examples/perceptron.rs"]
pub mod perceptron;
#[path = "../../examples/resnet18.rs"]
pub mod resnet18;
#[path = "../../examples/transformer-encoder.rs"]
pub mod transformer_encoder;
#[path = "../../examples/vae.rs"]
pub mod vae;
#[path = "../../examples/vanishing.rs"]
pub mod vanishing;
#[path = "../../examples/xor.rs"]
pub mod xor;

/// Trains something and writes what comes of it.
pub type Program = fn(&Options, &mut dyn Write) -> Result<(), CliError>;

/// What the program of an example takes.
#[derive(Parser)]
struct Arguments {
    #[command(flatten)]
    options: Options,
}

/// What the `main` of an example is: runs it with the options of the command line.
pub fn run(program: Program) -> ExitCode {
    let path = std::env::args_os().next().unwrap_or_default();
    let example = Path::new(&path).file_stem().and_then(|name| named(name.to_str()?));
    let about = example.map_or("An example of Kiln", |example| example.about);
    // What is said of the options would stand in its place otherwise.
    let command = Arguments::command().about(about).long_about(None);
    let arguments = Arguments::from_arg_matches(&command.get_matches());
    let Arguments { options } = arguments.unwrap_or_else(|error| error.exit());
    super::exit_code(|out| carry_out(program, &options, out))
}
