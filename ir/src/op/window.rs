//! Window reductions: pooling, and what its gradients need.
//!
//! A window slides over the last axes of an operand. Padding counts as the identity of the reduction. Where several
//! elements of a window are greatest, the first in row-major order is meant; a NaN counts as the greatest. An element of
//! the operand always wins over padding; a window of nothing but padding has the identity as its value, picks zero and
//! puts nothing.

use super::contraction::window_extent;
use super::movement::{self, padded_extent};
use super::rule::{self, Accepts};
use crate::emit::{Emit, EmitExt};
use crate::op::{OperandGradients, Pad};
use crate::{Axes, Literal, NodeId, Op, Shape, TensorType, TypeError};
use smallvec::{SmallVec, smallvec};

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

/// Gradient rules.
impl WindowOp {
    /// Why no gradient flows to this operand, or `None` when one does.
    pub fn blocked(self, operand: usize) -> Option<&'static str> {
        match self {
            WindowOp::Max | WindowOp::Sum => None,
            WindowOp::Pick | WindowOp::Put => (operand == 0)
                .then_some("which element of a window is greatest jumps and is constant elsewhere"),
        }
    }

    /// The gradients of the operands, of which `x` is the first: of the only one, or of the second.
    pub fn gradient(self, e: &mut dyn Emit, window: &Window, x: NodeId, dy: NodeId) -> OperandGradients {
        let put = |e: &mut dyn Emit| e.emit(Op::Window(WindowOp::Put, window.clone()), &[x, dy]);
        let pick = |e: &mut dyn Emit| e.emit(Op::Window(WindowOp::Pick, window.clone()), &[x, dy]);
        match self {
            WindowOp::Max => smallvec![Some(put(e))],
            WindowOp::Sum => smallvec![Some(window.sum_gradient(e, x, dy))],
            WindowOp::Pick => smallvec![None, Some(put(e))],
            WindowOp::Put => smallvec![None, Some(pick(e))],
        }
    }
}

impl Window {
    /// The gradient of the operand of a window sum: each element collects what the windows over it got.
    fn sum_gradient(&self, e: &mut dyn Emit, x: NodeId, dy: NodeId) -> NodeId {
        let (shape, out) = (e.shape(x), e.shape(dy));
        if shape.n_elements() == 0 || out.n_elements() == 0 {
            return e.constant_like(x, 0.0);
        }
        let lead = shape.rank() - self.sizes.len();
        let is_tiling = (0..self.sizes.len()).all(|a| {
            let (size, n_windows) = (self.sizes[a], out[lead + a]);
            (size == 1 || self.dilations[a] == 1) && (n_windows == 1 || self.strides[a] == size)
        });
        if is_tiling { self.repeat(e, &shape, dy) } else { self.spread(e, &shape, dy) }
    }

    /// Where windows lie side by side, an element of `shape` is in at most one: each element of `dy` is repeated over
    /// its window, and the padding cut off.
    fn repeat(&self, e: &mut dyn Emit, shape: &Shape, dy: NodeId) -> NodeId {
        let out = e.shape(dy);
        let lead = shape.rank() - self.sizes.len();
        let (mut split, mut merged, mut axes) = (Axes::new(), Axes::new(), Axes::new());
        for (axis, &extent) in out.iter().enumerate() {
            axes.push(split.len());
            split.push(extent);
            let size = if axis < lead { 1 } else { self.sizes[axis - lead] };
            if axis >= lead {
                split.push(size);
            }
            merged.push(extent * size);
        }
        let repeated = e.broadcast(dy, Shape::new(&split), &axes);
        let tiles = e.reshape(repeated, Shape::new(&merged));
        let low = |axis: usize| if axis < lead { 0 } else { -self.padding[axis - lead].0 };
        let lows: SmallVec<[i64; 6]> = (0..shape.rank()).map(low).collect();
        let highs: SmallVec<[i64; 6]> =
            (0..shape.rank()).map(|a| shape[a] as i64 - merged[a] as i64 - low(a)).collect();
        let zero = Literal::zero(e.ty(dy).dtype);
        movement::padded(e, tiles, &lows, &highs, zero)
    }

    /// The general case: a window sum with stride 1 over `dy` with `strides - 1` zeros between its elements and as many
    /// around it as give every element of `shape` the windows that cover it.
    fn spread(&self, e: &mut dyn Emit, shape: &Shape, dy: NodeId) -> NodeId {
        let out = e.shape(dy);
        let (n, lead) = (self.sizes.len(), shape.rank() - self.sizes.len());
        let mut pad = Pad {
            low: SmallVec::from_elem(0, shape.rank()),
            high: SmallVec::from_elem(0, shape.rank()),
            interior: SmallVec::from_elem(0, shape.rank()),
            value: Literal::zero(e.ty(dy).dtype),
        };
        for axis in 0..n {
            let (before, at) = (self.padding[axis].0, lead + axis);
            let reach = (self.sizes[axis] - 1) * self.dilations[axis];
            let spread = (out[at] - 1) * self.strides[axis] + 1;
            pad.low[at] = reach as i64 - before;
            pad.high[at] = shape[at] as i64 + before - spread as i64;
            pad.interior[at] = self.strides[axis] - 1;
        }
        let spread = movement::pad(e, dy, pad);
        let window = Window {
            sizes: self.sizes.clone(),
            strides: SmallVec::from_elem(1, n),
            padding: SmallVec::from_elem((0, 0), n),
            dilations: self.dilations.clone(),
        };
        e.emit(Op::Window(WindowOp::Sum, window), &[spread])
    }
}
