//! Binary elementwise ops: two operands of one type, a result of that type.

use super::rule::{self, Accepts};
use crate::emit::{Emit, EmitExt};
use crate::op::{CompareOp, LogicalOp, UnaryOp};
use crate::{Literal, NodeId, Op, TensorType, TypeError};
use std::ops::Range;

/// An elementwise op of two operands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum BinaryOp {
    /// `a + b`.
    Add,
    /// `a - b`.
    Sub,
    /// `a * b`.
    Mul,
    /// `a / b`; integers truncate toward zero, `x / 0` is 0, and the least integer over -1 wraps to itself.
    Div,
    /// Remainder of the truncated division, with the sign of `a` (C's `fmod`); integers: `x rem 0` and the least
    /// integer rem -1 are 0.
    Rem,
    /// `a^b` (floats), special cases as in C's `pow`.
    Pow,
    /// The greater one; NaN if either is NaN; of zeros of different sign either one.
    Max,
    /// The lesser one; NaN if either is NaN; of zeros of different sign either one.
    Min,
    /// Angle of the point (`b`, `a`) in radians (floats).
    Atan2,
}

impl BinaryOp {
    /// All ops of the family, in declaration order.
    pub const ALL: [BinaryOp; 9] = [
        BinaryOp::Add,
        BinaryOp::Sub,
        BinaryOp::Mul,
        BinaryOp::Div,
        BinaryOp::Rem,
        BinaryOp::Pow,
        BinaryOp::Max,
        BinaryOp::Min,
        BinaryOp::Atan2,
    ];

    /// The name in text and in errors.
    pub fn name(self) -> &'static str {
        match self {
            BinaryOp::Add => "add",
            BinaryOp::Sub => "sub",
            BinaryOp::Mul => "mul",
            BinaryOp::Div => "div",
            BinaryOp::Rem => "rem",
            BinaryOp::Pow => "pow",
            BinaryOp::Max => "max",
            BinaryOp::Min => "min",
            BinaryOp::Atan2 => "atan2",
        }
    }

    /// The element types the op is defined on.
    pub fn accepts(self) -> Accepts {
        match self {
            BinaryOp::Add
            | BinaryOp::Sub
            | BinaryOp::Mul
            | BinaryOp::Div
            | BinaryOp::Rem
            | BinaryOp::Max
            | BinaryOp::Min => Accepts::Number,
            BinaryOp::Pow | BinaryOp::Atan2 => Accepts::Float,
        }
    }

    /// The value at one element; an `f32` op is this rounded once. Shares no code with the kernels.
    pub fn reference(self, a: f64, b: f64) -> f64 {
        match self {
            BinaryOp::Add => a + b,
            BinaryOp::Sub => a - b,
            BinaryOp::Mul => a * b,
            BinaryOp::Div => a / b,
            BinaryOp::Rem => a % b,
            BinaryOp::Pow => libm::pow(a, b),
            BinaryOp::Max | BinaryOp::Min if a.is_nan() || b.is_nan() => f64::NAN,
            BinaryOp::Max => a.max(b),
            BinaryOp::Min => a.min(b),
            BinaryOp::Atan2 => libm::atan2(a, b),
        }
    }

    /// The value at one pair of integers, to be wrapped to their type.
    ///
    /// # Panics
    /// When the op is not defined on integers, which the type rule excludes.
    pub fn reference_int(self, a: i64, b: i64) -> i64 {
        match self {
            BinaryOp::Add => a.wrapping_add(b),
            BinaryOp::Sub => a.wrapping_sub(b),
            BinaryOp::Mul => a.wrapping_mul(b),
            BinaryOp::Div | BinaryOp::Rem if b == 0 => 0,
            BinaryOp::Div => a.wrapping_div(b),
            BinaryOp::Rem => a.wrapping_rem(b),
            BinaryOp::Max => a.max(b),
            BinaryOp::Min => a.min(b),
            BinaryOp::Pow | BinaryOp::Atan2 => panic!("internal error: `{}` of integers", self.name()),
        }
    }

    /// Where the op is smooth and well conditioned: tests draw samples of `a` and `b` here.
    pub fn domain(self) -> (Range<f64>, Range<f64>) {
        match self {
            BinaryOp::Add | BinaryOp::Sub | BinaryOp::Mul => (-4.0..4.0, -4.0..4.0),
            // Smooth but where both are equal, which no two samples are.
            BinaryOp::Max | BinaryOp::Min => (-4.0..4.0, -4.0..4.0),
            BinaryOp::Div => (-4.0..4.0, 0.3..4.0),
            // The quotient stays strictly between 2 and 3.
            BinaryOp::Rem => (5.2..5.8, 2.2..2.4),
            BinaryOp::Pow => (0.3..3.0, -2.0..2.0),
            BinaryOp::Atan2 => (0.3..3.0, -3.0..3.0),
        }
    }

    /// The result type: that of both operands.
    pub fn infer(self, operands: &[&TensorType]) -> Result<TensorType, TypeError> {
        let [lhs, rhs] = rule::operands(self.name(), operands, [self.accepts(); 2])?;
        rule::same_dtype(self.name(), lhs, rhs)?;
        rule::same_shape(self.name(), lhs, rhs)?;
        Ok(lhs.clone())
    }
}

/// Gradient rules.
impl BinaryOp {
    /// The gradients of the operands `a` and `b` that are wanted, from the result `y` and its gradient `dy`.
    pub fn gradient(
        self,
        e: &mut dyn Emit,
        [a, b]: [NodeId; 2],
        y: NodeId,
        dy: NodeId,
        wanted: [bool; 2],
    ) -> [Option<NodeId>; 2] {
        match self {
            BinaryOp::Add => [wanted[0].then_some(dy), wanted[1].then_some(dy)],
            BinaryOp::Sub => [wanted[0].then_some(dy), wanted[1].then(|| e.neg(dy))],
            BinaryOp::Mul => [wanted[0].then(|| e.mul(dy, b)), wanted[1].then(|| e.mul(dy, a))],
            BinaryOp::Div => {
                let da = e.div(dy, b);
                let db = wanted[1].then(|| {
                    let product = e.mul(da, y);
                    e.neg(product)
                });
                [wanted[0].then_some(da), db]
            }
            BinaryOp::Rem => [wanted[0].then_some(dy), wanted[1].then(|| divisor_gradient(e, [a, b], y, dy))],
            BinaryOp::Pow => {
                let base = wanted[0].then(|| base_gradient(e, [a, b], dy));
                let exponent = wanted[1].then(|| exponent_gradient(e, [a, b], y, dy));
                [base, exponent]
            }
            BinaryOp::Max => extremum_gradient(e, [a, b], [CompareOp::Lt, CompareOp::Gt], dy, wanted),
            BinaryOp::Min => extremum_gradient(e, [a, b], [CompareOp::Gt, CompareOp::Lt], dy, wanted),
            BinaryOp::Atan2 => atan2_gradient(e, [a, b], dy, wanted),
        }
    }
}

/// The gradient of `b` in `a rem b = a - b * trunc(a / b)`: `-dy * trunc(a / b)`.
fn divisor_gradient(e: &mut dyn Emit, [a, b]: [NodeId; 2], y: NodeId, dy: NodeId) -> NodeId {
    // The quotient is a whole number but for rounding errors, which are undone.
    let multiple = e.sub(a, y);
    let quotient = e.div(multiple, b);
    let quotient = e.unary(UnaryOp::Round, quotient);
    let product = e.mul(dy, quotient);
    e.neg(product)
}

/// The gradient of the base: `dy * b * a^(b - 1)`, and 0 where both are 0, as in PyTorch.
fn base_gradient(e: &mut dyn Emit, [a, b]: [NodeId; 2], dy: NodeId) -> NodeId {
    let is_never_zero = constant_of(e, b).is_some_and(|b| !b.is_zero());
    // With 1 in its place, 0 * 0^-1 is 0. Choosing the operand, not the result, keeps NaN out of second derivatives.
    let a = if is_never_zero { a } else { one_at_zero(e, a, CompareOp::Eq, b) };
    let exponent = e.add_constant(b, -1.0);
    let power = e.binary(BinaryOp::Pow, a, exponent);
    let slope = e.mul(b, power);
    e.mul(dy, slope)
}

/// The gradient of the exponent: `dy * a^b * log(a)`, and 0 where `a` is 0 and `b` not negative, as in PyTorch.
fn exponent_gradient(e: &mut dyn Emit, [a, b]: [NodeId; 2], y: NodeId, dy: NodeId) -> NodeId {
    // There `y` is finite, and the logarithm of the 1 in place of the 0 makes the product 0.
    let a = one_at_zero(e, a, CompareOp::Ge, b);
    let log = e.unary(UnaryOp::Log, a);
    let slope = e.mul(y, log);
    e.mul(dy, slope)
}

/// `a`, with 1 where it is 0 and `b` compares to 0 like this.
fn one_at_zero(e: &mut dyn Emit, a: NodeId, compare: CompareOp, b: NodeId) -> NodeId {
    let zero = e.constant_like(a, 0.0);
    let one = e.constant_like(a, 1.0);
    let at_zero = e.compare(CompareOp::Eq, a, zero);
    let compared = e.compare(compare, b, zero);
    let both = e.emit(Op::Logical(LogicalOp::And), &[at_zero, compared]);
    e.select(both, one, a)
}

fn constant_of(e: &dyn Emit, value: NodeId) -> Option<Literal> {
    if let Op::Fill(literal, _) = e.graph().op(value) { Some(*literal) } else { None }
}

/// The gradient of a maximum or minimum: all of it to the chosen operand, half to each of equal ones. `loses[i]`
/// compares `a` with `b` and is true where operand `i` is not chosen. Both get all of it where one is NaN.
fn extremum_gradient(
    e: &mut dyn Emit,
    [a, b]: [NodeId; 2],
    loses: [CompareOp; 2],
    dy: NodeId,
    wanted: [bool; 2],
) -> [Option<NodeId>; 2] {
    let equal = e.compare(CompareOp::Eq, a, b);
    let half = e.mul_constant(dy, 0.5);
    let share = e.select(equal, half, dy);
    let zero = e.constant_like(dy, 0.0);
    [0, 1].map(|i| {
        wanted[i].then(|| {
            let loses = e.compare(loses[i], a, b);
            e.select(loses, zero, share)
        })
    })
}

/// The gradient of the angle of (`b`, `a`): `dy * b / r^2` and `-dy * a / r^2`, where `r^2 = a^2 + b^2`.
fn atan2_gradient(
    e: &mut dyn Emit,
    [a, b]: [NodeId; 2],
    dy: NodeId,
    wanted: [bool; 2],
) -> [Option<NodeId>; 2] {
    let a_squared = e.mul(a, a);
    let b_squared = e.mul(b, b);
    let r_squared = e.add(a_squared, b_squared);
    let scaled = e.div(dy, r_squared);
    let da = wanted[0].then(|| e.mul(scaled, b));
    let db = wanted[1].then(|| {
        let product = e.mul(scaled, a);
        e.neg(product)
    });
    [da, db]
}
