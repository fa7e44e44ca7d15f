//! Trains a convolutional network on MNIST.
//!
//! `cargo run --release --example mnist-cnn`, or `kiln train cnn`

use kiln::cli::{Classify, CliError, Options, sources};
use kiln::models::Cnn;
use kiln::prelude::*;
use std::io::Write;
use std::process::ExitCode;

/// Trains the model and says how good it is.
pub fn train(options: &Options, out: &mut dyn Write) -> Result<(), CliError> {
    let data = sources::mnist(options, &[1, 28, 28])?;
    let model = Cnn::new();
    let trainer = |rate| Trainer::new(&model).loss(cross_entropy).optimizer(Adam::new(rate));
    let classify =
        Classify { name: "mnist-cnn", epochs: 6, batch: 64, learning_rate: 1e-3, ..Classify::default() };
    classify.train(&data, trainer, options, out)
}

/// Trains with the options of the command line.
pub fn main() -> ExitCode {
    kiln::cli::examples::run(train)
}
