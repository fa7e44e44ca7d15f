//! Orders: sorting, and the elements at places of the order.
//!
//! Along an axis; a scalar is a line of one element, as in PyTorch. Types: numbers. Equal elements keep their order. The
//! gradient of an element goes to where it came from. Errors: an axis that does not exist.
//!
//! An element's place is the number of those that come before it, so that the work grows with the square of the extent.
//! NaN has no place in the order: lines that contain it are not sorted.

use super::{Tensor, keep};
use kiln_ir::{DType, Shape};

impl Tensor {
    /// The elements in order, and the index of each: the least first, or the greatest if `descending`.
    #[track_caller]
    pub fn sort(&self, axis: i64, descending: bool) -> (Tensor, Tensor) {
        self.within("sort", || {
            let indices = self.argsort(axis, descending);
            (self.gathered(axis, &indices), indices)
        })
    }

    /// The indices of the elements in order; see [`sort`](Tensor::sort).
    #[track_caller]
    pub fn argsort(&self, axis: i64, descending: bool) -> Tensor {
        self.within("argsort", || {
            let [indices] = self.on_lines("argsort", axis, |x| {
                let last = x.rank() - 1;
                let shape: Shape = x.shape().iter().copied().chain([x.shape()[last]]).collect();
                let (this, other) = (x.unsqueeze(-1), x.unsqueeze(-2));
                let precedes = if descending { other.gt(&this) } else { other.lt(&this) };
                let place = |axis| x.iota(DType::I32, shape.clone(), axis);
                let ties = other.eq(&this).logical_and(place(last + 1).lt(place(last)));
                let place = precedes.logical_or(ties).cast(DType::I64).sum(-1);
                let index = x.iota(DType::I64, x.shape().clone(), last);
                [index.zeros_like().scatter_add(-1, &place, &index)]
            });
            indices
        })
    }

    /// The `k` greatest elements in order, or the least ones, and their indices; the axis gets extent `k`.
    #[track_caller]
    pub fn topk(&self, k: usize, axis: i64, largest: bool) -> (Tensor, Tensor) {
        self.within("topk", || {
            let indices = self.argsort(axis, largest);
            let indices = if self.rank() == 0 { indices } else { indices.narrow(axis, 0, k) };
            (self.gathered(axis, &indices), indices)
        })
    }

    /// Element number `k` in increasing order (the least is number 1), and its index; the axis disappears, or stays in
    /// [`keep`].
    #[track_caller]
    pub fn kthvalue(&self, k: usize, axis: i64, keep_axis: bool) -> (Tensor, Tensor) {
        self.within("kthvalue", || {
            let indices = self.argsort(axis, false);
            self.at_place(&indices, k as i64 - 1, axis, keep_axis)
        })
    }

    fn at_place(&self, order: &Tensor, place: i64, axis: i64, keep_axis: bool) -> (Tensor, Tensor) {
        if self.rank() == 0 {
            return (self.clone(), order.clone());
        }
        let index = order.narrow(axis, place, 1);
        let value = self.gather(axis, &index);
        if keep_axis { (value, index) } else { (value.squeeze(axis), index.squeeze(axis)) }
    }

    /// The element in the middle of the order along an axis, the lower one of two, and its index.
    #[track_caller]
    pub fn median(&self, axis: i64, keep_axis: bool) -> (Tensor, Tensor) {
        match self.atleast_1d().axis("median", axis) {
            Ok(at) => {
                let extent = self.shape().get(at).copied().unwrap_or(1);
                self.within("median", || self.kthvalue(extent.div_ceil(2), axis, keep_axis))
            }
            Err(poisoned) => (poisoned.clone(), poisoned),
        }
    }

    /// As [`median`](Tensor::median) of the elements that are not NaN.
    #[track_caller]
    pub fn nanmedian(&self, axis: i64, keep_axis: bool) -> (Tensor, Tensor) {
        self.within("nanmedian", || {
            if self.rank() == 0 {
                return (self.clone(), self.zeros_like().cast(DType::I64));
            }
            // NaN counts as the greatest; the place is in the middle of the others.
            let is_nan = self.isnan();
            let order = is_nan.select(f64::INFINITY, self).argsort(axis, false);
            let place = (is_nan.logical_not().sum(keep(axis)) - 1).clamp_min(0).div_floor(2);
            let index = order.gather(axis, &place);
            let value = self.gather(axis, &index);
            if keep_axis { (value, index) } else { (value.squeeze(axis), index.squeeze(axis)) }
        })
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
            let [is_nan] = self.isnan().on_lines("quantile", axis, |x| [x.any(keep(-1))]);
            let n = self.atleast_1d().movedim(axis, -1).shape().last().copied().unwrap_or(1);
            let rank = q.to_float() * (n as f64 - 1.0);
            let found = self.quantiles(&rank, axis, keep_axis, interpolation, q.rank());
            let is_nan = if keep_axis || self.rank() == 0 { is_nan } else { is_nan.squeeze(axis) };
            is_nan.select(f64::NAN, found)
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
            let line = self.atleast_1d();
            let count = line.isnan().logical_not().to_float().sum(keep(axis));
            let shares = if q.rank() == 0 {
                q.clone()
            } else {
                q.reshape(std::iter::once(-1).chain(std::iter::repeat_n(1, line.rank())).collect::<Vec<_>>())
            };
            let rank = shares.to_float() * (count - 1.0);
            let found = self.quantiles_at(&rank.clamp_min(0.0), axis, keep_axis, interpolation, q.rank());
            let none = line.isnan().all(keep(axis));
            let none = if keep_axis && self.rank() > 0 { none } else { none.squeeze(axis) };
            none.select(f64::NAN, found)
        })
    }

    fn quantiles(
        &self,
        rank: &Tensor,
        axis: i64,
        keep_axis: bool,
        interpolation: Interpolation,
        q_rank: usize,
    ) -> Tensor {
        let line = self.atleast_1d();
        let shape: Vec<i64> =
            std::iter::repeat_n(-1, q_rank).chain(std::iter::repeat_n(1, line.rank())).collect();
        self.quantiles_at(&rank.reshape(shape), axis, keep_axis, interpolation, q_rank)
    }

    /// The elements at places of the order: `rank` has the axes of `self`, with an axis of quantiles in front if
    /// `q_rank` is 1.
    fn quantiles_at(
        &self,
        rank: &Tensor,
        axis: i64,
        keep_axis: bool,
        interpolation: Interpolation,
        q_rank: usize,
    ) -> Tensor {
        let line = self.atleast_1d();
        let lines = line.movedim(axis, -1);
        let n = lines.shape()[lines.rank() - 1];
        let sorted = lines.isnan().select(f64::INFINITY, &lines).sort(-1, false).0;
        let rank = match q_rank {
            0 => rank.movedim(axis, -1),
            _ => rank.movedim(if axis < 0 { axis } else { axis + 1 }, -1),
        };
        // A sum over the line of which one element is not zero.
        let at = |place: &Tensor| {
            let place = place.cast(DType::I64).clamp(0, n as i64 - 1);
            let places = lines.iota(DType::I64, [n].into(), 0);
            place.eq(places).select(&sorted, 0.0).sum(keep(-1))
        };
        let (below, above) = (rank.floor(), rank.ceil());
        let value = match interpolation {
            Interpolation::Linear => at(&below).lerp(&at(&above), &rank - &below),
            Interpolation::Lower => at(&below),
            Interpolation::Higher => at(&above),
            Interpolation::Nearest => at(&rank.round()),
            Interpolation::Midpoint => (at(&below) + at(&above)) * 0.5,
        };
        let value = value.movedim(-1, if q_rank == 1 && axis >= 0 { axis + 1 } else { axis });
        let gone = if q_rank == 1 && axis >= 0 { axis + 1 } else { axis };
        if keep_axis && self.rank() > 0 { value } else { value.squeeze(gone) }
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
