//! Functions of the elements that a mask lets through: the others are what changes nothing.

use super::reduce::correction_of;
use crate::grad_cases::call::{Dim, Type, functions, typed};
use kiln::prelude::*;

functions! {
    "masked.sum": (x: Tensor, dim: Dim, keepdim: bool = false, dtype: Option<Type>, mask: Option<Tensor>) => {
        typed(&filled(&x, mask.as_ref(), 0.0), dtype).sum(dim.over(&x, keepdim))
    };
    "masked.prod": (x: Tensor, dim: Dim, keepdim: bool = false, dtype: Option<Type>, mask: Option<Tensor>) => {
        typed(&filled(&x, mask.as_ref(), 1.0), dtype).prod(dim.over(&x, keepdim))
    };
    "masked.cumsum": (x: Tensor, dim: i64, dtype: Option<Type>, mask: Option<Tensor>) => {
        typed(&filled(&x, mask.as_ref(), 0.0), dtype).cumsum(dim)
    };
    "masked.cumprod": (x: Tensor, dim: i64, dtype: Option<Type>, mask: Option<Tensor>) => {
        typed(&filled(&x, mask.as_ref(), 1.0), dtype).cumprod(dim)
    };
    "masked.amax": (x: Tensor, dim: Dim, keepdim: bool = false, mask: Option<Tensor>) => {
        filled(&x, mask.as_ref(), f64::NEG_INFINITY).max(dim.over(&x, keepdim))
    };
    "masked.amin": (x: Tensor, dim: Dim, keepdim: bool = false, mask: Option<Tensor>) => {
        filled(&x, mask.as_ref(), f64::INFINITY).min(dim.over(&x, keepdim))
    };
    "masked.argmax": (x: Tensor, dim: Dim, keepdim: bool = false, mask: Option<Tensor>) => {
        filled(&x, mask.as_ref(), f64::NEG_INFINITY).argmax(dim.over(&x, keepdim)).cast(x.dtype())
    };
    "masked.argmin": (x: Tensor, dim: Dim, keepdim: bool = false, mask: Option<Tensor>) => {
        filled(&x, mask.as_ref(), f64::INFINITY).argmin(dim.over(&x, keepdim)).cast(x.dtype())
    };
    "masked.mean": (x: Tensor, dim: Dim, keepdim: bool = false, dtype: Option<Type>, mask: Option<Tensor>) => {
        mean(&typed(&x, dtype), mask.as_ref(), &dim, keepdim)
    };
    "masked.median": (x: Tensor, dim: i64 = -1, keepdim: bool = false, mask: Option<Tensor>) => match mask {
        Some(mask) => filled(&x, Some(&mask), f64::NAN).nanmedian(dim, keepdim).0,
        None => x.median(dim, keepdim).0,
    };
    "masked.norm": (x: Tensor, ord: f64 = 2.0, dim: Dim, keepdim: bool = false, mask: Option<Tensor>) => {
        let nothing = if ord == f64::NEG_INFINITY { f64::INFINITY } else { 0.0 };
        filled(&x, mask.as_ref(), nothing).norm(ord, dim.over(&x, keepdim))
    };
    "masked.var": (
        x: Tensor, dim: Dim, unbiased: bool = true, keepdim: bool = false, dtype: Option<Type>, mask: Option<Tensor>,
        correction: Option<f64>
    ) => {
        var(&typed(&x, dtype), mask.as_ref(), &dim, keepdim, correction_of(unbiased, correction))
    };
    "masked.std": (
        x: Tensor, dim: Dim, unbiased: bool = true, keepdim: bool = false, dtype: Option<Type>, mask: Option<Tensor>,
        correction: Option<f64>
    ) => {
        var(&typed(&x, dtype), mask.as_ref(), &dim, keepdim, correction_of(unbiased, correction)).sqrt()
    };
    "masked.softmax": (x: Tensor, dim: i64, dtype: Option<Type>, mask: Option<Tensor>) => {
        typed(&filled(&x, mask.as_ref(), f64::NEG_INFINITY), dtype).softmax(dim)
    };
    "masked.log_softmax": (x: Tensor, dim: i64, dtype: Option<Type>, mask: Option<Tensor>) => {
        typed(&filled(&x, mask.as_ref(), f64::NEG_INFINITY), dtype).log_softmax(dim)
    };
    "masked.softmin": (x: Tensor, dim: i64, dtype: Option<Type>, mask: Option<Tensor>) => {
        typed(&filled(&x, mask.as_ref(), f64::INFINITY), dtype).softmin(dim)
    };
    "masked.normalize": (x: Tensor, ord: f64, dim: i64, eps: f64 = 1e-12, mask: Option<Tensor>) => {
        filled(&x, mask.as_ref(), 0.0).normalize(ord, dim, eps)
    };
    "masked.logsumexp": (x: Tensor, dim: Dim, keepdim: bool = false, mask: Option<Tensor>) => {
        filled(&x, mask.as_ref(), f64::NEG_INFINITY).logsumexp(dim.over(&x, keepdim))
    };
    "masked.logaddexp": (x: Tensor, other: Tensor, input_mask: Option<Tensor>, other_mask: Option<Tensor>) => {
        let least = f64::NEG_INFINITY;
        filled(&x, input_mask.as_ref(), least).logaddexp(filled(&other, other_mask.as_ref(), least))
    };
}

/// `x`, with a number where the mask is false.
fn filled(x: &Tensor, mask: Option<&Tensor>, nothing: f64) -> Tensor {
    mask.map_or_else(|| x.clone(), |mask| mask.select(x, x.full_like(nothing)))
}

/// The number of elements that a mask lets through, in the type of `x`.
fn count(x: &Tensor, mask: Option<&Tensor>, dim: &Dim, keepdim: bool) -> Tensor {
    filled(&x.ones_like(), mask, 0.0).sum(dim.over(x, keepdim))
}

fn mean(x: &Tensor, mask: Option<&Tensor>, dim: &Dim, keepdim: bool) -> Tensor {
    filled(x, mask, 0.0).sum(dim.over(x, keepdim)) / count(x, mask, dim, keepdim)
}

fn var(x: &Tensor, mask: Option<&Tensor>, dim: &Dim, keepdim: bool, correction: f64) -> Tensor {
    let deviation = filled(&(x - mean(x, mask, dim, true)), mask, 0.0);
    let count = count(x, mask, dim, keepdim) - correction;
    deviation.square().sum(dim.over(x, keepdim)) / count.clamp_min(0.0)
}
