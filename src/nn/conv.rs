//! Convolution layers.

use super::{Init, Model, Param};
use crate::tensor::{Border, ConvOptions, PerAxis, Tensor};
use kiln_ir::Shape;

/// A convolution over `N` spatial axes.
///
/// Parameters: `weight: [out, in / groups, kernel..]`, `bias: [out]`, drawn as PyTorch does. Input
/// `[n, in, spatial..]`, or `[in, spatial..]` of a single sample, output `[n, out, places..]` likewise with
/// `floor((extent + 2 * padding - dilation * (kernel - 1) - 1) / stride) + 1` places along each spatial axis. Output `o` at
/// place `p` is the bias and the sum of `weight[o, c, k] * x[c, p * stride + k * dilation - padding]` over the channels `c`
/// of its group and the places `k` of the kernel. Source: LeCun and others, *Gradient-Based Learning Applied to Document
/// Recognition*, 1998.
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
        let shape = weight_shape::<N>(n_out, n_in, kernel.into(), groups);
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

    /// The same with so much around the input: zeros, unless there is another [`border`](Conv::border).
    pub fn padding(self, padding: impl Into<PerAxis>) -> Conv<N> {
        Conv { options: self.options.padding(padding), ..self }
    }

    /// The same with as much around the input as keeps its extents: see [`ConvOptions::same_padding`].
    pub fn same_padding(self) -> Conv<N> {
        Conv { options: self.options.same_padding(), ..self }
    }

    /// The same with another border than zeros around the input: PyTorch's `padding_mode`.
    pub fn border(self, border: Border) -> Conv<N> {
        Conv { options: self.options.border(border), ..self }
    }

    /// The same with another distance between elements of the kernel.
    pub fn dilation(self, dilation: impl Into<PerAxis>) -> Conv<N> {
        Conv { options: self.options.dilation(dilation), ..self }
    }

    /// The same without a bias.
    pub fn without_bias(self) -> Conv<N> {
        Conv { bias: None, ..self }
    }

    /// The same with another start of the weight.
    pub fn weight_init(self, init: Init) -> Conv<N> {
        Conv { weight: self.weight.with_init(init), ..self }
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

/// A transposed convolution over `N` spatial axes: what the gradient of a convolution does.
///
/// Parameters: `weight: [in, out / groups, kernel..]`, `bias: [out]`, drawn as PyTorch does. Input `[n, in, spatial..]`, or
/// `[in, spatial..]` of a single sample, output `[n, out, spatial..]` likewise with
/// `(extent - 1) * stride - 2 * padding + dilation * (kernel - 1) + output padding + 1` along each spatial axis. Source: Dumoulin and Visin, *A Guide to Convolution Arithmetic for Deep Learning*, 2016,
/// chapter 4.
#[derive(Debug)]
pub struct ConvTranspose<const N: usize> {
    /// The weight, `[in, out / groups, kernel..]`.
    pub weight: Param,
    /// The bias, `[out]`.
    pub bias: Option<Param>,
    options: ConvOptions,
}

/// A transposed convolution over one spatial axis.
pub type ConvTranspose1d = ConvTranspose<1>;
/// A transposed convolution over two spatial axes.
pub type ConvTranspose2d = ConvTranspose<2>;
/// A transposed convolution over three spatial axes.
pub type ConvTranspose3d = ConvTranspose<3>;

impl<const N: usize> super::Module for ConvTranspose<N> {
    fn visit<'m>(&'m self, visitor: &mut super::Visitor<'m>) {
        visitor.child("weight", &self.weight);
        visitor.child("bias", &self.bias);
    }
}

impl<const N: usize> ConvTranspose<N> {
    /// A layer from `n_in` to `n_out` channels with a kernel of this size (one number, or one for each axis).
    ///
    /// # Panics
    /// When the kernel has another number of axes.
    #[track_caller]
    pub fn new(n_in: usize, n_out: usize, kernel: impl Into<PerAxis>) -> ConvTranspose<N> {
        ConvTranspose::grouped(n_in, n_out, kernel, 1)
    }

    /// A layer in whose `groups` groups channels do not see each other.
    ///
    /// # Panics
    /// When the kernel has another number of axes, or the groups do not divide the channels.
    #[track_caller]
    pub fn grouped(n_in: usize, n_out: usize, kernel: impl Into<PerAxis>, groups: usize) -> ConvTranspose<N> {
        let shape = weight_shape::<N>(n_in, n_out, kernel.into(), groups);
        // PyTorch takes the second axis for that of the inputs here, too.
        let fan_in = shape[1..].iter().product();
        ConvTranspose {
            weight: Param::new(shape, Init::layer_weight()),
            bias: Some(Param::new([n_out], Init::layer_bias(fan_in))),
            options: ConvOptions::new().groups(groups),
        }
    }

    /// The same with another distance between positions of the kernel.
    pub fn stride(self, stride: impl Into<PerAxis>) -> ConvTranspose<N> {
        ConvTranspose { options: self.options.stride(stride), ..self }
    }

    /// The same with so much cut off around the output.
    pub fn padding(self, padding: impl Into<PerAxis>) -> ConvTranspose<N> {
        ConvTranspose { options: self.options.padding(padding), ..self }
    }

    /// The same with so much more at the end of each axis of the output.
    pub fn output_padding(self, output_padding: impl Into<PerAxis>) -> ConvTranspose<N> {
        ConvTranspose { options: self.options.output_padding(output_padding), ..self }
    }

    /// The same with another distance between elements of the kernel.
    pub fn dilation(self, dilation: impl Into<PerAxis>) -> ConvTranspose<N> {
        ConvTranspose { options: self.options.dilation(dilation), ..self }
    }

    /// The same without a bias.
    pub fn without_bias(self) -> ConvTranspose<N> {
        ConvTranspose { bias: None, ..self }
    }

    /// The same with another start of the weight.
    pub fn weight_init(self, init: Init) -> ConvTranspose<N> {
        ConvTranspose { weight: self.weight.with_init(init), ..self }
    }
}

impl<const N: usize> Model for ConvTranspose<N> {
    #[track_caller]
    fn forward(&self, x: &Tensor) -> Tensor {
        const NAMES: [&str; 4] =
            ["conv_transpose", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d"];
        self.weight.in_layer(x, || {
            let bias = self.bias.as_ref().map(|bias| bias.of(x));
            let weight = self.weight.of(x);
            x.within(NAMES[N], || x.conv_transpose(NAMES[N], N, &weight, bias.as_ref(), &self.options))
        })
    }
}

/// `[first, second / groups, kernel..]`.
#[track_caller]
fn weight_shape<const N: usize>(first: usize, second: usize, kernel: PerAxis, groups: usize) -> Shape {
    let kernel = kernel.resolve(N).unwrap_or_else(|| panic!("the kernel needs {N} extents"));
    assert!(
        groups > 0 && first.is_multiple_of(groups) && second.is_multiple_of(groups),
        "{groups} groups do not divide {first} and {second} channels"
    );
    [first, second / groups].into_iter().chain(kernel).collect()
}
