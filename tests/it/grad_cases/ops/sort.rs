//! Orders, and what follows from them.

use crate::grad_cases::call::{Dim, functions};
use kiln::Interpolation;
use kiln::prelude::*;

functions! {
    "argsort": (x: Tensor, dim: i64 = -1, descending: bool = false, _stable: Option<bool>) => x.argsort(dim, descending);
    "kthvalue": (x: Tensor, k: usize, dim: i64 = -1, keepdim: bool = false) => pair(x.kthvalue(k, dim, keepdim));
    "median": (x: Tensor, dim: Option<i64>, keepdim: bool = false) => match dim {
        Some(dim) => pair(x.median(dim, keepdim)),
        None => vec![x.reshape([-1]).median(0, false).0],
    };
    "nanmedian": (x: Tensor, dim: Option<i64>, keepdim: bool = false) => match dim {
        Some(dim) => pair(x.nanmedian(dim, keepdim)),
        None => vec![x.reshape([-1]).nanmedian(0, false).0],
    };
    "mode": (x: Tensor, dim: i64 = -1, keepdim: bool = false) => pair(x.mode(dim, keepdim));
    "msort": (x: Tensor) => x.sort(0, false).0;
    "sort": (x: Tensor, dim: i64 = -1, descending: bool = false, _stable: Option<bool>) => pair(x.sort(dim, descending));
    "topk": (x: Tensor, k: usize, dim: i64 = -1, largest: bool = true, _sorted: bool = true) => pair(x.topk(k, dim, largest));
    "quantile": (x: Tensor, q: Operand, dim: Option<i64>, keepdim: bool = false, interpolation: Interpolation = Interpolation::Linear) => {
        with_shares(&x, q, dim, keepdim, |x, q, dim| x.quantile(q, dim, keepdim, interpolation))
    };
    "nanquantile": (x: Tensor, q: Operand, dim: Option<i64>, keepdim: bool = false, interpolation: Interpolation = Interpolation::Linear) => {
        with_shares(&x, q, dim, keepdim, |x, q, dim| x.nanquantile(q, dim, keepdim, interpolation))
    };

    "cummax": (x: Tensor, dim: i64) => pair(x.cummax(dim));
    "cummin": (x: Tensor, dim: i64) => pair(x.cummin(dim));
    "cumprod": (x: Tensor, dim: i64) => x.cumprod(dim);
    "cumsum": (x: Tensor, dim: i64) => x.cumsum(dim);
    "logcumsumexp": (x: Tensor, dim: i64) => x.logcumsumexp(dim);
    "diff": (x: Tensor, n: usize = 1, dim: i64 = -1, prepend: Option<Tensor>, append: Option<Tensor>) => {
        let parts: Vec<&Tensor> = prepend.iter().chain([&x]).chain(&append).collect();
        if n > 0 && parts.len() > 1 { cat(&parts, dim).diff(n, dim) } else { x.diff(n, dim) }
    };
    "trapezoid": (y: Tensor, x: Option<Tensor>, dx: f64 = 1.0, dim: i64 = -1) => scale(y.trapezoid(x.as_ref(), dim), dx);
    "trapz": (y: Tensor, x: Option<Tensor>, dx: f64 = 1.0, dim: i64 = -1) => scale(y.trapezoid(x.as_ref(), dim), dx);
    "cumulative_trapezoid": (y: Tensor, x: Option<Tensor>, dx: f64 = 1.0, dim: i64 = -1) => {
        scale(y.cumulative_trapezoid(x.as_ref(), dim), dx)
    };
    "gradient": (x: Tensor, spacing: Option<serde_json::Value>, dim: Dim, edge_order: usize = 1) |call| => {
        let axes = dim.axes(&x);
        let one = |(i, &axis): (usize, &i64)| {
            use crate::grad_cases::call::FromArgument;
            let item = match &spacing {
                Some(serde_json::Value::Array(all)) => all[i].clone(),
                Some(one) => one.clone(),
                None => 1.0.into(),
            };
            match Tensor::from_argument(&item, call) {
                Some(places) => x.slope_at(&places, axis, edge_order),
                None => x.slope(f64::from_argument(&item, call).unwrap_or(1.0), axis, edge_order),
            }
        };
        axes.iter().enumerate().map(one).collect::<Vec<_>>()
    };
}

/// Both results of a function, in order.
pub fn pair((first, second): (Tensor, Tensor)) -> Vec<Tensor> {
    vec![first, second]
}

fn scale(x: Tensor, factor: f64) -> Tensor {
    if factor == 1.0 { x } else { x * factor }
}

/// Quantiles along an axis, or of all elements.
fn with_shares(
    x: &Tensor,
    q: Operand,
    dim: Option<i64>,
    keepdim: bool,
    function: impl Fn(&Tensor, &Tensor, i64) -> Tensor,
) -> Tensor {
    let q = match q {
        Operand::Tensor(q) => q,
        Operand::Float(q) => x.constant(TensorData::new([], vec![q as f32])),
        Operand::Int(q) => x.constant(TensorData::new([], vec![q as f32])),
        Operand::Bool(_) => x.clone(),
    };
    match dim {
        Some(dim) => function(x, &q, dim),
        None => {
            let y = function(&x.reshape([-1]), &q, 0);
            let ones = vec![1; if keepdim { x.rank() } else { 0 }];
            let lead: Vec<i64> = q.extents().iter().map(|&extent| extent as i64).collect();
            y.reshape([lead, ones].concat())
        }
    }
}
