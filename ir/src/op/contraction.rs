//! Contractions: the dot product over any axes, and convolution.

use super::movement::{self, padded_extent};
use super::rule::{self, Accepts};
use crate::emit::{Emit, EmitExt};
use crate::{Axes, NodeId, Op, Shape, TensorType, TypeError};
use smallvec::SmallVec;

/// Sum of products over the contracted axes.
///
/// Result axes: the batch axes in the order given, then the free axes of the left operand, then those of the
/// right one.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
pub struct Dot {
    /// Pairs of axes (left, right) that stand in both operands and in the result.
    pub batch: SmallVec<[(usize, usize); 3]>,
    /// Pairs of axes (left, right) that are summed over.
    pub contract: SmallVec<[(usize, usize); 3]>,
}

/// Convolution without flipping the kernel (cross-correlation), as in neural networks.
///
/// Operands: `x: [n, c, spatial...]`, `kernel: [o, c / groups, kernel spatial...]`; result
/// `[n, o, out spatial...]`, with 1 to 3 spatial axes. Padding contributes nothing to a sum, whatever the kernel
/// holds there.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Conv {
    /// Distance between neighbouring window positions, per spatial axis.
    pub strides: Axes,
    /// Zeros added before and after each spatial axis (after dilation); negative cuts off.
    pub padding: SmallVec<[(i64, i64); 3]>,
    /// Distance between neighbouring elements of `x`: `lhs_dilation - 1` zeros go in between.
    pub lhs_dilation: Axes,
    /// Distance between neighbouring elements of the kernel.
    pub rhs_dilation: Axes,
    /// Number of groups of channels that do not see each other.
    pub groups: usize,
}

impl Dot {
    /// Axes of the left operand that are neither batch nor contracted, in order.
    pub fn lhs_free(&self, rank: usize) -> Axes {
        free_axes(rank, self.batch.iter().chain(&self.contract).map(|pair| pair.0))
    }

    /// Axes of the right operand that are neither batch nor contracted, in order.
    pub fn rhs_free(&self, rank: usize) -> Axes {
        free_axes(rank, self.batch.iter().chain(&self.contract).map(|pair| pair.1))
    }

    /// The result type.
    pub fn infer(&self, operands: &[&TensorType]) -> Result<TensorType, TypeError> {
        let [lhs, rhs] = rule::operands("dot", operands, [Accepts::Number; 2])?;
        rule::same_dtype("dot", lhs, rhs)?;
        let pairs = || self.batch.iter().chain(&self.contract);
        distinct_axes(pairs().map(|pair| pair.0).collect(), lhs)?;
        distinct_axes(pairs().map(|pair| pair.1).collect(), rhs)?;
        for &(l, r) in pairs() {
            rule::same_extent("dot", (lhs, l), (rhs, r))?;
        }
        let batch = self.batch.iter().map(|pair| lhs.shape[pair.0]);
        let lhs_free = self.lhs_free(lhs.rank());
        let rhs_free = self.rhs_free(rhs.rank());
        let free = lhs_free.iter().map(|&a| lhs.shape[a]).chain(rhs_free.iter().map(|&a| rhs.shape[a]));
        Ok(lhs.with_shape(batch.chain(free).collect()))
    }
}

fn free_axes(rank: usize, used: impl Iterator<Item = usize>) -> Axes {
    let used: Axes = used.collect();
    (0..rank).filter(|axis| !used.contains(axis)).collect()
}

fn distinct_axes(axes: Axes, operand: &TensorType) -> Result<(), TypeError> {
    for (i, &axis) in axes.iter().enumerate() {
        rule::axis("dot", axis, operand)?;
        if axes[..i].contains(&axis) {
            let problem = "an axis can be batched or contracted only once";
            return Err(TypeError::AxesNotValid {
                op: "dot",
                axes: axes.clone(),
                operand: operand.clone(),
                problem,
            });
        }
    }
    Ok(())
}

impl Conv {
    /// A convolution with stride 1, no padding, no dilation and one group.
    pub fn plain(n_spatial: usize) -> Conv {
        Conv {
            strides: SmallVec::from_elem(1, n_spatial),
            padding: SmallVec::from_elem((0, 0), n_spatial),
            lhs_dilation: SmallVec::from_elem(1, n_spatial),
            rhs_dilation: SmallVec::from_elem(1, n_spatial),
            groups: 1,
        }
    }

    /// Number of spatial axes.
    pub fn n_spatial(&self) -> usize {
        self.strides.len()
    }

    /// Output extent of a spatial axis, or `None` when the padded input is negative or too large.
    pub fn out_extent(&self, axis: usize, input: usize, kernel: usize) -> Option<usize> {
        let (low, high) = self.padding[axis];
        let padded = padded_extent(input, low, high, self.lhs_dilation[axis] - 1)?;
        window_extent(padded, kernel, self.strides[axis], self.rhs_dilation[axis])
    }

    /// The result type.
    pub fn infer(&self, operands: &[&TensorType]) -> Result<TensorType, TypeError> {
        let [x, kernel] = rule::operands("conv", operands, [Accepts::Number; 2])?;
        rule::same_dtype("conv", x, kernel)?;
        let n = self.n_spatial();
        let per_axis = [self.padding.len(), self.lhs_dilation.len(), self.rhs_dilation.len()];
        if !(1..=3).contains(&n) || per_axis != [n; 3] {
            let problem = "strides, padding and dilations need one entry for each of 1 to 3 spatial axes";
            return Err(rule::attribute("conv", x, problem));
        }
        if x.rank() != n + 2 || kernel.rank() != n + 2 {
            let problem = format!("{n} spatial axes need operands of rank {}, the kernel is {kernel}", n + 2);
            return Err(rule::attribute("conv", x, problem));
        }
        if [&self.strides, &self.lhs_dilation, &self.rhs_dilation].into_iter().any(|v| v.contains(&0)) {
            return Err(rule::attribute("conv", x, "strides and dilations must be at least 1"));
        }
        self.check_channels(x, kernel)?;
        let mut shape: Axes = SmallVec::from_slice(&[x.shape[0], kernel.shape[0]]);
        for axis in 0..n {
            let (input, window) = (x.shape[axis + 2], kernel.shape[axis + 2]);
            let extent = self.out_extent(axis, input, window).ok_or_else(|| {
                let problem =
                    format!("padding {:?} leaves nothing of spatial axis {axis}", self.padding[axis]);
                rule::attribute("conv", x, problem)
            })?;
            shape.push(extent);
        }
        Ok(x.with_shape(Shape::new(&shape)))
    }

    fn check_channels(&self, x: &TensorType, kernel: &TensorType) -> Result<(), TypeError> {
        let (c, o, per_group) = (x.shape[1], kernel.shape[0], kernel.shape[1]);
        if self.groups == 0 || c % self.groups != 0 || o % self.groups != 0 {
            let problem =
                format!("{} groups must divide {c} input channels and {o} output channels", self.groups);
            return Err(rule::attribute("conv", x, problem));
        }
        if per_group != c / self.groups {
            let problem = format!(
                "the kernel {kernel} is for {per_group} input channels in each group, the input has {}",
                c / self.groups
            );
            return Err(rule::attribute("conv", x, problem));
        }
        Ok(())
    }
}

/// Number of window positions along an axis: 0 when the window is larger than the axis, `None` for an empty window.
pub fn window_extent(padded: usize, window: usize, stride: usize, dilation: usize) -> Option<usize> {
    let reach = window.checked_sub(1)?.checked_mul(dilation)?.checked_add(1)?;
    Some(if reach > padded { 0 } else { (padded - reach) / stride + 1 })
}

/// Gradient rules.
impl Dot {
    /// The gradients of the operands that are wanted: each is a dot of `dy` with the other operand over the free axes
    /// of that one, its operands ordered so that the axes of the result need not be permuted, if that is possible.
    pub fn gradient(
        &self,
        e: &mut dyn Emit,
        [lhs, rhs]: [NodeId; 2],
        dy: NodeId,
        wanted: [bool; 2],
    ) -> [Option<NodeId>; 2] {
        let lhs_free = self.batch.len();
        let rhs_free = lhs_free + self.lhs_free(e.ty(lhs).rank()).len();
        let d_lhs = wanted[0].then(|| self.gradient_of_lhs(e, dy, rhs, rhs_free));
        let d_rhs = wanted[1].then(|| self.swapped().gradient_of_lhs(e, dy, lhs, lhs_free));
        [d_lhs, d_rhs]
    }

    /// The same pairs for exchanged operands.
    fn swapped(&self) -> Dot {
        let swap = |pairs: &[(usize, usize)]| pairs.iter().map(|&(l, r)| (r, l)).collect();
        Dot { batch: swap(&self.batch), contract: swap(&self.contract) }
    }

    /// The gradient of the left operand. The free axes of the `other` operand begin at this axis of `dy`.
    fn gradient_of_lhs(&self, e: &mut dyn Emit, dy: NodeId, other: NodeId, other_free: usize) -> NodeId {
        let rhs_free = self.rhs_free(e.ty(other).rank());
        let lhs_rank = e.ty(dy).rank() - rhs_free.len() + self.contract.len();
        let lhs_free = self.lhs_free(lhs_rank);

        // In the order of the left operand's axes; the batch axes of `dy` are in the order of the pairs.
        let mut batch: SmallVec<[(usize, (usize, usize)); 3]> =
            self.batch.iter().enumerate().map(|(i, &(l, r))| (l, (i, r))).collect();
        batch.sort_unstable();
        let dot = Dot {
            batch: batch.iter().map(|entry| entry.1).collect(),
            contract: rhs_free.iter().enumerate().map(|(i, &axis)| (other_free + i, axis)).collect(),
        };

        // The contracted axes become free, in the order in which the other operand has them.
        let mut contract = self.contract.clone();
        contract.sort_unstable_by_key(|pair| pair.1);
        let batch = batch.iter().map(|entry| entry.0);
        let contracted = contract.iter().map(|pair| pair.0);
        let dy_last: Axes = batch.clone().chain(contracted.clone()).chain(lhs_free.iter().copied()).collect();
        if dy_last.iter().copied().eq(0..lhs_rank) {
            return e.emit(Op::Dot(dot.swapped()), &[other, dy]);
        }
        let dy_first: Axes = batch.chain(lhs_free.iter().copied()).chain(contracted).collect();
        let gradient = e.emit(Op::Dot(dot), &[dy, other]);
        e.permute(gradient, &movement::inverse(&dy_first))
    }
}

/// Gradient rules.
///
/// Along one spatial axis, with `D` the extent of the dilated input and `R = (K - 1) * rhs_dilation + 1` the reach of
/// the kernel: `y[o] = sum over k of x'[o * stride + k * rhs_dilation] * kernel[k]`, where `x'[low + i * lhs_dilation]
/// = x[i]` and `x'` is 0 elsewhere. (Dumoulin and Visin, *A guide to convolution arithmetic for deep learning*, 2016,
/// chapter 4, without the input's dilation.)
impl Conv {
    /// The gradients of the operands that are wanted, both convolutions themselves.
    pub fn gradient(
        &self,
        e: &mut dyn Emit,
        [x, kernel]: [NodeId; 2],
        dy: NodeId,
        wanted: [bool; 2],
    ) -> [Option<NodeId>; 2] {
        if [x, kernel, dy].iter().any(|&value| e.ty(value).n_elements() == 0) {
            return [(0, x), (1, kernel)].map(|(i, like)| wanted[i].then(|| e.constant_like(like, 0.0)));
        }
        let dx = wanted[0].then(|| self.input_gradient(e, x, kernel, dy));
        let d_kernel = wanted[1].then(|| self.kernel_gradient(e, x, kernel, dy));
        [dx, d_kernel]
    }

    /// `dx'[p] = sum over k of dy'[p - k * rhs_dilation] * kernel[k]`, where `dy'[o * stride] = dy[o]`: a convolution of
    /// dilated `dy` with the kernel turned around, of which every `lhs_dilation`-th position from `low` on is an
    /// element of the input.
    fn input_gradient(&self, e: &mut dyn Emit, x: NodeId, kernel: NodeId, dy: NodeId) -> NodeId {
        let (input, window, out) = (e.shape(x), e.shape(kernel), e.shape(dy));
        let padding = (0..self.n_spatial()).map(|a| {
            let reach = (window[a + 2] - 1) * self.rhs_dilation[a] + 1;
            let dilated = (input[a + 2] - 1) * self.lhs_dilation[a] + 1;
            let spread = (out[a + 2] - 1) * self.strides[a] + 1;
            let low = self.padding[a].0;
            (reach as i64 - 1 - low, dilated as i64 + low - spread as i64)
        });
        let conv = Conv {
            strides: self.lhs_dilation.clone(),
            padding: padding.collect(),
            lhs_dilation: self.strides.clone(),
            rhs_dilation: self.rhs_dilation.clone(),
            groups: self.groups,
        };
        let kernel = self.exchange_channels(e, kernel);
        let turned: Axes = (2..window.rank()).filter(|&axis| window[axis] > 1).collect();
        let kernel = e.reverse(kernel, &turned);
        e.emit(Op::Conv(conv), &[dy, kernel])
    }

    /// The kernel with input and output channels of each group exchanged: `[o, c / groups, ..]` to
    /// `[c, o / groups, ..]`.
    fn exchange_channels(&self, e: &mut dyn Emit, kernel: NodeId) -> NodeId {
        let shape = e.shape(kernel);
        if self.groups == 1 {
            return e.permute(kernel, &swap_leading(shape.rank()));
        }
        let (outputs, inputs) = (shape[0] / self.groups, shape[1]);
        let spatial = &shape[2..];
        let with_spatial = |lead: &[usize]| lead.iter().chain(spatial).copied().collect::<Shape>();
        let split = e.reshape(kernel, with_spatial(&[self.groups, outputs, inputs]));
        let order: Axes = [0, 2, 1].into_iter().chain(3..shape.rank() + 1).collect();
        let exchanged = e.permute(split, &order);
        e.reshape(exchanged, with_spatial(&[self.groups * inputs, outputs]))
    }

    /// `dkernel[k] = sum over o of x'[k * rhs_dilation + o * stride] * dy[o]`: a convolution of the input with `dy` as
    /// the kernel, over examples in place of channels.
    fn kernel_gradient(&self, e: &mut dyn Emit, x: NodeId, kernel: NodeId, dy: NodeId) -> NodeId {
        let (input, window, out) = (e.shape(x), e.shape(kernel), e.shape(dy));
        let padding = (0..self.n_spatial()).map(|a| {
            let dilated = (input[a + 2] - 1) * self.lhs_dilation[a] + 1;
            // Up to the last element that any position of the kernel reaches: the result has the kernel's extent.
            let used = (out[a + 2] - 1) * self.strides[a] + (window[a + 2] - 1) * self.rhs_dilation[a] + 1;
            let low = self.padding[a].0;
            (low, used as i64 - dilated as i64 - low)
        });
        let conv = Conv {
            strides: self.rhs_dilation.clone(),
            padding: padding.collect(),
            lhs_dilation: self.lhs_dilation.clone(),
            rhs_dilation: self.strides.clone(),
            groups: self.groups,
        };
        let examples = self.examples_to_channels(e, x);
        let swap = swap_leading(out.rank());
        let dy = e.permute(dy, &swap);
        let gradient = e.emit(Op::Conv(conv), &[examples, dy]);
        e.permute(gradient, &swap)
    }

    /// `[n, c, ..]` as `[c / groups, groups * n, ..]`: the channels of a group are the examples, and the examples the
    /// channels of each group.
    fn examples_to_channels(&self, e: &mut dyn Emit, x: NodeId) -> NodeId {
        let shape = e.shape(x);
        if self.groups == 1 {
            return e.permute(x, &swap_leading(shape.rank()));
        }
        let (n, inputs) = (shape[0], shape[1] / self.groups);
        let spatial = &shape[2..];
        let with_spatial = |lead: &[usize]| lead.iter().chain(spatial).copied().collect::<Shape>();
        let split = e.reshape(x, with_spatial(&[n, self.groups, inputs]));
        let order: Axes = [2, 1, 0].into_iter().chain(3..shape.rank() + 1).collect();
        let exchanged = e.permute(split, &order);
        e.reshape(exchanged, with_spatial(&[inputs, self.groups * n]))
    }
}

/// The permutation that exchanges the first two axes.
fn swap_leading(rank: usize) -> Axes {
    [1, 0].into_iter().chain(2..rank).collect()
}
