//! Binary elementwise ops: two operands of one type, a result of that type.

use super::rule::{self, Accepts};
use crate::{TensorType, TypeError};

/// An elementwise op of two operands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum BinaryOp {
    /// `a + b`.
    Add,
    /// `a - b`.
    Sub,
    /// `a * b`.
    Mul,
    /// `a / b`; integers truncate toward zero, and `x / 0` is 0.
    Div,
    /// Remainder of the truncated division, with the sign of `a` (C's `fmod`); integers: `x rem 0` is 0.
    Rem,
    /// `a^b` (floats), special cases as in C's `pow`.
    Pow,
    /// The greater one; NaN if either is NaN.
    Max,
    /// The lesser one; NaN if either is NaN.
    Min,
    /// Angle of the point (`b`, `a`) in radians (floats).
    Atan2,
}

impl BinaryOp {
    /// All ops of the family, in declaration order.
    pub const ALL: [BinaryOp; 9] = [
        BinaryOp::Add,
        BinaryOp::Sub,
        BinaryOp::Mul,
        BinaryOp::Div,
        BinaryOp::Rem,
        BinaryOp::Pow,
        BinaryOp::Max,
        BinaryOp::Min,
        BinaryOp::Atan2,
    ];

    /// The name in text and in errors.
    pub fn name(self) -> &'static str {
        match self {
            BinaryOp::Add => "add",
            BinaryOp::Sub => "sub",
            BinaryOp::Mul => "mul",
            BinaryOp::Div => "div",
            BinaryOp::Rem => "rem",
            BinaryOp::Pow => "pow",
            BinaryOp::Max => "max",
            BinaryOp::Min => "min",
            BinaryOp::Atan2 => "atan2",
        }
    }

    /// The element types the op is defined on.
    pub fn accepts(self) -> Accepts {
        match self {
            BinaryOp::Add
            | BinaryOp::Sub
            | BinaryOp::Mul
            | BinaryOp::Div
            | BinaryOp::Rem
            | BinaryOp::Max
            | BinaryOp::Min => Accepts::Number,
            BinaryOp::Pow | BinaryOp::Atan2 => Accepts::Float,
        }
    }

    /// The result type: that of both operands.
    pub fn infer(self, operands: &[&TensorType]) -> Result<TensorType, TypeError> {
        let [lhs, rhs] = rule::operands(self.name(), operands, [self.accepts(); 2])?;
        rule::same_dtype(self.name(), lhs, rhs)?;
        rule::same_shape(self.name(), lhs, rhs)?;
        Ok(lhs.clone())
    }
}
