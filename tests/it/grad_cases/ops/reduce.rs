//! Reductions.

use super::sort::pair;
use crate::grad_cases::call::{Dim, NotSupported, Rest, Type, functions, not_supported, typed};
use kiln::prelude::*;
use serde_json::Value;

functions! {
    "all": (x: Tensor, dim: Dim, keepdim: bool = false) => x.all(dim.over(&x, keepdim));
    "any": (x: Tensor, dim: Dim, keepdim: bool = false) => x.any(dim.over(&x, keepdim));
    "amax": (x: Tensor, dim: Dim, keepdim: bool = false) => x.max(dim.over(&x, keepdim));
    "amin": (x: Tensor, dim: Dim, keepdim: bool = false) => x.min(dim.over(&x, keepdim));
    "aminmax": (x: Tensor, dim: Dim, keepdim: bool = false) => {
        pair(x.aminmax(dim.over(&x, keepdim)))
    };
    "argmax": (x: Tensor, dim: Dim, keepdim: bool = false) => x.argmax(dim.over(&x, keepdim));
    "argmin": (x: Tensor, dim: Dim, keepdim: bool = false) => x.argmin(dim.over(&x, keepdim));
    "count_nonzero": (x: Tensor, dim: Dim) => x.count_nonzero(dim.over(&x, false));
    "corrcoef": (x: Tensor) => x.corrcoef();
    "cov": (x: Tensor, correction: f64 = 1.0, fweights: Option<Tensor>, aweights: Option<Tensor>) => {
        x.cov(correction, fweights.as_ref(), aweights.as_ref())
    };
    "dist": (x: Tensor, other: Tensor, p: f64 = 2.0) => x.dist(&other, p);
    "linalg.vector_norm": (x: Tensor, ord: f64 = 2.0, dim: Dim, keepdim: bool = false) => x.norm(ord, dim.over(&x, keepdim));
    "linalg.matrix_norm": (x: Tensor, ord: Value = "fro".into(), dim: Vec<i64> = vec![-2, -1], keepdim: bool = false) |call| => {
        matrix_norm(&x, &ord, &dim, keepdim, call)?
    };
    "linalg.norm": (x: Tensor, ord: Option<Value>, dim: Dim, keepdim: bool = false) |call| => norm(&x, ord, dim, keepdim, call)?;
    "linalg.norm/subgradients_at_zero": (x: Tensor, ord: Option<Value>, dim: Dim, keepdim: bool = false) |call| => {
        norm(&x, ord, dim, keepdim, call)?
    };
    "logsumexp": (x: Tensor, dim: Dim, keepdim: bool = false) => x.logsumexp(dim.over(&x, keepdim));
    "max/reduction_no_dim": (x: Tensor) => x.max(..);
    "max/reduction_with_dim": (x: Tensor, dim: i64, keepdim: bool = false) => pair(x.max_along(dim, keepdim));
    "mean": (x: Tensor, dim: Dim, keepdim: bool = false, dtype: Option<Type>) => typed(&x, dtype).mean(dim.over(&x, keepdim));
    "min/reduction_no_dim": (x: Tensor) => x.min(..);
    "min/reduction_with_dim": (x: Tensor, dim: i64, keepdim: bool = false) => pair(x.min_along(dim, keepdim));
    "nanmean": (x: Tensor, dim: Dim, keepdim: bool = false, dtype: Option<Type>) => typed(&x, dtype).nanmean(dim.over(&x, keepdim));
    "nansum": (x: Tensor, dim: Dim, keepdim: bool = false, dtype: Option<Type>) => typed(&x, dtype).nansum(dim.over(&x, keepdim));
    "norm": (x: Tensor, p: Value = "fro".into(), dim: Dim, keepdim: bool = false) |call| => p_norm(&x, &p, dim, keepdim, call)?;
    "norm/fro": (x: Tensor, p: Value = "fro".into(), dim: Dim, keepdim: bool = false) |call| => p_norm(&x, &p, dim, keepdim, call)?;
    "norm/inf": (x: Tensor, p: Value = "fro".into(), dim: Dim, keepdim: bool = false) |call| => p_norm(&x, &p, dim, keepdim, call)?;
    "norm/nuc": (x: Tensor, p: Value = "fro".into(), dim: Dim, keepdim: bool = false) |call| => p_norm(&x, &p, dim, keepdim, call)?;
    "prod": (x: Tensor, dim: Dim, keepdim: bool = false, dtype: Option<Type>) => typed(&x, dtype).prod(dim.over(&x, keepdim));
    "std": (x: Tensor, dim: Dim, unbiased: bool = true, keepdim: bool = false, correction: Option<f64>) => {
        x.std(dim.over(&x, keepdim), correction_of(unbiased, correction))
    };
    "std/unbiased": (x: Tensor, unbiased: bool) => x.std(.., correction_of(unbiased, None));
    "std_mean": (x: Tensor, dim: Dim, unbiased: bool = true, keepdim: bool = false, correction: Option<f64>) => {
        pair(x.std_mean(dim.over(&x, keepdim), correction_of(unbiased, correction)))
    };
    "std_mean/unbiased": (x: Tensor, unbiased: bool) => pair(x.std_mean(.., correction_of(unbiased, None)));
    "sum": (x: Tensor, dim: Dim, keepdim: bool = false, dtype: Option<Type>) => typed(&x, dtype).sum(dim.over(&x, keepdim));
    "sum_to_size": (x: Tensor, size: Rest<usize>) => x.sum_to(size.0);
    "trace": (x: Tensor) => x.trace();
    "var": (x: Tensor, dim: Dim, unbiased: bool = true, keepdim: bool = false, correction: Option<f64>) => {
        x.var(dim.over(&x, keepdim), correction_of(unbiased, correction))
    };
    "var/unbiased": (x: Tensor, unbiased: bool) => x.var(.., correction_of(unbiased, None));
    "var_mean": (x: Tensor, dim: Dim, unbiased: bool = true, keepdim: bool = false, correction: Option<f64>) => {
        pair(x.var_mean(dim.over(&x, keepdim), correction_of(unbiased, correction)))
    };
    "var_mean/unbiased": (x: Tensor, unbiased: bool) => pair(x.var_mean(.., correction_of(unbiased, None)));

    "nn.functional.cosine_similarity": (x1: Tensor, x2: Tensor, dim: i64 = 1, eps: f64 = 1e-8) => x1.cosine_similarity(&x2, dim, eps);
    "nn.functional.pairwise_distance": (x1: Tensor, x2: Tensor, p: f64 = 2.0, eps: f64 = 1e-6, keepdim: bool = false) => {
        let distance = x1.pairwise_distance(&x2, p, eps);
        if keepdim { distance.unsqueeze(-1) } else { distance }
    };
    "nn.functional.pdist": (x: Tensor, p: f64 = 2.0) => x.pdist(p);
}

/// How much less than the number of elements a variance divides by: one, unless the arguments say otherwise.
pub fn correction_of(unbiased: bool, correction: Option<f64>) -> f64 {
    correction.unwrap_or(if unbiased { 1.0 } else { 0.0 })
}

type Call<'a> = crate::grad_cases::call::Call<'a>;

/// An order of a norm; nothing for that of Frobenius.
fn order(p: &Value, call: &Call) -> Result<Option<f64>, NotSupported> {
    use crate::grad_cases::call::FromArgument;
    match f64::from_argument(p, call) {
        Some(p) => Ok(Some(p)),
        None if p == "fro" => Ok(None),
        None => not_supported(format!("a norm of order {p}")),
    }
}

/// `torch.norm`: of all elements along the axes, in any order; or the nuclear norm of matrices.
fn p_norm(x: &Tensor, p: &Value, dim: Dim, keepdim: bool, call: &Call) -> Result<Tensor, NotSupported> {
    if p == "nuc" {
        return matrix_norm(x, p, &dim.axes(x), keepdim, call);
    }
    Ok(x.norm(order(p, call)?.unwrap_or(2.0), dim.over(x, keepdim)))
}

/// `torch.linalg.norm`: of matrices when there are two axes and an order, and else of vectors.
fn norm(
    x: &Tensor,
    ord: Option<Value>,
    dim: Dim,
    keepdim: bool,
    call: &Call,
) -> Result<Tensor, NotSupported> {
    let Some(ord) = ord else { return Ok(x.norm(2.0, dim.over(x, keepdim))) };
    let axes = dim.axes(x);
    if axes.len() == 2 {
        matrix_norm(x, &ord, &axes, keepdim, call)
    } else {
        p_norm(x, &ord, dim, keepdim, call)
    }
}

fn matrix_norm(
    x: &Tensor,
    ord: &Value,
    dim: &[i64],
    keepdim: bool,
    call: &Call,
) -> Result<Tensor, NotSupported> {
    let axes = [dim[0], dim[1]];
    if ord == "nuc" {
        return Ok(x.nuclear_norm(axes, keepdim));
    }
    match order(ord, call)? {
        None => Ok(x.frobenius_norm(axes, keepdim)),
        Some(p) => Ok(x.matrix_norm(p, axes, keepdim)),
    }
}
