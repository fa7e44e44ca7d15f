//! Orders, and what follows from comparing each element of a line with each other one.

use crate::grad_cases::call::functions;
use kiln::prelude::*;

functions! {
    "kthvalue": (x: Tensor, k: i64, dim: i64 = -1, keepdim: bool = false) => at_rank(&x, k - 1, dim, keepdim);
    "median": (x: Tensor, dim: Option<i64>, keepdim: bool = false) => match dim {
        Some(dim) => at_rank(&x, (extent(&x, dim) - 1) / 2, dim, keepdim).to_vec(),
        None => {
            let line = x.reshape([-1]);
            at_rank(&line, (x.n_elements() as i64 - 1) / 2, 0, false)[..1].to_vec()
        }
    };
    "msort": (x: Tensor) => sorted(&x, 0, false)[0].clone();
    "sort": (x: Tensor, dim: i64 = -1, descending: bool = false, _stable: Option<bool>) => sorted(&x, dim, descending);
    "topk": (x: Tensor, k: usize, dim: i64 = -1, largest: bool = true, _sorted: bool = true) => {
        let [values, indices] = sorted(&x, dim, largest);
        if x.rank() == 0 { [values, indices] } else { [values.narrow(dim, 0, k), indices.narrow(dim, 0, k)] }
    };
    "cummax": (x: Tensor, dim: i64) => cumulative(&x, dim, f64::NEG_INFINITY, |rows| vec![rows.max(-1), rows.argmax(-1)]);
    "cummin": (x: Tensor, dim: i64) => cumulative(&x, dim, f64::INFINITY, |rows| vec![rows.min(-1), rows.argmin(-1)]);
    "logcumsumexp": (x: Tensor, dim: i64) => cumulative(&x, dim, f64::NEG_INFINITY, |rows| vec![rows.logsumexp(-1)]);

    "scatter_reduce/amax": (x: Tensor, dim: i64, index: Tensor, src: Tensor, _reduce: String, include_self: bool = true) => {
        scatter_reduce(&x, dim, &index, &src, include_self, f64::NEG_INFINITY, |rows, _| rows.max(-1))
    };
    "scatter_reduce/amin": (x: Tensor, dim: i64, index: Tensor, src: Tensor, _reduce: String, include_self: bool = true) => {
        scatter_reduce(&x, dim, &index, &src, include_self, f64::INFINITY, |rows, _| rows.min(-1))
    };
    "scatter_reduce/mean": (x: Tensor, dim: i64, index: Tensor, src: Tensor, _reduce: String, include_self: bool = true) => {
        scatter_reduce(&x, dim, &index, &src, include_self, 0.0, |rows, hits| rows.sum(-1) / hits.sum(-1))
    };
    "scatter_reduce/prod": (x: Tensor, dim: i64, index: Tensor, src: Tensor, _reduce: String, include_self: bool = true) => {
        scatter_reduce(&x, dim, &index, &src, include_self, 1.0, |rows, _| rows.prod(-1))
    };
}

fn extent(x: &Tensor, dim: i64) -> i64 {
    if x.rank() == 0 { 1 } else { x.extents()[dim.rem_euclid(x.rank() as i64) as usize] as i64 }
}

/// A function of lines, which are the last axis; a scalar is a line of one.
fn on_lines(x: &Tensor, dim: i64, function: impl Fn(&Tensor) -> Vec<Tensor>) -> Vec<Tensor> {
    if x.rank() == 0 {
        return function(&x.reshape([1])).iter().map(|y| y.reshape([])).collect();
    }
    function(&x.movedim(dim, -1)).iter().map(|y| y.movedim(-1, dim)).collect()
}

/// A matrix of truth values of pairs of positions on a line.
fn pairs(x: &Tensor, holds: fn(usize, usize) -> bool) -> Tensor {
    let n = x.extents()[x.rank() - 1];
    x.constant(TensorData::new([n, n], (0..n * n).map(|i| holds(i / n, i % n)).collect::<Vec<bool>>()))
}

/// The elements of each line in order, and their indices. An element's place is the number of those before it.
fn sorted(x: &Tensor, dim: i64, descending: bool) -> [Tensor; 2] {
    let results = on_lines(x, dim, |x| {
        let (this, other) = (x.unsqueeze(-1), x.unsqueeze(-2));
        let precedes = if descending { other.gt(&this) } else { other.lt(&this) };
        let ties = other.eq(&this).logical_and(pairs(x, |i, j| j < i));
        let place = precedes.logical_or(ties).cast(DType::I64).sum(-1);
        let n = x.extents()[x.rank() - 1];
        let index = x.constant(TensorData::new([n], (0..n as i64).collect())).expand_as(x);
        vec![x.zeros_like().scatter_add(-1, &place, x), index.zeros_like().scatter_add(-1, &place, &index)]
    });
    [results[0].clone(), results[1].clone()]
}

fn at_rank(x: &Tensor, rank: i64, dim: i64, keepdim: bool) -> [Tensor; 2] {
    sorted(x, dim, false).map(|all| {
        if all.rank() == 0 {
            return all;
        }
        let one = all.narrow(dim, rank, 1);
        if keepdim { one } else { one.squeeze(dim) }
    })
}

/// A reduction of the elements up to each one, the others being `nothing`.
fn cumulative(x: &Tensor, dim: i64, nothing: f64, reduce: fn(&Tensor) -> Vec<Tensor>) -> Vec<Tensor> {
    on_lines(x, dim, |x| {
        let up_to = pairs(x, |i, j| j <= i);
        reduce(&up_to.select(x.unsqueeze(-2), nothing))
    })
}

/// Each element reduced with the elements of `src` that are sent to it; `reduce` gets them as rows, with `nothing` for
/// those sent elsewhere, and how many of each count.
fn scatter_reduce(
    x: &Tensor,
    dim: i64,
    index: &Tensor,
    src: &Tensor,
    include_self: bool,
    nothing: f64,
    reduce: fn(&Tensor, &Tensor) -> Tensor,
) -> Tensor {
    if x.rank() == 0 {
        let [x, index, src] = [x, index, src].map(|t| t.reshape([1]));
        return scatter_reduce(&x, 0, &index, &src, include_self, nothing, reduce).reshape([]);
    }
    let axis = dim.rem_euclid(x.rank() as i64) as usize;
    // Where `index` is smaller than `x` along the other axes, nothing is sent: index -1.
    let cut = (0..x.rank()).fold(src.clone(), |src, a| src.narrow(a as i64, 0, index.extents()[a]));
    let missing = |a: usize| if a == axis { 0 } else { (x.extents()[a] - index.extents()[a]) as i64 };
    let border: Vec<(i64, i64)> = (0..x.rank()).map(|a| (0, missing(a))).collect();
    let [x, index, src] =
        [x.clone(), index.pad(&border, -1.0), cut.pad(&border, 0.0)].map(|t| t.movedim(dim, -1));
    let n = x.extents()[x.rank() - 1];
    let place = x.constant(TensorData::new([n, 1], (0..n as i64).collect()));
    let hit = index.unsqueeze(-2).eq(&place);
    let itself = x.unsqueeze(-1).ones_like().cast(DType::Bool);
    let itself = if include_self { itself } else { itself.logical_not() };
    let rows = cat(&[&hit.select(src.unsqueeze(-2), nothing), &itself.select(x.unsqueeze(-1), nothing)], -1);
    let hits = cat(&[&hit, &itself], -1).to_float();
    let any = hit.any(-1);
    let rows = any.logical_or(itself.squeeze(-1)).unsqueeze(-1).select(&rows, 1.0);
    let counted = any.unsqueeze(-1).select(&hits, 1.0);
    any.select(reduce(&rows, &counted), &x).movedim(-1, dim)
}
