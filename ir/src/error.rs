//! What a type rule refuses.

use crate::{DType, TensorType};
use smallvec::SmallVec;

/// Operand types that an op does not accept. The values are the facts; the sentence is made in `Display`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TypeError {
    /// The op takes another number of operands.
    #[error("`{op}` takes {expected} operand{}, {found} were given", if *expected == 1 { "" } else { "s" })]
    OperandCount {
        /// The op's name.
        op: &'static str,
        /// How many it takes.
        expected: usize,
        /// How many were given.
        found: usize,
    },
    /// An operand's element type is not one the op is defined on.
    #[error("`{op}` is not defined on {found} (operand {operand}); it takes {expected}")]
    DTypeNotSupported {
        /// The op's name.
        op: &'static str,
        /// Position of the operand.
        operand: usize,
        /// Its element type.
        found: DType,
        /// What the op takes, in words.
        expected: &'static str,
    },
    /// Operands that must have the same element type do not.
    #[error("operands of `{op}` have different element types: {lhs} and {rhs}")]
    DTypeMismatch {
        /// The op's name.
        op: &'static str,
        /// Type of the first operand.
        lhs: TensorType,
        /// Type of the other operand.
        rhs: TensorType,
    },
    /// Operands that must have the same shape do not.
    #[error("operands of `{op}` have different shapes: {lhs} and {rhs}")]
    ShapeMismatch {
        /// The op's name.
        op: &'static str,
        /// Type of the first operand.
        lhs: TensorType,
        /// Type of the other operand.
        rhs: TensorType,
    },
    /// An axis number is not below the rank.
    #[error("`{op}`: axis {axis} of {operand}, which has {} {}", operand.rank(), if operand.rank() == 1 { "axis" } else { "axes" })]
    AxisOutOfRange {
        /// The op's name.
        op: &'static str,
        /// The axis asked for.
        axis: i64,
        /// The operand's type.
        operand: TensorType,
    },
    /// An axis is named twice, or the axes are not in the order the op asks for.
    #[error("`{op}`: axes {axes:?} of {operand}: {problem}")]
    AxesNotValid {
        /// The op's name.
        op: &'static str,
        /// The axes given.
        axes: SmallVec<[usize; 6]>,
        /// The operand's type.
        operand: TensorType,
        /// What is wrong with them.
        problem: &'static str,
    },
    /// Extents that must agree do not.
    #[error("`{op}`: axis {lhs_axis} of {lhs} is {}, axis {rhs_axis} of {rhs} is {}; they must be equal", lhs.shape[*lhs_axis], rhs.shape[*rhs_axis])]
    ExtentMismatch {
        /// The op's name.
        op: &'static str,
        /// Type of the first operand.
        lhs: TensorType,
        /// Its axis.
        lhs_axis: usize,
        /// Type of the other operand.
        rhs: TensorType,
        /// Its axis.
        rhs_axis: usize,
    },
    /// An attribute of the op does not suit its operand.
    #[error("`{op}` of {operand}: {problem}")]
    Attribute {
        /// The op's name.
        op: &'static str,
        /// The operand's type.
        operand: TensorType,
        /// What is wrong, with the numbers.
        problem: String,
    },
    /// A loop whose operands or results do not suit its body.
    #[error("`{op}`: {problem}")]
    Loop {
        /// The op's name.
        op: &'static str,
        /// What is wrong, with the types.
        problem: String,
    },
    /// A result would have more elements than can be addressed.
    #[error("`{op}`: the result {result} has more elements than memory can hold")]
    TooLarge {
        /// The op's name.
        op: &'static str,
        /// The result's type.
        result: TensorType,
    },
}

impl TypeError {
    /// The same problem of another op: of the function that the user called, where that is composed of ops.
    pub fn of(mut self, function: &'static str) -> TypeError {
        match &mut self {
            TypeError::OperandCount { op, .. }
            | TypeError::DTypeNotSupported { op, .. }
            | TypeError::DTypeMismatch { op, .. }
            | TypeError::ShapeMismatch { op, .. }
            | TypeError::AxisOutOfRange { op, .. }
            | TypeError::AxesNotValid { op, .. }
            | TypeError::ExtentMismatch { op, .. }
            | TypeError::Attribute { op, .. }
            | TypeError::Loop { op, .. }
            | TypeError::TooLarge { op, .. } => *op = function,
        }
        self
    }
}
