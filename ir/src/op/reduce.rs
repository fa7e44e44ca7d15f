//! Reductions over axes, which disappear from the shape.
//!
//! The order of summation is not part of an op's meaning; a compiled program fixes one that depends on the
//! shape alone. Maximum and minimum are NaN when any element is.

use super::rule::{self, Accepts};
use crate::{Axes, DType, Literal, TensorType, TypeError};

/// A reduction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ReduceOp {
    /// Sum; 0 of nothing.
    Sum,
    /// Greatest element; the least value of the type of nothing. On `bool`: any.
    Max,
    /// Least element; the greatest value of the type of nothing. On `bool`: all.
    Min,
    /// Product; 1 of nothing.
    Prod,
}

/// A search along one axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ArgReduceOp {
    /// Index of the first greatest element; of the first NaN if there is one.
    ArgMax,
    /// Index of the first least element; of the first NaN if there is one.
    ArgMin,
}

impl ReduceOp {
    /// All reductions, in declaration order.
    pub const ALL: [ReduceOp; 4] = [ReduceOp::Sum, ReduceOp::Max, ReduceOp::Min, ReduceOp::Prod];

    /// The name in text and in errors.
    pub fn name(self) -> &'static str {
        match self {
            ReduceOp::Sum => "reduce_sum",
            ReduceOp::Max => "reduce_max",
            ReduceOp::Min => "reduce_min",
            ReduceOp::Prod => "reduce_prod",
        }
    }

    /// The value of a reduction of nothing, which changes no other value either.
    pub fn identity(self, dtype: DType) -> Literal {
        match self {
            ReduceOp::Sum => Literal::zero(dtype),
            ReduceOp::Max => Literal::lowest(dtype),
            ReduceOp::Min => Literal::highest(dtype),
            ReduceOp::Prod => Literal::one(dtype),
        }
    }

    /// The result type: the operand's without the axes, which must be different and increasing.
    pub fn infer(self, axes: &Axes, operands: &[&TensorType]) -> Result<TensorType, TypeError> {
        let accepts = match self {
            ReduceOp::Sum | ReduceOp::Prod => Accepts::Number,
            ReduceOp::Max | ReduceOp::Min => Accepts::Any,
        };
        let [x] = rule::operands(self.name(), operands, [accepts])?;
        rule::increasing_axes(self.name(), axes, x)?;
        Ok(x.with_shape(x.shape.without(axes)))
    }
}

impl ArgReduceOp {
    /// Both, in declaration order.
    pub const ALL: [ArgReduceOp; 2] = [ArgReduceOp::ArgMax, ArgReduceOp::ArgMin];

    /// The name in text and in errors.
    pub fn name(self) -> &'static str {
        match self {
            ArgReduceOp::ArgMax => "argmax",
            ArgReduceOp::ArgMin => "argmin",
        }
    }

    /// The result type: `i64` without the axis, which must not be empty.
    pub fn infer(self, axis: usize, operands: &[&TensorType]) -> Result<TensorType, TypeError> {
        let [x] = rule::operands(self.name(), operands, [Accepts::Number])?;
        rule::axis(self.name(), axis, x)?;
        if x.shape[axis] == 0 {
            return Err(rule::attribute(
                self.name(),
                x,
                format!("axis {axis} is empty: it has no greatest element"),
            ));
        }
        Ok(TensorType { dtype: DType::I64, shape: x.shape.without(&[axis]) })
    }
}
