//! Reductions and running sums.

use super::activation::on_axis;
use crate::grad_cases::call::{Dim, Rest, functions};
use kiln::prelude::*;
use serde_json::Value;

functions! {
    "amax": (x: Tensor, dim: Dim, keepdim: bool = false) => x.max(dim.over(&x, keepdim));
    "amin": (x: Tensor, dim: Dim, keepdim: bool = false) => x.min(dim.over(&x, keepdim));
    "aminmax": (x: Tensor, dim: Dim, keepdim: bool = false) => {
        [x.min(dim.over(&x, keepdim)), x.max(dim.over(&x, keepdim))]
    };
    "dist": (x: Tensor, other: Tensor, p: f64 = 2.0) => (x - other).norm(p, ..);
    "linalg.vector_norm": (x: Tensor, ord: f64 = 2.0, dim: Dim, keepdim: bool = false) => x.norm(ord, dim.over(&x, keepdim));
    "logsumexp": (x: Tensor, dim: Dim, keepdim: bool = false) => x.logsumexp(dim.over(&x, keepdim));
    "max/reduction_no_dim": (x: Tensor) => x.max(..);
    "max/reduction_with_dim": (x: Tensor, dim: Dim, keepdim: bool = false) => {
        [x.max(dim.over(&x, keepdim)), x.argmax(dim.over(&x, keepdim))]
    };
    "mean": (x: Tensor, dim: Dim, keepdim: bool = false) => x.mean(dim.over(&x, keepdim));
    "min/reduction_no_dim": (x: Tensor) => x.min(..);
    "min/reduction_with_dim": (x: Tensor, dim: Dim, keepdim: bool = false) => {
        [x.min(dim.over(&x, keepdim)), x.argmin(dim.over(&x, keepdim))]
    };
    "nanmean": (x: Tensor, dim: Dim, keepdim: bool = false) => {
        let count = x.isnan().logical_not().to_float().sum(dim.over(&x, keepdim));
        x.isnan().select(0.0, &x).sum(dim.over(&x, keepdim)) / count
    };
    "nansum": (x: Tensor, dim: Dim, keepdim: bool = false) => x.isnan().select(0.0, &x).sum(dim.over(&x, keepdim));
    "norm": (x: Tensor, p: Value = "fro".into(), dim: Dim, keepdim: bool = false) => {
        x.norm(p.as_f64().unwrap_or(2.0), dim.over(&x, keepdim))
    };
    "prod": (x: Tensor, dim: Dim, keepdim: bool = false) => x.prod(dim.over(&x, keepdim));
    "std": (x: Tensor, dim: Dim, unbiased: bool = true, keepdim: bool = false, correction: Option<f64>) => {
        x.std(dim.over(&x, keepdim), correction_of(unbiased, correction))
    };
    "std/unbiased": (x: Tensor, unbiased: bool) => x.std(.., correction_of(unbiased, None));
    "std_mean": (x: Tensor, dim: Dim, unbiased: bool = true, keepdim: bool = false, correction: Option<f64>) => {
        let over = dim.over(&x, keepdim);
        [x.std(over.clone(), correction_of(unbiased, correction)), x.mean(over)]
    };
    "std_mean/unbiased": (x: Tensor, unbiased: bool) => [x.std(.., correction_of(unbiased, None)), x.mean(..)];
    "sum": (x: Tensor, dim: Dim, keepdim: bool = false) => x.sum(dim.over(&x, keepdim));
    "sum_to_size": (x: Tensor, size: Rest<i64>) => {
        let lead = x.rank() - size.0.len();
        let repeated = |&axis: &usize| axis < lead || size.0[axis - lead] != x.extents()[axis] as i64;
        let axes: Vec<i64> = (0..x.rank()).filter(repeated).map(|axis| axis as i64).collect();
        x.sum(axes.as_slice()).reshape(size.0)
    };
    "trace": (x: Tensor) => x.tril(0).triu(0).sum(..);
    "var": (x: Tensor, dim: Dim, unbiased: bool = true, keepdim: bool = false, correction: Option<f64>) => {
        x.var(dim.over(&x, keepdim), correction_of(unbiased, correction))
    };
    "var/unbiased": (x: Tensor, unbiased: bool) => x.var(.., correction_of(unbiased, None));
    "var_mean": (x: Tensor, dim: Dim, unbiased: bool = true, keepdim: bool = false, correction: Option<f64>) => {
        let over = dim.over(&x, keepdim);
        [x.var(over.clone(), correction_of(unbiased, correction)), x.mean(over)]
    };
    "var_mean/unbiased": (x: Tensor, unbiased: bool) => [x.var(.., correction_of(unbiased, None)), x.mean(..)];

    "nn.functional.cosine_similarity": (x1: Tensor, x2: Tensor, dim: i64 = 1, eps: f64 = 1e-8) => x1.cosine_similarity(&x2, dim, eps);
    "nn.functional.pairwise_distance": (x1: Tensor, x2: Tensor, p: f64 = 2.0, eps: f64 = 1e-6, keepdim: bool = false) => {
        let distance = x1.pairwise_distance(&x2, p, eps);
        if keepdim { distance.unsqueeze(-1) } else { distance }
    };
    "nn.functional.pdist": (x: Tensor, p: f64 = 2.0) => x.pdist(p);

    "cumsum": (x: Tensor, dim: i64) => on_axis(&x, |x| x.cumsum(dim));
    "diff": (x: Tensor, n: i64 = 1, dim: i64 = -1, prepend: Option<Tensor>, append: Option<Tensor>) => {
        let parts: Vec<&Tensor> = prepend.iter().chain([&x]).chain(&append).collect();
        let mut x = if n > 0 { cat(&parts, dim) } else { x };
        for _ in 0..n {
            x = x.slice(dim, 1..) - x.slice(dim, ..-1);
        }
        x
    };
}

/// How much less than the number of elements a variance divides by: one, unless the arguments say otherwise.
fn correction_of(unbiased: bool, correction: Option<f64>) -> f64 {
    correction.unwrap_or(if unbiased { 1.0 } else { 0.0 })
}
