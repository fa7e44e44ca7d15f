//! Checks that several type rules share.

use crate::{Axes, DType, TensorType, TypeError};

/// The operands as an array, when there are exactly as many as `dtypes` describes. A descriptor is a predicate on
/// the element type with the words for what it accepts.
pub fn operands<'a, const N: usize>(
    op: &'static str,
    operands: &[&'a TensorType],
    dtypes: [Accepts; N],
) -> Result<[&'a TensorType; N], TypeError> {
    let array: [&TensorType; N] = operands.try_into().map_err(|_| TypeError::OperandCount {
        op,
        expected: N,
        found: operands.len(),
    })?;
    for (operand, (ty, accepts)) in array.iter().zip(dtypes).enumerate() {
        if !accepts.dtype(ty.dtype) {
            return Err(TypeError::DTypeNotSupported {
                op,
                operand,
                found: ty.dtype,
                expected: accepts.words(),
            });
        }
    }
    Ok(array)
}

/// The element types an operand may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accepts {
    /// All of them.
    Any,
    /// `f32`, `f64`.
    Float,
    /// Everything but `bool`.
    Number,
    /// `f32`, `f64`, `i32`, `i64`.
    Signed,
    /// `bool` and integers.
    Bits,
    /// Integers only.
    Int,
    /// `i32`, `i64`: what can be an index.
    Index,
    /// `bool` only.
    Bool,
}

impl Accepts {
    /// Whether this element type is accepted.
    pub fn dtype(self, dtype: DType) -> bool {
        match self {
            Accepts::Any => true,
            Accepts::Float => dtype.is_float(),
            Accepts::Number => dtype.is_number(),
            Accepts::Signed => dtype.is_number() && dtype != DType::U8,
            Accepts::Bits => !dtype.is_float(),
            Accepts::Int => dtype.is_int(),
            Accepts::Index => matches!(dtype, DType::I32 | DType::I64),
            Accepts::Bool => dtype == DType::Bool,
        }
    }

    /// What is accepted, for an error message.
    pub fn words(self) -> &'static str {
        match self {
            Accepts::Any => "any element type",
            Accepts::Float => "f32 or f64",
            Accepts::Number => "numbers (f32, f64, i32, i64, u8)",
            Accepts::Signed => "signed numbers (f32, f64, i32, i64)",
            Accepts::Bits => "bool or integers (bool, i32, i64, u8)",
            Accepts::Int => "integers (i32, i64, u8)",
            Accepts::Index => "indices (i32, i64)",
            Accepts::Bool => "bool",
        }
    }
}

/// Checks that both operands have one element type.
pub fn same_dtype(op: &'static str, lhs: &TensorType, rhs: &TensorType) -> Result<(), TypeError> {
    if lhs.dtype == rhs.dtype {
        return Ok(());
    }
    Err(TypeError::DTypeMismatch { op, lhs: lhs.clone(), rhs: rhs.clone() })
}

/// Checks that both operands have one shape.
pub fn same_shape(op: &'static str, lhs: &TensorType, rhs: &TensorType) -> Result<(), TypeError> {
    if lhs.shape == rhs.shape {
        return Ok(());
    }
    Err(TypeError::ShapeMismatch { op, lhs: lhs.clone(), rhs: rhs.clone() })
}

/// Checks that two extents are equal.
pub fn same_extent(
    op: &'static str,
    (lhs, lhs_axis): (&TensorType, usize),
    (rhs, rhs_axis): (&TensorType, usize),
) -> Result<(), TypeError> {
    if lhs.shape[lhs_axis] == rhs.shape[rhs_axis] {
        return Ok(());
    }
    Err(TypeError::ExtentMismatch { op, lhs: lhs.clone(), lhs_axis, rhs: rhs.clone(), rhs_axis })
}

/// Checks that an axis exists.
pub fn axis(op: &'static str, axis: usize, operand: &TensorType) -> Result<(), TypeError> {
    if axis < operand.rank() {
        return Ok(());
    }
    Err(TypeError::AxisOutOfRange { op, axis: axis as i64, operand: operand.clone() })
}

/// Checks that the axes exist and strictly increase.
pub fn increasing_axes(op: &'static str, axes: &Axes, operand: &TensorType) -> Result<(), TypeError> {
    for &a in axes {
        axis(op, a, operand)?;
    }
    if axes.windows(2).all(|pair| pair[0] < pair[1]) {
        return Ok(());
    }
    Err(TypeError::AxesNotValid {
        op,
        axes: axes.clone(),
        operand: operand.clone(),
        problem: "they must be different and in increasing order",
    })
}

/// An error about an attribute.
pub fn attribute(op: &'static str, operand: &TensorType, problem: impl Into<String>) -> TypeError {
    TypeError::Attribute { op, operand: operand.clone(), problem: problem.into() }
}
