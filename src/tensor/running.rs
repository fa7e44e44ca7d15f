//! Running reductions along an axis, differences, and integrals.
//!
//! Shapes: as `self`, unless a function says otherwise. Types: numbers. Errors: an axis that does not exist. A scalar is
//! a line of one element, as in PyTorch.
//!
//! But for sums, a line of `n` elements takes as many passes as `n` has binary digits: after the first one each element is
//! reduced with the one before it, then with the two before these, and so on (Hillis and Steele, *Data Parallel
//! Algorithms*, 1986).

use super::{Tensor, cat};
use kiln_ir::DType;

impl Tensor {
    /// The product of the elements up to each one.
    #[track_caller]
    pub fn cumprod(&self, axis: i64) -> Tensor {
        self.within("cumprod", || {
            self.on_lines("cumprod", axis, |x| {
                x.doubled(&[1.0], [x.clone()], |[before], [own]| [before * own])
            })
        })
        .into_first()
    }

    /// The greatest of the elements up to each one, and its index (the last, where several are greatest). After NaN all is
    /// NaN.
    #[track_caller]
    pub fn cummax(&self, axis: i64) -> (Tensor, Tensor) {
        self.within("cummax", || {
            self.running_extremum("cummax", axis, f64::NEG_INFINITY, |own, before| own.ge(before))
        })
    }

    /// The least of the elements up to each one, and its index (the last, where several are least). After NaN all is NaN.
    #[track_caller]
    pub fn cummin(&self, axis: i64) -> (Tensor, Tensor) {
        self.within("cummin", || {
            self.running_extremum("cummin", axis, f64::INFINITY, |own, before| own.le(before))
        })
    }

    /// `nothing` loses to every element, and `is_kept` says whether an element wins against the one before it.
    #[track_caller]
    fn running_extremum(
        &self,
        op: &'static str,
        axis: i64,
        nothing: f64,
        is_kept: impl Fn(&Tensor, &Tensor) -> Tensor,
    ) -> (Tensor, Tensor) {
        let [indices] = self.on_lines(op, axis, |x| {
            let index = x.iota(DType::I64, x.shape().clone(), x.rank() - 1);
            let [_, indices] = x.doubled(&[nothing, 0.0], [x.clone(), index], |before, own| {
                let is_kept = is_kept(own[0], before[0]);
                let is_kept =
                    if own[0].dtype().is_float() { is_kept.logical_or(own[0].isnan()) } else { is_kept };
                [0, 1].map(|i| is_kept.select(own[i], before[i]))
            });
            [indices]
        });
        (self.gathered(axis, &indices), indices)
    }

    /// Logarithm of the sum of the exponentials of the elements up to each one, without overflow. Types: floats.
    #[track_caller]
    pub fn logcumsumexp(&self, axis: i64) -> Tensor {
        self.within("logcumsumexp", || {
            self.on_lines("logcumsumexp", axis, |x| {
                x.doubled(&[f64::NEG_INFINITY], [x.clone()], |[before], [own]| [before.logaddexp(own)])
            })
        })
        .into_first()
    }

    /// An associative reduction of the elements along the last axis up to each one: of what is reduced from elements
    /// before and own ones. `nothing` stands for those before the first.
    fn doubled<const N: usize>(
        &self,
        nothing: &[f64; N],
        start: [Tensor; N],
        reduce: impl Fn([&Tensor; N], [&Tensor; N]) -> [Tensor; N],
    ) -> [Tensor; N] {
        let n = self.shape()[self.rank() - 1];
        let mut all = start;
        let mut distance = 1;
        while distance < n {
            let amount = distance as i64;
            let before: [Tensor; N] = std::array::from_fn(|i| all[i].pad(&[(amount, -amount)], nothing[i]));
            all = reduce(before.each_ref(), all.each_ref());
            distance *= 2;
        }
        all
    }

    /// A function of lines, which it gets as the last axis; a scalar is a line of one.
    #[track_caller]
    pub(crate) fn on_lines<const N: usize>(
        &self,
        op: &'static str,
        axis: i64,
        function: impl FnOnce(&Tensor) -> [Tensor; N],
    ) -> [Tensor; N] {
        if self.rank() == 0 {
            return function(&self.reshape([1])).map(|y| y.reshape([]));
        }
        match self.axis(op, axis) {
            Ok(_) => function(&self.movedim(axis, -1)).map(|y| y.movedim(-1, axis)),
            Err(poisoned) => [(); N].map(|()| poisoned.clone()),
        }
    }

    /// As [`gather`](Tensor::gather); a scalar is a line of one element.
    #[track_caller]
    pub(crate) fn gathered(&self, axis: i64, indices: &Tensor) -> Tensor {
        if self.rank() == 0 { self.clone() } else { self.gather(axis, indices) }
    }

    /// Differences of neighbours along an axis, `n` times; the axis gets shorter by `n`.
    #[track_caller]
    pub fn diff(&self, n: usize, axis: i64) -> Tensor {
        self.within("diff", || {
            let mut x = self.clone();
            for _ in 0..n {
                let Ok(at) = x.axis("diff", axis) else { return x.refuse("diff", "the axis does not exist") };
                let extent = x.shape()[at];
                let after = x.slice_exact(at, extent.min(1), extent, 1);
                let before = x.slice_exact(at, 0, extent.max(1) - 1, 1);
                x = if x.dtype() == DType::Bool { after.logical_xor(before) } else { after - before };
            }
            x
        })
    }

    /// The integral along an axis by the trapezoidal rule, between points at these places or at distances of 1; the axis
    /// disappears.
    ///
    /// Shapes: `places` is a vector of the axis, or has the shape of `self`.
    #[track_caller]
    pub fn trapezoid(&self, places: Option<&Tensor>, axis: i64) -> Tensor {
        self.within("trapezoid", || self.trapezoids(places, axis).sum(axis))
    }

    /// The integral up to each point but the first; otherwise as [`trapezoid`](Tensor::trapezoid).
    #[track_caller]
    pub fn cumulative_trapezoid(&self, places: Option<&Tensor>, axis: i64) -> Tensor {
        self.within("cumulative_trapezoid", || self.trapezoids(places, axis).cumsum(axis))
    }

    fn trapezoids(&self, places: Option<&Tensor>, axis: i64) -> Tensor {
        let at = match self.axis("trapezoid", axis) {
            Ok(at) => at,
            Err(poisoned) => return poisoned,
        };
        let extent = self.shape()[at];
        let (first, last) = (extent.min(1), extent.max(1) - 1);
        let sums = self.slice_exact(at, first, extent, 1) + self.slice_exact(at, 0, last, 1);
        let Some(places) = places else { return sums * 0.5 };
        let widths = match places.rank() {
            1 => places
                .diff(1, 0)
                .reshape((0..self.rank()).map(|a| if a == at { -1 } else { 1 }).collect::<Vec<_>>()),
            _ => places.diff(1, at as i64 - self.rank() as i64),
        };
        sums * widths * 0.5
    }

    /// The slope along an axis at each point: by central differences inside, by one-sided differences of order
    /// `edge_order` (1 or 2) at both ends. Points are `spacing` apart.
    ///
    /// Errors: fewer than `edge_order + 1` points. Source: Fornberg, *Generation of Finite Difference Formulas on
    /// Arbitrarily Spaced Grids*, 1988.
    #[track_caller]
    pub fn slope(&self, spacing: f64, axis: i64, edge_order: usize) -> Tensor {
        let at = match self.single_axis("slope", axis) {
            Ok(at) => at,
            Err(poisoned) => return poisoned,
        };
        let n = self.shape()[at];
        if n < edge_order + 1 || ![1, 2].contains(&edge_order) {
            return self.refuse("slope", format!("{n} points are too few for edges of order {edge_order}"));
        }
        self.within("slope", || {
            let point = |i: usize| self.slice_exact(at, i, i + 1, 1);
            let edge = |outer: usize, next: usize, third: usize| match edge_order {
                1 => point(next) - point(outer),
                _ => point(outer) * -1.5 + point(next) * 2.0 - point(third) * 0.5,
            };
            let third = |i: usize| if edge_order == 2 { i } else { 0 };
            let first = edge(0, 1, third(2));
            let last = -edge(n - 1, n - 2, third(n.saturating_sub(3)));
            let inner =
                (self.slice_exact(at, 2.min(n), n, 1) - self.slice_exact(at, 0, n.max(2) - 2, 1)) * 0.5;
            cat(&[&first, &inner, &last], at as i64) / spacing
        })
    }

    /// The slope along an axis at each point, of points at these places (a vector); otherwise as
    /// [`slope`](Tensor::slope).
    #[track_caller]
    pub fn slope_at(&self, places: &Tensor, axis: i64, edge_order: usize) -> Tensor {
        let at = match self.single_axis("slope_at", axis) {
            Ok(at) => at,
            Err(poisoned) => return poisoned,
        };
        let n = self.shape()[at];
        if n < edge_order + 1 || ![1, 2].contains(&edge_order) || places.extents() != [n] {
            return self
                .refuse("slope_at", format!("it needs {n} places, and more points than the order of edges"));
        }
        self.within("slope_at", || {
            let column: Vec<i64> = (0..self.rank()).map(|a| if a == at { -1 } else { 1 }).collect();
            let widths = places.diff(1, 0).cast(self.dtype());
            let width = |from: usize, to: usize| widths.slice_exact(0, from, to, 1).reshape(column.clone());
            let part = |from: usize, to: usize| self.slice_exact(at, from, to, 1);
            // Weights of three neighbours at distances `a` and `b`, for the slope at the one in the middle.
            let slope = |l: Tensor, m: Tensor, r: Tensor, a: Tensor, b: Tensor| {
                let sum = &a + &b;
                l * (-&b / (&a * &sum)) + m * ((&b - &a) / (&a * &b)) + r * (&a / (&b * &sum))
            };
            let (k, last) = (n.max(2) - 2, n - 1);
            let inner = slope(
                part(0, k),
                part(1.min(n), 1 + k),
                part(2.min(n), n),
                width(0, k),
                width(1.min(k + 1), 1 + k),
            );
            let one_sided = |outer: usize, next: usize, third: usize, a: Tensor, b: Tensor| {
                let sum = &a + &b;
                let point = |i: usize| part(i, i + 1);
                point(outer) * (-(&a * 2.0 + &b) / (&a * &sum)) + point(next) * (&sum / (&a * &b))
                    - point(third) * (&a / (&b * &sum))
            };
            let (first, end) = match edge_order {
                1 => (
                    (part(1, 2) - part(0, 1)) / width(0, 1),
                    (part(last, n) - part(last - 1, last)) / width(last - 1, last),
                ),
                _ => (
                    one_sided(0, 1, 2, width(0, 1), width(1, 2)),
                    -one_sided(last, last - 1, last - 2, width(last - 1, last), width(last - 2, last - 1)),
                ),
            };
            cat(&[&first, &inner, &end], at as i64)
        })
    }
}

/// The only tensor of an array of one.
trait IntoFirst {
    fn into_first(self) -> Tensor;
}

impl IntoFirst for [Tensor; 1] {
    fn into_first(self) -> Tensor {
        let [only] = self;
        only
    }
}
