//! Why deep networks need ways around their layers: the gradients of a plain network of thirty layers, of the same with
//! residual connections, and of the same with batch normalization.
//!
//! `cargo run --release --example vanishing`, or `kiln train vanishing`
//!
//! Sources: X. Glorot, Y. Bengio, *Understanding the difficulty of training deep feedforward neural networks*, 2010; K. He and
//! others, *Deep Residual Learning for Image Recognition*, 2016; S. Ioffe, C. Szegedy, *Batch Normalization*, 2015.

use kiln::cli::plot::Chart;
use kiln::cli::{CliError, Feed, Options, Recipe, Recipes, measure};
use kiln::data::{Split, digits};
use kiln::metrics::accuracy;
use kiln::nn::BatchNorm1d;
use kiln::prelude::*;
use std::io::Write;
use std::process::ExitCode;

/// Hidden layers of each network, and hidden values.
const DEPTH: usize = 30;
const WIDTH: usize = 64;

/// What is done about vanishing gradients.
#[derive(Clone, Copy, PartialEq)]
enum Remedy {
    Nothing,
    Residual,
    BatchNorm,
}

/// The three networks.
const NETWORKS: [(&str, Remedy); 3] =
    [("plain", Remedy::Nothing), ("residual", Remedy::Residual), ("batch norm", Remedy::BatchNorm)];

/// A hidden layer.
struct Layer {
    linear: Linear,
    norm: Option<BatchNorm1d>,
    is_residual: bool,
}
kiln::parameters!(Layer { linear, norm });

/// A deep network that classifies the embedded digits.
struct Deep {
    first: Linear,
    layers: Vec<Layer>,
    head: Linear,
}
kiln::parameters!(Deep { first, layers, head });

impl Deep {
    fn new(remedy: Remedy) -> Deep {
        let layer = || Layer {
            linear: Linear::new(WIDTH, WIDTH),
            norm: (remedy == Remedy::BatchNorm).then(|| BatchNorm1d::new(WIDTH)),
            is_residual: remedy == Remedy::Residual,
        };
        let layers = (0..DEPTH).map(|_| layer()).collect();
        Deep { first: Linear::new(64, WIDTH), layers, head: Linear::new(WIDTH, 10) }
    }
}

impl Model for Layer {
    fn forward(&self, x: &Tensor) -> Tensor {
        let y = self.linear.forward(x);
        let y = self.norm.as_ref().map_or(y.clone(), |norm| norm.forward(&y)).tanh();
        if self.is_residual { x + y } else { y }
    }
}

impl Model for Deep {
    fn forward(&self, x: &Tensor) -> Tensor {
        let x = self.layers.iter().fold(self.first.forward(x), |x, layer| layer.forward(&x));
        self.head.forward(&x)
    }
}

/// The networks, and how they are trained.
pub fn recipes() -> Recipes {
    NETWORKS.iter().fold(Recipes::none(), |all, &(name, remedy)| all.and(name, recipe(remedy)))
}

fn recipe(remedy: Remedy) -> Recipe<Deep> {
    Recipe::new(Deep::new(remedy), 64, 0.05, |model, rate| {
        // Plain gradient descent: an optimizer that scales gradients would hide how small they are.
        Trainer::new(model).loss(cross_entropy).optimizer(Sgd::new(rate))
    })
    .step(Feed::images(&[64]), [Feed::classes(10)])
}

/// Trains a network and follows its gradients: the mean norm of each layer's in each epoch.
fn follow(
    name: &str,
    remedy: Remedy,
    options: &Options,
    out: &mut dyn Write,
) -> Result<Vec<Vec<f64>>, CliError> {
    let Split { train, test } = digits();
    let samples = measure::first_samples(&train, options);
    let recipe = recipe(remedy);
    let batches = options.batches(&samples, recipe.batch)?;
    let [inputs, targets] = recipe.types(batches.batch_size());
    let mut trainer = recipe.trainer(options).compile(inputs, targets)?;

    let epochs = options.epochs(30);
    let mut norms_of_epochs = Vec::new();
    let mut run = options.run(name, epochs, &batches, &mut trainer, out)?;
    for epoch in run.epochs() {
        let mut norms = vec![0.0; DEPTH];
        for (x, y) in run.batches(&batches) {
            // The norms are part of the compiled step: one number for each layer comes out of it, and no gradient.
            let (loss, health) = trainer.step_with_health(&x, &y)?;
            if run.n_steps() == 0 {
                let words: Vec<String> = health.findings().iter().map(ToString::to_string).collect();
                let words = if words.is_empty() { "all is well".to_string() } else { words.join("\n  ") };
                run.say(format_args!("{name}, the first step: {words}"))?;
            }
            run.step(&trainer, loss)?;
            let hidden = health.gradients.iter().filter(|gradient| gradient.name.ends_with("linear.weight"));
            for (sum, gradient) in norms.iter_mut().zip(hidden) {
                *sum += gradient.norm / batches.n_batches() as f64;
            }
        }
        run.epoch(epoch, &mut trainer, |_, _| {
            Ok(format!(
                "gradient norm {:.1e} in the first layer, {:.1e} in the last",
                norms[0],
                norms[DEPTH - 1]
            ))
        })?;
        norms_of_epochs.push(norms);
    }
    let accuracy = 100.0 * accuracy(&trainer.predict(test.x())?, test.y());
    run.finish(&trainer, format_args!("{name}: test accuracy {accuracy:.1}%"))?;
    Ok(norms_of_epochs)
}

/// Trains the three networks and draws their gradients.
pub fn train(options: &Options, out: &mut dyn Write) -> Result<(), CliError> {
    options.expect_no_files("vanishing")?;
    let (mut by_layer, mut by_epoch) = (Vec::new(), Vec::new());
    for (name, remedy) in NETWORKS {
        let norms = follow(name, remedy, options, out)?;
        let last = norms.len() - 1;
        for (when, norms) in [("first epoch", &norms[0]), ("last epoch", &norms[last])] {
            let points = norms.iter().enumerate().map(|(layer, norm)| (layer as f64 + 1.0, *norm));
            by_layer.push((format!("{name}, {when}"), points.collect::<Vec<_>>()));
        }
        let points = norms.iter().enumerate().map(|(epoch, norms)| (epoch as f64 + 1.0, norms[0]));
        by_epoch.push((name.to_string(), points.collect()));
    }
    for (file, title, axis, curves) in [
        ("vanishing-layers.svg", "gradient norm of each layer", "layer", &by_layer),
        ("vanishing-epochs.svg", "gradient norm of the first layer over training", "epoch", &by_epoch),
    ] {
        let path = options.picture(file)?;
        let curves: Vec<_> = curves.iter().map(|(name, points)| (&**name, points.clone())).collect();
        Chart::new(title, axis, "norm").legend_below().draw(&path, &curves)?;
        writeln!(out, "{title} in {}", path.display())?;
    }
    Ok(())
}

/// Trains with the options of the command line.
pub fn main() -> ExitCode {
    kiln::cli::examples::run(train)
}
