//! Shapes, parts, and tensors put together from parts.

use crate::grad_cases::call::{Call, Dim, FromArgument, Named, NotSupported, Rest, functions, not_supported};
use kiln::prelude::*;
use kiln::{
    Border, block_diag, broadcast_tensors, cartesian_prod, column_stack, dstack, hstack, meshgrid, vstack,
};
use serde_json::Value;

functions! {
    "as_strided": (x: Tensor, size: Vec<usize>, stride: Vec<usize>, storage_offset: usize = 0) => x.as_strided(&size, &stride, storage_offset);
    "as_strided/partial_views": (x: Tensor, size: Vec<usize>, stride: Vec<usize>, storage_offset: usize = 0) => {
        x.as_strided(&size, &stride, storage_offset)
    };
    "as_strided_copy": (x: Tensor, size: Vec<usize>, stride: Vec<usize>, storage_offset: usize = 0) => x.as_strided(&size, &stride, storage_offset);
    "atleast_1d": (tensors: Listed) => tensors.0.iter().map(Tensor::atleast_1d).collect::<Vec<_>>();
    "atleast_2d": (tensors: Listed) => tensors.0.iter().map(Tensor::atleast_2d).collect::<Vec<_>>();
    "atleast_3d": (tensors: Listed) => tensors.0.iter().map(Tensor::atleast_3d).collect::<Vec<_>>();
    "block_diag": (tensors: Rest<Tensor>) => block_diag(&refs(&tensors.0));
    "broadcast_tensors": (tensors: Rest<Tensor>) => broadcast_tensors(&refs(&tensors.0));
    "broadcast_to": (x: Tensor, size: Vec<usize>) => x.broadcast_to(&size[..]);
    "cartesian_prod": (tensors: Rest<Tensor>) => cartesian_prod(&refs(&tensors.0));
    "cat": (tensors: Vec<Tensor>, dim: i64 = 0) => cat(&refs(&tensors), dim);
    "chunk": (x: Tensor, chunks: usize, dim: i64 = 0) => x.chunk(chunks, dim);
    "unsafe_chunk": (x: Tensor, chunks: usize, dim: i64 = 0) => x.chunk(chunks, dim);
    "column_stack": (tensors: Vec<Tensor>) => column_stack(&refs(&tensors));
    "combinations": (x: Tensor, r: usize = 2, with_replacement: bool = false) => x.combinations(r, with_replacement);
    "contiguous": (x: Tensor) => x;
    "dstack": (tensors: Vec<Tensor>) => dstack(&refs(&tensors));
    "dsplit": (x: Tensor, at: Value) |call| => split(&x, &at, 2, call)?;
    "expand": (x: Tensor, sizes: Vec<i64>) => x.expand(sizes);
    "expand_copy": (x: Tensor, sizes: Vec<i64>) => x.expand(sizes);
    "expand_as": (x: Tensor, other: Tensor) => x.expand_as(&other);
    "flatten": (x: Tensor, start_dim: i64 = 0, end_dim: i64 = -1) => x.flatten(start_dim, end_dim);
    "flip": (x: Tensor, dims: Vec<i64>) => x.flip(&dims[..]);
    "fliplr": (x: Tensor) => x.flip(1);
    "flipud": (x: Tensor) => x.flip(0);
    "hsplit": (x: Tensor, at: Value) |call| => split(&x, &at, i64::from(x.rank() > 1), call)?;
    "hstack": (tensors: Vec<Tensor>) => hstack(&refs(&tensors));
    "meshgrid/list_of_tensors": (tensors: Vec<Tensor>, indexing: String = "ij".to_string()) => meshgrid(&refs(&tensors), indexing == "xy");
    "meshgrid/variadic_tensors": (tensors: Rest<Tensor>, indexing: Named<String> = Named("ij".to_string())) => {
        meshgrid(&refs(&tensors.0), indexing.0 == "xy")
    };
    "movedim": (x: Tensor, source: Vec<i64>, destination: Vec<i64>) => x.movedims(source, destination);
    "nn.functional.channel_shuffle": (x: Tensor, groups: usize) => x.channel_shuffle(groups);
    "nn.functional.pad/circular": (x: Tensor, pad: Vec<i64>, _mode: String) => pad_with(&x, &pad, Border::Circular);
    "nn.functional.pad/constant": (x: Tensor, pad: Vec<i64>, _mode: Option<String>, value: f64 = 0.0) => pad_with(&x, &pad, Border::Constant(value));
    "nn.functional.pad/reflect": (x: Tensor, pad: Vec<i64>, _mode: String) => pad_with(&x, &pad, Border::Reflect);
    "nn.functional.pad/replicate": (x: Tensor, pad: Vec<i64>, _mode: String) => pad_with(&x, &pad, Border::Replicate);
    "nn.functional.pad/replicate_negative": (x: Tensor, pad: Vec<i64>, _mode: String) => pad_with(&x, &pad, Border::Replicate);
    "constant_pad_nd": (x: Tensor, pad: Vec<i64>, value: f64 = 0.0) => pad_with(&x, &pad, Border::Constant(value));
    "nn.functional.pixel_shuffle": (x: Tensor, upscale_factor: usize) => x.pixel_shuffle(upscale_factor);
    "nn.functional.pixel_unshuffle": (x: Tensor, downscale_factor: usize) => x.pixel_unshuffle(downscale_factor);
    "permute": (x: Tensor, dims: Vec<i64>) => x.permute(dims);
    "permute_copy": (x: Tensor, dims: Vec<i64>) => x.permute(dims);
    "ravel": (x: Tensor) => x.reshape([-1]);
    "repeat": (x: Tensor, repeats: Vec<usize>) => x.repeat(repeats);
    "repeat_interleave": (x: Tensor, repeats: Vec<usize>, dim: Option<i64>, _output_size: Option<i64>) => match dim {
        Some(dim) => x.repeat_interleave(&repeats, dim),
        None => x.reshape([-1]).repeat_interleave(&repeats, 0),
    };
    "reshape": (x: Tensor, shape: Vec<i64>) => x.reshape(shape);
    "reshape_as": (x: Tensor, other: Tensor) => x.reshape(extents(&other));
    "roll": (x: Tensor, shifts: Vec<i64>, dims: Option<Vec<i64>>) => match dims {
        Some(dims) if !dims.is_empty() => shifts.iter().zip(dims).fold(x, |x, (&shift, dim)| x.roll(shift, dim)),
        _ => x.reshape([-1]).roll(shifts[0], 0).reshape(extents(&x)),
    };
    "rot90": (x: Tensor, k: i64 = 1, dims: Vec<i64> = vec![0, 1]) => x.rot90(k, [dims[0], dims[1]]);
    "split": (x: Tensor, split_size: usize, dim: i64 = 0) => x.split(split_size, dim);
    "split/list_args": (x: Tensor, split_size_or_sections: Vec<usize>, dim: i64 = 0) => {
        x.split_sizes(&split_size_or_sections, dim)
    };
    "unsafe_split": (x: Tensor, split_size: usize, dim: i64 = 0) => x.split(split_size, dim);
    "split_with_sizes": (x: Tensor, split_sizes: Vec<usize>, dim: i64 = 0) => x.split_sizes(&split_sizes, dim);
    "split_with_sizes_copy": (x: Tensor, split_sizes: Vec<usize>, dim: i64 = 0) => x.split_sizes(&split_sizes, dim);
    "squeeze": (x: Tensor, dim: Dim) => x.squeeze(dim.over(&x, false));
    "squeeze_copy": (x: Tensor, dim: Dim) => x.squeeze(dim.over(&x, false));
    "squeeze/multiple": (x: Tensor, dim: Vec<i64>) => x.squeeze(&dim[..]);
    "stack": (tensors: Vec<Tensor>, dim: i64 = 0) => stack(&refs(&tensors), dim);
    "T": (x: Tensor) => reversed(&x);
    "H": (x: Tensor) => reversed(&x);
    "mT": (x: Tensor) => x.transpose(-1, -2);
    "mH": (x: Tensor) => x.transpose(-1, -2);
    "t": (x: Tensor) => x.t();
    "t_copy": (x: Tensor) => x.t();
    "tensor_split": (x: Tensor, indices_or_sections: Value, dim: i64 = 0) |call| => {
        split(&x, &indices_or_sections, dim, call)?
    };
    "tile": (x: Tensor, dims: Vec<usize>) => x.tile(dims);
    "transpose": (x: Tensor, dim0: i64, dim1: i64) => if x.rank() == 0 { x } else { x.transpose(dim0, dim1) };
    "transpose_copy": (x: Tensor, dim0: i64, dim1: i64) => if x.rank() == 0 { x } else { x.transpose(dim0, dim1) };
    "swapaxes": (x: Tensor, dim0: i64, dim1: i64) => if x.rank() == 0 { x } else { x.transpose(dim0, dim1) };
    "swapdims": (x: Tensor, dim0: i64, dim1: i64) => if x.rank() == 0 { x } else { x.transpose(dim0, dim1) };
    "unbind": (x: Tensor, dim: i64 = 0) => x.unbind(dim);
    "unbind_copy": (x: Tensor, dim: i64 = 0) => x.unbind(dim);
    "unflatten": (x: Tensor, dim: i64, sizes: Vec<i64>) => x.unflatten(dim, sizes);
    "unfold": (x: Tensor, dimension: i64, size: usize, step: usize) => x.windows(dimension, size, step);
    "unfold_copy": (x: Tensor, dimension: i64, size: usize, step: usize) => x.windows(dimension, size, step);
    "unsqueeze": (x: Tensor, dim: i64) => x.unsqueeze(dim);
    "unsqueeze_copy": (x: Tensor, dim: i64) => x.unsqueeze(dim);
    "view": (x: Tensor, shape: Vec<i64>) => x.reshape(shape);
    "view_as": (x: Tensor, other: Tensor) => x.reshape(extents(&other));
    "view_copy": (x: Tensor, shape: Vec<i64>) => x.reshape(shape);
    "vsplit": (x: Tensor, at: Value) |call| => split(&x, &at, 0, call)?;
    "vstack": (tensors: Vec<Tensor>) => vstack(&refs(&tensors));
}

/// One tensor, several, or a list of them.
struct Listed(Vec<Tensor>);

impl FromArgument for Listed {
    fn from_argument(value: &Value, call: &Call) -> Option<Listed> {
        Rest::<Tensor>::from_argument(value, call).map(|all| Listed(all.0))
    }

    fn remaining(args: &[Value]) -> Option<Value> {
        Rest::<Tensor>::remaining(args)
    }
}

/// References, as functions of several tensors take them.
pub fn refs(tensors: &[Tensor]) -> Vec<&Tensor> {
    tensors.iter().collect()
}

pub fn extents(x: &Tensor) -> Vec<i64> {
    x.extents().iter().map(|&extent| extent as i64).collect()
}

fn reversed(x: &Tensor) -> Tensor {
    x.permute((0..x.rank() as i64).rev().collect::<Vec<_>>())
}

/// PyTorch's list of amounts, which begins with the last axis.
pub fn pad_with(x: &Tensor, pad: &[i64], border: Border) -> Tensor {
    let pairs: Vec<(i64, i64)> = pad.chunks(2).rev().map(|pair| (pair[0], pair[1])).collect();
    x.pad_with(&pairs, border)
}

/// Parts: a number of them, or where they begin.
fn split(x: &Tensor, at: &Value, dim: i64, call: &Call) -> Result<Vec<Tensor>, NotSupported> {
    let is_list = at.is_array() || Tensor::from_argument(at, call).is_some_and(|t| t.rank() == 1);
    let Some(given) = Vec::<i64>::from_argument(at, call) else {
        return not_supported(format!("split at {at}"));
    };
    Ok(if is_list { x.split_at(&given, dim) } else { x.tensor_split(given[0] as usize, dim) })
}
