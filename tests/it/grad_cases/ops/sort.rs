//! Orders, and what follows from them.

use crate::grad_cases::call::{Call, Dim, FromArgument, NotSupported, Type, functions, not_supported, typed};
use kiln::Interpolation;
use kiln::prelude::*;
use serde_json::Value;

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

    "searchsorted": (
        x: Tensor, values: Operand, out_int32: bool = false, right: bool = false, side: Option<String>, sorter: Option<Tensor>
    ) => {
        let line = sorter.map_or(x.clone(), |order| x.gather(-1, &order));
        let right = side.map_or(right, |side| side == "right");
        place(line.searchsorted(&scalar(&line, values), right), out_int32)
    };
    "bucketize": (x: Operand, boundaries: Tensor, out_int32: bool = false, right: bool = false) => {
        place(boundaries.searchsorted(&scalar(&boundaries, x), right), out_int32)
    };
    "isin": (x: Operand, test: Operand, _assume_unique: bool = false, invert: bool = false) => {
        let (x, test) = match (x, test) {
            (Operand::Tensor(x), test) => (x.clone(), scalar(&x, test)),
            (x, Operand::Tensor(test)) => (scalar(&test, x), test),
            _ => return not_supported("numbers on both sides"),
        };
        if invert { x.isin(&test).logical_not() } else { x.isin(&test) }
    };
    "bincount": (x: Tensor, weights: Option<Tensor>, minlength: usize = 0) |call| => {
        let greatest = call.data(&x).to_f64_vec().into_iter().fold(-1.0, f64::max);
        let weights = weights.map(|w| if w.dtype().is_float() { w } else { w.cast(DType::F64) });
        x.bincount(minlength.max((greatest + 1.0) as usize), weights.as_ref())
    };
    "histc": (x: Tensor, bins: usize = 100, min: f64 = 0.0, max: f64 = 0.0) => x.histc(bins, min, max);
    "histogram": (x: Tensor, bins: Value, weight: Option<Tensor>, density: bool = false) |call| => {
        let edges = edges(call, &bins, &x.reshape([-1]))?;
        [x.histogram(&edges, weight.as_ref(), density), edges]
    };
    "histogramdd": (x: Tensor, bins: Vec<Value>, weight: Option<Tensor>, density: bool = false) |call| => {
        let points = x.flatten(0, -2);
        let edges = (0..).zip(&bins).map(|(k, bins)| edges(call, bins, &points.select_index(1, k)));
        let edges = edges.collect::<Result<Vec<Tensor>, NotSupported>>()?;
        let mut all = vec![counts(&points, &edges, weight.as_ref(), density)];
        all.extend(edges);
        all
    };

    "cummax": (x: Tensor, dim: i64) => pair(x.cummax(dim));
    "cummin": (x: Tensor, dim: i64) => pair(x.cummin(dim));
    "cumprod": (x: Tensor, dim: i64, dtype: Option<Type>) => typed(&x, dtype).cumprod(dim);
    "cumsum": (x: Tensor, dim: i64, dtype: Option<Type>) => typed(&x, dtype).cumsum(dim);
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
    "gradient": (x: Tensor, spacing: Option<Value>, dim: Dim, edge_order: usize = 1) |call| => {
        let axes = dim.axes(&x);
        let one = |(i, &axis): (usize, &i64)| {
            use crate::grad_cases::call::FromArgument;
            let item = match &spacing {
                Some(Value::Array(all)) => all[i].clone(),
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

/// An operand as a tensor; a number as a scalar of the type of `x`.
fn scalar(x: &Tensor, operand: Operand) -> Tensor {
    let number = |value: f64| x.constant(TensorData::new([], vec![value])).cast(x.dtype());
    match operand {
        Operand::Tensor(tensor) => tensor,
        Operand::Float(value) => number(value),
        Operand::Int(value) => number(value as f64),
        Operand::Bool(value) => number(f64::from(u8::from(value))),
    }
}

/// Places in the type that is asked for.
fn place(places: Tensor, narrow: bool) -> Tensor {
    if narrow { places.cast(DType::I32) } else { places }
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

/// The edges of bins, or those of so many between the least and the greatest number.
fn edges(call: &Call, bins: &Value, x: &Tensor) -> Result<Tensor, NotSupported> {
    if let Some(edges) = Tensor::from_argument(bins, call) {
        return Ok(edges);
    }
    let n = usize::from_argument(bins, call).ok_or_else(|| NotSupported(format!("bins given as {bins}")))?;
    let (low, high) = (x.min(..), x.max(..));
    // Not `low + (high - low) t`, whose last edge may differ from the greatest number.
    let t = call.tracer.linspace(x.dtype(), 0.0, 1.0, n + 1);
    Ok(low * (1.0 - &t) + high * t)
}

/// How many points lie in each of the boxes between the edges of each axis.
fn counts(points: &Tensor, edges: &[Tensor], weights: Option<&Tensor>, density: bool) -> Tensor {
    let extents: Vec<i64> = edges.iter().map(|edges| edges.extents()[0] as i64 - 1).collect();
    let mut place = points.select_index(1, 0).zeros_like().cast(DType::I64);
    let mut is_inside = place.eq(0);
    for ((k, edges), extent) in (0..).zip(edges).zip(&extents) {
        let x = points.select_index(1, k);
        let last = edges.select_index(0, -1);
        let along = x.eq(&last).select(extent - 1, edges.searchsorted(&x, true) - 1);
        is_inside = is_inside.logical_and(x.ge(edges.select_index(0, 0))).logical_and(x.le(last));
        place = place * *extent + along;
    }
    let ones = place.ones_like().cast(points.dtype());
    let n: i64 = extents.iter().product();
    let weights = weights.map_or(ones, |weights| weights.reshape([-1]));
    let counts = is_inside.select(place, -1).bincount(n as usize, Some(&weights)).reshape(&extents[..]);
    if !density {
        return counts;
    }
    let total = counts.sum(..);
    (0..).zip(edges).fold(counts / total, |density, (k, edges)| {
        let widths: Vec<i64> = (0..extents.len()).map(|a| if a == k { -1 } else { 1 }).collect();
        density / edges.diff(1, 0).reshape(widths)
    })
}
