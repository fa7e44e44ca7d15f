//! Window reductions: pooling, and what its gradients need.
//!
//! A window slides over the last axes of an operand. Padding counts as the identity of the reduction. Where several
//! elements of a window are greatest, the first in row-major order is meant; a NaN counts as the greatest. An element of
//! the operand always wins over padding; a window of nothing but padding has the identity as its value, picks zero and
//! puts nothing.

use super::contraction::window_extent;
use super::movement::padded_extent;
use super::rule::{self, Accepts};
use crate::{Axes, TensorType, TypeError};
use smallvec::SmallVec;

/// The window's geometry over the last `sizes.len()` axes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Window {
    /// Extent of the window on each axis.
    pub sizes: Axes,
    /// Distance between neighbouring window positions.
    pub strides: Axes,
    /// Padding before and after each axis, not negative.
    pub padding: SmallVec<[(i64, i64); 3]>,
    /// Distance between neighbouring elements of the window.
    pub dilations: Axes,
}

/// What is computed for each window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum WindowOp {
    /// `window_max(x)`: the greatest element of each window.
    Max,
    /// `window_sum(x)`: the sum of each window.
    Sum,
    /// `window_pick(x, values)`: of each window over `x`, the element of `values` (same shape as `x`) where `x` is
    /// greatest. Transpose of `window_put`.
    Pick,
    /// `window_put(x, updates)`: the gradient of `window_max`: zeros in the shape of `x`, to which each window adds
    /// its element of `updates` where `x` is greatest.
    Put,
}

impl Window {
    /// The shape of one element per window position, or an error about the operand.
    pub fn out_type(&self, op: &'static str, x: &TensorType) -> Result<TensorType, TypeError> {
        let n = self.sizes.len();
        if [self.strides.len(), self.padding.len(), self.dilations.len()] != [n; 3] || n == 0 || n > x.rank()
        {
            let problem = "sizes, strides, padding and dilations need one entry for each of the last axes";
            return Err(rule::attribute(op, x, problem));
        }
        if [&self.sizes, &self.strides, &self.dilations].into_iter().any(|v| v.contains(&0)) {
            return Err(rule::attribute(op, x, "window sizes, strides and dilations must be at least 1"));
        }
        let lead = x.rank() - n;
        let mut extents: Axes = SmallVec::from_slice(&x.shape[..lead]);
        for axis in 0..n {
            let (low, high) = self.padding[axis];
            let padded =
                if low < 0 || high < 0 { None } else { padded_extent(x.shape[lead + axis], low, high, 0) };
            let extent = padded
                .and_then(|p| window_extent(p, self.sizes[axis], self.strides[axis], self.dilations[axis]));
            match extent {
                Some(extent) => extents.push(extent),
                None => {
                    return Err(rule::attribute(op, x, format!("padding {:?} of axis {axis}", (low, high))));
                }
            }
        }
        Ok(x.with_shape(extents.into_iter().collect()))
    }
}

impl WindowOp {
    /// All window ops, in declaration order.
    pub const ALL: [WindowOp; 4] = [WindowOp::Max, WindowOp::Sum, WindowOp::Pick, WindowOp::Put];

    /// The name in text and in errors.
    pub fn name(self) -> &'static str {
        match self {
            WindowOp::Max => "window_max",
            WindowOp::Sum => "window_sum",
            WindowOp::Pick => "window_pick",
            WindowOp::Put => "window_put",
        }
    }

    /// The result type.
    pub fn infer(self, window: &Window, operands: &[&TensorType]) -> Result<TensorType, TypeError> {
        let name = self.name();
        match self {
            WindowOp::Max | WindowOp::Sum => {
                let [x] = rule::operands(name, operands, [Accepts::Number])?;
                window.out_type(name, x)
            }
            WindowOp::Pick => {
                let [x, values] = rule::operands(name, operands, [Accepts::Number; 2])?;
                rule::same_dtype(name, x, values)?;
                rule::same_shape(name, x, values)?;
                window.out_type(name, x)
            }
            WindowOp::Put => {
                let [x, updates] = rule::operands(name, operands, [Accepts::Number; 2])?;
                rule::same_dtype(name, x, updates)?;
                rule::same_shape(name, &window.out_type(name, x)?, updates)?;
                Ok(x.clone())
            }
        }
    }
}
