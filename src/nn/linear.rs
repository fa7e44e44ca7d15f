//! A layer that multiplies by a matrix.

use super::{Init, Model, Param};
use crate::tensor::Tensor;

/// `x W' + b`: every output depends on every input.
///
/// Parameters: `weight: [out, in]`, `bias: [out]`, drawn as PyTorch does. Input `[.., in]`, output `[.., out]`.
/// Source: Rosenblatt, *The Perceptron*, 1958, without its step.
#[derive(Debug)]
pub struct Linear {
    /// The weight, `[out, in]`.
    pub weight: Param,
    /// The bias, `[out]`.
    pub bias: Option<Param>,
}
crate::parameters!(Linear { weight, bias });

impl Linear {
    /// A layer from `n_in` to `n_out` features.
    pub fn new(n_in: usize, n_out: usize) -> Linear {
        Linear {
            weight: Param::new([n_out, n_in], Init::layer_weight()),
            bias: Some(Param::new([n_out], Init::layer_bias(n_in))),
        }
    }

    /// The same without a bias.
    pub fn without_bias(self) -> Linear {
        Linear { bias: None, ..self }
    }

    /// The same with another start of the weight.
    pub fn weight_init(self, init: Init) -> Linear {
        Linear { weight: self.weight.with_init(init), ..self }
    }

    /// The same with another start of the bias, if it has one.
    pub fn bias_init(self, init: Init) -> Linear {
        Linear { bias: self.bias.map(|bias| bias.with_init(init)), ..self }
    }
}

impl Model for Linear {
    #[track_caller]
    fn forward(&self, x: &Tensor) -> Tensor {
        self.weight.in_layer(x, || {
            let bias = self.bias.as_ref().map(|bias| bias.of(x));
            x.linear(&self.weight.of(x), bias.as_ref())
        })
    }
}
