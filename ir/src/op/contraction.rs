//! Contractions: the dot product over any axes, and convolution.

use super::movement::padded_extent;
use super::rule::{self, Accepts};
use crate::{Axes, Shape, TensorType, TypeError};
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
