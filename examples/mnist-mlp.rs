//! Trains a perceptron with two hidden layers on MNIST.
//!
//! `cargo run --release --example mnist-mlp`, or `kiln train mlp`

use kiln::cli::{Classify, CliError, Feed, Options, Recipe, sources};
use kiln::models::Mlp;
use kiln::prelude::*;
use std::io::Write;
use std::process::ExitCode;

/// The model, and how it is trained.
pub fn recipe() -> Recipe<Mlp> {
    Recipe::new(Mlp::mnist(), 128, 1e-3, |model, rate| {
        Trainer::new(model).loss(cross_entropy).optimizer(Adam::new(rate))
    })
    .step(Feed::normal(&[784]), [Feed::classes(10)])
}

/// Trains the model and says how good it is.
pub fn train(options: &Options, out: &mut dyn Write) -> Result<(), CliError> {
    let data = sources::mnist(options, &[784])?;
    let classify = Classify { name: "mnist-mlp", epochs: 10, ..Classify::default() };
    classify.train(&recipe(), &data, options, out)
}

/// Trains with the options of the command line.
pub fn main() -> ExitCode {
    kiln::cli::examples::run(train)
}
