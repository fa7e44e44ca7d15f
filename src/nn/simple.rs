//! Layers without parameters: activations, dropout, flattening.

use super::{Model, Module, Visitor};
use crate::tensor::Tensor;

/// Layers that are one method of [`Tensor`].
macro_rules! layers {
    ($($(#[$doc:meta])* $name:ident $(($($field:ident: $type:ty),*))? => $method:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug)]
        pub struct $name $(($(pub $type),*))?;

        impl Module for $name {
            fn visit<'m>(&'m self, _: &mut Visitor<'m>) {}
        }

        impl Model for $name {
            #[track_caller]
            fn forward(&self, x: &Tensor) -> Tensor {
                let $name $(($($field),*))? = *self;
                x.$method($($($field),*)?)
            }
        }
    )*};
}

layers! {
    /// [`Tensor::relu`] as a layer.
    Relu => relu;
    /// [`Tensor::leaky_relu`] as a layer, with the slope below 0.
    LeakyRelu(slope: f64) => leaky_relu;
    /// [`Tensor::elu`] as a layer, with its `alpha`.
    Elu(alpha: f64) => elu;
    /// [`Tensor::gelu`] as a layer.
    Gelu => gelu;
    /// [`Tensor::silu`] as a layer.
    Silu => silu;
    /// [`Tensor::sigmoid`] as a layer.
    Sigmoid => sigmoid;
    /// [`Tensor::tanh`] as a layer.
    Tanh => tanh;
    /// [`Tensor::softplus`] as a layer, with `beta` and `threshold`.
    Softplus(beta: f64, threshold: f64) => softplus;
    /// [`Tensor::softmax`] as a layer, along an axis.
    Softmax(axis: i64) => softmax;
    /// [`Tensor::log_softmax`] as a layer, along an axis.
    LogSoftmax(axis: i64) => log_softmax;
    /// [`Tensor::dropout`] as a layer, with the probability of a zero.
    Dropout(p: f64) => dropout;
    /// [`Tensor::flatten`] as a layer: the axes from the first to the last number become one.
    Flatten(first: i64, last: i64) => flatten;
}

impl Default for Flatten {
    /// All axes but the first, which counts the samples.
    fn default() -> Flatten {
        Flatten(1, -1)
    }
}
