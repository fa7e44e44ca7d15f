//! Convolutions over one to three spatial axes, and their transposes.
//!
//! Shapes: `x: [n, c, spatial..]`, `weight: [o, c / groups, kernel..]`, `bias: [o]` -> `[n, o, out..]`.
//! with `out = floor((extent + 2 padding - dilation (kernel - 1) - 1) / stride) + 1`. The result at channel `o` and place `p`
//! is `bias[o] + sum of weight[o, c, k] x[c, p stride + k dilation - padding]` over the channels `c` of the group of `o` and
//! the places `k` of the kernel, with zeros outside of `x`. Sources: LeCun and others, *Gradient-Based Learning Applied to
//! Document Recognition*, 1998; Dumoulin and Visin, *A Guide to Convolution Arithmetic for Deep Learning*, 2016, also for
//! transposed convolutions. Types: floats, promoted to one. A single sample has no axis `n`, nor has its result. Errors: another
//! rank; channels that do not fit the weight and the groups; a weight larger than the padded input.

use super::operand::promote_types;
use super::{Border, PerAxis, Tensor};
use kiln_ir::op::Conv;
use kiln_ir::{Axes, Op, Shape};
use smallvec::SmallVec;

/// How a convolution moves over its input. One number stands for all spatial axes, an array for one each.
///
/// ```
/// use kiln::prelude::*;
/// let options = ConvOptions::new().stride(2).padding([1, 0]);
/// ```
#[derive(Clone, Debug)]
pub struct ConvOptions {
    stride: PerAxis,
    padding: Padding,
    border: Border,
    output_padding: PerAxis,
    dilation: PerAxis,
    groups: usize,
}

/// How much is added around the input.
#[derive(Clone, Debug)]
enum Padding {
    /// So much on both sides of each axis.
    Sides(PerAxis),
    /// What keeps the extents.
    Same,
}

impl Default for ConvOptions {
    fn default() -> ConvOptions {
        ConvOptions::new()
    }
}

impl ConvOptions {
    /// Stride 1, no padding, no dilation, one group.
    pub fn new() -> ConvOptions {
        ConvOptions {
            stride: 1.into(),
            padding: Padding::Sides(0.into()),
            border: Border::Constant(0.0),
            output_padding: 0.into(),
            dilation: 1.into(),
            groups: 1,
        }
    }

    /// Distance between neighbouring positions of the kernel.
    pub fn stride(self, stride: impl Into<PerAxis>) -> ConvOptions {
        ConvOptions { stride: stride.into(), ..self }
    }

    /// So many elements before and after each spatial axis: zeros, unless there is another [`border`](ConvOptions::border).
    pub fn padding(self, padding: impl Into<PerAxis>) -> ConvOptions {
        ConvOptions { padding: Padding::Sides(padding.into()), ..self }
    }

    /// As much padding as keeps the extents, which needs a stride of 1: PyTorch's `padding="same"`. Where it is uneven, there
    /// is one element more after than before.
    pub fn same_padding(self) -> ConvOptions {
        ConvOptions { padding: Padding::Same, ..self }
    }

    /// What the padding consists of: PyTorch's `padding_mode`. Not for transposed convolutions.
    pub fn border(self, border: Border) -> ConvOptions {
        ConvOptions { border, ..self }
    }

    /// Elements added after each spatial axis of the result of a transposed convolution, which says which of the
    /// input extents that the stride maps to one is meant.
    pub fn output_padding(self, output_padding: impl Into<PerAxis>) -> ConvOptions {
        ConvOptions { output_padding: output_padding.into(), ..self }
    }

    /// Distance between neighbouring elements of the kernel.
    pub fn dilation(self, dilation: impl Into<PerAxis>) -> ConvOptions {
        ConvOptions { dilation: dilation.into(), ..self }
    }

    /// Number of groups of channels that do not see each other.
    pub fn groups(self, groups: usize) -> ConvOptions {
        ConvOptions { groups, ..self }
    }

    /// The options for a kernel of these extents, or what is wrong with them.
    fn resolve(&self, kernel: &[usize]) -> Result<Geometry, String> {
        let n = kernel.len();
        let field = |name: &str, field: &PerAxis| {
            field.resolve(n).ok_or_else(|| format!("`{name}` needs one number, or one for each of {n} axes"))
        };
        let (stride, dilation) = (field("stride", &self.stride)?, field("dilation", &self.dilation)?);
        let padding = match &self.padding {
            Padding::Sides(sides) => field("padding", sides)?.iter().map(|&p| (p as i64, p as i64)).collect(),
            Padding::Same if stride.iter().any(|&stride| stride != 1) => {
                return Err("padding that keeps the extents needs a stride of 1".to_string());
            }
            Padding::Same => {
                let reach = |a: usize| (dilation[a] * kernel[a].saturating_sub(1)) as i64;
                (0..n).map(|a| (reach(a) / 2, reach(a) - reach(a) / 2)).collect()
            }
        };
        let output_padding = field("output_padding", &self.output_padding)?;
        Ok(Geometry { stride, padding, output_padding, dilation, groups: self.groups })
    }
}

/// The options with one number for each spatial axis.
struct Geometry {
    stride: Axes,
    padding: SmallVec<[(i64, i64); 3]>,
    output_padding: Axes,
    dilation: Axes,
    groups: usize,
}

impl Tensor {
    /// Convolution over one spatial axis; see the module for shapes and errors.
    #[track_caller]
    pub fn conv1d(&self, weight: &Tensor, bias: Option<&Tensor>, options: ConvOptions) -> Tensor {
        self.within("conv1d", || self.conv("conv1d", 1, weight, bias, &options))
    }

    /// Convolution over two spatial axes; see the module for shapes and errors.
    ///
    /// With 3 by 3 windows that move by one element and 16 channels or more, compiled programs use Winograd's algorithm: sums
    /// are rounded in another order, and an infinite input makes all outputs of its tiles of 2 by 2 NaN.
    ///
    /// ```
    /// # use kiln::prelude::*;
    /// # let tracer = Tracer::new("conv");
    /// let x = tracer.input("x", f32(&[8, 3, 32, 32]));
    /// let w = tracer.input("w", f32(&[16, 3, 3, 3]));
    /// let y = x.conv2d(&w, None, ConvOptions::new().stride(2).padding(1));
    /// assert_eq!(y.extents(), [8, 16, 16, 16]);
    /// ```
    #[track_caller]
    pub fn conv2d(&self, weight: &Tensor, bias: Option<&Tensor>, options: ConvOptions) -> Tensor {
        self.within("conv2d", || self.conv("conv2d", 2, weight, bias, &options))
    }

    /// Convolution over three spatial axes; see the module for shapes and errors.
    #[track_caller]
    pub fn conv3d(&self, weight: &Tensor, bias: Option<&Tensor>, options: ConvOptions) -> Tensor {
        self.within("conv3d", || self.conv("conv3d", 3, weight, bias, &options))
    }

    /// Transposed convolution over one spatial axis: the map whose transpose is [`conv1d`](Tensor::conv1d).
    ///
    /// Shapes: `weight: [c, o / groups, kernel..]`, otherwise as the convolution.
    #[track_caller]
    pub fn conv_transpose1d(&self, weight: &Tensor, bias: Option<&Tensor>, options: ConvOptions) -> Tensor {
        self.within("conv_transpose1d", || self.conv_transpose("conv_transpose1d", 1, weight, bias, &options))
    }

    /// Transposed convolution over two spatial axes; see [`conv_transpose1d`](Tensor::conv_transpose1d).
    #[track_caller]
    pub fn conv_transpose2d(&self, weight: &Tensor, bias: Option<&Tensor>, options: ConvOptions) -> Tensor {
        self.within("conv_transpose2d", || self.conv_transpose("conv_transpose2d", 2, weight, bias, &options))
    }

    /// Transposed convolution over three spatial axes; see [`conv_transpose1d`](Tensor::conv_transpose1d).
    #[track_caller]
    pub fn conv_transpose3d(&self, weight: &Tensor, bias: Option<&Tensor>, options: ConvOptions) -> Tensor {
        self.within("conv_transpose3d", || self.conv_transpose("conv_transpose3d", 3, weight, bias, &options))
    }

    #[track_caller]
    pub(crate) fn conv(
        &self,
        op: &'static str,
        n: usize,
        weight: &Tensor,
        bias: Option<&Tensor>,
        options: &ConvOptions,
    ) -> Tensor {
        if self.rank() == n + 1 && weight.rank() == n + 2 {
            return self.unsqueeze(0).conv(op, n, weight, bias, options).squeeze(0);
        }
        let geometry = match self.geometry(op, n, weight, options) {
            Ok(geometry) => geometry,
            Err(poisoned) => return poisoned,
        };
        let is_zero =
            options.border == Border::Constant(0.0) || geometry.padding.iter().all(|p| *p == (0, 0));
        let (x, padding) = match is_zero {
            true => (self.clone(), geometry.padding),
            false => (self.pad_with(&geometry.padding, options.border), SmallVec::from_elem((0, 0), n)),
        };
        let reach = |a: usize| (geometry.dilation[a] * weight.shape()[a + 2].saturating_sub(1) + 1) as i64;
        let there = |a: usize| x.shape()[a + 2] as i64 + padding[a].0 + padding[a].1;
        if let Some(a) = (0..n).find(|&a| reach(a) > there(a)) {
            let (reach, there) = (reach(a), there(a));
            let problem =
                format!("the kernel reaches over {reach} elements of axis {}, there are {there}", a + 2);
            return self.refuse_with(("input", self), ("weight", weight), op, &problem);
        }
        let conv = Conv {
            strides: geometry.stride,
            padding,
            lhs_dilation: Axes::from_elem(1, n),
            rhs_dilation: geometry.dilation,
            groups: geometry.groups,
        };
        let dtype = promote_types(x.dtype(), weight.dtype());
        x.cast(dtype).record(Op::Conv(conv), &[&weight.cast(dtype)]).add_channel_bias(bias)
    }

    /// The options for this weight, or a poisoned tensor when these or the ranks are wrong.
    #[track_caller]
    fn geometry(
        &self,
        op: &'static str,
        n: usize,
        weight: &Tensor,
        options: &ConvOptions,
    ) -> Result<Geometry, Tensor> {
        // Told first: whether options have a number for each axis is known without a weight.
        let given: &[usize] = weight.extents();
        let kernel =
            given.get(2..).filter(|kernel| kernel.len() == n).map_or_else(|| vec![1; n], <[usize]>::to_vec);
        let geometry = options.resolve(&kernel).map_err(|problem| self.refuse(op, problem))?;
        if self.rank() != n + 2 || weight.rank() != n + 2 {
            let problem = format!("input and weight need {} axes, for {n} spatial axes", n + 2);
            return Err(self.refuse_with(("input", self), ("weight", weight), op, &problem));
        }
        Ok(geometry)
    }

    #[track_caller]
    pub(crate) fn conv_transpose(
        &self,
        op: &'static str,
        n: usize,
        weight: &Tensor,
        bias: Option<&Tensor>,
        options: &ConvOptions,
    ) -> Tensor {
        if self.rank() == n + 1 && weight.rank() == n + 2 {
            return self.unsqueeze(0).conv_transpose(op, n, weight, bias, options).squeeze(0);
        }
        if matches!(options.padding, Padding::Same) || options.border != Border::Constant(0.0) {
            return self.refuse(op, "what it takes off its ends is given in elements, and it has no border");
        }
        let geometry = match self.geometry(op, n, weight, options) {
            Ok(geometry) => geometry,
            Err(poisoned) => return poisoned,
        };
        if geometry.groups == 0 || !weight.shape()[0].is_multiple_of(geometry.groups) {
            let problem =
                format!("{} groups must divide {} input channels", geometry.groups, weight.shape()[0]);
            return self.refuse_with(("input", self), ("weight", weight), op, &problem);
        }
        // The transpose of a strided convolution spreads the input by the stride and convolves it with the kernel
        // turned around. Source: Dumoulin and Visin, *A guide to convolution arithmetic for deep learning*, 2016.
        let padding = |a: usize| {
            let reach = (geometry.dilation[a] * weight.shape()[a + 2].saturating_sub(1)) as i64;
            let low = reach - geometry.padding[a].0;
            (low, low + geometry.output_padding[a] as i64)
        };
        let conv = Conv {
            strides: Axes::from_elem(1, n),
            padding: (0..n).map(padding).collect::<SmallVec<[(i64, i64); 3]>>(),
            lhs_dilation: geometry.stride.clone(),
            rhs_dilation: geometry.dilation.clone(),
            groups: geometry.groups,
        };
        let dtype = promote_types(self.dtype(), weight.dtype());
        let kernel = weight.cast(dtype).transposed_kernel(geometry.groups);
        self.cast(dtype).record(Op::Conv(conv), &[&kernel]).add_channel_bias(bias)
    }

    /// `[c, o / groups, kernel..]` to `[o, c / groups, kernel..]`, with the kernel turned around.
    fn transposed_kernel(&self, groups: usize) -> Tensor {
        let (c, o_per_group, kernel) = (self.shape()[0], self.shape()[1], &self.shape()[2..]);
        let shape = |lead: &[usize]| -> Shape { lead.iter().chain(kernel).copied().collect() };
        let mut swapped: Axes = (0..self.rank() + 1).collect();
        swapped.swap(1, 2);
        self.reshape_exact(shape(&[groups, c / groups, o_per_group]))
            .permute_exact(swapped)
            .reshape_exact(shape(&[groups * o_per_group, c / groups]))
            .record(Op::Reverse((2..self.rank()).collect()), &[])
    }

    /// Adds one number to each channel (axis 1).
    fn add_channel_bias(self, bias: Option<&Tensor>) -> Tensor {
        let Some(bias) = bias else { return self };
        if bias.rank() != 1 || self.rank() < 2 {
            return bias.refuse("bias", "it needs one axis, of the output channels");
        }
        let columns: Shape =
            bias.shape().iter().copied().chain(std::iter::repeat_n(1, self.rank() - 2)).collect();
        let bias = bias.reshape_exact(columns);
        self + bias
    }
}
