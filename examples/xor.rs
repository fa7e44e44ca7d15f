//! Trains the smallest network that learns the exclusive or, which no single unit can.
//!
//! `cargo run --release --example xor`, or `kiln train xor`

use kiln::cli::{Classify, CliError, Feed, Options, Recipe};
use kiln::data::{Dataset, Split};
use kiln::models::Xor;
use kiln::prelude::*;
use std::io::Write;
use std::process::ExitCode;

/// The model, and how it is trained.
pub fn recipe() -> Recipe<Xor> {
    Recipe::new(Xor::new(), 4, 0.5, |model, rate| Trainer::new(model).loss(mse).optimizer(Sgd::new(rate)))
        .step(Feed::normal(&[2]), [Feed::bits(&[1])])
}

/// Trains the model and says how good it is.
pub fn train(options: &Options, out: &mut dyn Write) -> Result<(), CliError> {
    let x = TensorData::new([4, 2], vec![0f32, 0., 0., 1., 1., 0., 1., 1.]);
    let y = TensorData::new([4, 1], vec![0f32, 1., 1., 0.]);
    let cases = Dataset::new(x, y)?;
    let data = Split { train: cases.clone(), test: cases };
    let classify = Classify { name: "xor", epochs: 20_000, decays: false, ..Classify::default() };
    classify.train(&recipe(), &data, options, out)
}

/// Trains with the options of the command line.
pub fn main() -> ExitCode {
    kiln::cli::examples::run(train)
}
