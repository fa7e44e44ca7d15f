//! Random bits: Philox 4x32-10, a counter-based generator.
//!
//! Source: Salmon, Moraes, Dror, Shaw, *Parallel random numbers: as easy as 1, 2, 3*, SC 2011.
//!
//! The state is `i64[2]`: a key and a counter. Element `i` (row-major) of the result is word `i % 4` of the block
//! whose 128-bit counter is `counter + i / 4` (the upper 64 bits are zero) under the key split into two 32-bit
//! words, low word first. The op does not advance the state: the program adds to the counter what it drew.

use super::rule::{self, Accepts};
use crate::{DType, Shape, TensorType, TypeError};

/// Type rule of `random_bits`: 32 random bits an element, as `i32`.
pub fn infer(shape: &Shape, operands: &[&TensorType]) -> Result<TensorType, TypeError> {
    let [state] = rule::operands("random_bits", operands, [Accepts::Index])?;
    if *state != TensorType::new(DType::I64, [2]) {
        return Err(rule::attribute("random_bits", state, "the state must be i64[2]: key and counter"));
    }
    Ok(TensorType { dtype: DType::I32, shape: shape.clone() })
}
