//! Unary elementwise ops: one operand, a result of the same type.

use super::rule::{self, Accepts};
use crate::emit::{Emit, EmitExt};
use crate::{NodeId, TensorType, TypeError};
use std::ops::Range;

/// An elementwise op of one operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum UnaryOp {
    /// `-x`; the least integer stays itself.
    Neg,
    /// `|x|`; the least integer stays itself.
    Abs,
    /// -1, 0 or 1 by the sign of `x`; a zero of either sign gives 0, NaN stays NaN.
    Sign,
    /// `e^x`.
    Exp,
    /// `e^x - 1`, exact near 0.
    Expm1,
    /// Natural logarithm.
    Log,
    /// `log(1 + x)`, exact near 0.
    Log1p,
    /// Square root.
    Sqrt,
    /// `1 / sqrt(x)`, both correctly rounded.
    Rsqrt,
    /// Sine of radians.
    Sin,
    /// Cosine of radians.
    Cos,
    /// Tangent of radians.
    Tan,
    /// Inverse sine, in radians.
    Asin,
    /// Inverse cosine, in radians.
    Acos,
    /// Inverse tangent, in radians.
    Atan,
    /// Hyperbolic sine.
    Sinh,
    /// Hyperbolic cosine.
    Cosh,
    /// Hyperbolic tangent.
    Tanh,
    /// `1 / (1 + e^-x)`.
    Sigmoid,
    /// Error function.
    Erf,
    /// Greatest integer not above `x`.
    Floor,
    /// Least integer not below `x`.
    Ceil,
    /// Nearest integer, ties to even.
    Round,
    /// `1 / x`.
    Reciprocal,
}

impl UnaryOp {
    /// All ops of the family, in declaration order.
    pub const ALL: [UnaryOp; 24] = [
        UnaryOp::Neg,
        UnaryOp::Abs,
        UnaryOp::Sign,
        UnaryOp::Exp,
        UnaryOp::Expm1,
        UnaryOp::Log,
        UnaryOp::Log1p,
        UnaryOp::Sqrt,
        UnaryOp::Rsqrt,
        UnaryOp::Sin,
        UnaryOp::Cos,
        UnaryOp::Tan,
        UnaryOp::Asin,
        UnaryOp::Acos,
        UnaryOp::Atan,
        UnaryOp::Sinh,
        UnaryOp::Cosh,
        UnaryOp::Tanh,
        UnaryOp::Sigmoid,
        UnaryOp::Erf,
        UnaryOp::Floor,
        UnaryOp::Ceil,
        UnaryOp::Round,
        UnaryOp::Reciprocal,
    ];

    /// The name in text and in errors.
    pub fn name(self) -> &'static str {
        match self {
            UnaryOp::Neg => "neg",
            UnaryOp::Abs => "abs",
            UnaryOp::Sign => "sign",
            UnaryOp::Exp => "exp",
            UnaryOp::Expm1 => "expm1",
            UnaryOp::Log => "log",
            UnaryOp::Log1p => "log1p",
            UnaryOp::Sqrt => "sqrt",
            UnaryOp::Rsqrt => "rsqrt",
            UnaryOp::Sin => "sin",
            UnaryOp::Cos => "cos",
            UnaryOp::Tan => "tan",
            UnaryOp::Asin => "asin",
            UnaryOp::Acos => "acos",
            UnaryOp::Atan => "atan",
            UnaryOp::Sinh => "sinh",
            UnaryOp::Cosh => "cosh",
            UnaryOp::Tanh => "tanh",
            UnaryOp::Sigmoid => "sigmoid",
            UnaryOp::Erf => "erf",
            UnaryOp::Floor => "floor",
            UnaryOp::Ceil => "ceil",
            UnaryOp::Round => "round",
            UnaryOp::Reciprocal => "reciprocal",
        }
    }

    /// The element types the op is defined on: everything float; `neg`, `abs` and `sign` on signed integers too.
    pub fn accepts(self) -> Accepts {
        match self {
            UnaryOp::Neg | UnaryOp::Abs | UnaryOp::Sign => Accepts::Signed,
            UnaryOp::Exp
            | UnaryOp::Expm1
            | UnaryOp::Log
            | UnaryOp::Log1p
            | UnaryOp::Sqrt
            | UnaryOp::Rsqrt
            | UnaryOp::Sin
            | UnaryOp::Cos
            | UnaryOp::Tan
            | UnaryOp::Asin
            | UnaryOp::Acos
            | UnaryOp::Atan
            | UnaryOp::Sinh
            | UnaryOp::Cosh
            | UnaryOp::Tanh
            | UnaryOp::Sigmoid
            | UnaryOp::Erf
            | UnaryOp::Floor
            | UnaryOp::Ceil
            | UnaryOp::Round
            | UnaryOp::Reciprocal => Accepts::Float,
        }
    }

    /// The value at one element; an `f32` op is this rounded once. Slow and plainly right: tests hold kernels to it, so
    /// it shares no code with them. The functions are those of the `libm` crate, the same on every machine.
    pub fn reference(self, x: f64) -> f64 {
        match self {
            UnaryOp::Neg => -x,
            UnaryOp::Abs => x.abs(),
            UnaryOp::Sign if x.is_nan() => x,
            UnaryOp::Sign => f64::from(x > 0.0) - f64::from(x < 0.0),
            UnaryOp::Exp => libm::exp(x),
            UnaryOp::Expm1 => libm::expm1(x),
            UnaryOp::Log => libm::log(x),
            UnaryOp::Log1p => libm::log1p(x),
            UnaryOp::Sqrt => x.sqrt(),
            UnaryOp::Rsqrt => 1.0 / x.sqrt(),
            UnaryOp::Sin => libm::sin(x),
            UnaryOp::Cos => libm::cos(x),
            UnaryOp::Tan => libm::tan(x),
            UnaryOp::Asin => libm::asin(x),
            UnaryOp::Acos => libm::acos(x),
            UnaryOp::Atan => libm::atan(x),
            UnaryOp::Sinh => libm::sinh(x),
            UnaryOp::Cosh => libm::cosh(x),
            UnaryOp::Tanh => libm::tanh(x),
            // Of two equal forms the one whose exponential cannot overflow.
            UnaryOp::Sigmoid if x < 0.0 => libm::exp(x) / (1.0 + libm::exp(x)),
            UnaryOp::Sigmoid => 1.0 / (1.0 + libm::exp(-x)),
            UnaryOp::Erf => libm::erf(x),
            UnaryOp::Floor => x.floor(),
            UnaryOp::Ceil => x.ceil(),
            UnaryOp::Round => x.round_ties_even(),
            UnaryOp::Reciprocal => 1.0 / x,
        }
    }

    /// The value at one integer, to be wrapped to its type.
    ///
    /// # Panics
    /// When the op is not defined on integers, which the type rule excludes.
    pub fn reference_int(self, x: i64) -> i64 {
        match self {
            UnaryOp::Neg => x.wrapping_neg(),
            UnaryOp::Abs => x.wrapping_abs(),
            UnaryOp::Sign => x.signum(),
            UnaryOp::Exp
            | UnaryOp::Expm1
            | UnaryOp::Log
            | UnaryOp::Log1p
            | UnaryOp::Sqrt
            | UnaryOp::Rsqrt
            | UnaryOp::Sin
            | UnaryOp::Cos
            | UnaryOp::Tan
            | UnaryOp::Asin
            | UnaryOp::Acos
            | UnaryOp::Atan
            | UnaryOp::Sinh
            | UnaryOp::Cosh
            | UnaryOp::Tanh
            | UnaryOp::Sigmoid
            | UnaryOp::Erf
            | UnaryOp::Floor
            | UnaryOp::Ceil
            | UnaryOp::Round
            | UnaryOp::Reciprocal => panic!("internal error: `{}` of an integer", self.name()),
        }
    }

    /// Where the op is smooth and well conditioned: tests draw their samples here.
    pub fn domain(self) -> Range<f64> {
        match self {
            UnaryOp::Neg | UnaryOp::Sigmoid | UnaryOp::Atan | UnaryOp::Sin | UnaryOp::Cos => -4.0..4.0,
            UnaryOp::Exp | UnaryOp::Expm1 | UnaryOp::Sinh | UnaryOp::Cosh => -3.0..3.0,
            UnaryOp::Tanh | UnaryOp::Erf => -2.0..2.0,
            UnaryOp::Tan => -1.2..1.2,
            UnaryOp::Asin | UnaryOp::Acos => -0.9..0.9,
            UnaryOp::Abs | UnaryOp::Sign => 0.1..4.0,
            UnaryOp::Log | UnaryOp::Sqrt | UnaryOp::Rsqrt | UnaryOp::Reciprocal => 0.2..5.0,
            UnaryOp::Log1p => -0.7..4.0,
            UnaryOp::Floor | UnaryOp::Ceil => 1.1..1.9,
            UnaryOp::Round => 0.6..1.4,
        }
    }

    /// The result type: the operand's.
    pub fn infer(self, operands: &[&TensorType]) -> Result<TensorType, TypeError> {
        let [x] = rule::operands(self.name(), operands, [self.accepts()])?;
        Ok(x.clone())
    }
}

/// Gradient rules. A slope is taken from the result `y` where it can be, so that `x` need not live until then.
impl UnaryOp {
    /// Why no gradient flows to the operand, or `None` when one does.
    pub fn blocked(self) -> Option<&'static str> {
        let is_stepped = matches!(self, UnaryOp::Sign | UnaryOp::Floor | UnaryOp::Ceil | UnaryOp::Round);
        is_stepped.then_some("it is constant between its jumps, so its derivative is zero")
    }

    /// The gradient of the operand `x` from the result `y` and its gradient `dy`; `None` for what is blocked.
    pub fn gradient(self, e: &mut dyn Emit, x: NodeId, y: NodeId, dy: NodeId) -> Option<NodeId> {
        let slope = match self {
            UnaryOp::Neg => return Some(e.neg(dy)),
            // 0 at 0, as in PyTorch.
            UnaryOp::Abs => e.unary(UnaryOp::Sign, x),
            UnaryOp::Sign | UnaryOp::Floor | UnaryOp::Ceil | UnaryOp::Round => return None,
            UnaryOp::Exp => y,
            UnaryOp::Expm1 => e.add_constant(y, 1.0),
            UnaryOp::Log => return Some(e.div(dy, x)),
            UnaryOp::Log1p => {
                let x_plus_1 = e.add_constant(x, 1.0);
                return Some(e.div(dy, x_plus_1));
            }
            UnaryOp::Sqrt => {
                let twice = e.mul_constant(y, 2.0);
                return Some(e.div(dy, twice));
            }
            // -x^(-3/2) / 2
            UnaryOp::Rsqrt => {
                let squared = e.mul(y, y);
                let cubed = e.mul(squared, y);
                e.mul_constant(cubed, -0.5)
            }
            UnaryOp::Sin => e.unary(UnaryOp::Cos, x),
            UnaryOp::Cos => {
                let sine = e.unary(UnaryOp::Sin, x);
                e.neg(sine)
            }
            // 1 / cos^2 x = 1 + tan^2 x
            UnaryOp::Tan => {
                let squared = e.mul(y, y);
                e.add_constant(squared, 1.0)
            }
            UnaryOp::Asin => inverse_sine_slope(e, x),
            UnaryOp::Acos => {
                let slope = inverse_sine_slope(e, x);
                e.neg(slope)
            }
            UnaryOp::Atan => {
                let squared = e.mul(x, x);
                let denominator = e.add_constant(squared, 1.0);
                return Some(e.div(dy, denominator));
            }
            UnaryOp::Sinh => e.unary(UnaryOp::Cosh, x),
            UnaryOp::Cosh => e.unary(UnaryOp::Sinh, x),
            UnaryOp::Tanh => {
                let squared = e.mul(y, y);
                e.one_minus(squared)
            }
            UnaryOp::Sigmoid => {
                let rest = e.one_minus(y);
                e.mul(rest, y)
            }
            // 2 / sqrt(pi) * e^(-x^2)
            UnaryOp::Erf => {
                let squared = e.mul(x, x);
                let exponent = e.neg(squared);
                let bell = e.unary(UnaryOp::Exp, exponent);
                e.mul_constant(bell, std::f64::consts::FRAC_2_SQRT_PI)
            }
            UnaryOp::Reciprocal => {
                let squared = e.mul(y, y);
                e.neg(squared)
            }
        };
        Some(e.mul(dy, slope))
    }
}

/// 1 / sqrt(1 - x^2)
fn inverse_sine_slope(e: &mut dyn Emit, x: NodeId) -> NodeId {
    let squared = e.mul(x, x);
    let rest = e.one_minus(squared);
    e.unary(UnaryOp::Rsqrt, rest)
}
