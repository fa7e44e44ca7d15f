//! Elements by index, diagonals, triangles.

use super::activation::on_axis;
use super::shape::indices;
use crate::grad_cases::call::{Call, FromArgument, NotSupported, functions, not_supported};
use kiln::Operand;
use kiln::prelude::*;
use serde_json::Value;

functions! {
    "__getitem__": (x: Tensor, index: Value) |call| => getitem(&x, &index, call)?;
    "diag": (x: Tensor, diagonal: i64 = 0) => match x.rank() {
        1 => diag_embed(&x, diagonal),
        _ => self::diagonal(&x, diagonal, 0, 1),
    };
    "diag_embed": (x: Tensor, offset: i64 = 0, dim1: i64 = -2, dim2: i64 = -1) => {
        let matrices = diag_embed(&x, offset);
        let rank = matrices.rank() as i64;
        let (dim1, dim2) = (dim1.rem_euclid(rank), dim2.rem_euclid(rank));
        if dim1 < dim2 { matrices.movedim(-2, dim1).movedim(-1, dim2) } else { matrices.movedim(-1, dim2).movedim(-1, dim1) }
    };
    "diagonal_scatter": (x: Tensor, src: Tensor, offset: i64 = 0, dim1: i64 = 0, dim2: i64 = 1) => {
        let (order, at) = diagonal_positions(&x, offset, dim1, dim2);
        let matrices = x.permute(order.clone());
        let [rows, columns] = [2, 1].map(|back| matrices.extents()[x.rank() - back] as i64);
        let flat = replaced(&matrices.flatten(-2, -1), -1, &along(&indices(&x, at), &src, -1), &src);
        let mut inverse: Vec<i64> = (0..x.rank() as i64).collect();
        inverse.sort_by_key(|&axis| order[axis as usize]);
        flat.unflatten(-1, [rows, columns]).permute(inverse)
    };
    "diagflat": (x: Tensor, offset: i64 = 0) => diag_embed(&x.reshape([-1]), offset);
    "diagonal": (x: Tensor, offset: i64 = 0, dim1: i64 = 0, dim2: i64 = 1) => diagonal(&x, offset, dim1, dim2);
    "gather": (x: Tensor, dim: i64, index: Tensor) => {
        let index = if index.dtype() == DType::U8 { index.cast(DType::I64) } else { index };
        if x.rank() == 0 {
            x.reshape([1]).take(&index)
        } else {
            x.gather(dim, &index)
        }
    };
    "index_add": (x: Tensor, dim: i64, index: Tensor, source: Tensor, alpha: f64 = 1.0) => {
        if x.rank() == 0 {
            x + source * alpha
        } else {
            x.scatter_add(dim, &along(&index, &source, dim), &(source * alpha))
        }
    };
    "index_copy": (x: Tensor, dim: i64, index: Tensor, source: Tensor) => on_axis_with(&x, &source, |x, source| {
        replaced(x, dim, &along(&index, source, dim), source)
    });
    "index_put": (x: Tensor, indices: Vec<Tensor>, values: Tensor, accumulate: bool = false) => {
        if indices.len() != 1 {
            return not_supported("several indices");
        }
        if indices[0].dtype() == DType::Bool {
            // One value for all places: their number is not known when the program is compiled.
            let mask = (0..x.rank() - indices[0].rank()).fold(indices[0].clone(), |mask, _| mask.unsqueeze(-1));
            let values = values.expand_as(&x);
            mask.select(if accumulate { &x + values } else { values }, &x)
        } else {
            let rows: Vec<usize> = [indices[0].extents(), &x.extents()[1..]].concat();
            let values = values.broadcast_to(&rows[..]).flatten(0, indices[0].rank() as i64 - 1);
            let at = along(&indices[0].reshape([-1]), &values, 0);
            if accumulate { x.scatter_add(0, &at, &values) } else { replaced(&x, 0, &at, &values) }
        }
    };
    "index_select": (x: Tensor, dim: i64, index: Tensor) => on_axis(&x, |x| x.index_select(dim, &index));
    "narrow": (x: Tensor, dim: i64, start: i64, length: usize) => x.narrow(dim, start, length);
    "nn.functional.embedding": (weight: Tensor, input: Tensor) => weight.embedding(&input);
    "scatter": (x: Tensor, dim: i64, index: Tensor, src: Operand) => {
        let index = if index.dtype() == DType::U8 { index.cast(DType::I64) } else { index };
        let source = match src {
            Operand::Tensor(source) => source,
            Operand::Float(value) => x.full_like(value),
            Operand::Int(value) => x.full_like(value as f64),
            Operand::Bool(value) => x.full_like(value as u8 as f64),
        };
        if x.rank() == 0 { source } else { replaced(&x, dim, &index, &source) }
    };
    "scatter_add": (x: Tensor, dim: i64, index: Tensor, src: Tensor) => {
        if x.rank() == 0 { x + src } else { x.scatter_add(dim, &index, &src) }
    };
    "scatter_reduce/sum": (
        x: Tensor, dim: i64, index: Tensor, src: Tensor, _reduce: String, include_self: bool = true
    ) => {
        let base = if include_self { x.clone() } else { replaced(&x, dim, &index, &src.zeros_like()) };
        if x.rank() == 0 { base + src } else { base.scatter_add(dim, &index, &src) }
    };
    "select": (x: Tensor, dim: i64, index: i64) => x.select_index(dim, index);
    "select_scatter": (x: Tensor, src: Tensor, dim: i64, index: i64) => {
        let at = index.rem_euclid(x.extents()[dim.rem_euclid(x.rank() as i64) as usize] as i64);
        cat(&[&x.slice(dim, ..at), &src.unsqueeze(dim), &x.slice(dim, at + 1..)], dim)
    };
    "slice_scatter": (x: Tensor, src: Tensor, dim: i64 = 0, start: i64 = 0, end: i64 = i64::MAX, step: usize = 1) => {
        let extent = x.extents()[dim as usize] as i64;
        let at: Vec<i64> = (start.min(extent)..end.min(extent)).step_by(step).collect();
        replaced(&x, dim, &along(&indices(&x, at), &src, dim), &src)
    };
    "take": (x: Tensor, index: Tensor) => {
        // A negative index counts from the last element.
        let n = x.n_elements() as i64;
        x.take(&index.lt(0).select(&index + n, &index))
    };
    "take_along_dim": (x: Tensor, indices: Tensor, dim: i64) => {
        // The other axes broadcast: each tensor gets the extents of both, but for its own along `dim`.
        let sum_of = |x: &Tensor| x.cast(DType::I64).sum(keep(dim));
        let mut shape = (sum_of(&x) + sum_of(&indices)).extents().to_vec();
        let mut widened = |x: &Tensor| {
            shape[dim as usize] = x.extents()[dim as usize];
            x.broadcast_to(&shape[..])
        };
        let (x, indices) = (widened(&x), widened(&indices));
        let n = x.extents()[dim as usize] as i64;
        x.gather(dim, &indices.lt(0).select(&indices + n, &indices))
    };
    "tril": (x: Tensor, diagonal: i64 = 0) => x.tril(diagonal);
    "triu": (x: Tensor, diagonal: i64 = 0) => x.triu(diagonal);
}

/// Indices along one axis, repeated along the others of `source`.
fn along(index: &Tensor, source: &Tensor, dim: i64) -> Tensor {
    let axis = dim.rem_euclid(source.rank() as i64);
    let column: Vec<i64> = (0..source.rank() as i64).map(|a| if a == axis { -1 } else { 1 }).collect();
    index.reshape(column).expand_as(source)
}

/// `x` with the elements at the indices replaced: what is there is taken away, and the new ones are added.
fn replaced(x: &Tensor, dim: i64, index: &Tensor, source: &Tensor) -> Tensor {
    if x.rank() == 0 {
        return source.clone();
    }
    let hit = x.zeros_like().scatter_add(dim, index, &source.ones_like()).gt(0.0);
    hit.select(0.0, x).scatter_add(dim, index, source)
}

fn on_axis_with(x: &Tensor, other: &Tensor, function: impl Fn(&Tensor, &Tensor) -> Tensor) -> Tensor {
    if x.rank() > 0 { function(x, other) } else { function(&x.reshape([1]), &other.reshape([1])).reshape([]) }
}

/// The elements on a diagonal of two axes, as a new last axis.
fn diagonal(x: &Tensor, offset: i64, dim1: i64, dim2: i64) -> Tensor {
    let (order, at) = diagonal_positions(x, offset, dim1, dim2);
    x.permute(order).flatten(-2, -1).index_select(-1, &indices(x, at))
}

/// The order of axes that makes matrices of two of them, and the positions of a diagonal in such a matrix.
fn diagonal_positions(x: &Tensor, offset: i64, dim1: i64, dim2: i64) -> (Vec<i64>, Vec<i64>) {
    let rank = x.rank() as i64;
    let (dim1, dim2) = (dim1.rem_euclid(rank), dim2.rem_euclid(rank));
    let mut order: Vec<i64> = (0..rank).filter(|axis| ![dim1, dim2].contains(axis)).collect();
    order.extend([dim1, dim2]);
    let (rows, columns) = (x.extents()[dim1 as usize] as i64, x.extents()[dim2 as usize] as i64);
    let on_matrix = (0..rows).map(|row| (row, row + offset)).filter(|at| (0..columns).contains(&at.1));
    (order, on_matrix.map(|(row, column)| row * columns + column).collect())
}

/// Matrices of zeros with the last axis on a diagonal.
fn diag_embed(x: &Tensor, offset: i64) -> Tensor {
    let n = x.extents()[x.rank() - 1] as i64;
    let size = n + offset.abs();
    let place = |i: i64| (i + (-offset).max(0)) * size + i + offset.max(0);
    let mut shape: Vec<i64> = x.extents()[..x.rank() - 1].iter().map(|&extent| extent as i64).collect();
    let wide: Vec<usize> =
        shape.iter().map(|&extent| extent as usize).chain([(size * size) as usize]).collect();
    shape.extend([size, size]);
    let zeros = x.zeros_like().sum(keep(-1)).broadcast_to(&wide[..]);
    zeros.scatter_add(-1, &along(&indices(x, (0..n).map(place).collect()), x, -1), x).reshape(shape)
}

/// Indexing as in NumPy: integers, slices, `None`, an ellipsis, and lists or tensors of integers.
fn getitem(x: &Tensor, index: &Value, call: &Call) -> Result<Tensor, NotSupported> {
    let is_item = |value: &Value| value.is_array() || value.is_object() || value.is_null();
    let items = match index {
        // A list of integers alone is one index of several elements of the first axis.
        Value::Array(items) if items.iter().any(is_item) => items.clone(),
        item => vec![item.clone()],
    };
    let n_taken = items.iter().filter(|item| !item.is_null() && item.get("ellipsis").is_none()).count();
    let (mut y, mut axis) = (x.clone(), 0i64);
    let mut lists: Vec<(i64, Tensor)> = Vec::new();
    for item in &items {
        if item.is_null() {
            y = y.unsqueeze(axis);
        } else if item.get("ellipsis").is_some() {
            axis += x.rank() as i64 - n_taken as i64;
            continue;
        } else if let Some(bounds) = item.get("slice") {
            let extent = y.extents()[axis as usize] as i64;
            let bound = |i: usize, default: i64| bounds[i].as_i64().unwrap_or(default);
            y = y.slice_step(axis, bound(0, 0)..bound(1, extent), bound(2, 1) as usize);
        } else if let Some(at) = item.as_i64() {
            y = y.select_index(axis, at);
            continue;
        } else if let Some(tensor) = Tensor::from_argument(item, call) {
            lists.push((axis, tensor));
        } else if let Some(at) = Vec::<i64>::from_argument(item, call) {
            lists.push((axis, indices(x, at)));
        } else {
            return not_supported(format!("index {item}"));
        }
        axis += 1;
    }
    if lists.iter().any(|(_, at)| at.dtype() == DType::Bool) {
        return not_supported("a mask as index");
    }
    Ok(if lists.is_empty() { y } else { at_lists(&y, &lists) })
}

/// The elements at the indices of several axes, which broadcast to one shape; it stands where the axes stood when they
/// are neighbours, and else in front.
fn at_lists(x: &Tensor, lists: &[(i64, Tensor)]) -> Tensor {
    let axes: Vec<i64> = lists.iter().map(|(axis, _)| *axis).collect();
    let place = if axes.windows(2).all(|pair| pair[0] + 1 == pair[1]) { axes[0] } else { 0 };
    let mut order: Vec<i64> = (0..x.rank() as i64).filter(|axis| !axes.contains(axis)).collect();
    order.splice(place as usize..place as usize, axes.iter().copied());
    let joined = x.permute(order).flatten(place, place + axes.len() as i64 - 1);
    let flat = lists.iter().fold(indices(x, vec![0]).squeeze(0), |flat, (axis, at)| {
        let extent = x.extents()[*axis as usize] as i64;
        flat * extent + at.lt(0).select(at + extent, at)
    });
    let shape: Vec<i64> = flat.extents().iter().map(|&extent| extent as i64).collect();
    joined.index_select(place, &flat.reshape([-1])).unflatten(place, shape)
}
