//! Parts of tensors, and tensors put together from parts.
//!
//! Types: any; tensors that are joined are promoted to one.

use super::operand::promote_types;
use super::{Operand, Tensor};
use kiln_ir::op::{Pad, Slice};
use kiln_ir::{Axes, DType, Literal, Op};
use smallvec::SmallVec;
use std::ops::{Bound, RangeBounds};

impl Tensor {
    /// A part of one axis, as Python's `x[start:end]`: negative bounds count from the end, and bounds beyond it are
    /// moved to it. (Clippy takes `1..-1` for a mistake: there, cut off `..-1` and `1..` one after the other.)
    ///
    /// ```
    /// # use kiln::prelude::*;
    /// # let tracer = Tracer::new("slice");
    /// # let x = tracer.input("x", f32(&[4, 3]));
    /// assert_eq!(x.slice(0, -2..).extents(), [2, 3]);
    /// ```
    #[track_caller]
    pub fn slice(&self, axis: i64, range: impl RangeBounds<i64>) -> Tensor {
        self.slice_called("slice", axis, range, 1)
    }

    /// Every `step`-th element of a part of one axis, as Python's `x[start:end:step]`. Errors: `step` is 0.
    #[track_caller]
    pub fn slice_step(&self, axis: i64, range: impl RangeBounds<i64>, step: usize) -> Tensor {
        self.slice_called("slice_step", axis, range, step)
    }

    #[track_caller]
    fn slice_called(
        &self,
        name: &'static str,
        axis: i64,
        range: impl RangeBounds<i64>,
        step: usize,
    ) -> Tensor {
        match self.axis(name, axis) {
            Ok(axis) => {
                let (start, limit) = resolve(&range, self.shape()[axis]);
                self.slice_exact(axis, start, limit, step)
            }
            Err(poisoned) => poisoned,
        }
    }

    /// `length` elements of an axis from `start` (negative: counted from the end). Errors: they are not all there.
    #[track_caller]
    pub fn narrow(&self, axis: i64, start: i64, length: usize) -> Tensor {
        match self.axis("narrow", axis) {
            Ok(axis) => {
                let extent = self.shape()[axis] as i64;
                let from = if start < 0 { start + extent } else { start };
                if from < 0 || from + length as i64 > extent {
                    let problem =
                        format!("{length} elements from {start} are not on axis {axis} of extent {extent}");
                    return self.refuse("narrow", problem);
                }
                self.slice_exact(axis, from as usize, from as usize + length, 1)
            }
            Err(poisoned) => poisoned,
        }
    }

    /// One index of an axis, which disappears (PyTorch's `select`). Errors: the index is not on the axis.
    #[track_caller]
    pub fn select_index(&self, axis: i64, index: i64) -> Tensor {
        self.called("select_index", || {
            let part = self.narrow(axis, index, 1);
            match part.axis("select_index", axis) {
                Ok(axis) if part.id().is_some() => part.reshape_exact(part.shape().without(&[axis])),
                Ok(_) => part,
                Err(poisoned) => poisoned,
            }
        })
    }

    /// Parts of `size` elements along an axis; the last one may be shorter. Errors: `size` is 0.
    #[track_caller]
    pub fn split(&self, size: usize, axis: i64) -> Vec<Tensor> {
        let axis = match self.axis("split", axis) {
            Ok(axis) => axis,
            Err(poisoned) => return vec![poisoned],
        };
        if size == 0 {
            return vec![self.refuse("split", "parts need at least one element")];
        }
        let extent = self.shape()[axis];
        let mut parts = Vec::new();
        for start in (0..extent.max(1)).step_by(size) {
            parts.push(self.slice_exact(axis, start, (start + size).min(extent), 1));
        }
        parts
    }

    /// Parts of these sizes along an axis. Errors: the sizes do not add up to the extent.
    #[track_caller]
    pub fn split_sizes(&self, sizes: &[usize], axis: i64) -> Vec<Tensor> {
        let axis = match self.axis("split_sizes", axis) {
            Ok(axis) => axis,
            Err(poisoned) => return vec![poisoned; sizes.len()],
        };
        if sizes.iter().sum::<usize>() != self.shape()[axis] {
            let problem =
                format!("sizes {sizes:?} do not add up to the extent {} of axis {axis}", self.shape()[axis]);
            return vec![self.refuse("split_sizes", problem); sizes.len()];
        }
        let mut parts = Vec::new();
        let mut start = 0;
        for size in sizes {
            parts.push(self.slice_exact(axis, start, start + size, 1));
            start += size;
        }
        parts
    }

    /// At most `n` parts of equal size along an axis; the last one may be shorter. Errors: `n` is 0.
    #[track_caller]
    pub fn chunk(&self, n: usize, axis: i64) -> Vec<Tensor> {
        match self.axis("chunk", axis) {
            Ok(_) if n == 0 => vec![self.refuse("chunk", "there must be at least one part")],
            Ok(at) => self.split(self.shape()[at].div_ceil(n).max(1), axis),
            Err(poisoned) => vec![poisoned],
        }
    }

    /// Parts of extent 1 along an axis, which disappears.
    #[track_caller]
    pub fn unbind(&self, axis: i64) -> Vec<Tensor> {
        let at = match self.axis("unbind", axis) {
            Ok(at) => at,
            Err(poisoned) => return vec![poisoned],
        };
        let mut parts = Vec::new();
        for index in 0..self.shape()[at] {
            parts.push(self.select_index(axis, index as i64));
        }
        parts
    }

    /// A border of `value`: (before, after) for each of the last axes, in their order; negative amounts cut off.
    ///
    /// Errors: more pairs than axes; an axis would become negative.
    ///
    /// ```
    /// # use kiln::prelude::*;
    /// # let tracer = Tracer::new("pad");
    /// # let x = tracer.input("x", f32(&[4, 3]));
    /// assert_eq!(x.pad(&[(1, 2)], 0.0).extents(), [4, 6]);
    /// ```
    #[track_caller]
    pub fn pad(&self, amounts: &[(i64, i64)], value: f64) -> Tensor {
        let Some(lead) = self.rank().checked_sub(amounts.len()) else {
            return self.refuse("pad", format!("{} pairs are more than it has axes", amounts.len()));
        };
        let amount = |side: fn(&(i64, i64)) -> i64| -> SmallVec<[i64; 6]> {
            std::iter::repeat_n(0, lead).chain(amounts.iter().map(side)).collect()
        };
        let pad = Pad {
            low: amount(|pair| pair.0),
            high: amount(|pair| pair.1),
            interior: Axes::from_elem(0, self.rank()),
            value: Literal::from_f64(self.dtype(), value),
        };
        self.record(Op::Pad(pad), &[])
    }

    /// Elements moved `shift` places along an axis; those that fall off come in at the other end.
    #[track_caller]
    pub fn roll(&self, shift: i64, axis: i64) -> Tensor {
        let at = match self.axis("roll", axis) {
            Ok(at) => at,
            Err(poisoned) => return poisoned,
        };
        let extent = self.shape()[at];
        let cut = if extent == 0 { 0 } else { (-shift).rem_euclid(extent as i64) as usize };
        if cut == 0 {
            return self.clone();
        }
        self.within("roll", || {
            cat(&[&self.slice_exact(at, cut, extent, 1), &self.slice_exact(at, 0, cut, 1)], at as i64)
        })
    }

    /// The matrices of the last two axes with zeros above diagonal `diagonal` (0: the main one, above it positive).
    #[track_caller]
    pub fn tril(&self, diagonal: i64) -> Tensor {
        self.within("tril", || self.triangle("tril", diagonal, |row, column| column.le(row)))
    }

    /// The matrices of the last two axes with zeros below diagonal `diagonal` (0: the main one, above it positive).
    #[track_caller]
    pub fn triu(&self, diagonal: i64) -> Tensor {
        self.within("triu", || self.triangle("triu", diagonal, |row, column| column.ge(row)))
    }

    fn triangle(&self, op: &'static str, diagonal: i64, keep: fn(&Tensor, &Tensor) -> Tensor) -> Tensor {
        if self.rank() < 2 {
            return self.refuse(op, "it is for matrices");
        }
        let (rows, columns) = (self.rank() - 2, self.rank() - 1);
        let row = self.iota(DType::I32, self.shape().clone(), rows) + diagonal;
        let column = self.iota(DType::I32, self.shape().clone(), columns);
        self.masked_fill(&keep(&row, &column).logical_not(), 0)
    }

    /// A slice whose bounds are known to be on the axis.
    #[track_caller]
    pub(crate) fn slice_exact(&self, axis: usize, start: usize, limit: usize, step: usize) -> Tensor {
        if (start, limit, step) == (0, self.shape()[axis], 1) {
            return self.clone();
        }
        let mut slice = Slice {
            start: Axes::from_elem(0, self.rank()),
            limit: self.shape().iter().copied().collect(),
            step: Axes::from_elem(1, self.rank()),
        };
        (slice.start[axis], slice.limit[axis], slice.step[axis]) = (start, limit, step);
        self.record(Op::Slice(slice), &[])
    }
}

/// Tensors one after the other along an axis.
///
/// Shapes: equal but for that axis; as in PyTorch, an empty vector may stand for a tensor without elements. Types:
/// promoted to one. Errors: the other extents differ.
///
/// # Panics
/// When there are no tensors: nothing says which trace the result would belong to.
///
/// ```
/// # use kiln::prelude::*;
/// # let tracer = Tracer::new("cat");
/// # let x = tracer.input("x", f32(&[4, 3]));
/// assert_eq!(cat(&[&x, &x], -1).extents(), [4, 6]);
/// ```
#[track_caller]
pub fn cat(tensors: &[&Tensor], axis: i64) -> Tensor {
    let is_nothing = |x: &&&Tensor| x.extents() == [0];
    let kept: SmallVec<[&Tensor; 4]> = tensors.iter().filter(|x| !is_nothing(x)).copied().collect();
    let tensors = if kept.is_empty() { tensors } else { &kept[..] };
    let first = tensors.first().expect("`cat` of no tensors");
    let axis = match first.axis("cat", axis) {
        Ok(axis) => axis,
        Err(poisoned) => return poisoned,
    };
    let mut dtype = first.dtype();
    for tensor in tensors {
        dtype = promote_types(dtype, tensor.dtype());
    }
    let mut operands: SmallVec<[Tensor; 4]> = SmallVec::new();
    for tensor in tensors {
        operands.push(tensor.cast(dtype));
    }
    let operands: SmallVec<[&Tensor; 4]> = operands.iter().collect();
    first.called("cat", || first.tracer().record(Op::Concatenate(axis), &operands))
}

/// Tensors of one shape along a new axis.
///
/// Errors: the shapes differ.
///
/// # Panics
/// When there are no tensors.
#[track_caller]
pub fn stack(tensors: &[&Tensor], axis: i64) -> Tensor {
    let first = tensors.first().expect("`stack` of no tensors");
    first.called("stack", || {
        let operands: SmallVec<[Tensor; 4]> = tensors.iter().map(|tensor| tensor.unsqueeze(axis)).collect();
        cat(&operands.iter().collect::<SmallVec<[&Tensor; 4]>>(), axis)
    })
}

/// Elements of `on_true` where the condition is true, of `on_false` elsewhere; see [`Tensor::select`].
#[track_caller]
pub fn where_(condition: &Tensor, on_true: impl Into<Operand>, on_false: impl Into<Operand>) -> Tensor {
    condition.called("where", || condition.select(on_true, on_false))
}

/// The bounds of a Python slice on an axis.
fn resolve(range: &impl RangeBounds<i64>, extent: usize) -> (usize, usize) {
    let n = extent as i64;
    let place = |bound: i64| (if bound < 0 { bound + n } else { bound }).clamp(0, n);
    let start = match range.start_bound() {
        Bound::Included(&start) => place(start),
        Bound::Excluded(&start) => place(start).saturating_add(1).min(n),
        Bound::Unbounded => 0,
    };
    let limit = match range.end_bound() {
        Bound::Included(&-1) => n,
        Bound::Included(&end) => place(end.saturating_add(1)),
        Bound::Excluded(&end) => place(end),
        Bound::Unbounded => n,
    };
    (start as usize, limit.max(start) as usize)
}

#[cfg(test)]
mod tests {
    use super::resolve;

    #[test]
    fn bounds_resolve_as_in_python() {
        // Not written `1..-1`, which clippy takes for a mistake.
        let range = |start, end| start..end;
        assert_eq!(resolve(&range(1, -1), 5), (1, 4));
        assert_eq!(resolve(&(-2..), 5), (3, 5));
        assert_eq!(resolve(&(..=-1), 5), (0, 5));
        assert_eq!(resolve(&(3..99), 5), (3, 5));
        assert_eq!(resolve(&range(4, 2), 5), (4, 4));
        assert_eq!(resolve(&(..), 0), (0, 0));
    }
}
