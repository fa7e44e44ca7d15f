//! Gather and scatter-add along an axis: each the transpose of the other.
//!
//! `gather(x, indices)` along axis `a`: `result[.., i, ..] = x[.., indices[.., i, ..], ..]` (NumPy's
//! `take_along_axis`). An index outside the axis reads as zero and is dropped by `scatter_add`, so that each stays
//! the transpose of the other. A lookup of whole rows is a gather with broadcast indices, which costs nothing once
//! compiled.

use super::rule::{self, Accepts};
use crate::{Emit, NodeId, Op, TensorType, TypeError};

/// Type rule of `gather`: indices have the operand's shape but for the axis; the result has theirs.
pub fn infer_gather(axis: usize, operands: &[&TensorType]) -> Result<TensorType, TypeError> {
    let [x, indices] = rule::operands("gather", operands, [Accepts::Any, Accepts::Index])?;
    rule::axis("gather", axis, x)?;
    if x.rank() != indices.rank() {
        return Err(TypeError::ShapeMismatch { op: "gather", lhs: x.clone(), rhs: indices.clone() });
    }
    for other in (0..x.rank()).filter(|&a| a != axis) {
        rule::same_extent("gather", (x, other), (indices, other))?;
    }
    Ok(x.with_shape(indices.shape.clone()))
}

/// Type rule of `scatter_add`: updates and indices have one shape; the result has `extent` on the axis.
pub fn infer_scatter_add(
    axis: usize,
    extent: usize,
    operands: &[&TensorType],
) -> Result<TensorType, TypeError> {
    let [updates, indices] = rule::operands("scatter_add", operands, [Accepts::Number, Accepts::Index])?;
    rule::axis("scatter_add", axis, updates)?;
    rule::same_shape("scatter_add", updates, indices)?;
    Ok(updates.with_shape(updates.shape.with_extent(axis, extent)))
}

/// Why no gradient flows to this operand of gather or scatter-add, or `None` when one does.
pub fn blocked(operand: usize) -> Option<&'static str> {
    (operand == 1).then_some("an index has no derivative")
}

/// The gradient of the operand of a gather: each element collects what its copies got.
pub fn gather_gradient(e: &mut dyn Emit, axis: usize, x: NodeId, indices: NodeId, dy: NodeId) -> NodeId {
    let extent = e.ty(x).shape[axis];
    e.emit(Op::ScatterAdd { axis, extent }, &[dy, indices])
}

/// The gradient of the updates of a scatter-add: each gets that of the element it was added to.
pub fn scatter_add_gradient(e: &mut dyn Emit, axis: usize, indices: NodeId, dy: NodeId) -> NodeId {
    e.emit(Op::Gather(axis), &[dy, indices])
}
