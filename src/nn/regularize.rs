//! Layers that make training harder, so that a model generalizes: noise, penalties; and a way around other layers.

use super::{Model, Module, Visitor, simple::layers};
use crate::tensor::Tensor;

layers! {
    /// [`Tensor::dropout_channels`] as a layer, with the probability of a zero: `Dropout1d` to `Dropout3d` of PyTorch.
    /// Shapes: `[n, c, ..]`, the result alike.
    ChannelDropout(p: f64) => dropout_channels;
}

/// In training, adds normal noise of this deviation; outside of training, passes its input on.
///
/// Shapes: any, the result alike. Source: Bishop, *Training with Noise is Equivalent to Tikhonov Regularization*, 1995.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GaussianNoise(pub f64);

impl Module for GaussianNoise {
    fn visit<'m>(&'m self, _: &mut Visitor<'m>) {}
}

impl Model for GaussianNoise {
    #[track_caller]
    fn forward(&self, x: &Tensor) -> Tensor {
        if x.tracer().is_training() { x + x.randn_like() * self.0 } else { x.clone() }
    }
}

/// Passes its input on, and adds `l1` times the sum of its magnitudes and `l2` times that of its squares to the loss of
/// training.
///
/// Shapes: any, the result alike. Source: Merity and others, *Revisiting Activation Regularization for Language RNNs*, 2017,
/// with sums in place of means as in Keras' `ActivityRegularization`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ActivityRegularization {
    /// Times the magnitudes.
    pub l1: f64,
    /// Times the squares.
    pub l2: f64,
}

impl Module for ActivityRegularization {
    fn visit<'m>(&'m self, _: &mut Visitor<'m>) {}
}

impl Model for ActivityRegularization {
    #[track_caller]
    fn forward(&self, x: &Tensor) -> Tensor {
        if self.l1 != 0.0 {
            (x.abs().sum(..) * self.l1).add_to_loss();
        }
        if self.l2 != 0.0 {
            (x.square().sum(..) * self.l2).add_to_loss();
        }
        x.clone()
    }
}

/// The sum of a layer's input and output: `x + f(x)`. The names of parameters are those of the layer. Shapes: those of the
/// layer, whose output broadcasts with its input.
///
/// Source: He and others, *Deep Residual Learning for Image Recognition*, 2016.
#[derive(Clone, Copy, Debug)]
pub struct Residual<M>(pub M);

impl<M: Module> Module for Residual<M> {
    fn visit<'m>(&'m self, visitor: &mut Visitor<'m>) {
        self.0.visit(visitor);
    }
}

impl<M: Model> Model for Residual<M> {
    #[track_caller]
    fn forward(&self, x: &Tensor) -> Tensor {
        x + self.0.forward(x)
    }
}
