//! Running sums along an axis.

use super::rule::{self, Accepts};
use crate::{Emit, NodeId, Op, TensorType, TypeError};

/// `cumulative_sum`: element `i` along the axis is the sum of the elements up to and with `i`; from the end when
/// `reverse`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Cumulative {
    /// The axis summed along.
    pub axis: usize,
    /// Whether the sum runs from the last element to the first.
    pub reverse: bool,
}

impl Cumulative {
    /// The name in text and in errors.
    pub fn name(self) -> &'static str {
        "cumulative_sum"
    }

    /// The result type: the operand's.
    pub fn infer(self, operands: &[&TensorType]) -> Result<TensorType, TypeError> {
        let [x] = rule::operands(self.name(), operands, [Accepts::Number])?;
        rule::axis(self.name(), self.axis, x)?;
        Ok(x.clone())
    }
}

impl Cumulative {
    /// The gradient of the operand: the running sum from the other end, because an element is part of every sum from
    /// its own on.
    pub fn gradient(self, e: &mut dyn Emit, dy: NodeId) -> NodeId {
        e.emit(Op::Cumulative(Cumulative { axis: self.axis, reverse: !self.reverse }), &[dy])
    }
}
