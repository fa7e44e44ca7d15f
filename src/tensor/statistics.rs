//! Reductions beyond those that are one op: with NaN left out, with indices, and covariances.
//!
//! Which axes: as for [`sum`](Tensor::sum); see [`Over`].

use super::{Over, Tensor, keep};
use kiln_ir::DType;

impl Tensor {
    /// The sum of the elements that are not NaN. Types: as [`sum`](Tensor::sum).
    #[track_caller]
    pub fn nansum(&self, over: impl Into<Over>) -> Tensor {
        let over = over.into();
        self.within("nansum", || {
            if self.dtype().is_float() { self.isnan().select(0.0, self).sum(over) } else { self.sum(over) }
        })
    }

    /// The mean of the elements that are not NaN; NaN of none. Types: floats.
    #[track_caller]
    pub fn nanmean(&self, over: impl Into<Over>) -> Tensor {
        let over = over.into();
        self.within("nanmean", || {
            let count = self.isnan().logical_not().cast(self.dtype()).sum(over.clone());
            self.nansum(over) / count
        })
    }

    /// Variance and mean; see [`var`](Tensor::var).
    #[track_caller]
    pub fn var_mean(&self, over: impl Into<Over>, correction: f64) -> (Tensor, Tensor) {
        let over = over.into();
        self.within("var_mean", || (self.var(over.clone(), correction), self.mean(over)))
    }

    /// Standard deviation and mean; see [`std`](Tensor::std).
    #[track_caller]
    pub fn std_mean(&self, over: impl Into<Over>, correction: f64) -> (Tensor, Tensor) {
        let over = over.into();
        self.within("std_mean", || (self.std(over.clone(), correction), self.mean(over)))
    }

    /// The least and the greatest element; see [`min`](Tensor::min).
    #[track_caller]
    pub fn aminmax(&self, over: impl Into<Over>) -> (Tensor, Tensor) {
        let over = over.into();
        self.within("aminmax", || (self.min(over.clone()), self.max(over)))
    }

    /// How many elements are not zero: `i64`.
    #[track_caller]
    pub fn count_nonzero(&self, over: impl Into<Over>) -> Tensor {
        let over = over.into();
        self.within("count_nonzero", || self.cast(DType::Bool).sum(over))
    }

    /// The greatest element along an axis and its index, the first of several (PyTorch's `max(dim)`). Unlike
    /// [`max`](Tensor::max), which spreads it, the gradient goes to that element alone.
    #[track_caller]
    pub fn max_along(&self, axis: i64, keep_axis: bool) -> (Tensor, Tensor) {
        self.within("max_along", || self.picked(axis, keep_axis, |x| x.argmax(keep(axis))))
    }

    /// The least element along an axis and its index; see [`max_along`](Tensor::max_along).
    #[track_caller]
    pub fn min_along(&self, axis: i64, keep_axis: bool) -> (Tensor, Tensor) {
        self.within("min_along", || self.picked(axis, keep_axis, |x| x.argmin(keep(axis))))
    }

    fn picked(&self, axis: i64, keep_axis: bool, place: impl Fn(&Tensor) -> Tensor) -> (Tensor, Tensor) {
        if self.rank() == 0 {
            return (self.clone(), self.zeros_like().cast(DType::I64));
        }
        let index = place(self);
        let value = self.gather(axis, &index);
        if keep_axis { (value, index) } else { (value.squeeze(axis), index.squeeze(axis)) }
    }

    /// The norm of order `p` of `self - other`: their distance, one number.
    #[track_caller]
    pub fn dist(&self, other: &Tensor, p: f64) -> Tensor {
        self.within("dist", || (self - other).norm(p, ..))
    }

    /// Summed to a shape that broadcasts to that of `self`: what the gradient of a broadcast is.
    ///
    /// Errors: the shape does not broadcast to that of `self`.
    #[track_caller]
    pub fn sum_to(&self, extents: impl AsRef<[usize]>) -> Tensor {
        let extents = extents.as_ref();
        let Some(lead) = self.rank().checked_sub(extents.len()) else {
            return self.refuse("sum_to", format!("{extents:?} has more axes"));
        };
        let repeated = |&a: &usize| a < lead || (extents[a - lead] == 1 && self.shape()[a] != 1);
        let axes: Vec<i64> = (0..self.rank()).filter(repeated).map(|a| a as i64).collect();
        if (lead..self.rank()).any(|a| ![1, self.shape()[a]].contains(&extents[a - lead])) {
            return self.refuse("sum_to", format!("{extents:?} does not broadcast to its shape"));
        }
        self.within("sum_to", || {
            self.sum(&axes[..]).reshape(extents.iter().map(|&e| e as i64).collect::<Vec<_>>())
        })
    }

    /// Covariances of variables (rows) over observations (columns); of a vector its variance.
    ///
    /// The sum of products is divided by the number of observations less `correction` (1 for a sample). Observations may
    /// count several times (`counts`, integers) and have weights; then it is divided by the sum of weights less
    /// `correction` times the mean weight. Shapes: `[n, m]` -> `[n, n]`, and `[]` of one variable. Errors: more than two axes.
    #[track_caller]
    pub fn cov(&self, correction: f64, counts: Option<&Tensor>, weights: Option<&Tensor>) -> Tensor {
        if self.rank() > 2 {
            return self.refuse("cov", "it is for matrices and vectors");
        }
        self.within("cov", || {
            let x = self.to_float();
            let x = if x.rank() < 2 { x.reshape([1, x.n_elements() as i64]) } else { x };
            let n = x.shape()[1];
            let factor = match (counts, weights) {
                (None, None) => None,
                (Some(w), None) | (None, Some(w)) => Some(w.cast(x.dtype())),
                (Some(a), Some(b)) => Some(a.cast(x.dtype()) * b),
            };
            let (mean, divisor) = match &factor {
                None => (x.mean(keep(1)), x.fill(x.dtype(), [].into(), n as f64 - correction)),
                Some(w) => {
                    let total = w.sum(..);
                    let excess = match weights {
                        Some(weights) if correction != 0.0 => (w * weights).sum(..) / &total * correction,
                        _ => total.full_like(correction),
                    };
                    ((&x * w).sum(keep(1)) / &total, total - excess)
                }
            };
            let centred = x - mean;
            let scaled = factor.map_or(centred.clone(), |w| &centred * w);
            let product = scaled.mm(&centred.t()) / divisor.clamp_min(divisor.zeros_like());
            if product.n_elements() == 1 { product.reshape([]) } else { product }
        })
    }

    /// Correlation coefficients of variables (rows): [`cov`](Tensor::cov) divided by both standard deviations, held in
    /// -1 to 1.
    #[track_caller]
    pub fn corrcoef(&self) -> Tensor {
        self.within("corrcoef", || {
            let cov = self.cov(1.0, None, None);
            if cov.rank() == 0 {
                // 1, or NaN where there is no variance.
                return cov.div(cov.clone());
            }
            let deviation = cov.diagonal(0, 0, 1).sqrt();
            (cov / deviation.unsqueeze(1) / deviation.unsqueeze(0)).clamp(-1.0, 1.0)
        })
    }
}
