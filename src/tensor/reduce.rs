//! Reductions and running sums.
//!
//! Which axes: one (`-1`), several (`[0, 2]`), all (`..`), or any of these in `keep(..)`, which leaves them as axes
//! of extent 1; see [`Over`]. Errors: an axis does not exist or is named twice.

use super::convert::Checked;
use super::{Over, Tensor};
use kiln_ir::op::{ArgReduceOp, Cumulative, ReduceOp};
use kiln_ir::{Axes, DType, Op};

impl Tensor {
    #[track_caller]
    fn reduce(&self, name: &'static str, op: ReduceOp, over: Over) -> Tensor {
        match self.axes(name, &over) {
            Ok(axes) => self.reduce_axes(op, &axes, over.keep),
            Err(poisoned) => poisoned,
        }
    }

    #[track_caller]
    fn reduce_axes(&self, op: ReduceOp, axes: &Axes, keep: bool) -> Tensor {
        let reduced =
            if axes.is_empty() { self.clone() } else { self.record(Op::Reduce(op, axes.clone()), &[]) };
        if keep { reduced.restore_axes(self, axes) } else { reduced }
    }

    /// Puts reduced axes back, with extent 1.
    #[track_caller]
    fn restore_axes(&self, original: &Tensor, axes: &Axes) -> Tensor {
        let extent = |a: usize| if axes.contains(&a) { 1 } else { original.shape()[a] };
        self.reshape_exact((0..original.rank()).map(extent).collect())
    }

    /// Number of elements that a reduction takes together.
    fn n_reduced(&self, axes: &Axes) -> usize {
        axes.iter().map(|&a| self.shape()[a]).product()
    }

    /// Integers narrower than `i64` and truth values are summed as `i64`, as in PyTorch.
    #[track_caller]
    fn widened(&self) -> Tensor {
        if self.dtype().is_float() { self.clone() } else { self.cast(DType::I64) }
    }

    /// The sum; 0 of nothing. Types: floats; integers and truth values are summed as `i64`.
    ///
    /// ```
    /// # use kiln::prelude::*;
    /// # let tracer = Tracer::new("sum");
    /// # let x = tracer.input("x", f32(&[2, 3]));
    /// assert_eq!(x.sum(keep(0)).extents(), [1, 3]);
    /// ```
    #[track_caller]
    pub fn sum(&self, over: impl Into<Over>) -> Tensor {
        self.widened().reduce("sum", ReduceOp::Sum, over.into())
    }

    /// The product; 1 of nothing. Types: as [`sum`](Tensor::sum).
    #[track_caller]
    pub fn prod(&self, over: impl Into<Over>) -> Tensor {
        self.widened().reduce("prod", ReduceOp::Prod, over.into())
    }

    /// The greatest element; NaN if any is. Types: any. Errors: also an axis without elements.
    #[track_caller]
    pub fn max(&self, over: impl Into<Over>) -> Tensor {
        self.extremum("max", ReduceOp::Max, over.into())
    }

    /// The least element; NaN if any is. Types: any. Errors: also an axis without elements.
    #[track_caller]
    pub fn min(&self, over: impl Into<Over>) -> Tensor {
        self.extremum("min", ReduceOp::Min, over.into())
    }

    #[track_caller]
    fn extremum(&self, name: &'static str, op: ReduceOp, over: Over) -> Tensor {
        match self.axes(name, &over) {
            Ok(axes) if self.n_reduced(&axes) == 0 && !axes.is_empty() => {
                self.refuse(name, "the axes reduced hold no elements")
            }
            Ok(axes) => self.reduce_axes(op, &axes, over.keep),
            Err(poisoned) => poisoned,
        }
    }

    /// The mean; NaN of nothing. Types: floats.
    #[track_caller]
    pub fn mean(&self, over: impl Into<Over>) -> Tensor {
        let over = over.into();
        self.within("mean", || match self.float_checked("mean").and_then(|x| x.axes("mean", &over)) {
            Ok(axes) => {
                let n = self.n_reduced(&axes) as f64;
                // Dividing, not multiplying by 1/n: exact where the sum is a multiple of n.
                self.reduce_axes(ReduceOp::Sum, &axes, over.keep) / n
            }
            Err(poisoned) => poisoned,
        })
    }

    /// The variance: squared distances from the mean, summed and divided by `n - correction`.
    ///
    /// `correction` is 1 for a sample (PyTorch's default), 0 for a whole population. Types: floats.
    #[track_caller]
    pub fn var(&self, over: impl Into<Over>, correction: f64) -> Tensor {
        let over = over.into();
        self.within("var", || match self.float_checked("var").and_then(|x| x.axes("var", &over)) {
            Ok(axes) => {
                let n = self.n_reduced(&axes) as f64;
                let mean = self.reduce_axes(ReduceOp::Sum, &axes, true) / n;
                let squares = (self - mean).square();
                squares.reduce_axes(ReduceOp::Sum, &axes, over.keep) / (n - correction).max(0.0)
            }
            Err(poisoned) => poisoned,
        })
    }

    /// The standard deviation: the square root of [`var`](Tensor::var). Its gradient is 0 where it is 0.
    #[track_caller]
    pub fn std(&self, over: impl Into<Over>, correction: f64) -> Tensor {
        let over = over.into();
        self.within("std", || self.var(over, correction).sqrt_flat_at_zero())
    }

    /// `log(sum(e^x))`, without overflow. Types: floats.
    ///
    /// The greatest element is taken off before `exp` and added after `log`; no gradient needs to flow through it,
    /// because the two cancel.
    #[track_caller]
    pub fn logsumexp(&self, over: impl Into<Over>) -> Tensor {
        let over = over.into();
        self.within("logsumexp", || {
            match self.float_checked("logsumexp").and_then(|x| x.axes("logsumexp", &over)) {
                Ok(axes) => {
                    let greatest = self.reduce_axes(ReduceOp::Max, &axes, true).detach();
                    // A row of infinities would be NaN: the difference of two infinities.
                    let shift = greatest.isfinite().select(&greatest, 0.0);
                    let sum = (self - &shift).exp().reduce_axes(ReduceOp::Sum, &axes, true);
                    let kept = sum.log() + shift;
                    if over.keep { kept } else { kept.reshape_exact(self.shape().without(&axes)) }
                }
                Err(poisoned) => poisoned,
            }
        })
    }

    /// The norm of order `p`: `(sum |x|^p)^(1/p)`; the greatest `|x|` for `p` infinite, the number of elements that
    /// are not zero for `p` 0. Its gradient is 0 where the norm is 0. Types: floats.
    #[track_caller]
    pub fn norm(&self, p: f64, over: impl Into<Over>) -> Tensor {
        let over = over.into();
        self.within("norm", || {
            if let Err(poisoned) = self.require_float("norm") {
                return poisoned;
            }
            if p == 2.0 {
                return self.square().sum(over).sqrt_flat_at_zero();
            }
            if p == 1.0 {
                return self.abs().sum(over);
            }
            if p == 0.0 {
                return self.ne(0.0).cast(self.dtype()).sum(over);
            }
            if p == f64::INFINITY {
                return self.abs().max(over);
            }
            if p == f64::NEG_INFINITY {
                return self.abs().min(over);
            }
            let sum = self.abs().pow(p).sum(over);
            let is_zero = sum.eq(0.0);
            is_zero.select(0.0, is_zero.select(1.0, &sum).pow(1.0 / p))
        })
    }

    /// Whether any element is true (differs from zero): `bool`.
    #[track_caller]
    pub fn any(&self, over: impl Into<Over>) -> Tensor {
        self.cast(DType::Bool).reduce("any", ReduceOp::Max, over.into())
    }

    /// Whether all elements are true (differ from zero): `bool`.
    #[track_caller]
    pub fn all(&self, over: impl Into<Over>) -> Tensor {
        self.cast(DType::Bool).reduce("all", ReduceOp::Min, over.into())
    }

    /// The index of the first greatest element along one axis, or among all elements (`..`): `i64`.
    /// Types: numbers. Errors: several axes; an axis without elements.
    #[track_caller]
    pub fn argmax(&self, over: impl Into<Over>) -> Tensor {
        self.arg_reduce(ArgReduceOp::ArgMax, over.into())
    }

    /// The index of the first least element along one axis, or among all elements (`..`): `i64`.
    /// Types: numbers. Errors: several axes; an axis without elements.
    #[track_caller]
    pub fn argmin(&self, over: impl Into<Over>) -> Tensor {
        self.arg_reduce(ArgReduceOp::ArgMin, over.into())
    }

    #[track_caller]
    fn arg_reduce(&self, op: ArgReduceOp, over: Over) -> Tensor {
        let axes = match self.axes(op.name(), &over) {
            Ok(axes) => axes,
            Err(poisoned) => return poisoned,
        };
        let index = match (&over.axes, axes.as_slice()) {
            (None, _) => self.reshape_exact([self.n_elements()].into()).record(Op::ArgReduce(op, 0), &[]),
            (Some(_), &[axis]) => self.record(Op::ArgReduce(op, axis), &[]),
            (Some(_), _) => return self.refuse(op.name(), "it searches along one axis, or all of them"),
        };
        if over.keep { index.restore_axes(self, &axes) } else { index }
    }

    /// The running sum along an axis. Types: floats; integers and truth values are summed as `i64`.
    #[track_caller]
    pub fn cumsum(&self, axis: i64) -> Tensor {
        if self.rank() == 0 {
            return self.widened();
        }
        match self.axis("cumsum", axis) {
            Ok(axis) => self.widened().record(Op::Cumulative(Cumulative { axis, reverse: false }), &[]),
            Err(poisoned) => poisoned,
        }
    }

    /// The greatest element along an axis, kept as an axis of extent 1, through which no gradient flows: what is
    /// taken off before an exponential.
    #[track_caller]
    pub(crate) fn detached_max(&self, axis: usize) -> Tensor {
        self.reduce_axes(ReduceOp::Max, &Axes::from_slice(&[axis]), true).detach()
    }

    /// As [`axes`](Tensor::axes), for a public function that is defined in another file.
    #[track_caller]
    pub(crate) fn single_axis(&self, op: &'static str, axis: i64) -> Checked<usize> {
        self.require_float(op)?;
        self.axis(op, axis)
    }
}
