//! The type of a tensor: element type and shape.

use crate::{DType, Shape};
use std::fmt;

/// Element type and shape of a value. Printed as `f32[2, 3]`.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct TensorType {
    /// The type of each element.
    pub dtype: DType,
    /// The extents of the axes.
    pub shape: Shape,
}

impl TensorType {
    /// The type with this element type and shape.
    pub fn new(dtype: DType, shape: impl Into<Shape>) -> TensorType {
        TensorType { dtype, shape: shape.into() }
    }

    /// A scalar of this element type.
    pub fn scalar(dtype: DType) -> TensorType {
        TensorType { dtype, shape: Shape::scalar() }
    }

    /// Number of axes.
    pub fn rank(&self) -> usize {
        self.shape.rank()
    }

    /// Number of elements.
    pub fn n_elements(&self) -> usize {
        self.shape.n_elements()
    }

    /// Size in bytes of a contiguous tensor of this type.
    pub fn n_bytes(&self) -> usize {
        self.n_elements() * self.dtype.n_bytes()
    }

    /// The same shape with another element type.
    pub fn with_dtype(&self, dtype: DType) -> TensorType {
        TensorType { dtype, shape: self.shape.clone() }
    }

    /// The same element type with another shape.
    pub fn with_shape(&self, shape: Shape) -> TensorType {
        TensorType { dtype: self.dtype, shape }
    }
}

impl fmt::Display for TensorType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.dtype, self.shape)
    }
}

impl fmt::Debug for TensorType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}
