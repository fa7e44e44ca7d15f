//! Places in an order, membership and counts. None of it has a gradient, but for weights.

use super::Tensor;
use kiln_ir::{DType, Shape};

impl Tensor {
    /// For each value the number of elements of this sorted line that come before it: where it would be inserted, before
    /// equal elements, or behind them if `right`. `i64`.
    ///
    /// Shapes: `self: [n]` and values of any shape, or `self: [.., n]` and `values: [.., m]`; the result has that of the
    /// values. Each value is compared with each element of its line.
    #[track_caller]
    pub fn searchsorted(&self, values: &Tensor, right: bool) -> Tensor {
        if self.rank() == 0 {
            return self.refuse("searchsorted", "it needs a line to search in");
        }
        self.within("searchsorted", || {
            let line = if self.rank() == 1 { self.clone() } else { self.unsqueeze(-2) };
            let value = values.unsqueeze(-1);
            let is_before = if right { line.le(value) } else { line.lt(value) };
            is_before.cast(DType::I64).sum(-1)
        })
    }

    /// Whether each element is one of `others`, which may have any shape. Each is compared with each.
    #[track_caller]
    pub fn isin(&self, others: &Tensor) -> Tensor {
        self.within("isin", || self.unsqueeze(-1).eq(others.reshape([-1])).any(-1))
    }

    /// The indices of the first `n` elements that are not zero, in row-major order, one in each row; of fewer the rest of the
    /// rows is `fill` (PyTorch's `nonzero_static`, whose shape does not depend on values).
    ///
    /// Shapes: `[n, rank]` of `i64`.
    #[track_caller]
    pub fn nonzero_static(&self, n: usize, fill: i64) -> Tensor {
        self.within("nonzero_static", || {
            let shape = [n, self.rank()];
            if n == 0 || self.rank() == 0 || self.n_elements() == 0 {
                return self.fill(DType::I64, Shape::new(&shape), fill as f64);
            }
            let is_zero = self.reshape([-1]).eq(0);
            // A sort keeps the order of equal elements.
            let order = is_zero.cast(DType::I32).argsort(0, false);
            let count = is_zero.logical_not().cast(DType::I64).sum(..);
            let kept = n.min(self.n_elements()) as i64;
            let first = order.slice(0, ..kept).pad(&[(0, n as i64 - kept)], 0.0);
            let extents: Vec<i64> = self.extents().iter().map(|&extent| extent as i64).collect();
            let rows = super::stack(&first.unravel_index(&extents).iter().collect::<Vec<_>>(), 1);
            self.places(n).lt(count).unsqueeze(1).select(rows, fill)
        })
    }

    /// Indices in row-major order as indices along each axis of these extents. Types: integers.
    #[track_caller]
    pub fn unravel_index(&self, extents: &[i64]) -> Vec<Tensor> {
        if self.dtype().is_float() {
            return vec![self.refuse("unravel_index", "indices are integers"); extents.len()];
        }
        self.within("unravel_index", || {
            let behind = |axis: usize| extents[axis + 1..].iter().product::<i64>();
            (0..extents.len()).map(|axis| self.div_floor(behind(axis)).remainder(extents[axis])).collect()
        })
    }

    /// How often each of the numbers from 0 to `n - 1` occurs, or the sum of the weights of where it does.
    ///
    /// Shapes: any, weights the same; the result is `[n]`. Types: integers; the result is `i64`, or of the weights' type.
    #[track_caller]
    pub fn bincount(&self, n: usize, weights: Option<&Tensor>) -> Tensor {
        if self.dtype().is_float() {
            return self.refuse("bincount", "it counts integers");
        }
        self.within("bincount", || {
            let index = self.cast(DType::I64).reshape([-1]);
            let updates = weights.map_or_else(|| index.ones_like(), |weights| weights.reshape([-1]));
            let counts = self.fill(updates.dtype(), [n].into(), 0.0);
            if index.n_elements() == 0 { counts } else { counts.scatter_add(0, &index, &updates) }
        })
    }

    /// How many elements lie in each of `bins` parts of the same width between `low` and `high`, both included, in the type
    /// of `self`; others do not count. With equal bounds those of the elements, or one less and one more of equal elements.
    #[track_caller]
    pub fn histc(&self, bins: usize, low: f64, high: f64) -> Tensor {
        self.within("histc", || {
            let x = self.reshape([-1]);
            let number = |value: f64| x.fill(x.dtype(), Shape::scalar(), value);
            let (mut from, mut to) = (number(low), number(high));
            if low == high && x.n_elements() > 0 {
                (from, to) = (x.min(..), x.max(..));
            }
            let is_point = from.eq(&to);
            let (from, to) = (is_point.select(&from - 1.0, &from), is_point.select(&to + 1.0, &to));
            let place = ((&x - &from) / (&to - &from) * bins as f64).floor().clamp_max(bins as f64 - 1.0);
            let is_inside = x.ge(&from).logical_and(x.le(&to));
            let place = is_inside.select(place, -1.0).cast(DType::I64);
            place.bincount(bins, Some(&x.ones_like()))
        })
    }

    /// How many elements lie between neighbouring `edges` (a vector in order), or the sum of their weights; the last part
    /// includes its upper edge. With `density` the share of all, divided by the width.
    #[track_caller]
    pub fn histogram(&self, edges: &Tensor, weights: Option<&Tensor>, density: bool) -> Tensor {
        let bins = edges.n_elements().saturating_sub(1);
        if edges.rank() != 1 || bins == 0 {
            return edges.refuse("histogram", "the edges are a vector of at least two");
        }
        self.within("histogram", || {
            let x = self.reshape([-1]);
            let is_last = x.eq(edges.select_index(0, -1));
            let place = is_last.select(bins as i64 - 1, edges.searchsorted(&x, true) - 1);
            let ones = x.ones_like();
            let counts = place.bincount(bins, Some(weights.unwrap_or(&ones)));
            if density { &counts / counts.sum(..) / edges.diff(1, 0) } else { counts }
        })
    }
}
