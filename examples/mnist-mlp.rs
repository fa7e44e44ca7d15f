//! Trains a perceptron with two hidden layers on MNIST.
//!
//! `cargo run --release --example mnist-mlp`, or `kiln train mlp`

use kiln::cli::{Classify, CliError, Options, sources};
use kiln::models::Mlp;
use kiln::prelude::*;
use std::io::Write;
use std::process::ExitCode;

/// Trains the model and says how good it is.
pub fn train(options: &Options, out: &mut dyn Write) -> Result<(), CliError> {
    let data = sources::mnist(options, &[784])?;
    let model = Mlp::mnist();
    let trainer = |rate| Trainer::new(&model).loss(cross_entropy).optimizer(Adam::new(rate));
    let classify =
        Classify { name: "mnist-mlp", epochs: 10, batch: 128, learning_rate: 1e-3, ..Classify::default() };
    classify.train(&data, trainer, options, out)
}

/// Trains with the options of the command line.
pub fn main() -> ExitCode {
    kiln::cli::examples::run(train)
}
