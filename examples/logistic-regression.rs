//! Logistic regression: the probability that a tumour is benign, from thirty measures of its cells.
//!
//! `cargo run --release --example logistic-regression`, or `kiln train logistic-regression`

use kiln::cli::{Classify, CliError, Options, sources};
use kiln::prelude::*;
use std::io::Write;
use std::process::ExitCode;

/// A weighted sum of the measures, made a probability.
struct Logistic {
    sum: Linear,
}
kiln::parameters!(Logistic { sum });

impl Model for Logistic {
    fn forward(&self, x: &Tensor) -> Tensor {
        self.sum.forward(x).sigmoid()
    }
}

/// Trains the model and says how good it is.
pub fn train(options: &Options, out: &mut dyn Write) -> Result<(), CliError> {
    let data = sources::breast_cancer(options)?;
    let model = Logistic { sum: Linear::new(data.train.x().shape()[1], 1) };
    // Without weight decay the weights would grow forever: the classes can almost be separated.
    let trainer = |rate| Trainer::new(&model).loss(bce).optimizer(Sgd::new(rate).weight_decay(1e-2));
    let classify = Classify {
        name: "logistic-regression",
        epochs: 100,
        batch: 64,
        learning_rate: 0.1,
        compares: false,
        ..Classify::default()
    };
    classify.train(&data, trainer, options, out)
}

/// Trains with the options of the command line.
pub fn main() -> ExitCode {
    kiln::cli::examples::run(train)
}
