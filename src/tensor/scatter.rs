//! Elements replaced or combined by index.
//!
//! Indices are `i32`, `i64` or `u8`, counted from 0; one that is not on the axis is dropped. A scalar is a line of one element. Errors: axes that do not exist; shapes that do not fit.

use super::scatter_lines::Sent;
use super::{Operand, Tensor, cat, keep};
use kiln_ir::DType;

/// How elements that are sent to one place are combined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Combine {
    /// Their sum.
    Sum,
    /// Their product.
    Prod,
    /// Their mean; of integers it is rounded down.
    Mean,
    /// The greatest one.
    Max,
    /// The least one.
    Min,
}

impl Combine {
    /// What changes nothing.
    fn nothing(self) -> f64 {
        match self {
            Combine::Sum | Combine::Mean => 0.0,
            Combine::Prod => 1.0,
            Combine::Max => f64::NEG_INFINITY,
            Combine::Min => f64::INFINITY,
        }
    }
}

impl Tensor {
    /// `self` with `result[.., indices[.., i, ..], ..] = source[.., i, ..]`; of several sources for one place their mean
    /// (PyTorch takes one of them).
    ///
    /// Shapes: as for [`scatter_add`](Tensor::scatter_add); `source` may be one number.
    #[track_caller]
    pub fn scatter(&self, axis: i64, indices: &Tensor, source: impl Into<Operand>) -> Tensor {
        let source = source.into();
        self.within("scatter", || {
            let source = match source {
                Operand::Tensor(source) if source.rank() == indices.rank() => source.cast(self.dtype()),
                Operand::Tensor(source) => source.cast(self.dtype()).broadcast_to(indices.shape().clone()),
                number => {
                    indices.operand_beside(number).cast(self.dtype()).broadcast_to(indices.shape().clone())
                }
            };
            if self.rank() == 0 {
                return if indices.n_elements() == 0 { self.clone() } else { source.reshape([]) };
            }
            let indices = indices.as_index();
            let zeros = self.zeros_like();
            let count =
                zeros.cast(DType::I64).scatter_add(axis, &indices, &source.ones_like().cast(DType::I64));
            let sum = zeros.scatter_add(axis, &indices, &source);
            let divisor = count.clamp_min(1);
            let mean = if sum.dtype().is_float() { sum / divisor } else { sum.div_trunc(divisor) };
            count.gt(0).select(mean.cast(self.dtype()), self)
        })
    }

    /// Indices in a type that can be gathered with.
    pub(super) fn as_index(&self) -> Tensor {
        if self.dtype() == DType::U8 { self.cast(DType::I64) } else { self.clone() }
    }

    /// `self` combined with the elements of `source` that are sent to each place; without `include_self` what is there
    /// counts only where nothing is sent.
    ///
    /// Shapes: as for [`scatter_add`](Tensor::scatter_add). The work of sums and means grows with what is sent, that of extrema
    /// a little faster, since it is sorted; for products each place is compared with each index of its line. The gradient
    /// of equal extrema is spread evenly.
    #[track_caller]
    pub fn scatter_reduce(
        &self,
        axis: i64,
        indices: &Tensor,
        source: &Tensor,
        combine: Combine,
        include_self: bool,
    ) -> Tensor {
        if self.rank() == 0 {
            let lines = [self, indices, source].map(|x| x.reshape([1]));
            return lines[0].scatter_reduce(0, &lines[1], &lines[2], combine, include_self).reshape([]);
        }
        let at = match self.axis("scatter_reduce", axis) {
            Ok(at) => at,
            Err(poisoned) => return poisoned,
        };
        if (indices.rank(), source.rank()) != (self.rank(), self.rank()) {
            return self.refuse("scatter_reduce", "indices and sources need its number of axes");
        }
        self.within("scatter_reduce", || {
            let indices = indices.as_index();
            // On the other axes nothing is sent beyond the indices: index -1.
            let cut =
                (0..self.rank()).fold(source.clone(), |x, a| x.slice_exact(a, 0, indices.shape()[a], 1));
            let missing =
                |a: usize| if a == at { 0 } else { self.shape()[a] as i64 - indices.shape()[a] as i64 };
            let border: Vec<(i64, i64)> = (0..self.rank()).map(|a| (0, missing(a))).collect();
            let [x, indices, source] = [self.clone(), indices.pad(&border, -1.0), cut.pad(&border, 0.0)]
                .map(|x| x.movedim(at as i64, -1));
            x.combined_lines(&indices, &source, combine, include_self).movedim(-1, at as i64)
        })
    }

    /// As [`scatter_reduce`](Tensor::scatter_reduce), along the last axis, with all other extents alike.
    fn combined_lines(
        &self,
        indices: &Tensor,
        source: &Tensor,
        combine: Combine,
        include_self: bool,
    ) -> Tensor {
        if self.dtype() != DType::Bool && indices.n_elements() > 0 {
            let source = &source.cast(self.dtype());
            let sent = Sent { own: self, indices, source, include_self };
            if let Some(combined) = sent.combined(combine) {
                return combined;
            }
        }
        let n = self.shape()[self.rank() - 1];
        let places = self.iota(indices.dtype(), [n].into(), 0).unsqueeze(-1);
        let hit = indices.unsqueeze(-2).eq(places);
        let own = self.unsqueeze(-1);
        let itself = own.ones_like().cast(DType::Bool);
        let itself = if include_self { itself } else { itself.logical_not() };
        let nothing = combine.nothing();
        let rows = cat(&[&hit.select(source.unsqueeze(-2), nothing), &itself.select(&own, nothing)], -1);
        let rows = rows.cast(self.dtype());
        let any = hit.any(-1);
        // Rows of nothing but `nothing` would be infinite, or divided by 0.
        let used = any.logical_or(itself.squeeze(-1)).unsqueeze(-1);
        let rows = used.select(&rows, rows.ones_like());
        let reduced = match combine {
            Combine::Sum => rows.sum(-1),
            Combine::Prod => rows.prod(-1),
            Combine::Max => rows.max(-1),
            Combine::Min => rows.min(-1),
            Combine::Mean => {
                let count = cat(&[&hit, &itself], -1).sum(keep(-1));
                let count = used.select(&count, 1).squeeze(-1);
                if self.dtype().is_float() { rows.sum(-1) / count } else { rows.sum(-1).div_floor(count) }
            }
        };
        any.select(reduced.cast(self.dtype()), self)
    }

    /// Indices of one axis, repeated along the others of `source`.
    fn spread_index(
        &self,
        op: &'static str,
        axis: i64,
        index: &Tensor,
        source: &Tensor,
    ) -> Result<Tensor, Tensor> {
        let at = source.axis(op, axis)?;
        let index = index.as_index().reshape([-1]);
        if index.shape()[0] != source.shape()[at] {
            return Err(
                self.refuse(op, format!("{} indices for {} slices", index.shape()[0], source.shape()[at]))
            );
        }
        let column: Vec<i64> = (0..source.rank()).map(|a| if a == at { -1 } else { 1 }).collect();
        Ok(index.reshape(column).expand_as(source))
    }

    /// `self` with slices of an axis replaced: slice `index[i]` by slice `i` of `source`.
    #[track_caller]
    pub fn index_copy(&self, axis: i64, index: &Tensor, source: &Tensor) -> Tensor {
        self.by_slices("index_copy", axis, index, source, |x, at, source| x.scatter(axis, at, source))
    }

    /// `self` with slices added: slice `i` of `source`, times `alpha`, to slice `index[i]` of an axis.
    #[track_caller]
    pub fn index_add(&self, axis: i64, index: &Tensor, source: &Tensor, alpha: f64) -> Tensor {
        self.by_slices("index_add", axis, index, source, |x, at, source| {
            x.scatter_add(axis, at, &super::binary::scaled(source.clone(), alpha).cast(x.dtype()))
        })
    }

    /// `self` with slices combined: slice `i` of `source` with slice `index[i]` of an axis; see
    /// [`scatter_reduce`](Tensor::scatter_reduce).
    #[track_caller]
    pub fn index_reduce(
        &self,
        axis: i64,
        index: &Tensor,
        source: &Tensor,
        combine: Combine,
        include_self: bool,
    ) -> Tensor {
        self.by_slices("index_reduce", axis, index, source, |x, at, source| {
            x.scatter_reduce(axis, at, source, combine, include_self)
        })
    }

    /// `self` with the slices of an axis that an index names replaced by one number.
    #[track_caller]
    pub fn index_fill(&self, axis: i64, index: &Tensor, value: impl Into<Operand>) -> Tensor {
        let value = value.into();
        self.within("index_fill", || {
            let x = self.atleast_1d();
            let at = match x.axis("index_fill", axis) {
                Ok(at) => at,
                Err(poisoned) => return poisoned,
            };
            let extent = x.shape()[at];
            let index = index.as_index().reshape([-1]);
            let index = index.lt(0).select(&index + extent as i64, &index);
            let named = index.marks(1, extent).any(0);
            let column: Vec<i64> = (0..x.rank()).map(|a| if a == at { -1 } else { 1 }).collect();
            x.masked_fill(&named.reshape(column), value).reshape_exact(self.shape().clone())
        })
    }

    #[track_caller]
    fn by_slices(
        &self,
        op: &'static str,
        axis: i64,
        index: &Tensor,
        source: &Tensor,
        function: impl FnOnce(&Tensor, &Tensor, &Tensor) -> Tensor,
    ) -> Tensor {
        self.within(op, || {
            let (x, source) = (self.atleast_1d(), source.atleast_1d());
            match x.spread_index(op, axis, index, &source) {
                Ok(at) => function(&x, &at, &source).reshape_exact(self.shape().clone()),
                Err(poisoned) => poisoned,
            }
        })
    }

    /// `self` with elements replaced, by their place in row-major order; with `accumulate` they are added.
    #[track_caller]
    pub fn put(&self, indices: &Tensor, source: &Tensor, accumulate: bool) -> Tensor {
        self.within("put", || {
            let (flat, at, source) = (self.reshape([-1]), indices.reshape([-1]), source.reshape([-1]));
            let n = self.n_elements() as i64;
            let at = at.lt(0).select(&at + n, &at);
            let result =
                if accumulate { flat.scatter_add(0, &at, &source) } else { flat.scatter(0, &at, &source) };
            result.reshape_exact(self.shape().clone())
        })
    }

    /// As [`gather`](Tensor::gather), but the other axes of both broadcast, and negative indices count from the end.
    #[track_caller]
    pub fn take_along(&self, indices: &Tensor, axis: i64) -> Tensor {
        self.within("take_along", || {
            let at = match self.axis("take_along", axis) {
                Ok(at) if self.rank() == indices.rank() => at,
                Ok(_) => return self.refuse("take_along", "indices need its number of axes"),
                Err(poisoned) => return poisoned,
            };
            let extent = self.shape()[at] as i64;
            let widened = |x: &Tensor, other: &Tensor| {
                let extents: Vec<usize> = (0..x.rank())
                    .map(|a| if a == at || x.shape()[a] != 1 { x.shape()[a] } else { other.shape()[a] })
                    .collect();
                x.broadcast_to(&extents[..])
            };
            let (x, indices) = (widened(self, indices), widened(indices, self));
            x.gather(axis, &indices.lt(0).select(&indices + extent, &indices))
        })
    }

    /// `self` with one slice of an axis replaced. Shapes: `source` is without the axis. Errors: no such slice.
    #[track_caller]
    pub fn select_scatter(&self, source: &Tensor, axis: i64, index: i64) -> Tensor {
        match self.axis("select_scatter", axis) {
            Ok(at) => {
                let extent = self.shape()[at] as i64;
                let from = if index < 0 { index + extent } else { index };
                if !(0..extent).contains(&from) {
                    return self.refuse("select_scatter", format!("index {index} is not on extent {extent}"));
                }
                let source = source.unsqueeze(at as i64);
                self.slice_scatter(&source, at as i64, from, from + 1, 1)
            }
            Err(poisoned) => poisoned,
        }
    }

    /// `self` with a part of an axis, from `start` to `end` in steps, replaced; bounds as in Python.
    #[track_caller]
    pub fn slice_scatter(&self, source: &Tensor, axis: i64, start: i64, end: i64, step: usize) -> Tensor {
        let at = match self.axis("slice_scatter", axis) {
            Ok(at) => at,
            Err(poisoned) => return poisoned,
        };
        let extent = self.shape()[at] as i64;
        let place = |bound: i64| (if bound < 0 { bound + extent } else { bound }).clamp(0, extent);
        if step == 0 {
            return self.refuse("slice_scatter", "a step of 0");
        }
        self.within("slice_scatter", || {
            let places: Vec<i64> = (place(start)..place(end)).step_by(step).collect();
            self.index_copy(at as i64, &self.indices(places), source)
        })
    }

    /// `self` with elements replaced where `mask` is true: by those of `source` in their order, as many as are needed.
    ///
    /// Shapes: `mask` broadcasts to `self`, or both to one shape.
    #[track_caller]
    pub fn masked_scatter(&self, mask: &Tensor, source: &Tensor) -> Tensor {
        self.within("masked_scatter", || {
            let shape = match self.broadcast_with("masked_scatter", mask) {
                Ok(shape) => shape,
                Err(poisoned) => return poisoned,
            };
            let (x, mask) = (self.broadcast_to(shape.clone()), mask.broadcast_to(shape.clone()));
            let place = mask.reshape([-1]).cast(DType::I64).cumsum(0) - 1;
            let taken = source.reshape([-1]).cast(x.dtype()).take(&place).reshape_exact(shape);
            mask.select(taken, x)
        })
    }
}
