//! Rosenblatt's perceptron: one unit with a step that learns from its mistakes alone, one sample after the other.
//!
//! `cargo run --release --example perceptron`, or `kiln train perceptron`
//!
//! Source: F. Rosenblatt, *The perceptron: a probabilistic model for information storage and organization in the brain*,
//! Psychological Review 65(6), 1958.

use kiln::cli::{CliError, Feed, Options, Recipe, measure, sources};
use kiln::prelude::*;
use std::io::Write;
use std::process::ExitCode;

/// The share of samples for which the unit decides right.
fn accuracy(trainer: &mut Trainer<'_>, x: &TensorData, y: &TensorData) -> Result<f64, CliError> {
    let decisions = trainer.run("decide", x)?.remove(0);
    let is_right = |i: &usize| decisions.get(*i).as_f64() == y.get(*i).as_f64();
    let n = y.n_elements();
    Ok((0..n).filter(is_right).count() as f64 / n as f64)
}

/// The unit with so many inputs, and how it is trained.
pub fn recipe(n_inputs: usize) -> Recipe<Linear> {
    Recipe::new(Linear::new(n_inputs, 1), 1, 0.01, |unit, rate| {
        // The loss is the distance on the wrong side: nothing for a sample that is decided right, and for others a gradient
        // that adds the sample to the weights or takes it away, which is Rosenblatt's rule.
        let loss = |sum: &Tensor, class: &Tensor| ((1.0 - class * 2.0) * sum).relu().mean(..);
        Trainer::new(unit)
            .loss(loss)
            .optimizer(Sgd::new(rate))
            .program("decide", |x| vec![unit.forward(&x[0]).heaviside(1.0)])
    })
    .step(Feed::normal(&[n_inputs]), [Feed::bits(&[1])])
    .program("decide", [Feed::normal(&[n_inputs])])
}

/// Trains the unit and says how good it is.
pub fn train(options: &Options, out: &mut dyn Write) -> Result<(), CliError> {
    let data = sources::breast_cancer(options)?;
    let samples = measure::first_samples(&data.train, options);
    let recipe = recipe(samples.x().shape()[1]);
    let batches = options.batches(&samples, recipe.batch)?;
    let [inputs, targets] = recipe.types(batches.batch_size());
    let mut trainer = recipe.trainer(options).compile(inputs, targets)?;

    let epochs = options.epochs(20);
    let mut run = options.run("perceptron", epochs, &batches, &mut trainer, out)?;
    for epoch in run.epochs() {
        for (x, y) in run.batches(&batches) {
            let loss = trainer.step(&x, &y)?;
            run.add("mistakes", if loss > 0.0 { 1.0 } else { 0.0 });
            run.step(&trainer, loss)?;
        }
        let n_mistakes = run.sum("mistakes");
        run.epoch(epoch, &mut trainer, |trainer, _| {
            let accuracy = 100.0 * accuracy(trainer, data.test.x(), data.test.y())?;
            Ok(format!("{n_mistakes} steps with mistakes  test accuracy {accuracy:.1}%"))
        })?;
    }
    let accuracy = 100.0 * accuracy(&mut trainer, data.test.x(), data.test.y())?;
    run.finish(&trainer, format_args!("test accuracy {accuracy:.2}%"))
}

/// Trains with the options of the command line.
pub fn main() -> ExitCode {
    kiln::cli::examples::run(train)
}
