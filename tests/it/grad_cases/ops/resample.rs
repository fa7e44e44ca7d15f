//! Interpolation: along each spatial axis the product with a matrix of weights.

use super::window::adaptive;
use crate::grad_cases::call::{NotSupported, functions, not_supported};
use kiln::prelude::*;
use serde_json::Value;

functions! {
    "nn.functional.interpolate/area": (
        x: Tensor, size: Option<Vec<usize>>, scale_factor: Option<Value>, mode: String, align_corners: Option<bool>,
        recompute_scale_factor: Option<bool>
    ) => interpolate(&x, size, scale_factor, &mode, align_corners, recompute_scale_factor);
    "nn.functional.interpolate/bicubic": (
        x: Tensor, size: Option<Vec<usize>>, scale_factor: Option<Value>, mode: String, align_corners: Option<bool>,
        recompute_scale_factor: Option<bool>
    ) => interpolate(&x, size, scale_factor, &mode, align_corners, recompute_scale_factor);
    "nn.functional.interpolate/bilinear": (
        x: Tensor, size: Option<Vec<usize>>, scale_factor: Option<Value>, mode: String, align_corners: Option<bool>,
        recompute_scale_factor: Option<bool>
    ) => interpolate(&x, size, scale_factor, &mode, align_corners, recompute_scale_factor);
    "nn.functional.interpolate/linear": (
        x: Tensor, size: Option<Vec<usize>>, scale_factor: Option<Value>, mode: String, align_corners: Option<bool>,
        recompute_scale_factor: Option<bool>
    ) => interpolate(&x, size, scale_factor, &mode, align_corners, recompute_scale_factor);
    "nn.functional.interpolate/nearest": (
        x: Tensor, size: Option<Vec<usize>>, scale_factor: Option<Value>, mode: String, align_corners: Option<bool>,
        recompute_scale_factor: Option<bool>
    ) => interpolate(&x, size, scale_factor, &mode, align_corners, recompute_scale_factor);
    "nn.functional.interpolate/nearest-exact": (
        x: Tensor, size: Option<Vec<usize>>, scale_factor: Option<Value>, mode: String, align_corners: Option<bool>,
        recompute_scale_factor: Option<bool>
    ) => interpolate(&x, size, scale_factor, &mode, align_corners, recompute_scale_factor);
    "nn.functional.interpolate/trilinear": (
        x: Tensor, size: Option<Vec<usize>>, scale_factor: Option<Value>, mode: String, align_corners: Option<bool>,
        recompute_scale_factor: Option<bool>
    ) => interpolate(&x, size, scale_factor, &mode, align_corners, recompute_scale_factor);
}

fn interpolate(
    x: &Tensor,
    size: Option<Vec<usize>>,
    scale_factor: Option<Value>,
    mode: &str,
    align_corners: Option<bool>,
    recompute: Option<bool>,
) -> Result<Tensor, NotSupported> {
    let mut y = x.clone();
    for axis in 2..x.rank() {
        let extent = x.extents()[axis];
        let factor = match &scale_factor {
            Some(Value::Array(factors)) => factors[(axis - 2) % factors.len()].as_f64(),
            Some(factor) => factor.as_f64(),
            None => None,
        };
        let out = match (&size, factor) {
            (Some(size), _) => size[(axis - 2) % size.len()],
            (None, Some(factor)) => (extent as f64 * factor) as usize,
            (None, None) => return not_supported("neither size nor scale"),
        };
        let by_factor = factor.filter(|_| recompute != Some(true)).map(|factor| 1.0 / factor);
        let rows = weights(mode, extent, out, by_factor, align_corners == Some(true))?;
        let matrix = x.constant(TensorData::new([out, extent], rows));
        y = y.movedim(axis as i64, -1).linear(&matrix, None).movedim(-1, axis as i64);
    }
    Ok(y)
}

/// The weight of each element of a line for each element of the interpolated line, after PyTorch's `UpSample.h`.
fn weights(
    mode: &str,
    n: usize,
    out: usize,
    by_factor: Option<f64>,
    align: bool,
) -> Result<Vec<f32>, NotSupported> {
    let mut weights = vec![0f32; out * n];
    let mut add =
        |o: usize, i: i64, weight: f64| weights[o * n + i.clamp(0, n as i64 - 1) as usize] += weight as f32;
    let step = by_factor.unwrap_or(n as f64 / out as f64);
    let corner_step = if out > 1 { (n - 1) as f64 / (out - 1) as f64 } else { 0.0 };
    let source = |o: usize| if align { o as f64 * corner_step } else { (o as f64 + 0.5) * step - 0.5 };
    for o in 0..out {
        match mode {
            // The step is a single precision number in these modes.
            "nearest" => add(o, (o as f32 * step as f32) as i64, 1.0),
            "nearest-exact" => add(o, ((o as f32 + 0.5) * step as f32) as i64, 1.0),
            "linear" | "bilinear" | "trilinear" => {
                let at = source(o).max(0.0);
                add(o, at.floor() as i64, 1.0 - at.fract());
                add(o, at.floor() as i64 + 1, at.fract());
            }
            "bicubic" => {
                let at = source(o);
                let t = at - at.floor();
                for (k, distance) in [1.0 + t, t, 1.0 - t, 2.0 - t].into_iter().enumerate() {
                    add(o, at.floor() as i64 + k as i64 - 1, cubic(distance));
                }
            }
            "area" => {
                let line = &adaptive(n, out)[o];
                let count = line.iter().flatten().count() as f64;
                line.iter().flatten().for_each(|&i| add(o, i as i64, 1.0 / count));
            }
            other => return not_supported(format!("mode `{other}`")),
        }
    }
    Ok(weights)
}

/// The cubic convolution kernel with slope -3/4 at 1.
/// Source: Keys, *Cubic convolution interpolation for digital image processing*, 1981.
fn cubic(distance: f64) -> f64 {
    const A: f64 = -0.75;
    let x = distance;
    if x <= 1.0 {
        ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0
    } else {
        ((A * x - 5.0 * A) * x + 8.0 * A) * x - 4.0 * A
    }
}
