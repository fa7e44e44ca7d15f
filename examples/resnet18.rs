//! ResNet-18, the model of the workload, on the embedded digits drawn four times as large.
//!
//! `cargo run --release --example resnet18`, or `kiln train resnet18`
//!
//! Source: K. He and others, *Deep Residual Learning for Image Recognition*, 2016.

use kiln::cli::{Classify, CliError, Feed, Options, Recipe};
use kiln::data::{Split, digits};
use kiln::models::Resnet18;
use kiln::prelude::*;
use std::io::Write;
use std::process::ExitCode;

/// The model, and how it is trained.
pub fn recipe() -> Recipe<Resnet18> {
    Recipe::new(Resnet18::new(1, 10), 32, 0.02, |model, rate| {
        Trainer::of(model, |x| model.forward(&x[0].upsample_nearest(4)))
            .loss(cross_entropy)
            .optimizer(Sgd::new(rate).momentum(0.9).weight_decay(5e-4))
    })
    .step(Feed::images(&[1, 8, 8]), [Feed::classes(10)])
}

/// Trains the model and says how good it is.
pub fn train(options: &Options, out: &mut dyn Write) -> Result<(), CliError> {
    let Split { train, test } = digits();
    let shape = [1, 8, 8];
    let data = Split { train: train.with_input_shape(&shape)?, test: test.with_input_shape(&shape)? };
    let classify = Classify { name: "resnet18", epochs: 3, compares: false, ..Classify::default() };
    classify.train(&recipe(), &data, options, out)
}

/// Trains with the options of the command line.
pub fn main() -> ExitCode {
    kiln::cli::examples::run(train)
}
