//! Functions of single elements.

use super::sort::pair;
use crate::grad_cases::call::{Type, functions, typed};
use kiln::prelude::*;

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
        Some(eps) => x.lt(eps).select(eps, x.clamp_max(1.0 - eps)).logit(),
        None => x.logit(),
    };
    "nan_to_num": (x: Tensor, nan: Option<f64>, posinf: Option<f64>, neginf: Option<f64>) => {
        x.nan_to_num(nan.unwrap_or(0.0), posinf, neginf)
    };
    "neg": (x: Tensor) => -x;
    "positive": (x: Tensor) => x;
    "rad2deg": (x: Tensor) => x.rad2deg();
    "reciprocal": (x: Tensor) => x.reciprocal();
    "round": (x: Tensor, decimals: i64 = 0) => x.round_decimals(decimals as i32);
    "round/decimals_0": (x: Tensor, decimals: i64) => x.round_decimals(decimals as i32);
    "round/decimals_3": (x: Tensor, decimals: i64) => x.round_decimals(decimals as i32);
    "round/decimals_neg_3": (x: Tensor, decimals: i64) => x.round_decimals(decimals as i32);
    "sgn": (x: Tensor) => x.sign();
    "sigmoid": (x: Tensor) => x.sigmoid();
    "sign": (x: Tensor) => x.sign();
    "sinh": (x: Tensor) => x.sinh();
    "abs": (x: Tensor) => x.abs();
    "bitwise_not": (x: Tensor) => x.bitwise_not();
    "ceil": (x: Tensor) => x.ceil();
    "deg2rad": (x: Tensor) => x.deg2rad();
    "digamma": (x: Tensor) => x.digamma();
    "erfinv": (x: Tensor) => x.erfinv();
    "frac": (x: Tensor) => x.frac();
    "i0": (x: Tensor) => x.i0();
    "isfinite": (x: Tensor) => x.isfinite();
    "isinf": (x: Tensor) => x.isinf();
    "isnan": (x: Tensor) => x.isnan();
    "lgamma": (x: Tensor) => x.lgamma();
    "log1p": (x: Tensor) => x.log1p();
    "log2": (x: Tensor) => x.log2();
    "logical_not": (x: Tensor) => x.logical_not();
    "rsqrt": (x: Tensor) => x.rsqrt();
    "sin": (x: Tensor) => x.sin();
    "sinc": (x: Tensor) => x.sinc();
    "special.entr": (x: Tensor) => x.entr();
    "special.erfcx": (x: Tensor) => x.erfcx();
    "special.i0e": (x: Tensor) => x.i0e();
    "special.i1": (x: Tensor) => x.i1();
    "special.i1e": (x: Tensor) => x.i1e();
    "special.log_ndtr": (x: Tensor) => x.log_ndtr();
    "special.modified_bessel_i0": (x: Tensor) => x.i0();
    "special.modified_bessel_i1": (x: Tensor) => x.i1();
    "special.ndtr": (x: Tensor) => x.ndtr();
    "special.ndtri": (x: Tensor) => x.ndtri();
    "sqrt": (x: Tensor) => x.sqrt();
    "trunc": (x: Tensor) => x.trunc();
    "alias_copy": (x: Tensor) => x;
    "conj": (x: Tensor) => x;
    "conj_physical": (x: Tensor) => x;
    "float": (x: Tensor) => x;
    "real": (x: Tensor) => x;
    "resolve_conj": (x: Tensor) => x;
    "resolve_neg": (x: Tensor) => x;
    "signbit": (x: Tensor) => x.signbit();
    "ones_like": (x: Tensor, dtype: Option<Type>, _device: Option<String>) => typed(&x, dtype).ones_like();
    "zeros_like": (x: Tensor, dtype: Option<Type>, _device: Option<String>) => typed(&x, dtype).zeros_like();
    "isposinf": (x: Tensor) => x.isposinf();
    "isneginf": (x: Tensor) => x.isneginf();
    "isreal": (x: Tensor) => x.ones_like().cast(DType::Bool);
    "bool": (x: Tensor) => x.cast(DType::Bool);
    "byte": (x: Tensor) => x.cast(DType::U8);
    "double": (x: Tensor) => x.cast(DType::F64);
    "int": (x: Tensor) => x.cast(DType::I32);
    "long": (x: Tensor) => x.cast(DType::I64);
    "special.polygamma/special_polygamma_n_0": (x: Tensor, n: usize) => x.polygamma(n);
    "polygamma/polygamma_n_0": (x: Tensor, n: usize) => x.polygamma(n);
    "polygamma/polygamma_n_1": (x: Tensor, n: usize) => x.polygamma(n);
    "polygamma/polygamma_n_2": (x: Tensor, n: usize) => x.polygamma(n);
    "polygamma/polygamma_n_3": (x: Tensor, n: usize) => x.polygamma(n);
    "polygamma/polygamma_n_4": (x: Tensor, n: usize) => x.polygamma(n);
    "mvlgamma/mvlgamma_p_1": (x: Tensor, p: usize) => x.mvlgamma(p);
    "mvlgamma/mvlgamma_p_3": (x: Tensor, p: usize) => x.mvlgamma(p);
    "mvlgamma/mvlgamma_p_5": (x: Tensor, p: usize) => x.mvlgamma(p);
    "square": (x: Tensor) => x.square();
    "angle": (x: Tensor) => x.isnan().select(&x, x.lt(0).select(std::f64::consts::PI, 0.0));
    "frexp": (x: Tensor) => pair(x.frexp());
    "full_like": (x: Tensor, fill_value: f64, dtype: Option<Type>, _device: Option<String>) => typed(&x, dtype).full_like(fill_value);
    "new_full": (x: Tensor, size: Vec<usize>, fill_value: f64, dtype: Option<Type>, _device: Option<String>) => of_size(&typed(&x, dtype), &size, fill_value);
    "new_ones": (x: Tensor, size: Vec<usize>, dtype: Option<Type>, _device: Option<String>) => of_size(&typed(&x, dtype), &size, 1.0);
    "new_zeros": (x: Tensor, size: Vec<usize>, dtype: Option<Type>, _device: Option<String>) => of_size(&typed(&x, dtype), &size, 0.0);
    "native_dropout_backward": (x: Tensor, mask: Tensor, scale: f64) => &x * mask.cast(x.dtype()) * scale;
    "tan": (x: Tensor) => x.tan();
    "tanh": (x: Tensor) => x.tanh();

    "add": (x: Tensor, other: Operand, alpha: f64 = 1.0) => if alpha == 1.0 { x.add(other) } else { (x.zeros_like() + other) * alpha + &x };
    "addcmul": (x: Tensor, tensor1: Tensor, tensor2: Tensor, value: f64 = 1.0) => x.addcmul(&tensor1, &tensor2, value);
    "atan2": (x: Tensor, other: Operand) => x.atan2(other);
    "addcdiv": (x: Tensor, tensor1: Tensor, tensor2: Tensor, value: f64 = 1.0) => x.addcdiv(&tensor1, &tensor2, value);
    "clamp": (x: Tensor, min: Option<Operand>, max: Option<Operand>) => {
        let raised = min.map_or(x.clone(), |min| x.clamp_min(min));
        max.map_or(raised.clone(), |max| raised.clamp_max(max))
    };
    "clamp_max": (x: Tensor, max: Operand) => x.clamp_max(max);
    "clamp_min": (x: Tensor, min: Operand) => x.clamp_min(min);
    "copysign": (x: Tensor, other: Operand) => x.copysign(other);
    "div/floor_rounding": (x: Tensor, other: Operand, _rounding_mode: String) => x.div_floor(other);
    "div/no_rounding_mode": (x: Tensor, other: Operand) => x.div(other);
    "div/trunc_rounding": (x: Tensor, other: Operand, _rounding_mode: String) => x.div_trunc(other);
    "float_power": (x: Tensor, other: Operand) => x.pow(other);
    "fmax": (x: Tensor, other: Operand) => x.fmax(other);
    "fmin": (x: Tensor, other: Operand) => x.fmin(other);
    "fmod": (x: Tensor, other: Operand) => x.fmod(other);
    "hypot": (x: Tensor, other: Operand) => x.hypot(other);
    "ldexp": (x: Tensor, other: Tensor) => x.ldexp(&other);
    "lerp": (x: Tensor, end: Tensor, weight: Operand) => x.lerp(&end, weight);
    "logaddexp": (x: Tensor, other: Operand) => x.logaddexp(other);
    "logaddexp2": (x: Tensor, other: Tensor) => x.logaddexp2(other);
    "masked_fill": (x: Tensor, mask: Tensor, value: Operand) => x.masked_fill(&mask, value);
    "max/binary": (x: Tensor, other: Operand) => x.maximum(other);
    "maximum": (x: Tensor, other: Operand) => x.maximum(other);
    "min/binary": (x: Tensor, other: Operand) => x.minimum(other);
    "minimum": (x: Tensor, other: Operand) => x.minimum(other);
    "mul": (x: Tensor, other: Operand) => x.mul(other);
    "pow": (x: Tensor, other: Operand) => x.pow(other);
    "remainder": (x: Tensor, other: Operand) => x.remainder(other);
    "rsub": (x: Tensor, other: Operand, alpha: f64 = 1.0) => (x * -alpha).add(other);
    "special.xlog1py": (x: Tensor, other: Operand) => x.xlog1py(other);
    "sub": (x: Tensor, other: Operand, alpha: f64 = 1.0) => if alpha == 1.0 { x.sub(other) } else { &x - (x.zeros_like() + other) * alpha };
    "true_divide": (x: Tensor, other: Operand) => x.div(other);
    "where": (x: Tensor, condition: Tensor, other: Operand) => condition.select(x, other);
    "xlogy": (x: Tensor, other: Operand) => x.xlogy(other);
    "eq": (x: Tensor, other: Operand) => x.eq(other);
    "ne": (x: Tensor, other: Operand) => x.ne(other);
    "lt": (x: Tensor, other: Operand) => x.lt(other);
    "le": (x: Tensor, other: Operand) => x.le(other);
    "gt": (x: Tensor, other: Operand) => x.gt(other);
    "ge": (x: Tensor, other: Operand) => x.ge(other);
    "logical_and": (x: Tensor, other: Operand) => x.logical_and(other);
    "logical_or": (x: Tensor, other: Operand) => x.logical_or(other);
    "logical_xor": (x: Tensor, other: Operand) => x.logical_xor(other);
    "bitwise_and": (x: Tensor, other: Operand) => x.bitwise_and(other);
    "bitwise_or": (x: Tensor, other: Operand) => x.bitwise_or(other);
    "bitwise_xor": (x: Tensor, other: Operand) => x.bitwise_xor(other);
    "heaviside": (x: Tensor, other: Operand) => x.heaviside(other);
    "floor_divide": (x: Tensor, other: Operand) => x.div_floor(other);
    "bitwise_left_shift": (x: Tensor, other: Operand) => x.shift_left(other);
    "bitwise_right_shift": (x: Tensor, other: Operand) => x.shift_right(other);
    "__radd__": (x: Tensor, other: Operand) => x.add(other);
    "__rmul__": (x: Tensor, other: Operand) => x.mul(other);
    "__rsub__": (x: Tensor, other: Operand) => (-x).add(other);
    "__rdiv__": (x: Tensor, other: Operand) => x.reciprocal().mul(other);
    "__rmod__": (x: Tensor, other: Operand) => beside(&x, other).remainder(x);
    "__rpow__": (x: Tensor, other: Operand) => beside(&x, other).pow(x);
    "__rand__": (x: Tensor, other: Operand) => x.bitwise_and(other);
    "__ror__": (x: Tensor, other: Operand) => x.bitwise_or(other);
    "__rxor__": (x: Tensor, other: Operand) => x.bitwise_xor(other);
    "gcd": (x: Tensor, other: Operand) => x.gcd(other);
    "lcm": (x: Tensor, other: Operand) => x.lcm(other);
    "nextafter": (x: Tensor, other: Operand) => x.nextafter(other);
    "isclose": (x: Tensor, other: Tensor, rtol: f64 = 1e-5, atol: f64 = 1e-8, equal_nan: bool = false) => {
        x.isclose(&other, rtol, atol, equal_nan)
    };
}

/// An operand as a tensor of the type of `x`.
fn beside(x: &Tensor, other: Operand) -> Tensor {
    x.zeros_like() + other
}

/// A number in a shape, in the type of `x`.
fn of_size(x: &Tensor, extents: &[usize], value: f64) -> Tensor {
    x.constant(TensorData::new([], vec![value])).cast(x.dtype()).broadcast_to(extents)
}
