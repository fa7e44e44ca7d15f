//! Normalization layers.

use super::{Init, Model, Param};
use crate::tensor::Tensor;
use kiln_ir::Shape;

/// Layer normalization over the last axes; see [`Tensor::layer_norm`].
///
/// Parameters: `weight` of ones and `bias` of zeros, in the shape that is normalized.
#[derive(Debug)]
pub struct LayerNorm {
    /// The scale.
    pub weight: Param,
    /// The shift.
    pub bias: Option<Param>,
    eps: f64,
}
crate::parameters!(LayerNorm { weight, bias });

impl LayerNorm {
    /// Normalizes the last axes, which have this shape, with PyTorch's `eps` of 1e-5.
    pub fn new(shape: impl Into<Shape>) -> LayerNorm {
        let shape = shape.into();
        LayerNorm {
            weight: Param::new(shape.clone(), Init::Ones),
            bias: Some(Param::new(shape, Init::Zeros)),
            eps: 1e-5,
        }
    }

    /// The same with another number added to the variance.
    pub fn eps(self, eps: f64) -> LayerNorm {
        LayerNorm { eps, ..self }
    }

    /// The same without a shift.
    pub fn without_bias(self) -> LayerNorm {
        LayerNorm { bias: None, ..self }
    }
}

impl Model for LayerNorm {
    #[track_caller]
    fn forward(&self, x: &Tensor) -> Tensor {
        self.weight.in_layer(x, || {
            let bias = self.bias.as_ref().map(|bias| bias.of(x));
            x.layer_norm(self.weight.ty().rank(), Some(&self.weight.of(x)), bias.as_ref(), self.eps)
        })
    }
}
