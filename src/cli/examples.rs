//! The programs in `examples/`, which are modules of the library as well: `kiln train NAME` runs the same file as
//! `cargo run --release --example NAME`.

use super::error::CliError;
use super::options::Options;
use clap::Parser;
use std::io::Write;
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

#[derive(Parser)]
struct Arguments {
    #[command(flatten)]
    options: Options,
}

/// What the `main` of an example is: runs it with the options of the command line.
pub fn run(program: Program) -> ExitCode {
    let Arguments { options } = Arguments::parse();
    super::exit_code(|out| program(&options, out))
}
