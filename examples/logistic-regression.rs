//! Logistic regression: the probability that a tumour is benign, from thirty measures of its cells.
//!
//! `cargo run --release --example logistic-regression`, or `kiln train logistic-regression`

use kiln::cli::{Classify, CliError, Feed, Options, Recipe, sources};
use kiln::prelude::*;
use std::io::Write;
use std::process::ExitCode;

/// A weighted sum of the measures, made a probability.
pub struct Logistic {
    sum: Linear,
}
kiln::parameters!(Logistic { sum });

impl Model for Logistic {
    fn forward(&self, x: &Tensor) -> Tensor {
        self.sum.forward(x).sigmoid()
    }
}

/// The model of so many measures, and how it is trained.
pub fn recipe(n_inputs: usize) -> Recipe<Logistic> {
    Recipe::new(Logistic { sum: Linear::new(n_inputs, 1) }, 64, 0.1, |model, rate| {
        // Without weight decay the weights would grow forever: the classes can almost be separated.
        Trainer::new(model).loss(bce).optimizer(Sgd::new(rate).weight_decay(1e-2))
    })
    .step(Feed::normal(&[n_inputs]), [Feed::bits(&[1])])
}

/// Trains the model and says how good it is.
pub fn train(options: &Options, out: &mut dyn Write) -> Result<(), CliError> {
    let data = sources::breast_cancer(options)?;
    let recipe = recipe(data.train.x().shape()[1]);
    let classify =
        Classify { name: "logistic-regression", epochs: 100, compares: false, ..Classify::default() };
    classify.train(&recipe, &data, options, out)
}

/// Trains with the options of the command line.
pub fn main() -> ExitCode {
    kiln::cli::examples::run(train)
}
