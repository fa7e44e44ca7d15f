//! Layers that multiply by a matrix, or by one for each output.

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

/// `x W_o y' + b_o` for each output `o`: what two inputs say together.
///
/// Parameters: `weight: [out, in, in of the other]`, `bias: [out]`, both uniform in `±1 / sqrt(in)` as in PyTorch. Shapes:
/// `[.., in]` and `[.., in of the other]` -> `[.., out]`. Source: Tenenbaum and Freeman, *Separating Style and Content
/// with Bilinear Models*, 2000.
#[derive(Debug)]
pub struct Bilinear {
    /// The matrices, `[out, in, in of the other]`.
    pub weight: Param,
    /// The bias, `[out]`.
    pub bias: Option<Param>,
}
crate::parameters!(Bilinear { weight, bias });

impl Bilinear {
    /// A layer from these numbers of features of its two inputs to `n_out`.
    pub fn new(n_in: [usize; 2], n_out: usize) -> Bilinear {
        let init = || Init::layer_bias(n_in[0]);
        Bilinear {
            weight: Param::new([n_out, n_in[0], n_in[1]], init()),
            bias: Some(Param::new([n_out], init())),
        }
    }

    /// The same without a bias.
    pub fn without_bias(self) -> Bilinear {
        Bilinear { bias: None, ..self }
    }

    /// The layer's output for two inputs.
    #[track_caller]
    pub fn run(&self, x: &Tensor, other: &Tensor) -> Tensor {
        self.weight.in_layer(x, || {
            let bias = self.bias.as_ref().map(|bias| bias.of(x));
            x.bilinear(other, &self.weight.of(x), bias.as_ref())
        })
    }
}
