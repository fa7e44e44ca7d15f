//! Pooling.

use crate::grad_cases::call::{NotSupported, functions, not_supported};
use kiln::prelude::*;
use serde_json::Value;

functions! {
    "nn.functional.max_pool1d": (
        x: Tensor, kernel_size: Vec<usize>, stride: Option<Vec<usize>>, padding: Vec<usize> = vec![0],
        dilation: Vec<usize> = vec![1], ceil_mode: bool = false, return_indices: bool = false
    ) => max_pool(&x, 1, options(&kernel_size, &stride, &padding, ceil_mode).dilation(&dilation[..]), return_indices);
    "nn.functional.max_pool2d": (
        x: Tensor, kernel_size: Vec<usize>, stride: Option<Vec<usize>>, padding: Vec<usize> = vec![0],
        dilation: Vec<usize> = vec![1], ceil_mode: bool = false, return_indices: bool = false
    ) => max_pool(&x, 2, options(&kernel_size, &stride, &padding, ceil_mode).dilation(&dilation[..]), return_indices);
    "nn.functional.max_pool3d": (
        x: Tensor, kernel_size: Vec<usize>, stride: Option<Vec<usize>>, padding: Vec<usize> = vec![0],
        dilation: Vec<usize> = vec![1], ceil_mode: bool = false, return_indices: bool = false
    ) => max_pool(&x, 3, options(&kernel_size, &stride, &padding, ceil_mode).dilation(&dilation[..]), return_indices);
    "nn.functional.avg_pool1d": (
        x: Tensor, kernel_size: Vec<usize>, stride: Option<Vec<usize>>, padding: Vec<usize> = vec![0],
        ceil_mode: bool = false, count_include_pad: bool = true
    ) => x.avg_pool1d(options(&kernel_size, &stride, &padding, ceil_mode).count_include_pad(count_include_pad));
    "nn.functional.avg_pool2d": (
        x: Tensor, kernel_size: Vec<usize>, stride: Option<Vec<usize>>, padding: Vec<usize> = vec![0],
        ceil_mode: bool = false, count_include_pad: bool = true, divisor_override: Option<f64>
    ) => {
        let options = options(&kernel_size, &stride, &padding, ceil_mode).count_include_pad(count_include_pad);
        if divisor_override.is_some() { not_supported("divisor_override") } else { Ok(x.avg_pool2d(options)) }
    };
    "nn.functional.avg_pool3d": (
        x: Tensor, kernel_size: Vec<usize>, stride: Option<Vec<usize>>, padding: Vec<usize> = vec![0],
        ceil_mode: bool = false, count_include_pad: bool = true, divisor_override: Option<f64>
    ) => {
        let options = options(&kernel_size, &stride, &padding, ceil_mode).count_include_pad(count_include_pad);
        if divisor_override.is_some() { not_supported("divisor_override") } else { Ok(x.avg_pool3d(options)) }
    };
    "nn.functional.adaptive_avg_pool1d": (x: Tensor, output_size: Value) => {
        x.adaptive_avg_pool(extents(&x, &output_size, 1))
    };
    "nn.functional.adaptive_avg_pool2d": (x: Tensor, output_size: Value) => {
        x.adaptive_avg_pool(extents(&x, &output_size, 2))
    };
    "nn.functional.adaptive_avg_pool3d": (x: Tensor, output_size: Value) => {
        x.adaptive_avg_pool(extents(&x, &output_size, 3))
    };
    "nn.functional.adaptive_max_pool1d": (x: Tensor, output_size: Value, return_indices: bool = false) => {
        without_indices(return_indices, || x.adaptive_max_pool(extents(&x, &output_size, 1)))
    };
    "nn.functional.adaptive_max_pool2d": (x: Tensor, output_size: Value, return_indices: bool = false) => {
        without_indices(return_indices, || x.adaptive_max_pool(extents(&x, &output_size, 2)))
    };
    "nn.functional.adaptive_max_pool3d": (x: Tensor, output_size: Value, return_indices: bool = false) => {
        without_indices(return_indices, || x.adaptive_max_pool(extents(&x, &output_size, 3)))
    };
}

fn options(size: &[usize], stride: &Option<Vec<usize>>, padding: &[usize], ceil_mode: bool) -> PoolOptions {
    let options = PoolOptions::new(size).padding(padding).ceil_mode(ceil_mode);
    stride.iter().fold(options, |options, stride| options.stride(&stride[..]))
}

fn max_pool(x: &Tensor, n: usize, options: PoolOptions, indices: bool) -> Result<Tensor, NotSupported> {
    without_indices(indices, || match n {
        1 => x.max_pool1d(options),
        2 => x.max_pool2d(options),
        _ => x.max_pool3d(options),
    })
}

fn without_indices(indices: bool, pool: impl FnOnce() -> Tensor) -> Result<Tensor, NotSupported> {
    if indices { not_supported("return_indices") } else { Ok(pool()) }
}

/// The extents of the result of adaptive pooling: one number for all axes, `None` for an axis that stays.
fn extents(x: &Tensor, size: &Value, n: usize) -> Vec<usize> {
    let lead = x.rank() - n;
    let extent = |a: usize| {
        let size = match size {
            Value::Array(sizes) => &sizes[a % sizes.len()],
            size => size,
        };
        size.as_u64().map_or(x.extents()[lead + a], |extent| extent as usize)
    };
    (0..n).map(extent).collect()
}
