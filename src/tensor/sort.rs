//! Orders: sorting, and the elements at places of the order.
//!
//! Along an axis; a scalar is a line of one element, as in PyTorch. Types: numbers. Equal elements keep their order. The
//! gradient of an element goes to where it came from. Errors: an axis that does not exist.
//!
//! NaN comes after all numbers, or before them in decreasing order.

use super::convert::Checked;
use super::{Tensor, keep};
use kiln_ir::op::sort::ArgSort;
use kiln_ir::{DType, Op, Shape};

impl Tensor {
    /// The elements in order, and the index of each: the least first, or the greatest if `descending`.
    #[track_caller]
    pub fn sort(&self, axis: i64, descending: bool) -> (Tensor, Tensor) {
        self.within("sort", || match self.ordered("sort", axis, descending, 0) {
            Ok(indices) => (self.gathered(axis, &indices), indices),
            Err(poisoned) => both(poisoned),
        })
    }

    /// The indices of the elements in order; see [`sort`](Tensor::sort).
    #[track_caller]
    pub fn argsort(&self, axis: i64, descending: bool) -> Tensor {
        if self.rank() == 0 {
            return self.fill(DType::I64, Shape::scalar(), 0.0);
        }
        match self.axis("argsort", axis) {
            Ok(axis) => self.record(Op::ArgSort(ArgSort { axis, descending }), &[]),
            Err(poisoned) => poisoned,
        }
    }

    /// The indices of the elements in order, of which so many are needed.
    #[track_caller]
    fn ordered(&self, op: &'static str, axis: i64, descending: bool, n_needed: usize) -> Checked<Tensor> {
        let extent = if self.rank() == 0 { 1 } else { self.shape()[self.axis(op, axis)?] };
        if n_needed > extent {
            return Err(
                self.refuse(op, format!("axis {axis} has {extent} elements, {n_needed} are asked for"))
            );
        }
        Ok(self.argsort(axis, descending))
    }

    /// The `k` greatest elements in order, or the least ones, and their indices; the axis gets extent `k`.
    #[track_caller]
    pub fn topk(&self, k: usize, axis: i64, largest: bool) -> (Tensor, Tensor) {
        self.within("topk", || match self.ordered("topk", axis, largest, k) {
            Ok(indices) => {
                let indices = if self.rank() == 0 { indices } else { indices.narrow(axis, 0, k) };
                (self.gathered(axis, &indices), indices)
            }
            Err(poisoned) => both(poisoned),
        })
    }

    /// Element number `k` in increasing order (the least is number 1), and its index; the axis disappears, or stays in
    /// [`keep`].
    #[track_caller]
    pub fn kthvalue(&self, k: usize, axis: i64, keep_axis: bool) -> (Tensor, Tensor) {
        self.within("kthvalue", || {
            let indices = match self.ordered("kthvalue", axis, false, k) {
                Ok(_) if k == 0 => return both(self.refuse("kthvalue", "elements are counted from 1")),
                Ok(indices) => indices,
                Err(poisoned) => return both(poisoned),
            };
            if self.rank() == 0 {
                return (self.clone(), indices);
            }
            let index = indices.narrow(axis, k as i64 - 1, 1);
            let value = self.gather(axis, &index);
            if keep_axis { (value, index) } else { (value.squeeze(axis), index.squeeze(axis)) }
        })
    }

    /// The element at a place of each line's order, which stands at extent 1 along the axis, and its index.
    fn at_places(&self, order: &Tensor, place: &Tensor, axis: i64, keep_axis: bool) -> (Tensor, Tensor) {
        let index = order.gather(axis, place);
        let value = self.gather(axis, &index);
        if keep_axis { (value, index) } else { (value.squeeze(axis), index.squeeze(axis)) }
    }

    /// The element in the middle of the order along an axis, the lower one of two, and its index; the first NaN of a
    /// line that contains one.
    #[track_caller]
    pub fn median(&self, axis: i64, keep_axis: bool) -> (Tensor, Tensor) {
        self.within("median", || {
            self.in_the_middle(axis, keep_axis, |n_numbers, extent| {
                let middle = (extent - 1) / 2;
                n_numbers.eq(extent).select(middle, n_numbers)
            })
        })
    }

    /// As [`median`](Tensor::median) of the elements that are not NaN.
    #[track_caller]
    pub fn nanmedian(&self, axis: i64, keep_axis: bool) -> (Tensor, Tensor) {
        self.within("nanmedian", || {
            self.in_the_middle(axis, keep_axis, |n_numbers, _| (n_numbers - 1).clamp_min(0).div_floor(2))
        })
    }

    /// The element at a place of each line's order that follows from how many of its elements are numbers, and from its
    /// extent. NaN comes after all numbers.
    #[track_caller]
    fn in_the_middle(
        &self,
        axis: i64,
        keep_axis: bool,
        place: impl Fn(&Tensor, i64) -> Tensor,
    ) -> (Tensor, Tensor) {
        if self.rank() == 0 {
            return (self.clone(), self.argsort(axis, false));
        }
        let at = match self.axis("median", axis) {
            Ok(at) => at,
            Err(poisoned) => return both(poisoned),
        };
        let order = self.argsort(axis, false);
        let n_numbers = self.isnan().logical_not().cast(DType::I64).sum(keep(axis));
        self.at_places(&order, &place(&n_numbers, self.shape()[at] as i64), axis, keep_axis)
    }

    /// The most frequent element along an axis (the least of several), and the index of its last occurrence.
    #[track_caller]
    pub fn mode(&self, axis: i64, keep_axis: bool) -> (Tensor, Tensor) {
        self.within("mode", || {
            if self.rank() == 0 {
                return (self.clone(), self.zeros_like().cast(DType::I64));
            }
            let lines = self.movedim(axis, -1);
            let counts = lines.unsqueeze(-1).eq(lines.unsqueeze(-2)).sum(-1);
            let is_most = counts.eq(counts.max(keep(-1)));
            let least = is_most.select(&lines, f64::INFINITY).min(keep(-1));
            let n = lines.shape()[lines.rank() - 1] as i64;
            let found = lines.eq(&least).cast(DType::I32).flip(-1).argmax(keep(-1));
            let index = (n - 1 - found).movedim(-1, axis);
            let value = self.gather(axis, &index);
            if keep_axis { (value, index) } else { (value.squeeze(axis), index.squeeze(axis)) }
        })
    }

    /// The elements at these shares (0 to 1, a scalar or a vector) of the order along an axis; between two elements as
    /// `interpolation` says. NaN anywhere in a line makes its quantiles NaN.
    ///
    /// Shapes: of a scalar the axis disappears, or stays with extent 1; for a vector there is a new first axis.
    #[track_caller]
    pub fn quantile(&self, q: &Tensor, axis: i64, keep_axis: bool, interpolation: Interpolation) -> Tensor {
        self.within("quantile", || {
            self.quantiles(q, axis, keep_axis, interpolation, |lines, shares| {
                let last = lines.shape()[lines.rank() - 1] as f64 - 1.0;
                // The greatest element of a line with NaN is NaN.
                lines.isnan().any(keep(-1)).select(last, shares * last)
            })
        })
    }

    /// As [`quantile`](Tensor::quantile) of the elements that are not NaN.
    #[track_caller]
    pub fn nanquantile(
        &self,
        q: &Tensor,
        axis: i64,
        keep_axis: bool,
        interpolation: Interpolation,
    ) -> Tensor {
        self.within("nanquantile", || {
            self.quantiles(q, axis, keep_axis, interpolation, |lines, shares| {
                let count = lines.isnan().logical_not().cast(lines.dtype()).sum(keep(-1));
                // Of a line without numbers the first element is NaN.
                (shares * (count - 1.0)).clamp_min(0.0)
            })
        })
    }

    /// The elements at places of the order, which a function computes from lines `[.., extent]` and the shares
    /// (`[.., shares]`, or a scalar).
    #[track_caller]
    fn quantiles(
        &self,
        q: &Tensor,
        axis: i64,
        keep_axis: bool,
        interpolation: Interpolation,
        places: impl Fn(&Tensor, &Tensor) -> Tensor,
    ) -> Tensor {
        if let Err(poisoned) = self.atleast_1d().axis("quantile", axis) {
            return poisoned;
        }
        let lines = self.atleast_1d().movedim(axis, -1);
        let sorted = lines.sort(-1, false).0;
        let places = places(&lines, &q.atleast_1d().cast(lines.dtype()));
        let shape: Shape =
            lines.shape()[..lines.rank() - 1].iter().copied().chain([q.n_elements()]).collect();
        let places = places.broadcast_to(shape);
        let last = lines.shape()[lines.rank() - 1] as i64 - 1;
        let at = |place: Tensor| sorted.gather(-1, &place.cast(DType::I64).clamp(0, last));
        let (below, above) = (places.floor(), places.ceil());
        let found = match interpolation {
            Interpolation::Linear => at(below.clone()).lerp(&at(above), &places - &below),
            Interpolation::Lower => at(below),
            Interpolation::Higher => at(above),
            Interpolation::Nearest => at(places.round()),
            Interpolation::Midpoint => at(below).lerp(&at(above), 0.5),
        };
        let keeps = keep_axis && self.rank() > 0;
        match (q.rank(), keeps) {
            (0, true) => found.movedim(-1, axis),
            (0, false) => found.squeeze(-1),
            (_, true) => found.movedim(-1, 0).unsqueeze(if axis < 0 { axis } else { axis + 1 }),
            (_, false) if self.rank() == 0 => found,
            (_, false) => found.movedim(-1, 0),
        }
    }
}

/// What lies between two elements of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interpolation {
    /// The point between them that divides their distance as the place does.
    Linear,
    /// The lesser one.
    Lower,
    /// The greater one.
    Higher,
    /// The nearer one; the even one of two that are as near.
    Nearest,
    /// The point in the middle.
    Midpoint,
}

/// A mistake in place of two results.
fn both(poisoned: Tensor) -> (Tensor, Tensor) {
    (poisoned.clone(), poisoned)
}
