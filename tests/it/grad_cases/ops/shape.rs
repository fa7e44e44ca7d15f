//! Shapes, parts, and tensors put together from parts.

use crate::grad_cases::call::{Dim, FromArgument, NotSupported, Rest, functions, not_supported};
use kiln::prelude::*;
use serde_json::Value;

functions! {
    "as_strided": (x: Tensor, size: Vec<i64>, stride: Vec<i64>, storage_offset: i64 = 0) => {
        let mut at = vec![storage_offset];
        for (&extent, &stride) in size.iter().zip(&stride) {
            at = at.iter().flat_map(|start| (0..extent).map(move |i| start + i * stride)).collect();
        }
        x.take(&indices(&x, at)).reshape(size)
    };
    "atleast_2d": (tensors: Value) |call| => {
        let lists = Rest::<Tensor>::from_argument(&Value::Array(vec![tensors]), call);
        let widen = |x: &Tensor| if x.rank() < 2 { x.reshape([1, x.n_elements() as i64]) } else { x.clone() };
        lists.map_or_else(Vec::new, |tensors| tensors.0.iter().map(widen).collect())
    };
    "broadcast_tensors": (tensors: Rest<Tensor>) => {
        let all = tensors.0.iter().skip(1).fold(tensors.0[0].zeros_like(), |sum, x| sum + x.zeros_like());
        tensors.0.iter().map(|x| x.expand_as(&all)).collect::<Vec<_>>()
    };
    "broadcast_to": (x: Tensor, size: Vec<usize>) => x.broadcast_to(&size[..]);
    "cat": (tensors: Vec<Tensor>, dim: i64 = 0) => cat(&refs(&tensors), dim);
    "chunk": (x: Tensor, chunks: usize, dim: i64 = 0) => x.chunk(chunks, dim);
    "column_stack": (tensors: Vec<Tensor>) => {
        let column = |x: &Tensor| if x.rank() < 2 { x.reshape([x.n_elements() as i64, 1]) } else { x.clone() };
        cat(&refs(&tensors.iter().map(column).collect::<Vec<_>>()), 1)
    };
    "dstack": (tensors: Vec<Tensor>) => {
        let deep = |x: &Tensor| match x.rank() {
            0 | 1 => x.reshape([1, x.n_elements() as i64, 1]),
            2 => x.unsqueeze(2),
            _ => x.clone(),
        };
        cat(&refs(&tensors.iter().map(deep).collect::<Vec<_>>()), 2)
    };
    "expand": (x: Tensor, sizes: Vec<i64>) => x.expand(sizes);
    "expand_as": (x: Tensor, other: Tensor) => x.expand_as(&other);
    "flatten": (x: Tensor, start_dim: i64 = 0, end_dim: i64 = -1) => x.flatten(start_dim, end_dim);
    "flip": (x: Tensor, dims: Vec<i64>) => x.flip(&dims[..]);
    "fliplr": (x: Tensor) => x.flip(1);
    "flipud": (x: Tensor) => x.flip(0);
    "meshgrid/list_of_tensors": (tensors: Vec<Tensor>, indexing: String = "ij".to_string()) => {
        meshgrid(&tensors, indexing == "xy")
    };
    "movedim": (x: Tensor, source: Vec<i64>, destination: Vec<i64>) => {
        let rank = x.rank() as i64;
        let mut order = vec![None; x.rank()];
        for (from, to) in source.iter().zip(&destination) {
            order[to.rem_euclid(rank) as usize] = Some(from.rem_euclid(rank));
        }
        let mut rest = (0..rank).filter(|axis| !order.contains(&Some(*axis))).collect::<Vec<_>>().into_iter();
        x.permute(order.into_iter().map(|axis| axis.or_else(|| rest.next()).unwrap_or(0)).collect::<Vec<_>>())
    };
    "nn.functional.channel_shuffle": (x: Tensor, groups: i64) => {
        x.unflatten(1, [groups, -1]).transpose(1, 2).flatten(1, 2)
    };
    "nn.functional.pad/circular": (x: Tensor, pad: Vec<i64>, _mode: String) => {
        padded_by_index(&x, &pad, |i, n| i.rem_euclid(n))
    };
    "nn.functional.pad/constant": (x: Tensor, pad: Vec<i64>, _mode: Option<String>, value: f64 = 0.0) => {
        let pairs: Vec<(i64, i64)> = pad.chunks(2).rev().map(|pair| (pair[0], pair[1])).collect();
        x.pad(&pairs, value)
    };
    "nn.functional.pad/reflect": (x: Tensor, pad: Vec<i64>, _mode: String) => {
        padded_by_index(&x, &pad, |i, n| if i < 0 { -i } else if i >= n { 2 * n - 2 - i } else { i })
    };
    "nn.functional.pad/replicate": (x: Tensor, pad: Vec<i64>, _mode: String) => {
        padded_by_index(&x, &pad, |i, n| i.clamp(0, n - 1))
    };
    "nn.functional.pixel_shuffle": (x: Tensor, upscale_factor: i64) => {
        // [.., c, r, s, h, w] to [.., c, h, r, w, s].
        let parts = x.unflatten(-3, [-1, upscale_factor, upscale_factor]);
        parts.movedim(-3, -1).transpose(-4, -3).flatten(-2, -1).flatten(-3, -2)
    };
    "nn.functional.pixel_unshuffle": (x: Tensor, downscale_factor: i64) => {
        // [.., c, h, r, w, s] to [.., c, r, s, h, w].
        let [h, w] = [2, 1].map(|back| x.extents()[x.rank() - back] as i64 / downscale_factor);
        let parts = x.unflatten(-1, [w, downscale_factor]).unflatten(-3, [h, downscale_factor]);
        parts.transpose(-4, -3).movedim(-1, -3).flatten(-5, -3)
    };
    "permute": (x: Tensor, dims: Vec<i64>) => x.permute(dims);
    "ravel": (x: Tensor) => x.reshape([-1]);
    "repeat": (x: Tensor, repeats: Vec<usize>) => x.repeat(repeats);
    "repeat_interleave": (x: Tensor, repeats: Vec<usize>, dim: Option<i64>, _output_size: Option<i64>) => {
        let (x, dim) = dim.map_or_else(|| (x.reshape([-1]), 0), |dim| (x.clone(), dim));
        let extent = x.extents()[dim.rem_euclid(x.rank() as i64) as usize];
        let at = (0..extent).flat_map(|i| vec![i as i64; repeats[i % repeats.len()]]).collect();
        x.index_select(dim, &indices(&x, at))
    };
    "reshape": (x: Tensor, shape: Vec<i64>) => x.reshape(shape);
    "roll": (x: Tensor, shifts: Vec<i64>, dims: Option<Vec<i64>>) => match dims {
        Some(dims) => shifts.iter().zip(dims).fold(x, |x, (&shift, dim)| x.roll(shift, dim)),
        None => {
            let shape: Vec<i64> = x.extents().iter().map(|&extent| extent as i64).collect();
            x.reshape([-1]).roll(shifts[0], 0).reshape(shape)
        }
    };
    "rot90": (x: Tensor, k: i64 = 1, dims: Vec<i64> = vec![0, 1]) => match k.rem_euclid(4) {
        0 => x,
        1 => x.flip(dims[1]).transpose(dims[0], dims[1]),
        2 => x.flip(&dims[..]),
        _ => x.transpose(dims[0], dims[1]).flip(dims[1]),
    };
    "split/list_args": (x: Tensor, split_size_or_sections: Vec<usize>, dim: i64 = 0) => {
        x.split_sizes(&split_size_or_sections, dim)
    };
    "split_with_sizes": (x: Tensor, split_sizes: Vec<usize>, dim: i64 = 0) => x.split_sizes(&split_sizes, dim);
    "squeeze": (x: Tensor, dim: Dim) => x.squeeze(dim.over(&x, false));
    "squeeze/multiple": (x: Tensor, dim: Vec<i64>) => if x.rank() == 0 { x } else { x.squeeze(&dim[..]) };
    "stack": (tensors: Vec<Tensor>, dim: i64 = 0) => stack(&refs(&tensors), dim);
    "t": (x: Tensor) => x.t();
    "tensor_split": (x: Tensor, indices_or_sections: Value, dim: i64 = 0) |call| => {
        tensor_split(&x, &indices_or_sections, dim, call)
    };
    "tile": (x: Tensor, dims: Vec<usize>) => {
        let missing = x.rank().saturating_sub(dims.len());
        x.repeat(std::iter::repeat_n(1, missing).chain(dims).collect::<Vec<_>>())
    };
    "transpose": (x: Tensor, dim0: i64, dim1: i64) => if x.rank() == 0 { x } else { x.transpose(dim0, dim1) };
    "unbind": (x: Tensor, dim: i64 = 0) => x.unbind(dim);
    "unflatten": (x: Tensor, dim: i64, sizes: Vec<i64>) => x.unflatten(dim, sizes);
    "unfold": (x: Tensor, dimension: i64, size: i64, step: i64) => {
        let extent = x.extents()[dimension.rem_euclid(x.rank() as i64) as usize] as i64;
        let n = (extent - size) / step + 1;
        let at = (0..n).flat_map(|i| (0..size).map(move |k| i * step + k)).collect();
        let axis = dimension.rem_euclid(x.rank() as i64);
        x.index_select(axis, &indices(&x, at)).unflatten(axis, [n, size]).movedim(axis + 1, -1)
    };
    "unsqueeze": (x: Tensor, dim: i64) => x.unsqueeze(dim);
    "view": (x: Tensor, shape: Vec<i64>) => x.reshape(shape);
    "vstack": (tensors: Vec<Tensor>) => {
        let wide = |x: &Tensor| if x.rank() < 2 { x.reshape([1, x.n_elements() as i64]) } else { x.clone() };
        cat(&refs(&tensors.iter().map(wide).collect::<Vec<_>>()), 0)
    };
}

/// Numbers known on the host as a tensor of indices.
pub fn indices(x: &Tensor, at: Vec<i64>) -> Tensor {
    x.constant(TensorData::new([at.len()], at))
}

/// References, as functions of several tensors take them.
pub fn refs(tensors: &[Tensor]) -> Vec<&Tensor> {
    tensors.iter().collect()
}

fn meshgrid(tensors: &[Tensor], xy: bool) -> Vec<Tensor> {
    let n = tensors.len();
    let extents: Vec<usize> = tensors.iter().map(Tensor::n_elements).collect();
    let spread = |(axis, x): (usize, &Tensor)| {
        let column: Vec<i64> = (0..n).map(|a| if a == axis { -1 } else { 1 }).collect();
        let grid = x.reshape(column).broadcast_to(&extents[..]);
        if xy && n >= 2 { grid.transpose(0, 1) } else { grid }
    };
    tensors.iter().enumerate().map(spread).collect()
}

/// Padding whose elements are others of the same line: `source(i, n)` for element `i` of a line of `n`.
fn padded_by_index(x: &Tensor, pad: &[i64], source: fn(i64, i64) -> i64) -> Tensor {
    pad.chunks(2).enumerate().fold(x.clone(), |x, (back, pair)| {
        let axis = x.rank() - 1 - back;
        let n = x.extents()[axis] as i64;
        // A negative amount cuts off before the rest is padded.
        let (start, end) = ((-pair[0]).max(0), n - (-pair[1]).max(0));
        let at = |i: i64| start + source(i, end - start);
        let at = (-pair[0].max(0)..end - start + pair[1].max(0)).map(at).collect();
        x.index_select(axis as i64, &indices(&x, at))
    })
}

fn tensor_split(
    x: &Tensor,
    at: &Value,
    dim: i64,
    call: &crate::grad_cases::call::Call,
) -> Result<Vec<Tensor>, NotSupported> {
    let extent = x.extents()[dim.rem_euclid(x.rank() as i64) as usize];
    let is_list = at.is_array() || Tensor::from_argument(at, call).is_some_and(|t| t.rank() == 1);
    let Some(given) = Vec::<usize>::from_argument(at, call) else {
        return not_supported(format!("split at {at}"));
    };
    let bounds: Vec<usize> = if is_list {
        std::iter::once(0).chain(given.iter().map(|&b| b.min(extent))).chain([extent]).collect()
    } else {
        // The first `extent % n` parts are one longer than the others.
        (0..=given[0]).map(|i| i * (extent / given[0]) + i.min(extent % given[0])).collect()
    };
    Ok(bounds.windows(2).map(|pair| x.slice(dim, pair[0] as i64..pair[1].max(pair[0]) as i64)).collect())
}
