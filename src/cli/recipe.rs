//! Models with everything that their training needs but the data: those that the command line dumps, verifies and measures.

use crate::loss::{cross_entropy, mse};
use crate::models::{Cnn, Mlp, Xor};
use crate::nn::Init;
use crate::nn::Model;
use crate::optim::{Adam, Sgd};
use crate::trainer::{Trainer, TrainerBuilder};
use kiln_ir::{DType, Literal, Shape, TensorData, TensorType, random_data};

/// A model with everything that its training needs but the data.
pub(crate) struct Recipe {
    pub model: Box<dyn Model>,
    /// Shape of one input.
    pub sample: Shape,
    /// Whether a target is the number of a class; otherwise it is as many numbers as the model predicts, each 0 or 1.
    pub is_classifier: bool,
    pub batch: usize,
    pub learning_rate: f64,
}

/// A perceptron 64-128-64-10 on the embedded digits.
pub(crate) fn digits_mlp() -> Recipe {
    Recipe {
        model: Box::new(Mlp::digits()),
        sample: Shape::new(&[64]),
        is_classifier: true,
        batch: 64,
        learning_rate: 1e-2,
    }
}

/// A perceptron 784-512-256-10 on MNIST.
pub(crate) fn mnist_mlp() -> Recipe {
    Recipe {
        model: Box::new(Mlp::mnist()),
        sample: Shape::new(&[784]),
        is_classifier: true,
        batch: 128,
        learning_rate: 1e-3,
    }
}

/// Two convolutions and two linear layers with dropout, on MNIST.
pub(crate) fn mnist_cnn() -> Recipe {
    Recipe {
        model: Box::new(Cnn::new()),
        sample: Shape::new(&[1, 28, 28]),
        is_classifier: true,
        batch: 64,
        learning_rate: 1e-3,
    }
}

/// A network of eight hidden values that learns the exclusive or.
pub(crate) fn xor() -> Recipe {
    Recipe {
        model: Box::new(Xor::new()),
        sample: Shape::new(&[2]),
        is_classifier: false,
        batch: 4,
        learning_rate: 0.5,
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
}
