//! Constants and iota: values that are known when the program is compiled.

use super::rule::{self, Accepts};
use crate::{Literal, Shape, TensorType, TypeError};

/// Type rule of `fill`.
pub fn infer_fill(value: Literal, shape: &Shape, operands: &[&TensorType]) -> Result<TensorType, TypeError> {
    let [] = rule::operands("fill", operands, [])?;
    Ok(TensorType { dtype: value.dtype(), shape: shape.clone() })
}

/// Type rule of `iota`.
pub fn infer_iota(ty: &TensorType, axis: usize, operands: &[&TensorType]) -> Result<TensorType, TypeError> {
    let [] = rule::operands("iota", operands, [])?;
    rule::axis("iota", axis, ty)?;
    if !Accepts::Number.dtype(ty.dtype) {
        return Err(rule::attribute("iota", ty, "the element type must be a number"));
    }
    Ok(ty.clone())
}
