//! Normalization layers that depend on each sample alone.

use super::{Init, Model, Module, Param, Visitor};
use crate::tensor::Tensor;
use kiln_ir::Shape;

/// Layer normalization over the last axes; see [`Tensor::layer_norm`].
///
/// `(x - mean) / sqrt(variance + eps) * weight + bias`. Parameters: `weight` of ones and `bias` of zeros, in the shape that is
/// normalized. Shapes: `[.., shape..]`, the result alike. Source: Ba, Kiros, Hinton, *Layer Normalization*, 2016.
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

/// Root-mean-square normalization over the last axis; see [`Tensor::rms_norm`].
///
/// `x / sqrt(mean of squares + eps) * weight`. Parameter: `weight` of ones, `[width]`. Shapes: `[.., width]`, the result
/// alike. Source: Zhang and Sennrich, *Root Mean Square Layer Normalization*, 2019.
#[derive(Debug)]
pub struct RmsNorm {
    /// The scale.
    pub weight: Param,
    eps: f64,
}
crate::parameters!(RmsNorm { weight });

impl RmsNorm {
    /// Normalizes a last axis of this extent; as in PyTorch, the distance from 1 to the next `f32` is added to the mean
    /// square.
    pub fn new(width: usize) -> RmsNorm {
        RmsNorm { weight: Param::new([width], Init::Ones), eps: f64::from(f32::EPSILON) }
    }

    /// The same with another number added to the mean square.
    pub fn eps(self, eps: f64) -> RmsNorm {
        RmsNorm { eps, ..self }
    }
}

impl Model for RmsNorm {
    #[track_caller]
    fn forward(&self, x: &Tensor) -> Tensor {
        self.weight.in_layer(x, || x.rms_norm(1, Some(&self.weight.of(x)), self.eps))
    }
}

/// Group normalization; see [`Tensor::group_norm`].
///
/// As [`LayerNorm`], where mean and variance are those of the channels of a group in a sample. Parameters: `weight` of ones and `bias` of zeros, `[c]`.
/// Shapes: `[n, c, ..]`, the result alike. Source: Wu and He, *Group Normalization*, 2018.
#[derive(Debug)]
pub struct GroupNorm {
    /// The scale.
    pub weight: Param,
    /// The shift.
    pub bias: Param,
    groups: usize,
    eps: f64,
}
crate::parameters!(GroupNorm { weight, bias });

impl GroupNorm {
    /// So many groups of so many channels in all, with PyTorch's `eps` of 1e-5.
    pub fn new(groups: usize, channels: usize) -> GroupNorm {
        let (weight, bias) = (Param::new([channels], Init::Ones), Param::new([channels], Init::Zeros));
        GroupNorm { weight, bias, groups, eps: 1e-5 }
    }

    /// The same with another number added to the variance.
    pub fn eps(self, eps: f64) -> GroupNorm {
        GroupNorm { eps, ..self }
    }
}

impl Model for GroupNorm {
    #[track_caller]
    fn forward(&self, x: &Tensor) -> Tensor {
        self.weight.in_layer(x, || {
            x.group_norm(self.groups, Some(&self.weight.of(x)), Some(&self.bias.of(x)), self.eps)
        })
    }
}

/// Instance normalization of channels with `N` axes behind them, without running statistics; see
/// [`Tensor::instance_norm`].
///
/// As [`LayerNorm`], where mean and variance are those of a channel in a sample. No parameters, or `weight` of ones and `bias` of zeros, `[c]`.
/// Shapes: `[n, c, ..]`, the result alike. Source: Ulyanov and others, *Instance Normalization*, 2016.
#[derive(Debug)]
pub struct InstanceNorm<const N: usize> {
    /// The scale, if there is one.
    pub weight: Option<Param>,
    /// The shift, if there is one.
    pub bias: Option<Param>,
    channels: usize,
    eps: f64,
}

/// Instance normalization of `[n, c, length]`.
pub type InstanceNorm1d = InstanceNorm<1>;
/// Instance normalization of `[n, c, height, width]`.
pub type InstanceNorm2d = InstanceNorm<2>;
/// Instance normalization of `[n, c, depth, height, width]`.
pub type InstanceNorm3d = InstanceNorm<3>;

impl<const N: usize> Module for InstanceNorm<N> {
    fn visit<'m>(&'m self, visitor: &mut Visitor<'m>) {
        visitor.child("weight", &self.weight);
        visitor.child("bias", &self.bias);
    }
}

impl<const N: usize> InstanceNorm<N> {
    /// So many channels, with PyTorch's `eps` of 1e-5, and without scale and shift.
    pub fn new(channels: usize) -> InstanceNorm<N> {
        InstanceNorm { weight: None, bias: None, channels, eps: 1e-5 }
    }

    /// The same with a scale and a shift.
    pub fn affine(self) -> InstanceNorm<N> {
        let param = |init| Some(Param::new([self.channels], init));
        InstanceNorm { weight: param(Init::Ones), bias: param(Init::Zeros), ..self }
    }

    /// The same with another number added to the variance.
    pub fn eps(self, eps: f64) -> InstanceNorm<N> {
        InstanceNorm { eps, ..self }
    }
}

impl<const N: usize> Model for InstanceNorm<N> {
    #[track_caller]
    fn forward(&self, x: &Tensor) -> Tensor {
        if x.rank() != N + 2 || x.shape()[1] != self.channels {
            let problem = format!("it needs {} axes, and {} channels as axis 1", N + 2, self.channels);
            return x.refuse("instance_norm", problem);
        }
        let normalize = || {
            let [weight, bias] = [&self.weight, &self.bias].map(|p| p.as_ref().map(|p| p.of(x)));
            x.instance_norm(weight.as_ref(), bias.as_ref(), self.eps).output
        };
        match &self.weight {
            Some(weight) => weight.in_layer(x, normalize),
            None => normalize(),
        }
    }
}
