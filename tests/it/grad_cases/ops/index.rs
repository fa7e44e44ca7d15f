//! Elements by index, diagonals, triangles.

use crate::grad_cases::call::{Call, FromArgument, NotSupported, functions, not_supported};
use kiln::prelude::*;
use kiln::{Combine, Index};
use serde_json::Value;

functions! {
    "__getitem__": (x: Tensor, index: Value) |call| => x.index(&items(&x, &index, call)?);
    "diag": (x: Tensor, diagonal: i64 = 0) => x.diag(diagonal);
    "diag_embed": (x: Tensor, offset: i64 = 0, dim1: i64 = -2, dim2: i64 = -1) => x.diag_embed(offset, dim1, dim2);
    "diagonal_scatter": (x: Tensor, src: Tensor, offset: i64 = 0, dim1: i64 = 0, dim2: i64 = 1) => {
        x.diagonal_scatter(&src, offset, dim1, dim2)
    };
    "diagflat": (x: Tensor, offset: i64 = 0) => x.diagflat(offset);
    "diagonal": (x: Tensor, offset: i64 = 0, dim1: i64 = 0, dim2: i64 = 1) => x.diagonal(offset, dim1, dim2);
    "diagonal_copy": (x: Tensor, offset: i64 = 0, dim1: i64 = 0, dim2: i64 = 1) => x.diagonal(offset, dim1, dim2);
    "linalg.diagonal": (x: Tensor, offset: i64 = 0, dim1: i64 = -2, dim2: i64 = -1) => x.diagonal(offset, dim1, dim2);
    "fill": (x: Tensor, value: Operand) => x.masked_fill(&x.ones_like().cast(DType::Bool), value);
    "zero_": (x: Tensor) => x.zeros_like();
    "gather": (x: Tensor, dim: i64, index: Tensor) => x.gather(dim, &index);
    "index_add": (x: Tensor, dim: i64, index: Tensor, source: Tensor, alpha: f64 = 1.0) => x.index_add(dim, &index, &source, alpha);
    "index_copy": (x: Tensor, dim: i64, index: Tensor, source: Tensor) => x.index_copy(dim, &index, &source);
    "index_fill": (x: Tensor, dim: i64, index: Tensor, value: Operand) => x.index_fill(dim, &index, value);
    "index_put": (x: Tensor, indices: Vec<Tensor>, values: Operand, accumulate: bool = false) => x.index_put(&indices, values, accumulate);
    "index_reduce/amax": (x: Tensor, dim: i64, index: Tensor, source: Tensor, _reduce: String, include_self: bool = true) => {
        x.index_reduce(dim, &index, &source, Combine::Max, include_self)
    };
    "index_reduce/amin": (x: Tensor, dim: i64, index: Tensor, source: Tensor, _reduce: String, include_self: bool = true) => {
        x.index_reduce(dim, &index, &source, Combine::Min, include_self)
    };
    "index_reduce/mean": (x: Tensor, dim: i64, index: Tensor, source: Tensor, _reduce: String, include_self: bool = true) => {
        x.index_reduce(dim, &index, &source, Combine::Mean, include_self)
    };
    "index_reduce/prod": (x: Tensor, dim: i64, index: Tensor, source: Tensor, _reduce: String, include_self: bool = true) => {
        x.index_reduce(dim, &index, &source, Combine::Prod, include_self)
    };
    "nn.functional.one_hot": (x: Tensor, num_classes: i64 = -1) |call| => {
        let greatest = call.data(&x).to_f64_vec().into_iter().fold(-1.0, f64::max);
        x.one_hot(usize::try_from(num_classes).unwrap_or((greatest + 1.0) as usize))
    };
    "unravel_index": (x: Tensor, shape: Vec<i64>) => x.unravel_index(&shape);
    "nonzero_static": (x: Tensor, size: usize, fill_value: i64 = -1) => x.nonzero_static(size, fill_value);
    "index_select": (x: Tensor, dim: i64, index: Tensor) => x.index_select(dim, &index);
    "masked_scatter": (x: Tensor, mask: Tensor, source: Tensor) => x.masked_scatter(&mask, &source);
    "narrow": (x: Tensor, dim: i64, start: i64, length: usize) => x.narrow(dim, start, length);
    "narrow_copy": (x: Tensor, dim: i64, start: i64, length: usize) => x.narrow(dim, start, length);
    "nn.functional.embedding": (
        weight: Tensor, input: Tensor, padding_idx: Option<i64>, max_norm: Option<f64>, norm_type: f64 = 2.0, _scale_grad_by_freq: Never,
        _sparse: bool = false
    ) => {
        let table = max_norm.map_or(weight.clone(), |most| weight.rows_renormed(&input, norm_type, most));
        padding_idx.map_or_else(|| table.embedding(&input), |padding| table.embedding_padded(&input, padding))
    };
    "nn.functional.embedding_bag": (
        weight: Tensor, input: Tensor, offsets: Option<Tensor>, max_norm: Option<f64>, norm_type: f64 = 2.0, _scale_grad_by_freq: Never,
        mode: String = "mean".to_string(), _sparse: bool = false, per_sample_weights: Option<Tensor>,
        include_last_offset: bool = false, padding_idx: Option<i64>
    ) => {
        let combine = match mode.as_str() {
            "sum" => Combine::Sum,
            "max" => Combine::Max,
            _ => Combine::Mean,
        };
        let table = max_norm.map_or(weight.clone(), |most| weight.rows_renormed(&input, norm_type, most));
        match offsets {
            Some(offsets) => {
                let offsets = if include_last_offset { offsets.slice(0, ..-1) } else { offsets };
                table.embedding_bag_at(&input, &offsets, combine, per_sample_weights.as_ref(), padding_idx)
            }
            None => table.embedding_bag(&input, combine, per_sample_weights.as_ref(), padding_idx),
        }
    };
    "put": (x: Tensor, index: Tensor, source: Tensor, accumulate: bool = false) => x.put(&index, &source, accumulate);
    "scatter": (x: Tensor, dim: i64, index: Tensor, src: Operand, reduce: Option<String>) => match (reduce.as_deref(), src) {
        (None, src) => x.scatter(dim, &index, src),
        (Some(name), src) => {
            let source = index.zeros_like().cast(x.dtype()) + src;
            let combine = if name == "add" { Combine::Sum } else { Combine::Prod };
            x.scatter_reduce(dim, &index, &source, combine, true)
        }
    };
    "scatter_add": (x: Tensor, dim: i64, index: Tensor, src: Tensor) => x.scatter_add(dim, &index, &src);
    "scatter_reduce/sum": (x: Tensor, dim: i64, index: Tensor, src: Tensor, _reduce: String, include_self: bool = true) => {
        x.scatter_reduce(dim, &index, &src, Combine::Sum, include_self)
    };
    "scatter_reduce/amax": (x: Tensor, dim: i64, index: Tensor, src: Tensor, _reduce: String, include_self: bool = true) => {
        x.scatter_reduce(dim, &index, &src, Combine::Max, include_self)
    };
    "scatter_reduce/amin": (x: Tensor, dim: i64, index: Tensor, src: Tensor, _reduce: String, include_self: bool = true) => {
        x.scatter_reduce(dim, &index, &src, Combine::Min, include_self)
    };
    "scatter_reduce/mean": (x: Tensor, dim: i64, index: Tensor, src: Tensor, _reduce: String, include_self: bool = true) => {
        x.scatter_reduce(dim, &index, &src, Combine::Mean, include_self)
    };
    "scatter_reduce/prod": (x: Tensor, dim: i64, index: Tensor, src: Tensor, _reduce: String, include_self: bool = true) => {
        x.scatter_reduce(dim, &index, &src, Combine::Prod, include_self)
    };
    "_segment_reduce/lengths": (
        x: Tensor, reduce: String, lengths: Tensor, axis: i64 = 0, _unsafe: bool = false, initial: Option<f64>
    ) => segments(&x, &reduce, &lengths, axis, initial)?;
    "_segment_reduce/offsets": (
        x: Tensor, reduce: String, offsets: Tensor, axis: i64 = 0, _unsafe: bool = false, initial: Option<f64>
    ) => segments(&x, &reduce, &offsets.diff(1, -1), axis, initial)?;
    "select": (x: Tensor, dim: i64, index: i64) => x.select_index(dim, index);
    "select_scatter": (x: Tensor, src: Tensor, dim: i64, index: i64) => x.select_scatter(&src, dim, index);
    "slice": (x: Tensor, dim: i64 = 0, start: Option<i64>, end: Option<i64>, step: usize = 1) => {
        x.slice_step(dim, start.unwrap_or(0)..end.unwrap_or(i64::MAX), step)
    };
    "slice_scatter": (x: Tensor, src: Tensor, dim: i64 = 0, start: Option<i64>, end: Option<i64>, step: usize = 1) => {
        x.slice_scatter(&src, dim, start.unwrap_or(0), end.unwrap_or(i64::MAX), step)
    };
    "take": (x: Tensor, index: Tensor) => {
        // A negative index counts from the last element.
        let n = x.n_elements() as i64;
        x.take(&index.lt(0).select(&index + n, &index))
    };
    "take_along_dim": (x: Tensor, indices: Tensor, dim: Option<i64>) => match dim {
        Some(dim) => x.take_along(&indices, dim),
        None => x.reshape([-1]).take_along(&indices.reshape([-1]), 0),
    };
    "tril": (x: Tensor, diagonal: i64 = 0) => x.tril(diagonal);
    "triu": (x: Tensor, diagonal: i64 = 0) => x.triu(diagonal);
}

/// An argument that must not be given, or be false: Kiln has no such thing.
struct Never;

impl FromArgument for Never {
    fn from_argument(value: &Value, _: &Call) -> Option<Never> {
        (*value == false).then_some(Never)
    }

    fn absent() -> Option<Never> {
        Some(Never)
    }
}

/// Python's index: integers, slices, `None`, an ellipsis, and lists or tensors of integers.
fn items(x: &Tensor, index: &Value, call: &Call) -> Result<Vec<Index>, NotSupported> {
    let is_item = |value: &Value| value.is_array() || value.is_object() || value.is_null();
    match index {
        // A list of integers alone is one index of several elements of the first axis.
        Value::Array(items) if items.iter().any(is_item) => {
            items.iter().map(|item| one(x, item, call)).collect()
        }
        item => Ok(vec![one(x, item, call)?]),
    }
}

fn one(x: &Tensor, item: &Value, call: &Call) -> Result<Index, NotSupported> {
    if item.is_null() {
        return Ok(Index::New);
    }
    if item.get("ellipsis").is_some() {
        return Ok(Index::Rest);
    }
    if let Some(bounds) = item.get("slice") {
        let step = bounds[2].as_i64().unwrap_or(1) as usize;
        return Ok(Index::Range { start: bounds[0].as_i64(), end: bounds[1].as_i64(), step });
    }
    if let Some(at) = item.as_i64() {
        return Ok(Index::At(at));
    }
    match (Tensor::from_argument(item, call), Vec::<i64>::from_argument(item, call)) {
        (Some(at), _) if at.dtype() == DType::Bool => {
            not_supported("a mask as index: how many elements it takes is not known")
        }
        (Some(at), _) => Ok(Index::Take(at)),
        (None, Some(at)) => Ok(Index::Take(x.constant(TensorData::new([at.len()], at)))),
        (None, None) => not_supported(format!("index {item}")),
    }
}

/// A reduction of each part of an axis, from where these end.
fn segments(
    x: &Tensor,
    reduce: &str,
    lengths: &Tensor,
    axis: i64,
    initial: Option<f64>,
) -> Result<Tensor, NotSupported> {
    let combine = match reduce {
        "max" => Combine::Max,
        "min" => Combine::Min,
        "prod" => Combine::Prod,
        "sum" => Combine::Sum,
        "mean" => Combine::Mean,
        other => return not_supported(format!("reduction `{other}`")),
    };
    Ok(x.segment_reduce(lengths, axis, combine, initial))
}
