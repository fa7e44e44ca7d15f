//! Gradient rules: what each op passes on to its operands, or why it passes nothing on.
//!
//! The rules stand in the families' files; this file only dispatches to them. A rule emits ordinary ops, so a gradient
//! can be differentiated again. Where a function has a kink or a tie, the rules give what PyTorch gives.

use super::{index, movement, select};
use crate::{Emit, NodeId, Op, TensorType};
use smallvec::{SmallVec, smallvec};

/// One entry for each operand: its gradient when it was wanted and one flows, else `None`.
pub type OperandGradients = SmallVec<[Option<NodeId>; 3]>;

/// Why values that are not floating-point pass no gradient on.
const NOT_FLOAT: &str = "integers and truth values have no derivative";

impl Op {
    /// Why no gradient flows from the result to this operand, in words that complete "`op` cuts the path: ...";
    /// `None` when one does. `operands` are the types of all operands.
    pub fn blocked(&self, operands: &[&TensorType], operand: usize) -> Option<&'static str> {
        let by_op = match self {
            Op::Unary(op) => op.blocked(),
            Op::Compare(op) => Some(op.blocked()),
            Op::Logical(op) => Some(op.blocked()),
            Op::Select => select::select_blocked(operand),
            Op::Cast(dtype) => select::cast_blocked(*dtype),
            Op::ArgReduce(op, _) => Some(op.blocked()),
            Op::ArgSort(op) => Some(op.blocked()),
            Op::Window(op, _) => op.blocked(operand),
            Op::Gather(_) | Op::ScatterAdd { .. } => index::blocked(operand),
            Op::RandomBits(_) => Some("random bits do not vary smoothly with their state"),
            // The loop's own value is a token of no type that says anything.
            Op::LoopResult { ty, .. } => return (!ty.dtype.is_float()).then_some(NOT_FLOAT),
            // These have no operands, or pass gradients to every one of them that is floating-point.
            Op::Input(_)
            | Op::Fill(..)
            | Op::Dense(_)
            | Op::Iota { .. }
            | Op::Binary(_)
            | Op::Reduce(..)
            | Op::Cumulative(_)
            | Op::Reshape(_)
            | Op::Permute(_)
            | Op::Broadcast { .. }
            | Op::Slice(_)
            | Op::Pad(_)
            | Op::Concatenate(_)
            | Op::Reverse(_)
            | Op::Dot(_)
            | Op::Conv(_)
            | Op::Loop(_) => None,
        };
        by_op.or_else(|| (!operands[operand].dtype.is_float()).then_some(NOT_FLOAT))
    }

    /// Emits the gradients of the operands from `dy`, the gradient of the `result`: for each operand that is wanted
    /// and not [blocked](Op::blocked), a value of the operand's type.
    pub fn gradient(
        &self,
        e: &mut dyn Emit,
        operands: &[NodeId],
        result: NodeId,
        dy: NodeId,
        wanted: &[bool],
    ) -> OperandGradients {
        let wanted: SmallVec<[bool; 3]> = {
            let types: SmallVec<[&TensorType; 3]> = operands.iter().map(|&o| e.ty(o)).collect();
            (0..operands.len()).map(|i| wanted[i] && self.blocked(&types, i).is_none()).collect()
        };
        if !wanted.contains(&true) {
            return smallvec![None; operands.len()];
        }
        let x = operands[0];
        let one = |gradient: NodeId| smallvec![Some(gradient)];
        match self {
            Op::Input(_) | Op::Fill(..) | Op::Dense(_) | Op::Iota { .. } => smallvec![],
            // Blocked, whatever the operand.
            Op::Compare(_) | Op::Logical(_) | Op::ArgReduce(..) | Op::ArgSort(_) | Op::RandomBits(_) => {
                smallvec![None; operands.len()]
            }
            Op::Unary(op) => smallvec![op.gradient(e, x, result, dy)],
            Op::Binary(op) => {
                let wanted = [wanted[0], wanted[1]];
                SmallVec::from_slice(&op.gradient(e, [x, operands[1]], result, dy, wanted))
            }
            Op::Select => {
                let [on_true, on_false] = select::select_gradient(
                    e,
                    [x, operands[1], operands[2]],
                    result,
                    dy,
                    [wanted[1], wanted[2]],
                );
                smallvec![None, on_true, on_false]
            }
            Op::Cast(_) => one(select::cast_gradient(e, x, dy)),
            Op::Reduce(op, axes) => one(op.gradient(e, axes, x, result, dy)),
            Op::Cumulative(op) => one(op.gradient(e, dy)),
            Op::Reshape(_) => one(movement::reshape_gradient(e, x, dy)),
            Op::Permute(permutation) => one(movement::permute_gradient(e, permutation, dy)),
            Op::Broadcast { axes, .. } => one(movement::broadcast_gradient(e, axes, dy)),
            Op::Slice(slice) => one(slice.gradient(e, x, dy)),
            Op::Pad(pad) => one(pad.gradient(e, x, dy)),
            Op::Concatenate(axis) => movement::concatenate_gradient(e, *axis, operands, dy, &wanted),
            Op::Reverse(axes) => one(movement::reverse_gradient(e, axes, dy)),
            Op::Dot(dot) => {
                let wanted = [wanted[0], wanted[1]];
                SmallVec::from_slice(&dot.gradient(e, [x, operands[1]], dy, wanted))
            }
            Op::Conv(conv) => {
                let wanted = [wanted[0], wanted[1]];
                SmallVec::from_slice(&conv.gradient(e, [x, operands[1]], dy, wanted))
            }
            Op::Window(op, window) => op.gradient(e, window, x, dy),
            Op::Gather(axis) => smallvec![Some(index::gather_gradient(e, *axis, x, operands[1], dy)), None],
            // A loop has several results, each with a gradient: more than this function is told.
            Op::Loop(_) | Op::LoopResult { .. } => panic!(
                "internal error: loops are differentiated as a whole, by the gradient pass; please report this"
            ),
            Op::ScatterAdd { axis, .. } => {
                smallvec![Some(index::scatter_add_gradient(e, *axis, operands[1], dy)), None]
            }
        }
    }
}
