//! Select and cast.
//!
//! `cast` rounds to nearest between floats, truncates toward zero and saturates from float to integer (NaN
//! becomes 0), wraps between integers, and to `bool` asks whether the value differs from zero.

use super::rule::{self, Accepts};
use crate::{DType, Literal, TensorType, TypeError};

/// Type rule of `select(condition, on_true, on_false)`.
pub fn infer_select(operands: &[&TensorType]) -> Result<TensorType, TypeError> {
    let [condition, on_true, on_false] =
        rule::operands("select", operands, [Accepts::Bool, Accepts::Any, Accepts::Any])?;
    rule::same_dtype("select", on_true, on_false)?;
    rule::same_shape("select", on_true, on_false)?;
    rule::same_shape("select", condition, on_true)?;
    Ok(on_true.clone())
}

/// Type rule of `cast`.
pub fn infer_cast(dtype: DType, operands: &[&TensorType]) -> Result<TensorType, TypeError> {
    let [x] = rule::operands("cast", operands, [Accepts::Any])?;
    Ok(x.with_dtype(dtype))
}

/// The value of `cast` at one element.
pub fn reference_cast(dtype: DType, x: Literal) -> Literal {
    match x {
        Literal::F32(v) => Literal::from_f64(dtype, f64::from(v)),
        Literal::F64(v) => Literal::from_f64(dtype, v),
        Literal::I32(v) => Literal::from_i64(dtype, i64::from(v)),
        Literal::I64(v) => Literal::from_i64(dtype, v),
        Literal::U8(v) => Literal::from_i64(dtype, i64::from(v)),
        Literal::Bool(v) => Literal::from_i64(dtype, i64::from(v)),
    }
}
