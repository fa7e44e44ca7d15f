//! Trains a convolutional network on MNIST.
//!
//! `cargo run --release --example mnist-cnn`, or `kiln train cnn`

use kiln::cli::{Classify, CliError, Feed, Options, Recipe, sources};
use kiln::models::Cnn;
use kiln::prelude::*;
use std::io::Write;
use std::process::ExitCode;

/// The model, and how it is trained.
pub fn recipe() -> Recipe<Cnn> {
    Recipe::new(Cnn::new(), 64, 1e-3, |model, rate| {
        Trainer::new(model).loss(cross_entropy).optimizer(Adam::new(rate))
    })
    .step(Feed::normal(&[1, 28, 28]), [Feed::classes(10)])
}

/// Trains the model and says how good it is.
pub fn train(options: &Options, out: &mut dyn Write) -> Result<(), CliError> {
    let data = sources::mnist(options, &[1, 28, 28])?;
    let classify = Classify { name: "mnist-cnn", epochs: 6, ..Classify::default() };
    classify.train(&recipe(), &data, options, out)
}

/// Trains with the options of the command line.
pub fn main() -> ExitCode {
    kiln::cli::examples::run(train)
}
