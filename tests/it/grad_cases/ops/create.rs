//! Tensors made from numbers alone, and windows made of them.

use crate::grad_cases::call::{Call, IntoOutputs, Type, functions};
use kiln::prelude::*;
use serde_json::Value;
use std::f64::consts::{PI, SQRT_2};

functions! {
    "zeros": (size: Vec<usize>, dtype: Option<Type>, _device: Option<Value>) |call| => call.tracer.zeros(of(dtype, &size));
    "ones": (size: Vec<usize>, dtype: Option<Type>, _device: Option<Value>) |call| => call.tracer.ones(of(dtype, &size));
    "full": (size: Vec<usize>, value: f64, dtype: Option<Type>, _device: Option<Value>) |call| => {
        call.tracer.full(of(dtype, &size), value)
    };
    "scalar_tensor": (value: f64, dtype: Option<Type>, _device: Option<Value>, _requires_grad: bool = false) |call| => {
        call.tracer.full(of(dtype, &[]), value)
    };
    "eye": (n: usize, m: Option<usize>, dtype: Option<Type>, _device: Option<Value>, _requires_grad: bool = false) |call| => {
        call.tracer.eye(of(dtype, &[]).dtype, n, m.unwrap_or(n))
    };
    "arange": (start: f64, end: Option<f64>, step: f64 = 1.0, dtype: Option<Type>, _device: Option<Value>) |call| => {
        let (start, end) = end.map_or((0.0, start), |end| (start, end));
        call.tracer.arange(of(dtype, &[]).dtype, start, end, step)
    };
    "linspace": (start: f64, end: f64, steps: usize, dtype: Option<Type>, _device: Option<Value>) |call| => {
        call.tracer.linspace(of(dtype, &[]).dtype, start, end, steps)
    };
    "linspace/tensor_overload": (start: Operand, end: Operand, steps: usize, dtype: Option<Type>, _device: Option<Value>) |call| => {
        between(call, start, end, steps, of(dtype, &[]).dtype)
    };
    "logspace": (start: f64, end: f64, steps: usize, base: f64 = 10.0, dtype: Option<Type>, _device: Option<Value>) |call| => {
        call.tracer.logspace(of(dtype, &[]).dtype, start, end, steps, base)
    };
    "logspace/tensor_overload": (start: Operand, end: Operand, steps: usize, base: f64 = 10.0, dtype: Option<Type>, _device: Option<Value>) |call| => {
        let dtype = of(dtype, &[]).dtype;
        (between(call, start, end, steps, DType::F64) * base.ln()).exp().cast(dtype)
    };
    "tril_indices": (row: usize, col: usize, offset: i64 = 0, _dtype: Option<Type>, _device: Option<Value>) |call| => {
        call.tracer.tril_indices(row, col, offset)
    };
    "triu_indices": (row: usize, col: usize, offset: i64 = 0, _dtype: Option<Type>, _device: Option<Value>) |call| => {
        call.tracer.triu_indices(row, col, offset)
    };

    "signal.windows.bartlett": (m: usize, sym: bool = true, _dtype: Option<Type>, _device: Option<Value>, _requires_grad: bool = false) |call| => {
        if m == 1 {
            return call.tracer.ones(f32(&[1])).into_outputs();
        }
        1.0 - (places(call, m) * (2.0 / intervals(m, sym)) - 1.0).abs()
    };
    "signal.windows.cosine": (m: usize, sym: bool = true, _dtype: Option<Type>, _device: Option<Value>, _requires_grad: bool = false) |call| => {
        ((places(call, m) + 0.5) * (PI / (intervals(m, sym) + 1.0))).sin()
    };
    "signal.windows.exponential": (m: usize, center: Option<f64>, tau: f64 = 1.0, sym: bool = true, _dtype: Option<Type>, _device: Option<Value>, _requires_grad: bool = false) |call| => {
        let center = center.unwrap_or(intervals(m, sym) / 2.0);
        (-(places(call, m) - center).abs() / tau).exp()
    };
    "signal.windows.gaussian": (m: usize, std: f64 = 1.0, sym: bool = true, _dtype: Option<Type>, _device: Option<Value>, _requires_grad: bool = false) |call| => {
        (-((places(call, m) - intervals(m, sym) / 2.0) / (std * SQRT_2)).square()).exp()
    };
    "signal.windows.kaiser": (m: usize, beta: f64 = 12.0, sym: bool = true, _dtype: Option<Type>, _device: Option<Value>, _requires_grad: bool = false) |call| => {
        if m == 1 {
            return call.tracer.ones(f32(&[1])).into_outputs();
        }
        let along = places(call, m) * (2.0 * beta / intervals(m, sym)) - beta;
        let greatest = call.tracer.full(f32(&[]), beta).i0();
        (beta * beta - along.square()).clamp_min(0.0).sqrt().i0() / greatest
    };
    "signal.windows.hamming": (m: usize, sym: bool = true, _dtype: Option<Type>, _device: Option<Value>, _requires_grad: bool = false) |call| => {
        cosines(call, m, sym, &[0.54, 0.46])
    };
    "signal.windows.hann": (m: usize, sym: bool = true, _dtype: Option<Type>, _device: Option<Value>, _requires_grad: bool = false) |call| => {
        cosines(call, m, sym, &[0.5, 0.5])
    };
    "signal.windows.blackman": (m: usize, sym: bool = true, _dtype: Option<Type>, _device: Option<Value>, _requires_grad: bool = false) |call| => {
        cosines(call, m, sym, &[0.42, 0.5, 0.08])
    };
    "signal.windows.nuttall": (m: usize, sym: bool = true, _dtype: Option<Type>, _device: Option<Value>, _requires_grad: bool = false) |call| => {
        cosines(call, m, sym, &[0.3635819, 0.4891775, 0.1365995, 0.0106411])
    };
    "signal.windows.general_cosine": (m: usize, a: Value, sym: bool = true, _dtype: Option<Type>, _device: Option<Value>, _requires_grad: bool = false) |call| => {
        let a: Vec<f64> = a.as_array().into_iter().flatten().filter_map(Value::as_f64).collect();
        cosines(call, m, sym, &a)
    };
    "signal.windows.general_hamming": (m: usize, alpha: f64 = 0.54, sym: bool = true, _dtype: Option<Type>, _device: Option<Value>, _requires_grad: bool = false) |call| => {
        cosines(call, m, sym, &[alpha, 1.0 - alpha])
    };
}

fn of(dtype: Option<Type>, extents: &[usize]) -> TensorType {
    TensorType::new(dtype.map_or(DType::F32, |dtype| dtype.0), extents)
}

/// Numbers at equal distances between two that are tensors.
fn between(call: &Call, start: Operand, end: Operand, n: usize, dtype: DType) -> Tensor {
    let fraction = call.tracer.linspace(DType::F64, 0.0, if n > 1 { 1.0 } else { 0.0 }, n);
    ((1.0 - &fraction) * start + fraction * end).cast(dtype)
}

/// The numbers of the elements of a window.
fn places(call: &Call, m: usize) -> Tensor {
    call.tracer.arange(DType::F32, 0.0, m as f64, 1.0)
}

/// The intervals of a window: one less than the elements, unless it is a period of a series of windows.
fn intervals(m: usize, sym: bool) -> f64 {
    (if sym || m < 2 { m.saturating_sub(1) } else { m }) as f64
}

/// A sum of cosines with alternating signs.
fn cosines(call: &Call, m: usize, sym: bool, factors: &[f64]) -> Tensor {
    if m == 1 {
        return call.tracer.ones(f32(&[1]));
    }
    let angle = places(call, m) * (2.0 * PI / intervals(m, sym));
    let terms = factors.iter().enumerate().map(|(i, &factor)| {
        let sign = if i % 2 == 0 { factor } else { -factor };
        (&angle * i as f64).cos() * sign
    });
    terms.reduce(|sum, term| sum + term).expect("a factor")
}
