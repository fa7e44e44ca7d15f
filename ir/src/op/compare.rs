//! Comparisons: two operands of one type, a `bool` result. With NaN only `ne` is true.

use super::rule::{self, Accepts};
use crate::{DType, TensorType, TypeError};

/// An elementwise comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum CompareOp {
    /// `a == b`.
    Eq,
    /// `a != b`.
    Ne,
    /// `a < b` (`false < true`).
    Lt,
    /// `a <= b`.
    Le,
    /// `a > b`.
    Gt,
    /// `a >= b`.
    Ge,
}

impl CompareOp {
    /// All ops of the family, in declaration order.
    pub const ALL: [CompareOp; 6] =
        [CompareOp::Eq, CompareOp::Ne, CompareOp::Lt, CompareOp::Le, CompareOp::Gt, CompareOp::Ge];

    /// The name in text and in errors.
    pub fn name(self) -> &'static str {
        match self {
            CompareOp::Eq => "eq",
            CompareOp::Ne => "ne",
            CompareOp::Lt => "lt",
            CompareOp::Le => "le",
            CompareOp::Gt => "gt",
            CompareOp::Ge => "ge",
        }
    }

    /// The value at one pair of elements.
    pub fn reference<T: PartialOrd>(self, a: T, b: T) -> bool {
        match self {
            CompareOp::Eq => a == b,
            CompareOp::Ne => a != b,
            CompareOp::Lt => a < b,
            CompareOp::Le => a <= b,
            CompareOp::Gt => a > b,
            CompareOp::Ge => a >= b,
        }
    }

    /// The result type: `bool` in the operands' shape.
    pub fn infer(self, operands: &[&TensorType]) -> Result<TensorType, TypeError> {
        let [lhs, rhs] = rule::operands(self.name(), operands, [Accepts::Any; 2])?;
        rule::same_dtype(self.name(), lhs, rhs)?;
        rule::same_shape(self.name(), lhs, rhs)?;
        Ok(lhs.with_dtype(DType::Bool))
    }
}

impl CompareOp {
    /// Why no gradient flows to the operands.
    pub fn blocked(self) -> &'static str {
        "a comparison gives a truth value, which jumps and is constant elsewhere"
    }
}
