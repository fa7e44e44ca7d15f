//! Activation layers, with PyTorch's names. Where a function has numbers to choose they are fields, and `Default` gives
//! those of PyTorch. Formulas, shapes (the result alike, unless the method says otherwise) and sources are those of the
//! [`Tensor`] methods.

use super::simple::layers;
use super::{Init, Model, Param};
use crate::tensor::Tensor;

layers! {
    /// [`Tensor::relu`] as a layer.
    Relu => relu;
    /// [`Tensor::relu6`] as a layer.
    Relu6 => relu6;
    /// [`Tensor::leaky_relu`] as a layer, with the slope below 0.
    LeakyRelu(slope: f64) => leaky_relu;
    /// [`Tensor::rrelu`] as a layer, with the bounds of its slopes.
    Rrelu(lower: f64, upper: f64) => rrelu;
    /// [`Tensor::elu`] as a layer, with its `alpha`.
    Elu(alpha: f64) => elu;
    /// [`Tensor::selu`] as a layer.
    Selu => selu;
    /// [`Tensor::celu`] as a layer, with its `alpha`.
    Celu(alpha: f64) => celu;
    /// [`Tensor::gelu`] as a layer.
    Gelu => gelu;
    /// [`Tensor::gelu_tanh`] as a layer.
    GeluTanh => gelu_tanh;
    /// [`Tensor::silu`] as a layer.
    Silu => silu;
    /// [`Tensor::mish`] as a layer.
    Mish => mish;
    /// [`Tensor::softplus`] as a layer, with `beta` and `threshold`.
    Softplus(beta: f64, threshold: f64) => softplus;
    /// [`Tensor::hardtanh`] as a layer, with its bounds.
    Hardtanh(low: f64, high: f64) => hardtanh;
    /// [`Tensor::hardsigmoid`] as a layer.
    Hardsigmoid => hardsigmoid;
    /// [`Tensor::hardswish`] as a layer.
    Hardswish => hardswish;
    /// [`Tensor::hardshrink`] as a layer, with its `lambda`.
    Hardshrink(lambda: f64) => hardshrink;
    /// [`Tensor::softshrink`] as a layer, with its `lambda`.
    Softshrink(lambda: f64) => softshrink;
    /// [`Tensor::tanhshrink`] as a layer.
    Tanhshrink => tanhshrink;
    /// [`Tensor::threshold`] as a layer, with the threshold and what replaces the elements up to it.
    Threshold(threshold: f64, value: f64) => threshold;
    /// [`Tensor::heaviside`] as a layer, with the value at 0: the perceptron's step. Nothing can be learned through it.
    /// Source: Rosenblatt, *The Perceptron*, 1958.
    Step(at_zero: f64) => heaviside;
    /// [`Tensor::sigmoid`] as a layer.
    Sigmoid => sigmoid;
    /// [`Tensor::logsigmoid`] as a layer.
    LogSigmoid => logsigmoid;
    /// [`Tensor::tanh`] as a layer.
    Tanh => tanh;
    /// [`Tensor::softsign`] as a layer.
    Softsign => softsign;
    /// [`Tensor::glu`] as a layer, along an axis.
    Glu(axis: i64) => glu;
    /// [`Tensor::softmax`] as a layer, along an axis.
    Softmax(axis: i64) => softmax;
    /// [`Tensor::softmin`] as a layer, along an axis.
    Softmin(axis: i64) => softmin;
    /// [`Tensor::log_softmax`] as a layer, along an axis.
    LogSoftmax(axis: i64) => log_softmax;
}

/// The numbers that PyTorch's layers have unless others are given.
macro_rules! defaults {
    ($($name:ident($($value:expr),*);)*) => {$(
        impl Default for $name {
            fn default() -> $name {
                $name($($value),*)
            }
        }
    )*};
}

defaults! {
    LeakyRelu(0.01);
    Rrelu(1.0 / 8.0, 1.0 / 3.0);
    Elu(1.0);
    Celu(1.0);
    Softplus(1.0, 20.0);
    Hardtanh(-1.0, 1.0);
    Hardshrink(0.5);
    Softshrink(0.5);
    Glu(-1);
}

/// Softmax over the channels of an image (axis -3), at each of its places; see [`Tensor::softmax`].
///
/// Shapes: `[.., c, height, width]`, the result alike.
#[derive(Clone, Copy, Debug)]
pub struct Softmax2d;
crate::parameters!(Softmax2d {});

impl Model for Softmax2d {
    #[track_caller]
    fn forward(&self, x: &Tensor) -> Tensor {
        x.softmax(-3)
    }
}

/// A rectifier with learned slopes below 0, one for all channels (axis 1) or one for each; see [`Tensor::prelu`].
///
/// Parameters: `weight: [n]`, 0.25 to begin with. Shapes: `[n, c, ..]` or any for one slope, the result alike. Source: He and others, *Delving Deep into Rectifiers*, 2015.
#[derive(Debug)]
pub struct Prelu {
    /// The slopes.
    pub weight: Param,
}
crate::parameters!(Prelu { weight });

impl Prelu {
    /// With slopes for `n` channels, or 1 for all of them.
    pub fn new(n: usize) -> Prelu {
        Prelu { weight: Param::new([n], Init::Constant(0.25)) }
    }
}

impl Model for Prelu {
    #[track_caller]
    fn forward(&self, x: &Tensor) -> Tensor {
        self.weight.in_layer(x, || x.prelu(&self.weight.of(x)))
    }
}
