//! Normalization layers that depend on each sample alone.

use super::batch_norm::Running;
use super::{Init, Model, Module, Param, Visitor};
use crate::tensor::Tensor;
use kiln_ir::Shape;

/// Layer normalization over the last axes; see [`Tensor::layer_norm`].
///
/// `(x - mean) / sqrt(variance + eps) * weight + bias`. Parameters: `weight` of ones and `bias` of zeros, in the shape that is
/// normalized. Shapes: `[.., shape..]`, the result alike. Source: Ba, Kiros, Hinton, *Layer Normalization*, 2016.
#[derive(Debug)]
pub struct LayerNorm {
    /// The scale, if there is one.
    pub weight: Option<Param>,
    /// The shift, if there is one.
    pub bias: Option<Param>,
    shape: Shape,
    eps: f64,
}
crate::parameters!(LayerNorm { weight, bias });

impl LayerNorm {
    /// Normalizes the last axes, which have this shape, with PyTorch's `eps` of 1e-5.
    pub fn new(shape: impl Into<Shape>) -> LayerNorm {
        let shape = shape.into();
        LayerNorm {
            weight: Some(Param::new(shape.clone(), Init::Ones)),
            bias: Some(Param::new(shape.clone(), Init::Zeros)),
            shape,
            eps: 1e-5,
        }
    }

    /// Another one of the same shape with the same options.
    pub(super) fn another(&self) -> LayerNorm {
        let like = |param: &Option<Param>, init| param.as_ref().map(|_| Param::new(self.shape.clone(), init));
        LayerNorm {
            weight: like(&self.weight, Init::Ones),
            bias: like(&self.bias, Init::Zeros),
            shape: self.shape.clone(),
            eps: self.eps,
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

    /// The same without scale and shift.
    pub fn without_affine(self) -> LayerNorm {
        LayerNorm { weight: None, bias: None, ..self }
    }
}

impl Model for LayerNorm {
    #[track_caller]
    fn forward(&self, x: &Tensor) -> Tensor {
        in_layer(self.weight.as_ref(), x, || {
            let [weight, bias] = of(x, [&self.weight, &self.bias]);
            match x.extents().ends_with(&self.shape) {
                true => x.layer_norm(self.shape.rank(), weight.as_ref(), bias.as_ref(), self.eps),
                false => x.refuse("layer_norm", format!("its last axes are not {}", self.shape)),
            }
        })
    }
}

/// Root-mean-square normalization over the last axes; see [`Tensor::rms_norm`].
///
/// `x / sqrt(mean of squares + eps) * weight`. Parameter: `weight` of ones, in the shape that is normalized. Shapes:
/// `[.., shape..]`, the result alike. Source: Zhang and Sennrich, *Root Mean Square Layer Normalization*, 2019.
#[derive(Debug)]
pub struct RmsNorm {
    /// The scale, if there is one.
    pub weight: Option<Param>,
    shape: Shape,
    eps: f64,
}
crate::parameters!(RmsNorm { weight });

impl RmsNorm {
    /// Normalizes a last axis of this extent; as in PyTorch, the distance from 1 to the next `f32` is added to the mean
    /// square.
    pub fn new(width: usize) -> RmsNorm {
        RmsNorm::over([width])
    }

    /// Normalizes the last axes, which have this shape.
    pub fn over(shape: impl Into<Shape>) -> RmsNorm {
        let shape = shape.into();
        let weight = Some(Param::new(shape.clone(), Init::Ones));
        RmsNorm { weight, shape, eps: f64::from(f32::EPSILON) }
    }

    /// The same with another number added to the mean square.
    pub fn eps(self, eps: f64) -> RmsNorm {
        RmsNorm { eps, ..self }
    }

    /// The same without a scale.
    pub fn without_affine(self) -> RmsNorm {
        RmsNorm { weight: None, ..self }
    }
}

impl Model for RmsNorm {
    #[track_caller]
    fn forward(&self, x: &Tensor) -> Tensor {
        in_layer(self.weight.as_ref(), x, || {
            let [weight] = of(x, [&self.weight]);
            match x.extents().ends_with(&self.shape) {
                true => x.rms_norm(self.shape.rank(), weight.as_ref(), self.eps),
                false => x.refuse("rms_norm", format!("its last axes are not {}", self.shape)),
            }
        })
    }
}

/// Group normalization; see [`Tensor::group_norm`].
///
/// As [`LayerNorm`], where mean and variance are those of the channels of a group in a sample. Parameters: `weight` of ones and `bias` of zeros, `[c]`.
/// Shapes: `[n, c, ..]`, the result alike. Source: Wu and He, *Group Normalization*, 2018.
#[derive(Debug)]
pub struct GroupNorm {
    /// The scale, if there is one.
    pub weight: Option<Param>,
    /// The shift, if there is one.
    pub bias: Option<Param>,
    groups: usize,
    channels: usize,
    eps: f64,
}
crate::parameters!(GroupNorm { weight, bias });

impl GroupNorm {
    /// So many groups of so many channels in all, with PyTorch's `eps` of 1e-5.
    pub fn new(groups: usize, channels: usize) -> GroupNorm {
        let param = |init| Some(Param::new([channels], init));
        GroupNorm { weight: param(Init::Ones), bias: param(Init::Zeros), groups, channels, eps: 1e-5 }
    }

    /// The same with another number added to the variance.
    pub fn eps(self, eps: f64) -> GroupNorm {
        GroupNorm { eps, ..self }
    }

    /// The same without a shift.
    pub fn without_bias(self) -> GroupNorm {
        GroupNorm { bias: None, ..self }
    }

    /// The same without scale and shift.
    pub fn without_affine(self) -> GroupNorm {
        GroupNorm { weight: None, bias: None, ..self }
    }
}

impl Model for GroupNorm {
    #[track_caller]
    fn forward(&self, x: &Tensor) -> Tensor {
        in_layer(self.weight.as_ref(), x, || {
            let [weight, bias] = of(x, [&self.weight, &self.bias]);
            match x.extents().get(1) == Some(&self.channels) {
                true => x.group_norm(self.groups, weight.as_ref(), bias.as_ref(), self.eps),
                false => x.refuse("group_norm", format!("it needs {} channels as axis 1", self.channels)),
            }
        })
    }
}

/// Instance normalization of channels with `N` axes behind them; see [`Tensor::instance_norm`].
///
/// As [`LayerNorm`], where mean and variance are those of a channel in a sample; outside of training running statistics take
/// their place, if there are any. No parameters, or `weight` of ones and `bias` of zeros, `[c]`. No buffers, or those of a
/// [`BatchNorm`](super::BatchNorm). Shapes: `[n, c, ..]`, or `[c, ..]` of a single sample, the result alike. Source: Ulyanov and others, *Instance Normalization*, 2016.
#[derive(Debug)]
pub struct InstanceNorm<const N: usize> {
    /// The scale, if there is one.
    pub weight: Option<Param>,
    /// The shift, if there is one.
    pub bias: Option<Param>,
    running: Option<Running>,
    momentum: f64,
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
        if let Some(running) = &self.running {
            running.visit(visitor);
        }
    }
}

impl<const N: usize> InstanceNorm<N> {
    /// So many channels, with PyTorch's `eps` of 1e-5, and without scale and shift.
    pub fn new(channels: usize) -> InstanceNorm<N> {
        InstanceNorm { weight: None, bias: None, running: None, momentum: 0.1, channels, eps: 1e-5 }
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

    /// The same without a shift.
    pub fn without_bias(self) -> InstanceNorm<N> {
        InstanceNorm { bias: None, ..self }
    }

    /// The same with running statistics, which take the place of a sample's own outside of training. As in PyTorch,
    /// `num_batches_tracked` stays 0.
    pub fn running_stats(self) -> InstanceNorm<N> {
        InstanceNorm { running: Some(Running::new(self.channels)), ..self }
    }

    /// The same with another share of a batch in the running statistics.
    pub fn momentum(self, momentum: f64) -> InstanceNorm<N> {
        InstanceNorm { momentum, ..self }
    }

    fn normalize(&self, x: &Tensor) -> Tensor {
        let [weight, bias] = of(x, [&self.weight, &self.bias]);
        let (weight, bias) = (weight.as_ref(), bias.as_ref());
        match &self.running {
            Some(running) if !x.tracer().is_training() => running.normalize(x, weight, bias, self.eps),
            running => {
                let normalized = x.instance_norm(weight, bias, self.eps);
                if let Some(running) = running {
                    running.move_to(
                        &normalized.mean,
                        &normalized.var,
                        &normalized.mean.full_like(self.momentum),
                    );
                }
                normalized.output
            }
        }
    }
}

impl<const N: usize> Model for InstanceNorm<N> {
    #[track_caller]
    fn forward(&self, x: &Tensor) -> Tensor {
        if x.rank() == N + 1 {
            return self.forward(&x.unsqueeze(0)).squeeze(0);
        }
        if x.rank() != N + 2 || x.shape()[1] != self.channels {
            let problem = format!("it needs {} axes, and {} channels as axis 1", N + 2, self.channels);
            return x.refuse("instance_norm", problem);
        }
        let named = self.weight.as_ref().or(self.running.as_ref().map(Running::first));
        in_layer(named, x, || self.normalize(x))
    }
}

/// Normalization by neighbouring channels; see [`Tensor::local_response_norm`] for shapes, formula and source.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LocalResponseNorm {
    /// How many channels.
    pub size: usize,
    /// What the mean square is multiplied by.
    pub alpha: f64,
    /// The power.
    pub beta: f64,
    /// What is added.
    pub k: f64,
}

impl LocalResponseNorm {
    /// Over so many channels, with PyTorch's numbers.
    pub fn new(size: usize) -> LocalResponseNorm {
        LocalResponseNorm { size, alpha: 1e-4, beta: 0.75, k: 1.0 }
    }
}

impl Module for LocalResponseNorm {
    fn visit<'m>(&'m self, _: &mut Visitor<'m>) {}
}

impl Model for LocalResponseNorm {
    #[track_caller]
    fn forward(&self, x: &Tensor) -> Tensor {
        x.local_response_norm(self.size, self.alpha, self.beta, self.k)
    }
}

/// Traces a layer that may have no parameter by which its name is known.
#[track_caller]
fn in_layer(param: Option<&Param>, x: &Tensor, body: impl FnOnce() -> Tensor) -> Tensor {
    match param {
        Some(param) => param.in_layer(x, body),
        None => body(),
    }
}

/// The values of those parameters that are there.
#[track_caller]
fn of<const K: usize>(x: &Tensor, params: [&Option<Param>; K]) -> [Option<Tensor>; K] {
    params.map(|param| param.as_ref().map(|param| param.of(x)))
}
