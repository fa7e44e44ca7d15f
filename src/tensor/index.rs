//! Elements by index.
//!
//! Indices are `i32` or `i64`, counted from 0. An index that is not on the axis reads as zero and is dropped when
//! scattered: indices are only known when the program runs, and a compiled step has no error path.

use super::Tensor;
use kiln_ir::{Axes, DType, Op, Shape};

impl Tensor {
    /// `result[.., i, ..] = self[.., indices[.., i, ..], ..]`: one element for each index.
    ///
    /// Shapes: indices have the rank of `self`, and on the other axes at most its extents; the result has theirs. Indices
    /// may be `u8`, and a scalar is a line of one element.
    #[track_caller]
    pub fn gather(&self, axis: i64, indices: &Tensor) -> Tensor {
        if self.rank() == 0 {
            return self.within("gather", || self.reshape([1]).take(indices));
        }
        if indices.n_elements() == 0 {
            return self.fill(self.dtype(), indices.shape().clone(), 0.0);
        }
        let indices = &indices.as_index();
        let at = match self.axis("gather", axis) {
            Ok(at) => at,
            Err(poisoned) => return poisoned,
        };
        self.within("gather", || {
            let mut x = self.clone();
            // Elements beyond the indices' extents are not read.
            for other in (0..self.rank().min(indices.rank())).filter(|&a| a != at) {
                if indices.shape()[other] < x.shape()[other] {
                    x = x.slice_exact(other, 0, indices.shape()[other], 1);
                }
            }
            x.record(Op::Gather(at), &[indices])
        })
    }

    /// `self` with `updates[.., i, ..]` added to `self[.., indices[.., i, ..], ..]`.
    ///
    /// Shapes: indices and updates have one rank; updates at least the extents of the indices; on the other axes
    /// indices have at most the extents of `self`. Types: numbers, `updates` as `self`.
    #[track_caller]
    pub fn scatter_add(&self, axis: i64, indices: &Tensor, updates: &Tensor) -> Tensor {
        if self.rank() == 0 {
            return self.within("scatter_add", || self + updates.sum(..));
        }
        let indices = &indices.as_index();
        let at = match self.axis("scatter_add", axis) {
            Ok(at) => at,
            Err(poisoned) => return poisoned,
        };
        self.within("scatter_add", || {
            let mut updates = updates.clone();
            for a in 0..updates.rank().min(indices.rank()) {
                if indices.shape()[a] < updates.shape()[a] {
                    updates = updates.slice_exact(a, 0, indices.shape()[a], 1);
                }
            }
            let extent = self.shape()[at];
            let mut added = updates.record(Op::ScatterAdd { axis: at, extent }, &[indices]);
            let missing = |a: usize| self.shape()[a] as i64 - added.shape()[a] as i64;
            if added.rank() == self.rank() && (0..self.rank()).any(|a| missing(a) > 0) {
                let after: Vec<(i64, i64)> = (0..self.rank()).map(|a| (0, missing(a))).collect();
                added = added.pad(&after, 0.0);
            }
            self + added
        })
    }

    /// Whole slices of an axis, by a vector of indices.
    ///
    /// Shapes: `indices: [n]`, or a scalar as one index; the axis gets extent `n`. A scalar is a line of one element.
    #[track_caller]
    pub fn index_select(&self, axis: i64, indices: &Tensor) -> Tensor {
        if self.rank() == 0 {
            return self.within("index_select", || self.reshape([1]).take(&indices.reshape([1])).reshape([]));
        }
        let indices = &indices.as_index().atleast_1d();
        let at = match self.axis("index_select", axis) {
            Ok(at) => at,
            Err(poisoned) => return poisoned,
        };
        if indices.rank() != 1 {
            return indices.refuse("index_select", "the indices need one axis");
        }
        self.within("index_select", || {
            let shape = self.shape().with_extent(at, indices.shape()[0]);
            self.record(Op::Gather(at), &[&indices.along(shape, at)])
        })
    }

    /// Elements by their index in row-major order. Shapes: the result has that of the indices.
    #[track_caller]
    pub fn take(&self, indices: &Tensor) -> Tensor {
        self.within("take", || {
            let flat = self.reshape_exact([self.n_elements()].into());
            let index = indices.as_index().reshape_exact([indices.n_elements()].into());
            flat.record(Op::Gather(0), &[&index]).reshape_exact(indices.shape().clone())
        })
    }

    /// Rows of this table, by indices of any shape.
    ///
    /// Shapes: `self: [n, width]`, `indices: [..]` -> `[.., width]`. Errors: the table has not two axes; the indices are no
    /// integers.
    ///
    /// ```
    /// # use kiln::prelude::*;
    /// # let tracer = Tracer::new("embedding");
    /// # let table = tracer.input("table", f32(&[65, 128]));
    /// # let ids = tracer.input("ids", i64(&[32, 64]));
    /// assert_eq!(table.embedding(&ids).extents(), [32, 64, 128]);
    /// ```
    #[track_caller]
    pub fn embedding(&self, indices: &Tensor) -> Tensor {
        if self.rank() != 2 {
            return self.refuse("embedding", "the table needs two axes");
        }
        if !indices.dtype().is_int() {
            return indices.refuse("embedding", "indices are integers");
        }
        self.within("embedding", || {
            let flat = indices.reshape_exact([indices.n_elements()].into());
            let rows = self.index_select(0, &flat);
            let width = self.shape()[1];
            rows.reshape_exact(indices.shape().iter().copied().chain([width]).collect())
        })
    }

    /// For each index a row of `n` numbers, 1 at the index and 0 elsewhere: `i64`, of shape `[.., n]`. Types: integers.
    #[track_caller]
    pub fn one_hot(&self, n: usize) -> Tensor {
        if !self.dtype().is_int() {
            return self.refuse("one_hot", "indices are integers");
        }
        self.within("one_hot", || self.marks(self.rank(), n).cast(DType::I64))
    }

    /// Truth values along a new axis of extent `n`: whether the place on it is the index.
    ///
    /// What picks one element of a row without a gather, so that it fuses with what else is done with the row.
    pub(crate) fn marks(&self, axis: usize, n: usize) -> Tensor {
        let (before, after) = self.shape().split_at(axis);
        let shape: Shape = before.iter().copied().chain([n]).chain(after.iter().copied()).collect();
        let axes: Axes = (0..shape.rank()).filter(|&a| a != axis).collect();
        let places = self.iota(self.dtype(), shape.clone(), axis);
        self.record(Op::Broadcast { shape, axes }, &[]).eq(places)
    }

    /// A vector repeated to a shape in which it runs along `axis`.
    #[track_caller]
    fn along(&self, shape: Shape, axis: usize) -> Tensor {
        if *self.shape() == shape {
            return self.clone();
        }
        self.record(Op::Broadcast { shape, axes: Axes::from_slice(&[axis]) }, &[])
    }
}
