//! The models that the command line knows by name: what they are trained on, and how.

use super::error::CliError;
use crate::data::{Dataset, Split, digits, idx};
use crate::loss::{cross_entropy, mse};
use crate::models::{Cnn, Mlp, Xor};
use crate::nn::Init;
use crate::nn::Model;
use crate::optim::{Adam, Sgd};
use crate::trainer::{Trainer, TrainerBuilder};
use clap::ValueEnum;
use kiln_ir::{DType, Literal, Shape, TensorData, TensorType, random_data};
use std::path::Path;

/// A model by its name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum ModelName {
    /// A perceptron 64-128-64-10 on the embedded digits.
    #[default]
    DigitsMlp,
    /// A perceptron 784-512-256-10 on MNIST.
    #[value(alias = "mlp")]
    MnistMlp,
    /// Two convolutions and two linear layers with dropout, on MNIST.
    #[value(alias = "cnn")]
    MnistCnn,
    /// A network of eight hidden values that learns the exclusive or.
    Xor,
}

/// A model with everything that its training needs but the data.
pub(crate) struct Recipe {
    /// The name on the command line.
    pub name: &'static str,
    pub model: Box<dyn Model>,
    /// Shape of one input.
    pub sample: Shape,
    /// Whether a target is the number of a class; otherwise it is as many numbers as the model predicts, each 0 or 1.
    pub is_classifier: bool,
    pub batch: usize,
    pub epochs: usize,
    pub learning_rate: f64,
    /// Whether the learning rate falls to zero along the training.
    pub decays: bool,
}

impl ModelName {
    pub fn recipe(self) -> Recipe {
        match self {
            ModelName::DigitsMlp => Recipe {
                name: "digits-mlp",
                model: Box::new(Mlp::digits()),
                sample: Shape::new(&[64]),
                is_classifier: true,
                batch: 64,
                epochs: 30,
                learning_rate: 1e-2,
                decays: true,
            },
            ModelName::MnistMlp => Recipe {
                name: "mnist-mlp",
                model: Box::new(Mlp::mnist()),
                sample: Shape::new(&[784]),
                is_classifier: true,
                batch: 128,
                epochs: 10,
                learning_rate: 1e-3,
                decays: true,
            },
            ModelName::MnistCnn => Recipe {
                name: "mnist-cnn",
                model: Box::new(Cnn::new()),
                sample: Shape::new(&[1, 28, 28]),
                is_classifier: true,
                batch: 64,
                epochs: 6,
                learning_rate: 1e-3,
                decays: true,
            },
            ModelName::Xor => Recipe {
                name: "xor",
                model: Box::new(Xor::new()),
                sample: Shape::new(&[2]),
                is_classifier: false,
                batch: 4,
                epochs: 20_000,
                learning_rate: 0.5,
                decays: false,
            },
        }
    }

    /// The data, from `directory` where they are not part of the program.
    pub fn data(self, directory: &Path) -> Result<Split, CliError> {
        match self {
            ModelName::DigitsMlp => Ok(digits()),
            ModelName::MnistMlp => {
                let Split { train, test } = idx::mnist(directory)?;
                Ok(Split { train: train.with_input_shape(&[784])?, test: test.with_input_shape(&[784])? })
            }
            ModelName::MnistCnn => {
                let Split { train, test } = idx::mnist(directory)?;
                let shape = [1, 28, 28];
                Ok(Split { train: train.with_input_shape(&shape)?, test: test.with_input_shape(&shape)? })
            }
            ModelName::Xor => {
                let x = TensorData::new([4, 2], vec![0f32, 0., 0., 1., 1., 0., 1., 1.]);
                let y = TensorData::new([4, 1], vec![0f32, 1., 1., 0.]);
                let table = Dataset::new(x, y)?;
                Ok(Split { train: table.clone(), test: table })
            }
        }
    }
}

impl Recipe {
    /// Begins a trainer with the loss and the optimizer of the recipe.
    pub fn trainer(&self, learning_rate: f64) -> TrainerBuilder<'_> {
        let trainer = Trainer::of(&self.model, |inputs| self.model.forward(&inputs[0]));
        if self.is_classifier {
            trainer.loss(cross_entropy).optimizer(Adam::new(learning_rate))
        } else {
            trainer.loss(mse).optimizer(Sgd::new(learning_rate))
        }
    }

    /// Types of the inputs and the targets of a batch.
    pub fn types(&self, batch: usize) -> [TensorType; 2] {
        let input = std::iter::once(batch).chain(self.sample.iter().copied()).collect::<Shape>();
        let target = match self.is_classifier {
            true => TensorType::new(DType::I64, [batch]),
            false => TensorType::new(DType::F32, [batch, 1]),
        };
        [TensorType::new(DType::F32, input), target]
    }

    /// Random inputs and targets, the same for the same seed.
    pub fn random_batch(&self, batch: usize, seed: u64) -> (TensorData, TensorData) {
        let [input, target] = self.types(batch);
        let x = Init::Normal { mean: 0.0, std: 1.0 }.sample(&input, seed, 0);
        // Whole numbers: classes, or 0 and 1 as truth values.
        let bound = if self.is_classifier { 10.0 } else { 2.0 };
        let y = random_data(&target.with_dtype(DType::I64), seed, 0.0..bound);
        let y = match self.is_classifier {
            true => y,
            false => TensorData::from_fn(&target, |i| Literal::from_f64(target.dtype, y.get(i).as_f64())),
        };
        (x, y)
    }

    /// How many predictions are right: the greatest score is that of the label, or the number is nearer to the target
    /// than to the other of 0 and 1.
    pub fn accuracy(&self, prediction: &TensorData, target: &TensorData) -> f64 {
        if self.is_classifier {
            return crate::metrics::accuracy(prediction, target);
        }
        let n = target.n_elements();
        let is_right = |i: &usize| (prediction.get(*i).as_f64() - target.get(*i).as_f64()).abs() < 0.5;
        (0..n).filter(is_right).count() as f64 / n as f64
    }
}

/// The number of threads that an argument asks for: all of the machine's when it is not given.
pub(crate) fn n_threads(argument: Option<u16>) -> usize {
    match argument {
        Some(threads) => usize::from(threads),
        None => std::thread::available_parallelism().map_or(1, |n| n.get()),
    }
}
