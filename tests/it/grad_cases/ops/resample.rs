//! Interpolation, and images read at given places.

use crate::grad_cases::call::{NotSupported, functions, not_supported};
use kiln::prelude::*;
use kiln::{Border, Resample};
use serde_json::Value;

/// Declares the variants of one function.
macro_rules! interpolations {
    ($($name:literal)*) => {
        functions! {
            $($name: (
                x: Tensor, size: Option<Vec<usize>>, scale_factor: Option<Value>, mode: String = "nearest".to_string(),
                align_corners: Option<bool>, recompute_scale_factor: Option<bool>, antialias: bool = false
            ) => match antialias {
                true => not_supported("antialiasing"),
                false => interpolate(&x, size, scale_factor, &mode, align_corners, recompute_scale_factor),
            };)*
            "nn.functional.upsample_bilinear": (x: Tensor, size: Option<Vec<usize>>, scale_factor: Option<Value>) => {
                interpolate(&x, size, scale_factor, "bilinear", Some(true), None)
            };
            "nn.functional.upsample_nearest": (x: Tensor, size: Option<Vec<usize>>, scale_factor: Option<Value>) => {
                interpolate(&x, size, scale_factor, "nearest", None, None)
            };
            "nn.functional.grid_sample": (
                x: Tensor, grid: Tensor, mode: String = "bilinear".to_string(), padding_mode: String = "zeros".to_string(),
                align_corners: bool = false
            ) => x.grid_sample(&grid, of_mode(&mode, align_corners)?, border(&padding_mode), align_corners);
            "grid_sampler_2d": (x: Tensor, grid: Tensor, mode: usize, padding_mode: usize, align_corners: bool) => {
                let mode = of_mode(["bilinear", "nearest", "bicubic"][mode], align_corners)?;
                x.grid_sample(&grid, mode, border(["zeros", "border", "reflection"][padding_mode]), align_corners)
            };
            "grid_sampler_3d": (x: Tensor, grid: Tensor, mode: usize, padding_mode: usize, align_corners: bool) => {
                let mode = of_mode(["bilinear", "nearest", "bicubic"][mode], align_corners)?;
                x.grid_sample(&grid, mode, border(["zeros", "border", "reflection"][padding_mode]), align_corners)
            };
        }
    };
}

interpolations! {
    "nn.functional.interpolate/area" "nn.functional.interpolate/bicubic" "nn.functional.interpolate/bilinear"
    "nn.functional.interpolate/linear" "nn.functional.interpolate/nearest" "nn.functional.interpolate/nearest-exact"
    "nn.functional.interpolate/trilinear"
}

fn of_mode(name: &str, align_corners: bool) -> Result<Resample, NotSupported> {
    match name {
        "nearest" => Ok(Resample::Nearest),
        "nearest-exact" => Ok(Resample::NearestExact),
        "linear" | "bilinear" | "trilinear" => Ok(Resample::Linear { align_corners }),
        "bicubic" => Ok(Resample::Cubic { align_corners }),
        "area" => Ok(Resample::Area),
        other => not_supported(format!("mode `{other}`")),
    }
}

fn border(name: &str) -> Border {
    match name {
        "border" => Border::Replicate,
        "reflection" => Border::Reflect,
        _ => Border::Constant(0.0),
    }
}

/// PyTorch's sizes or factors; a factor is only used for places when the sizes are not computed again from it.
fn interpolate(
    x: &Tensor,
    size: Option<Vec<usize>>,
    scale_factor: Option<Value>,
    mode: &str,
    align_corners: Option<bool>,
    recompute: Option<bool>,
) -> Result<Tensor, NotSupported> {
    let factor = |a: usize| match &scale_factor {
        Some(Value::Array(factors)) => factors[a % factors.len()].as_f64(),
        Some(factor) => factor.as_f64(),
        None => None,
    };
    let n = x.rank() - 2;
    let factors: Vec<f64> = (0..n).filter_map(factor).collect();
    let extents: Vec<usize> = match size {
        Some(size) => (0..n).map(|a| size[a % size.len()]).collect(),
        None => {
            factors.iter().zip(&x.extents()[2..]).map(|(f, &extent)| (extent as f64 * f) as usize).collect()
        }
    };
    let used = if recompute == Some(true) { &[][..] } else { &factors[..] };
    Ok(x.interpolate(&extents, used, of_mode(mode, align_corners == Some(true))?))
}
