//! Element types, broadcasting, axes: what has to hold before an op can be recorded.

use super::operand::promote_types;
use super::{Operand, Over, Tensor};
use crate::error::Problem;
use kiln_ir::{Axes, DType, Op, Shape, TensorType, TypeError};
use smallvec::SmallVec;

/// What could not be done yields the poisoned tensor that takes the op's place.
pub(crate) type Checked<T> = Result<T, Tensor>;

impl Tensor {
    /// The value converted to an element type. Float to integer truncates and saturates; to `bool`: whether it
    /// differs from zero.
    ///
    /// Shapes: as `self`. Types: any.
    ///
    /// ```
    /// # use kiln::prelude::*;
    /// # let tracer = Tracer::new("cast");
    /// # let x = tracer.input("x", f32(&[2]));
    /// assert_eq!(x.cast(DType::I32).dtype(), DType::I32);
    /// ```
    #[track_caller]
    pub fn cast(&self, dtype: DType) -> Tensor {
        if self.dtype() == dtype { self.clone() } else { self.record(Op::Cast(dtype), &[]) }
    }

    /// The value as floats: `f32` of integers and truth values, itself otherwise.
    #[track_caller]
    pub fn to_float(&self) -> Tensor {
        if self.dtype().is_float() { self.clone() } else { self.cast(DType::F32) }
    }

    /// Repeats axes of extent 1, and adds axes in front, until the shape is `shape`.
    ///
    /// Shapes: each extent of `self`, counted from the last axis, is 1 or that of `shape`. Types: any.
    /// Errors: an extent is neither.
    ///
    /// ```
    /// # use kiln::prelude::*;
    /// # let tracer = Tracer::new("broadcast");
    /// # let x = tracer.input("x", f32(&[3, 1]));
    /// assert_eq!(x.broadcast_to([2, 3, 4]).extents(), [2, 3, 4]);
    /// ```
    #[track_caller]
    pub fn broadcast_to(&self, shape: impl Into<Shape>) -> Tensor {
        let shape = shape.into();
        if *self.shape() == shape {
            return self.clone();
        }
        if broadcast_shapes(self.shape(), &shape).as_ref() != Some(&shape) {
            return self.refuse("broadcast_to", format!("it cannot be repeated to the shape {shape}"));
        }
        let lead = shape.rank() - self.rank();
        // Axes that are repeated go away first: a broadcast keeps the extents of its operand.
        let axes: Axes =
            (0..self.rank()).filter(|&a| self.shape()[a] == shape[lead + a]).map(|a| lead + a).collect();
        let kept: Shape = axes.iter().map(|&a| shape[a]).collect();
        self.reshape_exact(kept).record(Op::Broadcast { shape, axes }, &[])
    }

    /// Repeats axes of extent 1; -1 keeps an extent (PyTorch's `expand`).
    ///
    /// Shapes: as [`broadcast_to`](Tensor::broadcast_to). Errors: as there.
    #[track_caller]
    pub fn expand(&self, extents: impl AsRef<[i64]>) -> Tensor {
        let extents = extents.as_ref();
        let Some(lead) = extents.len().checked_sub(self.rank()) else {
            return self.refuse("expand", format!("{extents:?} has fewer axes"));
        };
        let mut shape = SmallVec::<[usize; 6]>::new();
        for (i, &extent) in extents.iter().enumerate() {
            match (extent, i.checked_sub(lead)) {
                (-1, Some(axis)) => shape.push(self.shape()[axis]),
                (extent, _) if extent >= 0 => shape.push(extent as usize),
                _ => return self.refuse("expand", format!("{extents:?}: extent {extent} of a new axis")),
            }
        }
        self.called("expand", || self.broadcast_to(Shape::new(&shape)))
    }

    /// Repeats axes of extent 1 to the shape of another tensor.
    #[track_caller]
    pub fn expand_as(&self, other: &Tensor) -> Tensor {
        self.called("expand_as", || self.broadcast_to(other.shape().clone()))
    }

    /// Reshapes to a shape that is known to fit; nothing when it is the same.
    #[track_caller]
    pub(crate) fn reshape_exact(&self, shape: Shape) -> Tensor {
        if *self.shape() == shape { self.clone() } else { self.record(Op::Reshape(shape), &[]) }
    }

    /// An axis as a number from 0, or the poisoned result.
    #[track_caller]
    pub(crate) fn axis(&self, op: &'static str, axis: i64) -> Checked<usize> {
        self.axis_below(op, axis, self.rank())
    }

    /// As [`axis`](Tensor::axis), for an axis of a result of `rank` axes.
    #[track_caller]
    pub(crate) fn axis_below(&self, op: &'static str, axis: i64, rank: usize) -> Checked<usize> {
        let from_start = if axis < 0 { axis + rank as i64 } else { axis };
        if (0..rank as i64).contains(&from_start) {
            return Ok(from_start as usize);
        }
        let problem = TypeError::AxisOutOfRange { op, axis, operand: self.ty().clone() };
        Err(self.tracer().refuse(problem.into(), &[("operand", self)]))
    }

    /// Axes as increasing numbers from 0, or the poisoned result. As in PyTorch, 0 and -1 stand for the axis that a
    /// scalar does not have.
    #[track_caller]
    pub(crate) fn axes(&self, op: &'static str, over: &Over) -> Checked<Axes> {
        let Some(given) = &over.axes else { return Ok((0..self.rank()).collect()) };
        let mut axes = Axes::new();
        for &axis in given {
            if self.rank() > 0 || ![0, -1].contains(&axis) {
                axes.push(self.axis(op, axis)?);
            }
        }
        axes.sort_unstable();
        if axes.windows(2).all(|pair| pair[0] < pair[1]) {
            return Ok(axes);
        }
        let problem = TypeError::AxesNotValid {
            op,
            axes,
            operand: self.ty().clone(),
            problem: "an axis is named twice",
        };
        Err(self.tracer().refuse(problem.into(), &[("operand", self)]))
    }

    /// Both operands in one element type and one shape.
    #[track_caller]
    pub(crate) fn pair(&self, op: &'static str, other: Operand) -> Checked<(Tensor, Tensor)> {
        let dtype = other.promote(self);
        self.pair_as(op, dtype, other)
    }

    /// Both operands as floats of one type and one shape.
    #[track_caller]
    pub(crate) fn float_pair(&self, op: &'static str, other: Operand) -> Checked<(Tensor, Tensor)> {
        let dtype = promote_types(other.promote(self), DType::F32);
        self.pair_as(op, dtype, other)
    }

    #[track_caller]
    fn pair_as(&self, op: &'static str, dtype: DType, other: Operand) -> Checked<(Tensor, Tensor)> {
        if let Operand::Tensor(other) = &other {
            return self.tensor_pair_as(op, dtype, other);
        }
        let lhs = self.cast(dtype);
        let rhs = lhs.operand_beside(other);
        if lhs.id().is_some() { Ok((lhs, rhs)) } else { Err(lhs) }
    }

    #[track_caller]
    fn tensor_pair_as(&self, op: &'static str, dtype: DType, other: &Tensor) -> Checked<(Tensor, Tensor)> {
        let shape = self.broadcast_with(op, other)?;
        Ok((self.cast(dtype).broadcast_to(shape.clone()), other.cast(dtype).broadcast_to(shape)))
    }

    /// The shape that both operands broadcast to, or the poisoned result.
    #[track_caller]
    pub(crate) fn broadcast_with(&self, op: &'static str, other: &Tensor) -> Checked<Shape> {
        if let Some(poisoned) = [self, other].into_iter().find(|t| t.id().is_none()) {
            return Err(poisoned.clone());
        }
        let operands = [("lhs", self), ("rhs", other)];
        if !self.tracer().is(other.tracer()) {
            return Err(self.tracer().refuse(Problem::OtherTrace { op }, &operands));
        }
        // No closure: it would hide the caller's line.
        match broadcast_shapes(self.shape(), other.shape()) {
            Some(shape) => Ok(shape),
            None => {
                let (lhs, rhs) = (self.shape().clone(), other.shape().clone());
                Err(self.tracer().refuse(Problem::Broadcast { op, lhs, rhs }, &operands))
            }
        }
    }

    /// The types of this tensor's elements must be floats: otherwise the poisoned result.
    #[track_caller]
    pub(crate) fn require_float(&self, op: &'static str) -> Checked<()> {
        if self.dtype().is_float() {
            return Ok(());
        }
        let problem = TypeError::DTypeNotSupported {
            op,
            operand: 0,
            found: self.dtype(),
            expected: "floats (f32, f64)",
        };
        Err(self.tracer().refuse(problem.into(), &[("operand", self)]))
    }
}

/// The shape both shapes broadcast to: axes are matched from the last, and an extent of 1 is repeated.
pub(crate) fn broadcast_shapes(a: &Shape, b: &Shape) -> Option<Shape> {
    let rank = a.rank().max(b.rank());
    let extent = |shape: &Shape, axis: usize| {
        (axis + shape.rank()).checked_sub(rank).map_or(1, |from_start| shape[from_start])
    };
    (0..rank)
        .map(|axis| match (extent(a, axis), extent(b, axis)) {
            (l, r) if l == r || r == 1 => Some(l),
            (1, r) => Some(r),
            _ => None,
        })
        .collect::<Option<SmallVec<[usize; 6]>>>()
        .map(|extents| Shape::new(&extents))
}

/// The type of a batch or a parameter of `f32`.
pub fn f32(extents: &[usize]) -> TensorType {
    TensorType::new(DType::F32, extents)
}

/// The type of a batch or a parameter of `f64`.
pub fn f64(extents: &[usize]) -> TensorType {
    TensorType::new(DType::F64, extents)
}

/// The type of a batch of `i32`.
pub fn i32(extents: &[usize]) -> TensorType {
    TensorType::new(DType::I32, extents)
}

/// The type of a batch of `i64`, as of class labels.
pub fn i64(extents: &[usize]) -> TensorType {
    TensorType::new(DType::I64, extents)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_broadcast_from_the_last_axis() {
        let s = |extents: &[usize]| Shape::new(extents);
        assert_eq!(broadcast_shapes(&s(&[2, 1, 4]), &s(&[3, 1])), Some(s(&[2, 3, 4])));
        assert_eq!(broadcast_shapes(&s(&[]), &s(&[3])), Some(s(&[3])));
        assert_eq!(broadcast_shapes(&s(&[0]), &s(&[1])), Some(s(&[0])));
        assert_eq!(broadcast_shapes(&s(&[2]), &s(&[3])), None);
    }
}
