//! Pooling.

use super::contraction::on_batch;
use super::window::{Line, Steps, adaptive, max_with_indices, windows};
use crate::grad_cases::call::functions;
use kiln::prelude::*;
use serde_json::Value;

functions! {
    "nn.functional.max_pool1d": (
        x: Tensor, kernel_size: Vec<usize>, stride: Option<Vec<usize>>, padding: Vec<usize> = vec![0],
        dilation: Vec<usize> = vec![1], ceil_mode: bool = false, return_indices: bool = false
    ) => max_pool(&x, 1, &Options { kernel_size, stride, padding, dilation, ceil_mode }, return_indices);
    "nn.functional.max_pool2d": (
        x: Tensor, kernel_size: Vec<usize>, stride: Option<Vec<usize>>, padding: Vec<usize> = vec![0],
        dilation: Vec<usize> = vec![1], ceil_mode: bool = false, return_indices: bool = false
    ) => max_pool(&x, 2, &Options { kernel_size, stride, padding, dilation, ceil_mode }, return_indices);
    "nn.functional.max_pool3d": (
        x: Tensor, kernel_size: Vec<usize>, stride: Option<Vec<usize>>, padding: Vec<usize> = vec![0],
        dilation: Vec<usize> = vec![1], ceil_mode: bool = false, return_indices: bool = false
    ) => max_pool(&x, 3, &Options { kernel_size, stride, padding, dilation, ceil_mode }, return_indices);
    "nn.functional.avg_pool1d": (
        x: Tensor, kernel_size: Vec<usize>, stride: Option<Vec<usize>>, padding: Vec<usize> = vec![0],
        ceil_mode: bool = false, count_include_pad: bool = true
    ) => avg_pool(&x, 1, &Options { kernel_size, stride, padding, dilation: vec![1], ceil_mode }, count_include_pad, None);
    "nn.functional.avg_pool2d": (
        x: Tensor, kernel_size: Vec<usize>, stride: Option<Vec<usize>>, padding: Vec<usize> = vec![0],
        ceil_mode: bool = false, count_include_pad: bool = true, divisor_override: Option<f64>
    ) => {
        let options = Options { kernel_size, stride, padding, dilation: vec![1], ceil_mode };
        avg_pool(&x, 2, &options, count_include_pad, divisor_override)
    };
    "nn.functional.avg_pool3d": (
        x: Tensor, kernel_size: Vec<usize>, stride: Option<Vec<usize>>, padding: Vec<usize> = vec![0],
        ceil_mode: bool = false, count_include_pad: bool = true, divisor_override: Option<f64>
    ) => {
        let options = Options { kernel_size, stride, padding, dilation: vec![1], ceil_mode };
        avg_pool(&x, 3, &options, count_include_pad, divisor_override)
    };
    "nn.functional.adaptive_avg_pool1d": (x: Tensor, output_size: Value) => adaptive_avg_pool(&x, &output_size, 1);
    "nn.functional.adaptive_avg_pool2d": (x: Tensor, output_size: Value) => adaptive_avg_pool(&x, &output_size, 2);
    "nn.functional.adaptive_avg_pool3d": (x: Tensor, output_size: Value) => adaptive_avg_pool(&x, &output_size, 3);
    "nn.functional.adaptive_max_pool1d": (x: Tensor, output_size: Value, return_indices: bool = false) => {
        adaptive_max_pool(&x, &output_size, 1, return_indices)
    };
    "nn.functional.adaptive_max_pool2d": (x: Tensor, output_size: Value, return_indices: bool = false) => {
        adaptive_max_pool(&x, &output_size, 2, return_indices)
    };
    "nn.functional.adaptive_max_pool3d": (x: Tensor, output_size: Value, return_indices: bool = false) => {
        adaptive_max_pool(&x, &output_size, 3, return_indices)
    };
    "nn.LPPool1d": [norm_type: f64, kernel_size: Vec<usize>, stride: Option<Vec<usize>>, ceil_mode: bool = false] (x: Tensor) => {
        lp_pool(&x, 1, norm_type, &Options { kernel_size, stride, padding: vec![0], dilation: vec![1], ceil_mode })
    };
    "nn.LPPool2d": [norm_type: f64, kernel_size: Vec<usize>, stride: Option<Vec<usize>>, ceil_mode: bool = false] (x: Tensor) => {
        lp_pool(&x, 2, norm_type, &Options { kernel_size, stride, padding: vec![0], dilation: vec![1], ceil_mode })
    };
    "nn.functional.unfold": (
        x: Tensor, kernel_size: Vec<usize>, dilation: Vec<usize> = vec![1], padding: Vec<usize> = vec![0],
        stride: Vec<usize> = vec![1]
    ) => {
        let options = Options { kernel_size, stride: Some(stride), padding, dilation, ceil_mode: false };
        // [n, c, out.., window] to [n, c * window, number of windows].
        on_batch(&x, 2, |x| windows(x, &options.lines(x, 2), 0.0).movedim(-1, 2).flatten(1, 2).flatten(2, -1))
    };
}

/// How windows move: one number for each spatial axis, or one for all.
struct Options {
    kernel_size: Vec<usize>,
    stride: Option<Vec<usize>>,
    padding: Vec<usize>,
    dilation: Vec<usize>,
    ceil_mode: bool,
}

impl Options {
    fn of_kiln(&self) -> PoolOptions {
        let options = PoolOptions::new(&self.kernel_size[..]).padding(&self.padding[..]);
        let options = options.dilation(&self.dilation[..]).ceil_mode(self.ceil_mode);
        self.stride
            .iter()
            .filter(|s| !s.is_empty())
            .fold(options, |options, stride| options.stride(&stride[..]))
    }

    /// The windows over the last `n` axes.
    fn lines(&self, x: &Tensor, n: usize) -> Vec<Line> {
        let stride = self.stride.as_ref().filter(|stride| !stride.is_empty()).unwrap_or(&self.kernel_size);
        let of = |numbers: &[usize], a: usize| numbers[a % numbers.len()];
        let steps = |a: usize| Steps {
            size: of(&self.kernel_size, a),
            stride: of(stride, a),
            padding: of(&self.padding, a),
            dilation: of(&self.dilation, a),
            ceil_mode: self.ceil_mode,
        };
        (0..n).map(|a| steps(a).line(x.extents()[x.rank() - n + a])).collect()
    }
}

fn max_pool(x: &Tensor, n: usize, options: &Options, indices: bool) -> Vec<Tensor> {
    if indices {
        return max_with_indices(x, &options.lines(x, n)).to_vec();
    }
    vec![match n {
        1 => x.max_pool1d(options.of_kiln()),
        2 => x.max_pool2d(options.of_kiln()),
        _ => x.max_pool3d(options.of_kiln()),
    }]
}

fn avg_pool(x: &Tensor, n: usize, options: &Options, count_pad: bool, divisor: Option<f64>) -> Tensor {
    if let Some(divisor) = divisor {
        return windows(x, &options.lines(x, n), 0.0).sum(-1) / divisor;
    }
    let options = options.of_kiln().count_include_pad(count_pad);
    match n {
        1 => x.avg_pool1d(options),
        2 => x.avg_pool2d(options),
        _ => x.avg_pool3d(options),
    }
}

fn lp_pool(x: &Tensor, n: usize, p: f64, options: &Options) -> Tensor {
    windows(x, &options.lines(x, n), 0.0).pow(p).sum(-1).pow(1.0 / p)
}

fn adaptive_avg_pool(x: &Tensor, size: &Value, n: usize) -> Tensor {
    let extents = extents(x, size, n);
    if is_even(x, &extents) {
        return x.adaptive_avg_pool(extents);
    }
    let lines = adaptive_lines(x, &extents);
    windows(x, &lines, 0.0).sum(-1) / windows(&x.ones_like(), &lines, 0.0).sum(-1)
}

fn adaptive_max_pool(x: &Tensor, size: &Value, n: usize, indices: bool) -> Vec<Tensor> {
    let extents = extents(x, size, n);
    if is_even(x, &extents) && !indices {
        return vec![x.adaptive_max_pool(extents)];
    }
    let [values, at] = max_with_indices(x, &adaptive_lines(x, &extents));
    if indices { vec![values, at] } else { vec![values] }
}

/// Whether all windows of adaptive pooling have the same size, which is what Kiln supports.
fn is_even(x: &Tensor, extents: &[usize]) -> bool {
    let spatial = &x.extents()[x.rank() - extents.len()..];
    spatial.iter().zip(extents).all(|(&extent, &out)| out > 0 && extent > 0 && extent % out == 0)
}

fn adaptive_lines(x: &Tensor, extents: &[usize]) -> Vec<Line> {
    let spatial = &x.extents()[x.rank() - extents.len()..];
    spatial.iter().zip(extents).map(|(&extent, &out)| adaptive(extent, out)).collect()
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
