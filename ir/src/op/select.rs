//! Select and cast.
//!
//! `cast` rounds to nearest between floats, truncates toward zero and saturates from float to integer (NaN
//! becomes 0), wraps between integers, and to `bool` asks whether the value differs from zero.

use super::rule::{self, Accepts};
use crate::{DType, TensorType, TypeError};

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
