//! Binary elementwise ops: two operands of one type, a result of that type.

use super::rule::{self, Accepts};
use crate::{TensorType, TypeError};
use std::ops::Range;

/// An elementwise op of two operands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum BinaryOp {
    /// `a + b`.
    Add,
    /// `a - b`.
    Sub,
    /// `a * b`.
    Mul,
    /// `a / b`; integers truncate toward zero, `x / 0` is 0, and the least integer over -1 wraps to itself.
    Div,
    /// Remainder of the truncated division, with the sign of `a` (C's `fmod`); integers: `x rem 0` and the least
    /// integer rem -1 are 0.
    Rem,
    /// `a^b` (floats), special cases as in C's `pow`.
    Pow,
    /// The greater one; NaN if either is NaN; of zeros of different sign either one.
    Max,
    /// The lesser one; NaN if either is NaN; of zeros of different sign either one.
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

    /// The value at one element; an `f32` op is this rounded once. Shares no code with the kernels.
    pub fn reference(self, a: f64, b: f64) -> f64 {
        match self {
            BinaryOp::Add => a + b,
            BinaryOp::Sub => a - b,
            BinaryOp::Mul => a * b,
            BinaryOp::Div => a / b,
            BinaryOp::Rem => a % b,
            BinaryOp::Pow => libm::pow(a, b),
            BinaryOp::Max | BinaryOp::Min if a.is_nan() || b.is_nan() => f64::NAN,
            BinaryOp::Max => a.max(b),
            BinaryOp::Min => a.min(b),
            BinaryOp::Atan2 => libm::atan2(a, b),
        }
    }

    /// The value at one pair of integers, to be wrapped to their type.
    ///
    /// # Panics
    /// When the op is not defined on integers, which the type rule excludes.
    pub fn reference_int(self, a: i64, b: i64) -> i64 {
        match self {
            BinaryOp::Add => a.wrapping_add(b),
            BinaryOp::Sub => a.wrapping_sub(b),
            BinaryOp::Mul => a.wrapping_mul(b),
            BinaryOp::Div | BinaryOp::Rem if b == 0 => 0,
            BinaryOp::Div => a.wrapping_div(b),
            BinaryOp::Rem => a.wrapping_rem(b),
            BinaryOp::Max => a.max(b),
            BinaryOp::Min => a.min(b),
            BinaryOp::Pow | BinaryOp::Atan2 => panic!("internal error: `{}` of integers", self.name()),
        }
    }

    /// Where the op is smooth and well conditioned: tests draw samples of `a` and `b` here.
    pub fn domain(self) -> (Range<f64>, Range<f64>) {
        match self {
            BinaryOp::Add | BinaryOp::Sub | BinaryOp::Mul => (-4.0..4.0, -4.0..4.0),
            // Smooth but where both are equal, which no two samples are.
            BinaryOp::Max | BinaryOp::Min => (-4.0..4.0, -4.0..4.0),
            BinaryOp::Div => (-4.0..4.0, 0.3..4.0),
            // The quotient stays strictly between 2 and 3.
            BinaryOp::Rem => (5.2..5.8, 2.2..2.4),
            BinaryOp::Pow => (0.3..3.0, -2.0..2.0),
            BinaryOp::Atan2 => (0.3..3.0, -3.0..3.0),
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
