//! Comparisons and logic: `bool` results.
//!
//! Shapes: the operands broadcast to one shape. Types: promoted to one. Errors: the shapes do not broadcast.
//! With NaN only `ne` is true.

use super::{Operand, Tensor};
use kiln_ir::op::{CompareOp, LogicalOp};
use kiln_ir::{DType, Op};

impl Tensor {
    #[track_caller]
    fn compare(&self, op: CompareOp, rhs: Operand) -> Tensor {
        match self.pair(op.name(), rhs) {
            Ok((lhs, rhs)) => lhs.record(Op::Compare(op), &[&rhs]),
            Err(poisoned) => poisoned,
        }
    }

    #[track_caller]
    pub(super) fn logical(&self, op: LogicalOp, rhs: Operand) -> Tensor {
        match self.pair(op.name(), rhs) {
            Ok((lhs, rhs)) => lhs.record(Op::Logical(op), &[&rhs]),
            Err(poisoned) => poisoned,
        }
    }

    #[track_caller]
    fn truth(&self, name: &'static str, op: LogicalOp, rhs: Operand) -> Tensor {
        let rhs = match rhs {
            Operand::Tensor(tensor) => {
                // Before the casts: an error shows the operands as the user knows them.
                if let Err(poisoned) = self.broadcast_with(name, &tensor) {
                    return poisoned;
                }
                Operand::Tensor(tensor.cast(DType::Bool))
            }
            Operand::Float(value) => Operand::Bool(value != 0.0),
            Operand::Int(value) => Operand::Bool(value != 0),
            Operand::Bool(value) => Operand::Bool(value),
        };
        self.cast(DType::Bool).logical(op, rhs)
    }

    /// `self == rhs`, elementwise.
    #[track_caller]
    pub fn eq(&self, rhs: impl Into<Operand>) -> Tensor {
        self.compare(CompareOp::Eq, rhs.into())
    }

    /// `self != rhs`, elementwise.
    #[track_caller]
    pub fn ne(&self, rhs: impl Into<Operand>) -> Tensor {
        self.compare(CompareOp::Ne, rhs.into())
    }

    /// `self < rhs`, elementwise.
    #[track_caller]
    pub fn lt(&self, rhs: impl Into<Operand>) -> Tensor {
        self.compare(CompareOp::Lt, rhs.into())
    }

    /// `self <= rhs`, elementwise.
    #[track_caller]
    pub fn le(&self, rhs: impl Into<Operand>) -> Tensor {
        self.compare(CompareOp::Le, rhs.into())
    }

    /// `self > rhs`, elementwise.
    #[track_caller]
    pub fn gt(&self, rhs: impl Into<Operand>) -> Tensor {
        self.compare(CompareOp::Gt, rhs.into())
    }

    /// `self >= rhs`, elementwise.
    #[track_caller]
    pub fn ge(&self, rhs: impl Into<Operand>) -> Tensor {
        self.compare(CompareOp::Ge, rhs.into())
    }

    /// Both are true (differ from zero).
    #[track_caller]
    pub fn logical_and(&self, rhs: impl Into<Operand>) -> Tensor {
        self.truth("logical_and", LogicalOp::And, rhs.into())
    }

    /// Either is true (differs from zero).
    #[track_caller]
    pub fn logical_or(&self, rhs: impl Into<Operand>) -> Tensor {
        self.truth("logical_or", LogicalOp::Or, rhs.into())
    }

    /// One is true (differs from zero), the other not.
    #[track_caller]
    pub fn logical_xor(&self, rhs: impl Into<Operand>) -> Tensor {
        self.truth("logical_xor", LogicalOp::Xor, rhs.into())
    }

    /// Bit by bit both. Types: integers or `bool`.
    #[track_caller]
    pub fn bitwise_and(&self, rhs: impl Into<Operand>) -> Tensor {
        let rhs = rhs.into();
        self.called("bitwise_and", || self.logical(LogicalOp::And, rhs))
    }

    /// Bit by bit either. Types: integers or `bool`.
    #[track_caller]
    pub fn bitwise_or(&self, rhs: impl Into<Operand>) -> Tensor {
        let rhs = rhs.into();
        self.called("bitwise_or", || self.logical(LogicalOp::Or, rhs))
    }

    /// Bit by bit one but not both. Types: integers or `bool`.
    #[track_caller]
    pub fn bitwise_xor(&self, rhs: impl Into<Operand>) -> Tensor {
        let rhs = rhs.into();
        self.called("bitwise_xor", || self.logical(LogicalOp::Xor, rhs))
    }

    /// Bits moved up by `rhs` places; 0 beyond the width. Types: integers.
    #[track_caller]
    pub fn shift_left(&self, rhs: impl Into<Operand>) -> Tensor {
        self.logical(LogicalOp::ShiftLeft, rhs.into())
    }

    /// Bits moved down by `rhs` places; from above come zeros, or ones to a negative number. Types: integers.
    #[track_caller]
    pub fn shift_right(&self, rhs: impl Into<Operand>) -> Tensor {
        let rhs = rhs.into();
        if self.dtype() == DType::U8 {
            return self.logical(LogicalOp::ShiftRight, rhs);
        }
        // The op brings in zeros: those of the complement are ones.
        self.within("shift_right", || {
            let is_negative = self.lt(0);
            let bits = is_negative.select(self.bitwise_not(), self).logical(LogicalOp::ShiftRight, rhs);
            is_negative.select(bits.bitwise_not(), &bits)
        })
    }

    /// Whether each element is as near to that of `other` as `atol + rtol |other|` (PyTorch: 1e-8 and 1e-5), or equal to it;
    /// with `equal_nan` NaN is equal to NaN.
    #[track_caller]
    pub fn isclose(&self, other: &Tensor, rtol: f64, atol: f64, equal_nan: bool) -> Tensor {
        self.within("isclose", || {
            let bound = other.abs() * rtol + atol;
            let distance = (self - other).abs();
            // An infinite element is near to nothing but itself.
            let is_near = distance.le(bound).logical_and(distance.lt(f64::INFINITY));
            let is_close = self.eq(other).logical_or(is_near);
            if equal_nan { is_close.logical_or(self.isnan().logical_and(other.isnan())) } else { is_close }
        })
    }

    /// Whether all elements are close: one `bool`; see [`isclose`](Tensor::isclose).
    #[track_caller]
    pub fn allclose(&self, other: &Tensor, rtol: f64, atol: f64, equal_nan: bool) -> Tensor {
        self.within("allclose", || self.isclose(other, rtol, atol, equal_nan).all(..))
    }

    /// Whether shapes and all elements are equal: one `bool`.
    #[track_caller]
    pub fn equal(&self, other: &Tensor) -> Tensor {
        self.within("equal", || {
            if self.shape() != other.shape() {
                return self.fill(DType::Bool, kiln_ir::Shape::scalar(), 0.0);
            }
            self.eq(other).all(..)
        })
    }
}
