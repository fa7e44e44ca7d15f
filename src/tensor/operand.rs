//! What methods take beside tensors: scalars, sets of axes, one number per axis.

use super::Tensor;
use kiln_ir::DType;
use smallvec::SmallVec;

/// The other operand of an elementwise op: a tensor, or a number of the program.
#[derive(Clone, Debug)]
pub enum Operand {
    /// A tensor.
    Tensor(Tensor),
    /// A number with a fraction: takes the element type of a float tensor, `f32` beside integers.
    Float(f64),
    /// A whole number: takes the element type of any tensor of numbers.
    Int(i64),
    /// A truth value.
    Bool(bool),
}

impl From<Tensor> for Operand {
    fn from(tensor: Tensor) -> Operand {
        Operand::Tensor(tensor)
    }
}

impl From<&Tensor> for Operand {
    fn from(tensor: &Tensor) -> Operand {
        Operand::Tensor(tensor.clone())
    }
}

impl From<f64> for Operand {
    fn from(value: f64) -> Operand {
        Operand::Float(value)
    }
}

impl From<f32> for Operand {
    fn from(value: f32) -> Operand {
        Operand::Float(f64::from(value))
    }
}

impl From<i32> for Operand {
    fn from(value: i32) -> Operand {
        Operand::Int(i64::from(value))
    }
}

impl From<i64> for Operand {
    fn from(value: i64) -> Operand {
        Operand::Int(value)
    }
}

impl From<bool> for Operand {
    fn from(value: bool) -> Operand {
        Operand::Bool(value)
    }
}

impl Operand {
    /// The element type of an op on this and a tensor of `other`.
    pub(crate) fn promote(&self, other: &Tensor) -> DType {
        match self {
            Operand::Tensor(t) => match (t.rank() == 0, other.rank() == 0) {
                (true, false) => promote_weak(other.dtype(), t.dtype()),
                (false, true) => promote_weak(t.dtype(), other.dtype()),
                (true, true) | (false, false) => promote_types(t.dtype(), other.dtype()),
            },
            Operand::Float(_) => promote_weak(other.dtype(), DType::F32),
            Operand::Int(_) => promote_weak(other.dtype(), DType::I64),
            Operand::Bool(_) => other.dtype(),
        }
    }
}

/// Kinds of element types, in the order of promotion.
fn kind(dtype: DType) -> u8 {
    match dtype {
        DType::Bool => 0,
        DType::U8 | DType::I32 | DType::I64 => 1,
        DType::F32 | DType::F64 => 2,
    }
}

/// The type of a tensor beside a scalar: the tensor's, unless the scalar's kind is greater.
fn promote_weak(tensor: DType, scalar: DType) -> DType {
    if kind(scalar) > kind(tensor) { scalar } else { tensor }
}

/// Promotion of two tensors' element types, after PyTorch's `torch.promote_types`.
pub(crate) fn promote_types(a: DType, b: DType) -> DType {
    let order = |d: DType| match d {
        DType::Bool => 0,
        DType::U8 => 1,
        DType::I32 => 2,
        DType::I64 => 3,
        DType::F32 => 4,
        DType::F64 => 5,
    };
    if order(a) >= order(b) { a } else { b }
}

/// Axes to reduce over, and whether they stay as axes of extent 1.
///
/// Made from one axis (`-1`), several (`[0, 2]`), all of them (`..`), or any of these in [`keep`].
///
/// ```
/// # use kiln::prelude::*;
/// # let tracer = Tracer::new("over");
/// let x = tracer.input("x", f32(&[2, 3, 4]));
/// assert_eq!(x.sum(-1).extents(), [2, 3]);
/// assert_eq!(x.sum([0, 2]).extents(), [3]);
/// assert_eq!(x.sum(..).rank(), 0);
/// assert_eq!(x.sum(keep(-1)).extents(), [2, 3, 1]);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Over {
    /// The axes, negative ones counted from the last; nothing means all.
    pub axes: Option<SmallVec<[i64; 6]>>,
    /// Whether the axes stay, with extent 1.
    pub keep: bool,
}

/// Keeps reduced axes as axes of extent 1 (PyTorch's `keepdim=True`); see [`Over`].
pub fn keep(over: impl Into<Over>) -> Over {
    Over { keep: true, ..over.into() }
}

impl From<i64> for Over {
    fn from(axis: i64) -> Over {
        Over { axes: Some(SmallVec::from_slice(&[axis])), keep: false }
    }
}

impl<const N: usize> From<[i64; N]> for Over {
    fn from(axes: [i64; N]) -> Over {
        Over { axes: Some(SmallVec::from_slice(&axes)), keep: false }
    }
}

impl From<&[i64]> for Over {
    fn from(axes: &[i64]) -> Over {
        Over { axes: Some(SmallVec::from_slice(axes)), keep: false }
    }
}

impl From<std::ops::RangeFull> for Over {
    fn from(_: std::ops::RangeFull) -> Over {
        Over { axes: None, keep: false }
    }
}

/// One number for all spatial axes, or one for each.
#[derive(Clone, Debug, PartialEq)]
pub struct PerAxis(SmallVec<[usize; 3]>);

impl PerAxis {
    /// The numbers for `n` axes, or `None` when another number of them was given.
    pub(crate) fn resolve(&self, n: usize) -> Option<SmallVec<[usize; 6]>> {
        match self.0.len() {
            1 => Some(SmallVec::from_elem(self.0[0], n)),
            given => (given == n).then(|| self.0.iter().copied().collect()),
        }
    }
}

impl From<usize> for PerAxis {
    fn from(value: usize) -> PerAxis {
        PerAxis(SmallVec::from_slice(&[value]))
    }
}

impl<const N: usize> From<[usize; N]> for PerAxis {
    fn from(values: [usize; N]) -> PerAxis {
        PerAxis(SmallVec::from_slice(&values))
    }
}

impl From<&[usize]> for PerAxis {
    fn from(values: &[usize]) -> PerAxis {
        PerAxis(SmallVec::from_slice(values))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn element_types_promote_by_kind_then_width() {
        assert_eq!(promote_types(DType::Bool, DType::U8), DType::U8);
        assert_eq!(promote_types(DType::I64, DType::F32), DType::F32);
        assert_eq!(promote_types(DType::F64, DType::F32), DType::F64);
        assert_eq!(promote_types(DType::U8, DType::I32), DType::I32);
    }
}
