//! Functions of single elements.

use crate::grad_cases::call::functions;
use kiln::Operand;
use kiln::prelude::*;
use std::f64::consts::{FRAC_1_SQRT_2, LN_2, PI};

functions! {
    "acos": (x: Tensor) => x.acos();
    "acosh": (x: Tensor) => x.acosh();
    "asin": (x: Tensor) => x.asin();
    "asinh": (x: Tensor) => x.asinh();
    "atan": (x: Tensor) => x.atan();
    "atanh": (x: Tensor) => x.atanh();
    "clone": (x: Tensor) => x;
    "cos": (x: Tensor) => x.cos();
    "cosh": (x: Tensor) => x.cosh();
    "erf": (x: Tensor) => x.erf();
    "erfc": (x: Tensor) => x.erfc();
    "exp": (x: Tensor) => x.exp();
    "exp2": (x: Tensor) => x.exp2();
    "expm1": (x: Tensor) => x.expm1();
    "floor": (x: Tensor) => x.floor();
    "log": (x: Tensor) => x.log();
    "log10": (x: Tensor) => x.log10();
    "logit": (x: Tensor, eps: Option<f64>) => match eps {
        Some(eps) => x.lt(eps).select(eps, x.minimum(1.0 - eps)).logit(),
        None => x.logit(),
    };
    "nan_to_num": (x: Tensor, nan: f64 = 0.0) => x.nan_to_num(nan);
    "neg": (x: Tensor) => -x;
    "positive": (x: Tensor) => x;
    "rad2deg": (x: Tensor) => x * (180.0 / PI);
    "reciprocal": (x: Tensor) => x.reciprocal();
    "round/decimals_3": (x: Tensor, decimals: i64) => {
        let scale = 10f64.powi(decimals as i32);
        (x * scale).round() / scale
    };
    "sgn": (x: Tensor) => x.sign();
    "sigmoid": (x: Tensor) => x.sigmoid();
    "sign": (x: Tensor) => x.sign();
    "sinh": (x: Tensor) => x.sinh();
    "special.entr": (x: Tensor) => -x.xlogy(&x);
    "special.ndtr": (x: Tensor) => (x * -FRAC_1_SQRT_2).erfc() * 0.5;
    "square": (x: Tensor) => x.square();
    "tan": (x: Tensor) => x.tan();
    "tanh": (x: Tensor) => x.tanh();

    "add": (x: Tensor, other: Tensor, alpha: f64 = 1.0) => x + other * alpha;
    "addcmul": (x: Tensor, tensor1: Tensor, tensor2: Tensor, value: f64 = 1.0) => x.addcmul(&tensor1, &tensor2, value);
    "atan2": (x: Tensor, other: Operand) => x.atan2(other);
    "clamp": (x: Tensor, min: Option<Operand>, max: Option<Operand>) => {
        let raised = min.map_or(x.clone(), |min| x.maximum(min));
        max.map_or(raised.clone(), |max| raised.minimum(max))
    };
    "clamp_max": (x: Tensor, max: Operand) => x.minimum(max);
    "clamp_min": (x: Tensor, min: Operand) => x.maximum(min);
    "copysign": (x: Tensor, other: Operand) => x.copysign(other);
    "div/floor_rounding": (x: Tensor, other: Operand, _rounding_mode: String) => x.div_floor(other);
    "div/no_rounding_mode": (x: Tensor, other: Operand) => x.div(other);
    "div/trunc_rounding": (x: Tensor, other: Operand, _rounding_mode: String) => x.div_trunc(other);
    "float_power": (x: Tensor, other: Operand) => x.pow(other);
    "fmax": (x: Tensor, other: Operand) => x.maximum(other);
    "fmin": (x: Tensor, other: Operand) => x.minimum(other);
    "fmod": (x: Tensor, other: Operand) => x.fmod(other);
    "hypot": (x: Tensor, other: Operand) => x.hypot(other);
    "ldexp": (x: Tensor, other: Tensor) => x * other.to_float().exp2();
    "lerp": (x: Tensor, end: Tensor, weight: Operand) => x.lerp(&end, weight);
    "logaddexp": (x: Tensor, other: Operand) => x.logaddexp(other);
    "logaddexp2": (x: Tensor, other: Tensor) => (x * LN_2).logaddexp(other * LN_2) / LN_2;
    "masked_fill": (x: Tensor, mask: Tensor, value: Operand) => x.masked_fill(&mask, value);
    "max/binary": (x: Tensor, other: Operand) => x.maximum(other);
    "maximum": (x: Tensor, other: Operand) => x.maximum(other);
    "min/binary": (x: Tensor, other: Operand) => x.minimum(other);
    "minimum": (x: Tensor, other: Operand) => x.minimum(other);
    "mul": (x: Tensor, other: Operand) => x.mul(other);
    "pow": (x: Tensor, other: Operand) => x.pow(other);
    "remainder": (x: Tensor, other: Operand) => x.remainder(other);
    "rsub": (x: Tensor, other: Tensor, alpha: f64 = 1.0) => other - x * alpha;
    "special.xlog1py": (x: Tensor, other: Tensor) => x * other.log1p();
    "sub": (x: Tensor, other: Tensor, alpha: f64 = 1.0) => x - other * alpha;
    "true_divide": (x: Tensor, other: Operand) => x.div(other);
    "where": (x: Tensor, condition: Tensor, other: Operand) => condition.select(x, other);
    "xlogy": (x: Tensor, other: Operand) => x.xlogy(other);
}
