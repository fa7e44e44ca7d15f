//! Logical ops: on truth values, and bit by bit on integers.

use super::rule::{self, Accepts};
use crate::{TensorType, TypeError};

/// An elementwise op on bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum LogicalOp {
    /// Both; bit by bit on integers.
    And,
    /// Either; bit by bit on integers.
    Or,
    /// One but not both; bit by bit on integers.
    Xor,
    /// The opposite; bit by bit on integers.
    Not,
    /// `a << b` on integers; 0 when `b` is not below the width in bits.
    ShiftLeft,
    /// `a >> b` on integers, filling with zeros; 0 when `b` is not below the width in bits.
    ShiftRight,
}

impl LogicalOp {
    /// All ops of the family, in declaration order.
    pub const ALL: [LogicalOp; 6] = [
        LogicalOp::And,
        LogicalOp::Or,
        LogicalOp::Xor,
        LogicalOp::Not,
        LogicalOp::ShiftLeft,
        LogicalOp::ShiftRight,
    ];

    /// The name in text and in errors.
    pub fn name(self) -> &'static str {
        match self {
            LogicalOp::And => "and",
            LogicalOp::Or => "or",
            LogicalOp::Xor => "xor",
            LogicalOp::Not => "not",
            LogicalOp::ShiftLeft => "shift_left",
            LogicalOp::ShiftRight => "shift_right",
        }
    }

    /// Number of operands.
    pub fn n_operands(self) -> usize {
        match self {
            LogicalOp::Not => 1,
            LogicalOp::And
            | LogicalOp::Or
            | LogicalOp::Xor
            | LogicalOp::ShiftLeft
            | LogicalOp::ShiftRight => 2,
        }
    }

    /// The element types the op is defined on.
    pub fn accepts(self) -> Accepts {
        match self {
            LogicalOp::And | LogicalOp::Or | LogicalOp::Xor | LogicalOp::Not => Accepts::Bits,
            LogicalOp::ShiftLeft | LogicalOp::ShiftRight => Accepts::Int,
        }
    }

    /// The value at one pair of elements, given as bits widened with zeros (`b` is not looked at by `not`), `width` bits
    /// of which are the type's: 1 for `bool`. A negative shift amount is a large one.
    pub fn reference(self, a: u64, b: u64, width: u32) -> u64 {
        let mask = u64::MAX >> (64 - width);
        let amount = u32::try_from(b).ok().filter(|&amount| amount < width);
        match self {
            LogicalOp::And => a & b,
            LogicalOp::Or => a | b,
            LogicalOp::Xor => a ^ b,
            LogicalOp::Not => !a & mask,
            LogicalOp::ShiftLeft => amount.map_or(0, |amount| a << amount) & mask,
            LogicalOp::ShiftRight => amount.map_or(0, |amount| a >> amount),
        }
    }

    /// The result type: that of the operands.
    pub fn infer(self, operands: &[&TensorType]) -> Result<TensorType, TypeError> {
        if self.n_operands() == 1 {
            return rule::operands(self.name(), operands, [self.accepts()]).map(|[x]| x.clone());
        }
        let [lhs, rhs] = rule::operands(self.name(), operands, [self.accepts(); 2])?;
        rule::same_dtype(self.name(), lhs, rhs)?;
        rule::same_shape(self.name(), lhs, rhs)?;
        Ok(lhs.clone())
    }
}

impl LogicalOp {
    /// Why no gradient flows to the operands.
    pub fn blocked(self) -> &'static str {
        "bits have no derivative"
    }
}
