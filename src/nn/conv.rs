//! Convolution layers.

use super::{Init, Model, Param};
use crate::tensor::{ConvOptions, PerAxis, Tensor};
use kiln_ir::Shape;

/// A convolution over `N` spatial axes.
///
/// Parameters: `weight: [out, in / groups, kernel..]`, `bias: [out]`, drawn as PyTorch does. Input
/// `[n, in, spatial..]`, output `[n, out, spatial..]`.
#[derive(Debug)]
pub struct Conv<const N: usize> {
    /// The weight, `[out, in / groups, kernel..]`.
    pub weight: Param,
    /// The bias, `[out]`.
    pub bias: Option<Param>,
    options: ConvOptions,
}

/// A convolution over one spatial axis.
pub type Conv1d = Conv<1>;
/// A convolution over two spatial axes.
pub type Conv2d = Conv<2>;
/// A convolution over three spatial axes.
pub type Conv3d = Conv<3>;

impl<const N: usize> super::Module for Conv<N> {
    fn visit<'m>(&'m self, visitor: &mut super::Visitor<'m>) {
        visitor.child("weight", &self.weight);
        visitor.child("bias", &self.bias);
    }
}

impl<const N: usize> Conv<N> {
    /// A layer from `n_in` to `n_out` channels with a kernel of this size (one number, or one for each axis).
    ///
    /// # Panics
    /// When the kernel has another number of axes.
    #[track_caller]
    pub fn new(n_in: usize, n_out: usize, kernel: impl Into<PerAxis>) -> Conv<N> {
        Conv::grouped(n_in, n_out, kernel, 1)
    }

    /// A layer in whose `groups` groups channels do not see each other.
    ///
    /// # Panics
    /// When the kernel has another number of axes, or the groups do not divide the channels.
    #[track_caller]
    pub fn grouped(n_in: usize, n_out: usize, kernel: impl Into<PerAxis>, groups: usize) -> Conv<N> {
        let kernel = kernel.into().resolve(N).unwrap_or_else(|| panic!("the kernel needs {N} extents"));
        assert!(
            groups > 0 && n_in.is_multiple_of(groups) && n_out.is_multiple_of(groups),
            "{groups} groups do not divide {n_in} and {n_out} channels"
        );
        let shape: Shape = [n_out, n_in / groups].into_iter().chain(kernel).collect();
        let fan_in = shape[1..].iter().product();
        Conv {
            weight: Param::new(shape, Init::layer_weight()),
            bias: Some(Param::new([n_out], Init::layer_bias(fan_in))),
            options: ConvOptions::new().groups(groups),
        }
    }

    /// The same with another distance between positions of the kernel.
    pub fn stride(self, stride: impl Into<PerAxis>) -> Conv<N> {
        Conv { options: self.options.stride(stride), ..self }
    }

    /// The same with zeros around the input.
    pub fn padding(self, padding: impl Into<PerAxis>) -> Conv<N> {
        Conv { options: self.options.padding(padding), ..self }
    }

    /// The same with another distance between elements of the kernel.
    pub fn dilation(self, dilation: impl Into<PerAxis>) -> Conv<N> {
        Conv { options: self.options.dilation(dilation), ..self }
    }

    /// The same without a bias.
    pub fn without_bias(self) -> Conv<N> {
        Conv { bias: None, ..self }
    }
}

impl<const N: usize> Model for Conv<N> {
    #[track_caller]
    fn forward(&self, x: &Tensor) -> Tensor {
        const NAMES: [&str; 4] = ["conv", "conv1d", "conv2d", "conv3d"];
        self.weight.in_layer(x, || {
            let bias = self.bias.as_ref().map(|bias| bias.of(x));
            x.within(NAMES[N], || x.conv(NAMES[N], N, &self.weight.of(x), bias.as_ref(), &self.options))
        })
    }
}
