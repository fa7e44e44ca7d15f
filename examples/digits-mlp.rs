//! Trains a perceptron with two hidden layers on handwritten digits that are part of the library.
//!
//! `cargo run --release --example digits-mlp`, or `kiln train digits-mlp`

use kiln::cli::{Classify, CliError, Feed, Options, Recipe};
use kiln::data::digits;
use kiln::models::Mlp;
use kiln::prelude::*;
use std::io::Write;
use std::process::ExitCode;

/// The model, and how it is trained.
pub fn recipe() -> Recipe<Mlp> {
    Recipe::new(Mlp::digits(), 64, 1e-2, |model, rate| {
        Trainer::new(model).loss(cross_entropy).optimizer(Adam::new(rate))
    })
    .step(Feed::normal(&[64]), [Feed::classes(10)])
}

/// Trains the model and says how good it is.
pub fn train(options: &Options, out: &mut dyn Write) -> Result<(), CliError> {
    let classify = Classify { name: "digits-mlp", epochs: 30, ..Classify::default() };
    classify.train(&recipe(), &digits(), options, out)
}

/// Trains with the options of the command line.
pub fn main() -> ExitCode {
    kiln::cli::examples::run(train)
}
