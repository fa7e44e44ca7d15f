//! Movement ops: every element of the result is one of the operand's, or padding.

use super::rule::{self, Accepts};
use crate::emit::{Emit, EmitExt};
use crate::op::OperandGradients;
use crate::{Axes, Literal, NodeId, Op, Shape, TensorType, TypeError};
use smallvec::SmallVec;

/// A part of each axis: elements `start, start + step, ...` below `limit`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Slice {
    /// First index of each axis.
    pub start: Axes,
    /// End of each axis, not in the slice.
    pub limit: Axes,
    /// Distance between taken elements, at least 1.
    pub step: Axes,
}

/// A border: `low` elements before and `high` after each axis (negative cuts off), `interior` between neighbours.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Pad {
    /// Elements added before the first one; negative removes.
    pub low: SmallVec<[i64; 6]>,
    /// Elements added after the last one; negative removes.
    pub high: SmallVec<[i64; 6]>,
    /// Elements put between each two neighbours (before any are removed).
    pub interior: Axes,
    /// The value of the added elements.
    pub value: Literal,
}

impl Slice {
    /// The extents of the result.
    pub fn extents(&self) -> Shape {
        (0..self.start.len()).map(|a| (self.limit[a] - self.start[a]).div_ceil(self.step[a])).collect()
    }

    /// The result type; `start <= limit <= extent` and `step >= 1` on every axis.
    pub fn infer(&self, operands: &[&TensorType]) -> Result<TensorType, TypeError> {
        let [x] = rule::operands("slice", operands, [Accepts::Any])?;
        let rank = x.rank();
        if self.start.len() != rank || self.limit.len() != rank || self.step.len() != rank {
            return Err(rule::attribute("slice", x, "start, limit and step need one number for each axis"));
        }
        for axis in 0..rank {
            let (start, limit, step) = (self.start[axis], self.limit[axis], self.step[axis]);
            if start > limit || limit > x.shape[axis] || step == 0 {
                let problem = format!(
                    "{start}..{limit} with step {step} is no part of axis {axis}, whose extent is {}",
                    x.shape[axis]
                );
                return Err(rule::attribute("slice", x, problem));
            }
        }
        Ok(x.with_shape(self.extents()))
    }
}

impl Pad {
    /// The result type; the padding has the operand's element type and no axis becomes negative.
    pub fn infer(&self, operands: &[&TensorType]) -> Result<TensorType, TypeError> {
        let [x] = rule::operands("pad", operands, [Accepts::Any])?;
        let rank = x.rank();
        if self.low.len() != rank || self.high.len() != rank || self.interior.len() != rank {
            return Err(rule::attribute("pad", x, "low, high and interior need one number for each axis"));
        }
        if self.value.dtype() != x.dtype {
            return Err(rule::attribute("pad", x, format!("the padding is {}", self.value.dtype())));
        }
        let mut shape = Shape::default();
        for axis in 0..rank {
            match padded_extent(x.shape[axis], self.low[axis], self.high[axis], self.interior[axis]) {
                Some(extent) => shape = shape.iter().copied().chain([extent]).collect(),
                None => {
                    let problem = format!(
                        "axis {axis} of extent {} cannot be padded by {} before, {} after and {} between",
                        x.shape[axis], self.low[axis], self.high[axis], self.interior[axis]
                    );
                    return Err(rule::attribute("pad", x, problem));
                }
            }
        }
        Ok(x.with_shape(shape))
    }
}

/// Extent after padding, or `None` when it is negative or too large.
pub fn padded_extent(extent: usize, low: i64, high: i64, interior: usize) -> Option<usize> {
    let spread = extent.checked_add(extent.saturating_sub(1).checked_mul(interior)?)?;
    let total = i64::try_from(spread).ok()?.checked_add(low)?.checked_add(high)?;
    usize::try_from(total).ok()
}

/// Type rule of `reshape`: the number of elements stays.
pub fn infer_reshape(shape: &Shape, operands: &[&TensorType]) -> Result<TensorType, TypeError> {
    let [x] = rule::operands("reshape", operands, [Accepts::Any])?;
    if shape.checked_n_elements() != Some(x.n_elements()) {
        let n = shape.checked_n_elements().map_or("too many".to_string(), |n| n.to_string());
        let problem = format!("{} elements cannot take the shape {shape} of {n}", x.n_elements());
        return Err(rule::attribute("reshape", x, problem));
    }
    Ok(x.with_shape(shape.clone()))
}

/// Type rule of `permute`: every axis once.
pub fn infer_permute(permutation: &Axes, operands: &[&TensorType]) -> Result<TensorType, TypeError> {
    let [x] = rule::operands("permute", operands, [Accepts::Any])?;
    let mut sorted = permutation.clone();
    sorted.sort_unstable();
    if !sorted.iter().copied().eq(0..x.rank()) {
        return Err(TypeError::AxesNotValid {
            op: "permute",
            axes: permutation.clone(),
            operand: x.clone(),
            problem: "each axis must be named once",
        });
    }
    Ok(x.with_shape(permutation.iter().map(|&axis| x.shape[axis]).collect()))
}

/// Type rule of `broadcast`: operand axes keep their extents and order.
pub fn infer_broadcast(
    shape: &Shape,
    axes: &Axes,
    operands: &[&TensorType],
) -> Result<TensorType, TypeError> {
    let [x] = rule::operands("broadcast", operands, [Accepts::Any])?;
    let result = x.with_shape(shape.clone());
    if axes.len() != x.rank() {
        return Err(rule::attribute(
            "broadcast",
            x,
            format!("axes {axes:?} need one number for each operand axis"),
        ));
    }
    rule::increasing_axes("broadcast", axes, &result)?;
    for (axis, &to) in axes.iter().enumerate() {
        rule::same_extent("broadcast", (x, axis), (&result, to))?;
    }
    Ok(result)
}

/// Type rule of `concatenate`: at least one operand, equal but for the extent of the axis.
pub fn infer_concatenate(axis: usize, operands: &[&TensorType]) -> Result<TensorType, TypeError> {
    let Some((&first, rest)) = operands.split_first() else {
        return Err(TypeError::OperandCount { op: "concatenate", expected: 1, found: 0 });
    };
    rule::axis("concatenate", axis, first)?;
    let mut extent = first.shape[axis];
    for &x in rest {
        rule::same_dtype("concatenate", first, x)?;
        if x.rank() != first.rank() {
            return Err(TypeError::ShapeMismatch { op: "concatenate", lhs: first.clone(), rhs: x.clone() });
        }
        for other in (0..first.rank()).filter(|&a| a != axis) {
            rule::same_extent("concatenate", (first, other), (x, other))?;
        }
        extent = extent.saturating_add(x.shape[axis]);
    }
    Ok(first.with_shape(first.shape.with_extent(axis, extent)))
}

/// Type rule of `reverse`: different axes in increasing order.
pub fn infer_reverse(axes: &Axes, operands: &[&TensorType]) -> Result<TensorType, TypeError> {
    let [x] = rule::operands("reverse", operands, [Accepts::Any])?;
    rule::increasing_axes("reverse", axes, x)?;
    Ok(x.clone())
}

impl Slice {
    /// The gradient of the operand: `dy` where the elements were taken, 0 elsewhere.
    pub fn gradient(&self, e: &mut dyn Emit, x: NodeId, dy: NodeId) -> NodeId {
        let (shape, taken) = (e.shape(x), self.extents());
        let low = self.start.iter().map(|&start| start as i64).collect();
        let high = (0..shape.rank())
            .map(|a| {
                let reach = spread(taken[a], self.step[a] - 1);
                (shape[a] - self.start[a] - reach) as i64
            })
            .collect();
        let interior = self.step.iter().map(|&step| step - 1).collect();
        let value = Literal::zero(e.ty(x).dtype);
        pad(e, dy, Pad { low, high, interior, value })
    }
}

impl Pad {
    /// The gradient of the operand: `dy` where its elements went; 0 for those that were cut off.
    pub fn gradient(&self, e: &mut dyn Emit, x: NodeId, dy: NodeId) -> NodeId {
        let shape = e.shape(x);
        let back = |amounts: &[i64]| amounts.iter().map(|&n| (-n).max(0)).collect::<SmallVec<[i64; 6]>>();
        let zero = Literal::zero(e.ty(x).dtype);
        let uncut = padded(e, dy, &back(&self.low), &back(&self.high), zero);
        let start: Axes = self.low.iter().map(|&low| low.max(0) as usize).collect();
        let limit = (0..shape.rank()).map(|a| start[a] + spread(shape[a], self.interior[a])).collect();
        let step = self.interior.iter().map(|&n| n + 1).collect();
        slice(e, uncut, Slice { start, limit, step })
    }
}

/// Extent of an axis with `interior` elements put between each two neighbours.
fn spread(extent: usize, interior: usize) -> usize {
    extent + extent.saturating_sub(1) * interior
}

/// Emits a pad; nothing when it adds and removes nothing.
pub(crate) fn pad(e: &mut dyn Emit, x: NodeId, pad: Pad) -> NodeId {
    let is_nothing = pad.low.iter().chain(&pad.high).all(|&n| n == 0) && pad.interior.iter().all(|&n| n == 0);
    if is_nothing { x } else { e.emit(Op::Pad(pad), &[x]) }
}

/// Emits a border of `value`, with nothing between neighbours.
pub(crate) fn padded(e: &mut dyn Emit, x: NodeId, low: &[i64], high: &[i64], value: Literal) -> NodeId {
    let (low, high) = (SmallVec::from_slice(low), SmallVec::from_slice(high));
    let interior = SmallVec::from_elem(0, low.len());
    pad(e, x, Pad { low, high, interior, value })
}

/// Emits a slice; nothing when it takes everything.
pub(crate) fn slice(e: &mut dyn Emit, x: NodeId, slice: Slice) -> NodeId {
    let shape = &e.ty(x).shape;
    let is_whole = slice.start.iter().all(|&start| start == 0) && slice.extents() == *shape;
    if is_whole { x } else { e.emit(Op::Slice(slice), &[x]) }
}

/// Emits the elements `start..limit` of one axis.
fn part(e: &mut dyn Emit, x: NodeId, axis: usize, start: usize, limit: usize) -> NodeId {
    let shape = e.shape(x);
    let mut whole = Slice {
        start: SmallVec::from_elem(0, shape.rank()),
        limit: SmallVec::from_slice(&shape),
        step: SmallVec::from_elem(1, shape.rank()),
    };
    (whole.start[axis], whole.limit[axis]) = (start, limit);
    slice(e, x, whole)
}

/// Emits the first `n` elements of one axis.
pub(crate) fn first(e: &mut dyn Emit, x: NodeId, axis: usize, n: usize) -> NodeId {
    part(e, x, axis, 0, n)
}

/// The permutation that undoes this one.
pub(crate) fn inverse(permutation: &[usize]) -> Axes {
    let mut inverse = SmallVec::from_elem(0, permutation.len());
    for (to, &from) in permutation.iter().enumerate() {
        inverse[from] = to;
    }
    inverse
}

/// The gradient of the operand of a reshape.
pub fn reshape_gradient(e: &mut dyn Emit, x: NodeId, dy: NodeId) -> NodeId {
    let shape = e.shape(x);
    e.reshape(dy, shape)
}

/// The gradient of the operand of a permutation.
pub fn permute_gradient(e: &mut dyn Emit, permutation: &Axes, dy: NodeId) -> NodeId {
    e.permute(dy, &inverse(permutation))
}

/// The gradient of the operand of a broadcast: each element collects what its copies got.
pub fn broadcast_gradient(e: &mut dyn Emit, axes: &Axes, dy: NodeId) -> NodeId {
    let new: Axes = (0..e.ty(dy).rank()).filter(|axis| !axes.contains(axis)).collect();
    e.sum(dy, &new)
}

/// The gradients of the operands of a concatenation that are wanted: the parts of `dy`.
pub fn concatenate_gradient(
    e: &mut dyn Emit,
    axis: usize,
    operands: &[NodeId],
    dy: NodeId,
    wanted: &[bool],
) -> OperandGradients {
    let mut start = 0;
    operands
        .iter()
        .zip(wanted)
        .map(|(&operand, &wanted)| {
            let limit = start + e.ty(operand).shape[axis];
            let gradient = wanted.then(|| part(e, dy, axis, start, limit));
            start = limit;
            gradient
        })
        .collect()
}

/// The gradient of the operand of a reversal.
pub fn reverse_gradient(e: &mut dyn Emit, axes: &Axes, dy: NodeId) -> NodeId {
    e.reverse(dy, axes)
}
