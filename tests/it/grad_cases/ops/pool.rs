//! Pooling, windows as columns, padding layers.

use super::shape::pad_with;
use super::sort::pair;
use crate::grad_cases::call::{NotSupported, functions, not_supported};
use kiln::Border;
use kiln::prelude::*;
use serde_json::Value;

/// Declares pooling as functions and as modules, by the number of axes.
macro_rules! pooling {
    ($($n:literal $max:literal $max_module:literal $avg:literal $avg_module:literal $aavg:literal $aavg_module:literal
       $amax:literal $amax_module:literal $lp_module:literal $unpool:literal $unpool_grad:literal;)*) => {
        functions! {
            $(
                $max: (
                    x: Tensor, kernel_size: Vec<usize>, stride: Option<Vec<usize>>, padding: Vec<usize> = vec![0],
                    dilation: Vec<usize> = vec![1], ceil_mode: bool = false, return_indices: bool = false
                ) => max_pool(&x, $n, options(kernel_size, stride, padding, dilation, ceil_mode), return_indices);
                $max_module: [
                    kernel_size: Vec<usize>, stride: Option<Vec<usize>>, padding: Vec<usize> = vec![0],
                    dilation: Vec<usize> = vec![1], return_indices: bool = false, ceil_mode: bool = false
                ] (x: Tensor) => max_pool(&x, $n, options(kernel_size, stride, padding, dilation, ceil_mode), return_indices);
                $avg: (
                    x: Tensor, kernel_size: Vec<usize>, stride: Option<Vec<usize>>, padding: Vec<usize> = vec![0],
                    ceil_mode: bool = false, count_include_pad: bool = true, divisor_override: Option<f64>
                ) => avg_pool(&x, $n, options(kernel_size, stride, padding, vec![1], ceil_mode), count_include_pad, divisor_override);
                $avg_module: [
                    kernel_size: Vec<usize>, stride: Option<Vec<usize>>, padding: Vec<usize> = vec![0],
                    ceil_mode: bool = false, count_include_pad: bool = true, divisor_override: Option<f64>
                ] (x: Tensor) => {
                    avg_pool(&x, $n, options(kernel_size, stride, padding, vec![1], ceil_mode), count_include_pad, divisor_override)
                };
                $aavg: (x: Tensor, output_size: Value) => x.adaptive_avg_pool(extents(&x, &output_size, $n));
                $aavg_module: [output_size: Value] (x: Tensor) => x.adaptive_avg_pool(extents(&x, &output_size, $n));
                $amax: (x: Tensor, output_size: Value, return_indices: bool = false) => {
                    adaptive_max_pool(&x, &output_size, $n, return_indices)
                };
                $amax_module: [output_size: Value, return_indices: bool = false] (x: Tensor) => {
                    adaptive_max_pool(&x, &output_size, $n, return_indices)
                };
                $lp_module: [norm_type: f64, kernel_size: Vec<usize>, stride: Option<Vec<usize>>, ceil_mode: bool = false] (x: Tensor) => {
                    x.lp_pool($n, norm_type, options(kernel_size, stride, vec![0], vec![1], ceil_mode))
                };
                $unpool: (
                    x: Tensor, indices: Tensor, kernel_size: Vec<usize>, stride: Option<Vec<usize>>, padding: Vec<usize> = vec![0],
                    output_size: Option<Vec<usize>>
                ) => unpool(&x, &indices, $n, &kernel_size, stride, &padding, output_size);
                $unpool_grad: (
                    x: Tensor, indices: Tensor, kernel_size: Vec<usize>, stride: Option<Vec<usize>>, padding: Vec<usize> = vec![0],
                    output_size: Option<Vec<usize>>
                ) => unpool(&x, &indices, $n, &kernel_size, stride, &padding, output_size);
            )*
            "nn.FractionalMaxPool2d": [
                kernel_size: Vec<usize>, output_size: Option<Value>, output_ratio: Option<Value>, return_indices: bool = false, _random_samples: Option<Tensor>
            ] (x: Tensor) => fractional(&x, 2, &kernel_size, output_size, output_ratio, return_indices, _random_samples)?;
            "nn.FractionalMaxPool3d": [
                kernel_size: Vec<usize>, output_size: Option<Value>, output_ratio: Option<Value>, return_indices: bool = false, _random_samples: Option<Tensor>
            ] (x: Tensor) => fractional(&x, 3, &kernel_size, output_size, output_ratio, return_indices, _random_samples)?;
            "nn.functional.unfold": (
                x: Tensor, kernel_size: Vec<usize>, dilation: Vec<usize> = vec![1], padding: Vec<usize> = vec![0],
                stride: Vec<usize> = vec![1]
            ) => {
                let options = options(kernel_size, Some(stride), padding, dilation, false);
                on_batch(&x, 2, |x| x.im2col(options.clone()))
            };
            "nn.functional.fold": (
                x: Tensor, output_size: Vec<usize>, kernel_size: Vec<usize>, dilation: Vec<usize> = vec![1],
                padding: Vec<usize> = vec![0], stride: Vec<usize> = vec![1]
            ) => {
                let options = options(kernel_size, Some(stride), padding, dilation, false);
                let fold = |x: &Tensor| x.col2im(&output_size, options.clone());
                if x.rank() == 3 { fold(&x) } else { fold(&x.unsqueeze(0)).squeeze(0) }
            };
        }
    };
}

pooling! {
    1 "nn.functional.max_pool1d" "nn.MaxPool1d" "nn.functional.avg_pool1d" "nn.AvgPool1d"
      "nn.functional.adaptive_avg_pool1d" "nn.AdaptiveAvgPool1d" "nn.functional.adaptive_max_pool1d" "nn.AdaptiveMaxPool1d"
      "nn.LPPool1d" "nn.functional.max_unpool1d" "nn.functional.max_unpool1d/grad";
    2 "nn.functional.max_pool2d" "nn.MaxPool2d" "nn.functional.avg_pool2d" "nn.AvgPool2d"
      "nn.functional.adaptive_avg_pool2d" "nn.AdaptiveAvgPool2d" "nn.functional.adaptive_max_pool2d" "nn.AdaptiveMaxPool2d"
      "nn.LPPool2d" "nn.functional.max_unpool2d" "nn.functional.max_unpool2d/grad";
    3 "nn.functional.max_pool3d" "nn.MaxPool3d" "nn.functional.avg_pool3d" "nn.AvgPool3d"
      "nn.functional.adaptive_avg_pool3d" "nn.AdaptiveAvgPool3d" "nn.functional.adaptive_max_pool3d" "nn.AdaptiveMaxPool3d"
      "nn.LPPool3d" "nn.functional.max_unpool3d" "nn.functional.max_unpool3d/grad";
}

/// Padding modules.
pub mod padding {
    use super::*;

    /// Declares them by the number of axes.
    macro_rules! layers {
        ($($n:literal $zero:literal $constant:literal $reflection:literal $replication:literal $circular:literal;)*) => {
            functions! {$(
                $zero: [padding: Vec<i64>] (x: Tensor) => padded(&x, padding, $n, Border::Constant(0.0));
                $constant: [padding: Vec<i64>, value: f64] (x: Tensor) => padded(&x, padding, $n, Border::Constant(value));
                $reflection: [padding: Vec<i64>] (x: Tensor) => padded(&x, padding, $n, Border::Reflect);
                $replication: [padding: Vec<i64>] (x: Tensor) => padded(&x, padding, $n, Border::Replicate);
                $circular: [padding: Vec<i64>] (x: Tensor) => padded(&x, padding, $n, Border::Circular);
            )*}
        };
    }

    layers! {
        1 "nn.ZeroPad1d" "nn.ConstantPad1d" "nn.ReflectionPad1d" "nn.ReplicationPad1d" "nn.CircularPad1d";
        2 "nn.ZeroPad2d" "nn.ConstantPad2d" "nn.ReflectionPad2d" "nn.ReplicationPad2d" "nn.CircularPad2d";
        3 "nn.ZeroPad3d" "nn.ConstantPad3d" "nn.ReflectionPad3d" "nn.ReplicationPad3d" "nn.CircularPad3d";
    }

    fn padded(x: &Tensor, padding: Vec<i64>, n: usize, border: Border) -> Tensor {
        let amounts = if padding.len() == 1 { vec![padding[0]; 2 * n] } else { padding };
        pad_with(x, &amounts, border)
    }
}

fn options(
    kernel_size: Vec<usize>,
    stride: Option<Vec<usize>>,
    padding: Vec<usize>,
    dilation: Vec<usize>,
    ceil_mode: bool,
) -> PoolOptions {
    let options =
        PoolOptions::new(&kernel_size[..]).padding(&padding[..]).dilation(&dilation[..]).ceil_mode(ceil_mode);
    stride.iter().filter(|s| !s.is_empty()).fold(options, |options, stride| options.stride(&stride[..]))
}

fn max_pool(x: &Tensor, n: usize, options: PoolOptions, indices: bool) -> Vec<Tensor> {
    match (indices, n) {
        (true, _) => pair(x.max_pool_with_indices(n, options)),
        (false, 1) => vec![x.max_pool1d(options)],
        (false, 2) => vec![x.max_pool2d(options)],
        (false, _) => vec![x.max_pool3d(options)],
    }
}

fn avg_pool(x: &Tensor, n: usize, options: PoolOptions, count_pad: bool, divisor: Option<f64>) -> Tensor {
    let options = options.count_include_pad(count_pad);
    match (divisor, n) {
        (Some(divisor), _) => x.sum_pool(n, options, divisor),
        (None, 1) => x.avg_pool1d(options),
        (None, 2) => x.avg_pool2d(options),
        (None, _) => x.avg_pool3d(options),
    }
}

fn adaptive_max_pool(x: &Tensor, size: &Value, n: usize, indices: bool) -> Vec<Tensor> {
    let extents = extents(x, size, n);
    if indices { pair(x.adaptive_max_pool_with_indices(extents)) } else { vec![x.adaptive_max_pool(extents)] }
}

fn unpool(
    x: &Tensor,
    indices: &Tensor,
    n: usize,
    kernel: &[usize],
    stride: Option<Vec<usize>>,
    padding: &[usize],
    size: Option<Vec<usize>>,
) -> Tensor {
    let stride = stride.filter(|stride| !stride.is_empty()).unwrap_or(kernel.to_vec());
    let of = |numbers: &[usize], a: usize| numbers[a % numbers.len()];
    let default =
        |a: usize| (x.extents()[x.rank() - n + a] - 1) * of(&stride, a) + of(kernel, a) - 2 * of(padding, a);
    let extents = match size {
        Some(size) => size[size.len() - n..].to_vec(),
        None => (0..n).map(default).collect(),
    };
    x.max_unpool(indices, extents)
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

/// A function of a batch of images of `n` spatial axes; PyTorch takes a single image too.
pub fn on_batch(x: &Tensor, n: usize, function: impl Fn(&Tensor) -> Tensor) -> Tensor {
    if x.rank() == n + 2 { function(x) } else { function(&x.unsqueeze(0)).squeeze(0) }
}

/// Maxima over windows at fractional steps, given PyTorch's random samples.
fn fractional(
    x: &Tensor,
    n: usize,
    kernel: &[usize],
    size: Option<Value>,
    ratio: Option<Value>,
    indices: bool,
    samples: Option<Tensor>,
) -> Result<Vec<Tensor>, NotSupported> {
    let Some(samples) = samples else { return not_supported("the numbers drawn by PyTorch") };
    let sizes: Vec<usize> = (0..n).map(|a| kernel[a % kernel.len()]).collect();
    let of = |value: &Value, a: usize| match value {
        Value::Array(all) => all[a].as_f64(),
        one => one.as_f64(),
    };
    let lead = x.rank() - n;
    let extent = |a: usize| match (&size, &ratio) {
        (Some(size), _) if !size.is_null() => of(size, a).unwrap_or(0.0) as usize,
        (_, Some(ratio)) => (x.extents()[lead + a] as f64 * of(ratio, a).unwrap_or(0.0)) as usize,
        (_, None) => 0,
    };
    let extents: Vec<usize> = (0..n).map(extent).collect();
    let batch = if lead == 1 { x.unsqueeze(0) } else { x.clone() };
    let samples = samples.narrow(0, 0, batch.extents()[0]);
    let (value, index) = batch.fractional_max_pool(&sizes, &extents, &samples);
    let own = |y: Tensor| if lead == 1 { y.squeeze(0) } else { y };
    Ok(if indices { vec![own(value), own(index)] } else { vec![own(value)] })
}
