//! Elementwise functions of one tensor.
//!
//! Shapes: as `self`. Types: floats; integers and truth values are converted to `f32` first, as in PyTorch, unless
//! the method says otherwise. Errors: none.

use super::Tensor;
use super::convert::Checked;
use kiln_ir::op::{CompareOp, LogicalOp, UnaryOp};
use kiln_ir::{DType, Op};

/// Methods that are one op on floats.
macro_rules! float_functions {
    ($($(#[$doc:meta])* $name:ident => $op:ident;)*) => {
        impl Tensor {$(
            $(#[$doc])*
            #[track_caller]
            pub fn $name(&self) -> Tensor {
                self.to_float().record(Op::Unary(UnaryOp::$op), &[])
            }
        )*}
    };
}

float_functions! {
    /// `e^x`.
    exp => Exp;
    /// `e^x - 1`, exact near 0.
    expm1 => Expm1;
    /// Natural logarithm; NaN below 0, `-inf` at 0.
    log => Log;
    /// `log(1 + x)`, exact near 0.
    log1p => Log1p;
    /// Square root; NaN below 0.
    sqrt => Sqrt;
    /// `1 / sqrt(x)`.
    rsqrt => Rsqrt;
    /// Sine of radians.
    sin => Sin;
    /// Cosine of radians.
    cos => Cos;
    /// Tangent of radians.
    tan => Tan;
    /// Inverse sine, in radians; NaN outside [-1, 1].
    asin => Asin;
    /// Inverse cosine, in radians; NaN outside [-1, 1].
    acos => Acos;
    /// Inverse tangent, in radians.
    atan => Atan;
    /// Hyperbolic sine.
    sinh => Sinh;
    /// Hyperbolic cosine.
    cosh => Cosh;
    /// Hyperbolic tangent, `(e^x - e^-x) / (e^x + e^-x)`. As an activation: LeCun and others, *Efficient BackProp*, 1998,
    /// section 4.4.
    tanh => Tanh;
    /// `1 / (1 + e^-x)`. As an activation: Rumelhart, Hinton, Williams, *Learning Representations by Back-Propagating
    /// Errors*, 1986, equation 2.
    sigmoid => Sigmoid;
    /// Error function.
    erf => Erf;
    /// `1 / x`.
    reciprocal => Reciprocal;
}

/// Methods that round floats; integers are whole already and stay as they are.
macro_rules! rounding {
    ($($(#[$doc:meta])* $name:ident => $op:ident;)*) => {
        impl Tensor {$(
            $(#[$doc])*
            #[track_caller]
            pub fn $name(&self) -> Tensor {
                if self.dtype().is_float() {
                    self.record(Op::Unary(UnaryOp::$op), &[])
                } else {
                    self.clone()
                }
            }
        )*}
    };
}

rounding! {
    /// Greatest integer not above `x`; integers stay.
    floor => Floor;
    /// Least integer not below `x`; integers stay.
    ceil => Ceil;
    /// Nearest integer, ties to even; integers stay.
    round => Round;
}

impl Tensor {
    /// `-x`. Types: signed numbers.
    #[track_caller]
    pub fn neg(&self) -> Tensor {
        self.record(Op::Unary(UnaryOp::Neg), &[])
    }

    /// `|x|`. Types: numbers.
    #[track_caller]
    pub fn abs(&self) -> Tensor {
        if self.dtype() == DType::U8 { self.clone() } else { self.record(Op::Unary(UnaryOp::Abs), &[]) }
    }

    /// -1, 0 or 1 by the sign of `x`; NaN stays NaN. Types: signed numbers.
    #[track_caller]
    pub fn sign(&self) -> Tensor {
        self.record(Op::Unary(UnaryOp::Sign), &[])
    }

    /// `x` without its fraction: rounded toward zero; integers stay.
    #[track_caller]
    pub fn trunc(&self) -> Tensor {
        if !self.dtype().is_float() {
            return self.clone();
        }
        self.within("trunc", || self.lt(0.0).select(self.ceil(), self.floor()))
    }

    /// `x - trunc(x)`: the fraction, with the sign of `x`.
    #[track_caller]
    pub fn frac(&self) -> Tensor {
        self.within("frac", || self - self.trunc())
    }

    /// `x * x`. Types: numbers.
    #[track_caller]
    pub fn square(&self) -> Tensor {
        self * self
    }

    /// `2^x`, as `e^(x log 2)`.
    #[track_caller]
    pub fn exp2(&self) -> Tensor {
        self.within("exp2", || (self * std::f64::consts::LN_2).exp())
    }

    /// Logarithm to base 2.
    #[track_caller]
    pub fn log2(&self) -> Tensor {
        self.within("log2", || self.log() * std::f64::consts::LOG2_E)
    }

    /// Logarithm to base 10.
    #[track_caller]
    pub fn log10(&self) -> Tensor {
        self.within("log10", || self.log() * std::f64::consts::LOG10_E)
    }

    /// Inverse hyperbolic sine, as `sign(x) log1p(a + a^2 / (1 + sqrt(1 + a^2)))` with `a = |x|`, which loses no
    /// digits near 0.
    #[track_caller]
    pub fn asinh(&self) -> Tensor {
        self.within("asinh", || {
            let is_below = self.lt(0.0);
            // Not `abs`, whose slope at 0 is 0: that of the whole is 1 there.
            let a = is_below.select(-self, self);
            let a2 = self.square();
            let root = (&a2 + 1.0).sqrt();
            let positive = (a + a2 / (root + 1.0)).log1p();
            is_below.select(-&positive, &positive)
        })
    }

    /// Inverse hyperbolic cosine: `log(x + sqrt(x^2 - 1))`; NaN below 1.
    #[track_caller]
    pub fn acosh(&self) -> Tensor {
        self.within("acosh", || (self + (self.square() - 1.0).sqrt()).log())
    }

    /// Inverse hyperbolic tangent: `(log1p(x) - log1p(-x)) / 2`.
    #[track_caller]
    pub fn atanh(&self) -> Tensor {
        self.within("atanh", || (self.log1p() - (-self).log1p()) * 0.5)
    }

    /// Logarithm of the odds: `log(x / (1 - x))`, the inverse of the sigmoid.
    #[track_caller]
    pub fn logit(&self) -> Tensor {
        self.within("logit", || (self / (1.0 - self)).log())
    }

    /// `x` rounded to this many decimals, ties to even; negative numbers round before the point. Integers stay.
    #[track_caller]
    pub fn round_decimals(&self, decimals: i32) -> Tensor {
        if !self.dtype().is_float() || decimals == 0 {
            return self.round();
        }
        self.within("round_decimals", || {
            let scale = 10f64.powi(decimals.abs());
            if decimals > 0 { (self * scale).round() / scale } else { (self / scale).round() * scale }
        })
    }

    /// Degrees as radians.
    #[track_caller]
    pub fn deg2rad(&self) -> Tensor {
        self.within("deg2rad", || self * (std::f64::consts::PI / 180.0))
    }

    /// Radians as degrees.
    #[track_caller]
    pub fn rad2deg(&self) -> Tensor {
        self.within("rad2deg", || self * (180.0 / std::f64::consts::PI))
    }

    /// Whether each element is NaN: `bool`.
    #[track_caller]
    pub fn isnan(&self) -> Tensor {
        self.record(Op::Compare(CompareOp::Ne), &[self])
    }

    /// Whether each element is infinite: `bool`. Types: floats.
    #[track_caller]
    pub fn isinf(&self) -> Tensor {
        self.within("isinf", || self.abs().eq(f64::INFINITY))
    }

    /// Whether each element is positive and infinite: `bool`.
    #[track_caller]
    pub fn isposinf(&self) -> Tensor {
        self.within("isposinf", || self.eq(f64::INFINITY))
    }

    /// Whether each element is negative and infinite: `bool`.
    #[track_caller]
    pub fn isneginf(&self) -> Tensor {
        self.within("isneginf", || self.eq(f64::NEG_INFINITY))
    }

    /// Whether each element is negative, or `-0.0`: `bool`; of NaN it is `false`.
    #[track_caller]
    pub fn signbit(&self) -> Tensor {
        self.within("signbit", || {
            let is_negative = self.lt(0);
            if !self.dtype().is_float() {
                return is_negative;
            }
            // One divided by -0.0 is negative.
            is_negative.logical_or(self.eq(0).logical_and(self.detach().reciprocal().lt(0)))
        })
    }

    /// Whether each element is neither infinite nor NaN: `bool`. Types: floats.
    #[track_caller]
    pub fn isfinite(&self) -> Tensor {
        self.within("isfinite", || self.abs().lt(f64::INFINITY))
    }

    /// The opposite of truth values; of integers, each bit turned.
    #[track_caller]
    pub fn bitwise_not(&self) -> Tensor {
        self.called("bitwise_not", || self.record(Op::Logical(LogicalOp::Not), &[]))
    }

    /// Whether each element is zero or `false`: `bool`.
    #[track_caller]
    pub fn logical_not(&self) -> Tensor {
        self.cast(DType::Bool).record(Op::Logical(LogicalOp::Not), &[])
    }

    /// Replaces NaN by `nan`, and infinities by numbers of choice or else by the greatest and the least finite ones of the
    /// type; integers stay.
    #[track_caller]
    pub fn nan_to_num(&self, nan: f64, positive: Option<f64>, negative: Option<f64>) -> Tensor {
        if !self.dtype().is_float() {
            return self.clone();
        }
        self.within("nan_to_num", || {
            let greatest = if self.dtype() == DType::F64 { f64::MAX } else { f32::MAX as f64 };
            let finite = self.eq(f64::INFINITY).select(positive.unwrap_or(greatest), self);
            let finite = self.eq(f64::NEG_INFINITY).select(negative.unwrap_or(-greatest), finite);
            self.isnan().select(nan, finite)
        })
    }

    /// Square root whose gradient at 0 is 0 instead of infinite: what norms and deviations have in PyTorch.
    #[track_caller]
    pub(crate) fn sqrt_flat_at_zero(&self) -> Tensor {
        // Both branches must have finite slopes: an infinite one times the zero of the branch not taken is NaN.
        let is_zero = self.eq(0.0);
        let safe = is_zero.select(1.0, self);
        is_zero.select(0.0, safe.sqrt())
    }

    /// Passes the tensor on when it is of floats; otherwise the poisoned result.
    #[track_caller]
    pub(crate) fn float_checked(&self, op: &'static str) -> Checked<&Tensor> {
        self.require_float(op).map(|()| self)
    }
}
