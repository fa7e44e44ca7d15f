//! Trains a perceptron with two hidden layers on handwritten digits that are part of the library.
//!
//! `cargo run --release --example digits-mlp`, or `kiln train digits-mlp`

use kiln::cli::{Classify, CliError, Options};
use kiln::data::digits;
use kiln::models::Mlp;
use kiln::prelude::*;
use std::io::Write;
use std::process::ExitCode;

/// Trains the model and says how good it is.
pub fn train(options: &Options, out: &mut dyn Write) -> Result<(), CliError> {
    let model = Mlp::digits();
    let trainer = |rate| Trainer::new(&model).loss(cross_entropy).optimizer(Adam::new(rate));
    let classify =
        Classify { name: "digits-mlp", epochs: 30, batch: 64, learning_rate: 1e-2, ..Classify::default() };
    classify.train(&digits(), trainer, options, out)
}

/// Trains with the options of the command line.
pub fn main() -> ExitCode {
    kiln::cli::examples::run(train)
}
