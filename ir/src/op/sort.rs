//! Orders along an axis, as indices: sorting is an `argsort` and a gather, whose gradient is the gather's.

use super::rule::{self, Accepts};
use crate::{DType, TensorType, TypeError};

/// `argsort`: the indices of the elements along an axis in increasing order, or in decreasing order.
///
/// Equal elements (zeros of either sign are) keep their order in both directions. NaN counts as greater than all numbers;
/// `false` is less than `true`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ArgSort {
    /// The axis sorted along.
    pub axis: usize,
    /// Whether the greatest element comes first.
    pub descending: bool,
}

impl ArgSort {
    /// The name in text and in errors.
    pub fn name(self) -> &'static str {
        "argsort"
    }

    /// The result type: `i64` in the operand's shape.
    pub fn infer(self, operands: &[&TensorType]) -> Result<TensorType, TypeError> {
        let [x] = rule::operands(self.name(), operands, [Accepts::Any])?;
        rule::axis(self.name(), self.axis, x)?;
        Ok(TensorType { dtype: DType::I64, shape: x.shape.clone() })
    }

    /// Why no gradient flows to the operand.
    pub fn blocked(self) -> &'static str {
        "it gives indices, which have no derivative"
    }
}
