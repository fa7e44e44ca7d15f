//! Models with names, which the command line trains, dumps and measures: ordinary models, written as a user would.
//!
//! Their parameters have the names and shapes of the same models in PyTorch, so that a `state_dict` of one can be
//! loaded into the other.

mod char_model;
mod dcgan;
mod ddpm;
mod gpt;
mod gpt_cache;
mod resnet;
mod vae;

pub use char_model::{CharGru, CharLstm, CharModel, CharRnn, Memory};
pub use dcgan::{Dcgan, Discriminator, Generator};
pub use ddpm::{Ddpm, DdpmBlock};
pub use gpt::{Gpt, GptBlock, GptConfig};
pub use gpt_cache::GptCache;
pub use resnet::{BasicBlock, Resnet18};
pub use vae::Vae;

use crate::nn::{Conv2d, Dropout, Linear, MaxPool2d, Model};
use crate::tensor::Tensor;

/// The smallest network that learns the exclusive or: Linear(2, 8), sigmoid, Linear(8, 1), sigmoid.
///
/// Input `[n, 2]`, output `[n, 1]`.
#[derive(Debug)]
pub struct Xor {
    /// The hidden layer.
    pub fc1: Linear,
    /// The output.
    pub fc2: Linear,
}
crate::parameters!(Xor { fc1, fc2 });

impl Xor {
    /// A new model.
    pub fn new() -> Xor {
        Xor { fc1: Linear::new(2, 8), fc2: Linear::new(8, 1) }
    }
}

impl Model for Xor {
    fn forward(&self, x: &Tensor) -> Tensor {
        self.fc2.forward(&self.fc1.forward(x).sigmoid()).sigmoid()
    }
}

/// A perceptron with two hidden layers and ReLU.
///
/// Input `[n, features]`, output `[n, classes]`.
#[derive(Debug)]
pub struct Mlp {
    /// The first hidden layer.
    pub fc1: Linear,
    /// The second hidden layer.
    pub fc2: Linear,
    /// The scores of the classes.
    pub fc3: Linear,
}
crate::parameters!(Mlp { fc1, fc2, fc3 });

impl Mlp {
    /// A perceptron with these numbers of features, from input to output.
    pub fn new([n_in, first, second, n_out]: [usize; 4]) -> Mlp {
        Mlp {
            fc1: Linear::new(n_in, first),
            fc2: Linear::new(first, second),
            fc3: Linear::new(second, n_out),
        }
    }

    /// The one for MNIST, 784-512-256-10.
    pub fn mnist() -> Mlp {
        Mlp::new([784, 512, 256, 10])
    }

    /// The one for the embedded digits, 64-128-64-10.
    pub fn digits() -> Mlp {
        Mlp::new([64, 128, 64, 10])
    }
}

impl Model for Mlp {
    fn forward(&self, x: &Tensor) -> Tensor {
        let hidden = self.fc1.forward(x).relu();
        let hidden = self.fc2.forward(&hidden).relu();
        self.fc3.forward(&hidden)
    }
}

/// A convolutional network for MNIST: two convolutions, a pooling and two linear layers, with dropout.
///
/// Input `[n, 1, 28, 28]`, output `[n, 10]`.
#[derive(Debug)]
pub struct Cnn {
    /// Of 1 to 32 channels, 3 x 3.
    pub conv1: Conv2d,
    /// Of 32 to 64 channels, 3 x 3.
    pub conv2: Conv2d,
    /// After the convolutions, 2 x 2.
    pub pool: MaxPool2d,
    /// After the pooling.
    pub dropout1: Dropout,
    /// The hidden layer.
    pub fc1: Linear,
    /// After the hidden layer.
    pub dropout2: Dropout,
    /// The scores of the classes.
    pub fc2: Linear,
}
crate::parameters!(Cnn { conv1, conv2, fc1, fc2 });

impl Cnn {
    /// A new model, which drops a quarter of its features and half of its hidden values in training.
    pub fn new() -> Cnn {
        Cnn {
            conv1: Conv2d::new(1, 32, 3),
            conv2: Conv2d::new(32, 64, 3),
            pool: MaxPool2d::new(2),
            dropout1: Dropout(0.25),
            fc1: Linear::new(9216, 128),
            dropout2: Dropout(0.5),
            fc2: Linear::new(128, 10),
        }
    }
}

impl Model for Cnn {
    fn forward(&self, x: &Tensor) -> Tensor {
        let x = self.conv1.forward(x).relu();
        let x = self.conv2.forward(&x).relu();
        let x = self.dropout1.forward(&self.pool.forward(&x));
        let x = self.fc1.forward(&x.flatten(1, -1)).relu();
        self.fc2.forward(&self.dropout2.forward(&x))
    }
}

impl Default for Xor {
    fn default() -> Xor {
        Xor::new()
    }
}

impl Default for Cnn {
    fn default() -> Cnn {
        Cnn::new()
    }
}
