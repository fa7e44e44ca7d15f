//! Elementwise functions of two tensors or of a tensor and a number, and choices between values.
//!
//! Shapes: the operands broadcast to one shape. Types: promoted to one. Errors: the shapes do not broadcast.

use super::convert::Checked;
use super::{Operand, Tensor};
use kiln_ir::op::BinaryOp;
use kiln_ir::{DType, Literal, Op};

impl Tensor {
    #[track_caller]
    fn binary(&self, op: BinaryOp, rhs: Operand) -> Tensor {
        self.binary_called(op.name(), op, rhs)
    }

    /// An op that users know by another name.
    #[track_caller]
    fn binary_called(&self, name: &'static str, op: BinaryOp, rhs: Operand) -> Tensor {
        let dtype = rhs.promote(self);
        if dtype == DType::Bool {
            return self.cast(DType::I32).binary_called(name, op, rhs).cast(DType::Bool);
        }
        finish(op, self.pair(name, rhs))
    }

    #[track_caller]
    fn float_binary(&self, op: BinaryOp, rhs: Operand) -> Tensor {
        finish(op, self.float_pair(op.name(), rhs))
    }

    /// `self + rhs`; of truth values: either.
    #[track_caller]
    pub fn add(&self, rhs: impl Into<Operand>) -> Tensor {
        self.binary(BinaryOp::Add, rhs.into())
    }

    /// `self - rhs`.
    #[track_caller]
    pub fn sub(&self, rhs: impl Into<Operand>) -> Tensor {
        self.binary(BinaryOp::Sub, rhs.into())
    }

    /// `self * rhs`; of truth values: both.
    #[track_caller]
    pub fn mul(&self, rhs: impl Into<Operand>) -> Tensor {
        self.binary(BinaryOp::Mul, rhs.into())
    }

    /// `self / rhs`. Integers become `f32` first: see [`div_trunc`](Tensor::div_trunc) and
    /// [`div_floor`](Tensor::div_floor) for whole quotients.
    #[track_caller]
    pub fn div(&self, rhs: impl Into<Operand>) -> Tensor {
        self.float_binary(BinaryOp::Div, rhs.into())
    }

    /// The quotient without its fraction; of integers, `x / 0` is 0.
    #[track_caller]
    pub fn div_trunc(&self, rhs: impl Into<Operand>) -> Tensor {
        // Integer division truncates already; `trunc` leaves integers as they are.
        self.binary_called("div_trunc", BinaryOp::Div, rhs.into()).trunc()
    }

    /// The quotient rounded down (Python's `//`); of integers, `x / 0` is 0.
    #[track_caller]
    pub fn div_floor(&self, rhs: impl Into<Operand>) -> Tensor {
        let rhs = rhs.into();
        self.within("div_floor", || {
            let quotient = self.binary(BinaryOp::Div, rhs.clone());
            if quotient.dtype().is_float() {
                return quotient.floor();
            }
            // The truncated quotient is one too great where there is a remainder with the other sign.
            let rest = self.fmod(rhs.clone());
            let wrong = rest.ne(0).logical_and(rest.lt(0).logical_xor(self.operand_beside(rhs).lt(0)));
            quotient - wrong
        })
    }

    /// Remainder of the truncated division, with the sign of `self` (C's `fmod`); of integers, `x rem 0` is 0.
    #[track_caller]
    pub fn fmod(&self, rhs: impl Into<Operand>) -> Tensor {
        self.binary_called("fmod", BinaryOp::Rem, rhs.into())
    }

    /// Remainder of the division rounded down, with the sign of `rhs` (Python's `%`).
    #[track_caller]
    pub fn remainder(&self, rhs: impl Into<Operand>) -> Tensor {
        let rhs = rhs.into();
        self.within("remainder", || {
            let rest = self.fmod(rhs.clone());
            let divisor = self.operand_beside(rhs).cast(rest.dtype());
            let wrong = rest.ne(0).logical_and(rest.lt(0).logical_xor(divisor.lt(0)));
            wrong.select(&rest + &divisor, &rest)
        })
    }

    /// `self ^ rhs`, special cases as in C's `pow`. A whole exponent up to 4 is multiplied out.
    ///
    /// Types: floats; integers are converted to `f32`.
    #[track_caller]
    pub fn pow(&self, rhs: impl Into<Operand>) -> Tensor {
        let rhs = rhs.into();
        let exponent = match rhs {
            Operand::Float(value) => Some(value),
            Operand::Int(value) => Some(value as f64),
            Operand::Tensor(_) | Operand::Bool(_) => None,
        };
        let Some(exponent) = exponent else { return self.float_binary(BinaryOp::Pow, rhs) };
        if exponent == 0.5 {
            return self.sqrt();
        }
        if exponent == 1.0 {
            return self.to_float();
        }
        if exponent == 2.0 {
            return self.to_float().square();
        }
        if exponent == 3.0 {
            return self.within("pow", || self.to_float().square() * self);
        }
        if exponent == 4.0 {
            return self.within("pow", || self.to_float().square().square());
        }
        self.float_binary(BinaryOp::Pow, rhs)
    }

    /// The greater one; NaN if either is NaN.
    #[track_caller]
    pub fn maximum(&self, rhs: impl Into<Operand>) -> Tensor {
        self.binary_called("maximum", BinaryOp::Max, rhs.into())
    }

    /// The lesser one; NaN if either is NaN.
    #[track_caller]
    pub fn minimum(&self, rhs: impl Into<Operand>) -> Tensor {
        self.binary_called("minimum", BinaryOp::Min, rhs.into())
    }

    /// The greater one, where one is NaN the other.
    #[track_caller]
    pub fn fmax(&self, rhs: impl Into<Operand>) -> Tensor {
        self.or_other("fmax", BinaryOp::Max, rhs.into())
    }

    /// The lesser one, where one is NaN the other.
    #[track_caller]
    pub fn fmin(&self, rhs: impl Into<Operand>) -> Tensor {
        self.or_other("fmin", BinaryOp::Min, rhs.into())
    }

    #[track_caller]
    fn or_other(&self, name: &'static str, op: BinaryOp, rhs: Operand) -> Tensor {
        self.within(name, || match self.pair(name, rhs) {
            Ok((a, b)) => {
                let first = b.isnan().select(&a, &b);
                let second = a.isnan().select(&b, &a);
                second.binary(op, first.into())
            }
            Err(poisoned) => poisoned,
        })
    }

    /// 0 below 0, 1 above, and `rhs` at 0 (Heaviside's step).
    #[track_caller]
    pub fn heaviside(&self, rhs: impl Into<Operand>) -> Tensor {
        let rhs = rhs.into();
        self.within("heaviside", || match self.pair("heaviside", rhs) {
            Ok((x, at_zero)) => x.eq(0).select(at_zero, x.gt(0).cast(x.dtype())),
            Err(poisoned) => poisoned,
        })
    }

    /// `self * 2^rhs`. Types: floats; integers are converted to `f32`.
    #[track_caller]
    pub fn ldexp(&self, rhs: &Tensor) -> Tensor {
        self.within("ldexp", || self.to_float() * rhs.to_float().exp2())
    }

    /// The angle of the point (`rhs`, `self`), in radians. Types: floats.
    #[track_caller]
    pub fn atan2(&self, rhs: impl Into<Operand>) -> Tensor {
        self.float_binary(BinaryOp::Atan2, rhs.into())
    }

    /// `sqrt(self^2 + rhs^2)`; overflows where the squares do. Types: floats.
    #[track_caller]
    pub fn hypot(&self, rhs: impl Into<Operand>) -> Tensor {
        let rhs = rhs.into();
        self.within("hypot", || match self.float_pair("hypot", rhs) {
            Ok((a, b)) => (a.square() + b.square()).sqrt(),
            Err(poisoned) => poisoned,
        })
    }

    /// `log(e^self + e^rhs)`, without overflow. Types: floats.
    #[track_caller]
    pub fn logaddexp(&self, rhs: impl Into<Operand>) -> Tensor {
        let rhs = rhs.into();
        self.within("logaddexp", || match self.float_pair("logaddexp", rhs) {
            // Two infinities of one sign: their difference would be NaN.
            Ok((a, b)) => {
                let equal = a.eq(&b);
                let distance = equal.select(0.0, &a - &b);
                a.maximum(&b) + (-distance.abs()).exp().log1p()
            }
            Err(poisoned) => poisoned,
        })
    }

    /// `self * log(rhs)`, and 0 where `self` is 0. Types: floats.
    #[track_caller]
    pub fn xlogy(&self, rhs: impl Into<Operand>) -> Tensor {
        let rhs = rhs.into();
        self.within("xlogy", || match self.float_pair("xlogy", rhs) {
            Ok((x, y)) => {
                let is_zero = x.eq(0.0).logical_and(y.isnan().logical_not());
                let safe = is_zero.select(1.0, &y);
                &x * safe.log()
            }
            Err(poisoned) => poisoned,
        })
    }

    /// The magnitude of `self` with the sign of `rhs`, see [`signbit`](Tensor::signbit). Types: floats.
    #[track_caller]
    pub fn copysign(&self, rhs: impl Into<Operand>) -> Tensor {
        let rhs = rhs.into();
        self.within("copysign", || match self.float_pair("copysign", rhs) {
            Ok((x, sign)) => {
                let magnitude = x.abs();
                sign.signbit().select(-&magnitude, &magnitude)
            }
            Err(poisoned) => poisoned,
        })
    }

    /// Elements of `on_true` where `self` is true, of `on_false` elsewhere (PyTorch's `where`).
    ///
    /// Shapes: all three broadcast to one. Types: `self` is `bool`, the others are promoted to one type.
    /// Errors: shapes that do not broadcast; `self` is not `bool`.
    ///
    /// ```
    /// # use kiln::prelude::*;
    /// # let tracer = Tracer::new("select");
    /// # let x = tracer.input("x", f32(&[2]));
    /// let positive = x.gt(0.0).select(&x, 0.0);
    /// assert_eq!(positive.dtype(), DType::F32);
    /// ```
    #[track_caller]
    pub fn select(&self, on_true: impl Into<Operand>, on_false: impl Into<Operand>) -> Tensor {
        match self.select_operands(on_true.into(), on_false.into()) {
            Ok((condition, on_true, on_false)) => condition.record(Op::Select, &[&on_true, &on_false]),
            Err(poisoned) => poisoned,
        }
    }

    #[track_caller]
    fn select_operands(&self, on_true: Operand, on_false: Operand) -> Checked<(Tensor, Tensor, Tensor)> {
        let (on_true, on_false) = match (on_true, on_false) {
            (Operand::Tensor(t), on_false) => t.pair("select", on_false)?,
            (on_true, Operand::Tensor(t)) => {
                let (on_false, on_true) = t.pair("select", on_true)?;
                (on_true, on_false)
            }
            (on_true, on_false) => {
                let on_true = self.operand_beside(on_true);
                on_true.pair("select", on_false)?
            }
        };
        let shape = self.broadcast_with("select", &on_true)?;
        let broadcast = (
            self.broadcast_to(shape.clone()),
            on_true.broadcast_to(shape.clone()),
            on_false.broadcast_to(shape),
        );
        Ok(broadcast)
    }

    /// `self`, with `value` where `mask` is true.
    #[track_caller]
    pub fn masked_fill(&self, mask: &Tensor, value: impl Into<Operand>) -> Tensor {
        let value = match value.into() {
            Operand::Tensor(value) => Operand::Tensor(value.cast(self.dtype())),
            Operand::Float(value) => Operand::Tensor(self.full_like(value)),
            Operand::Int(value) => Operand::Tensor(self.full_like(value as f64)),
            Operand::Bool(value) => Operand::Tensor(self.full_like(value as u8 as f64)),
        };
        self.called("masked_fill", || mask.select(value, self))
    }

    /// `self` held between two bounds; see [`clamp_min`](Tensor::clamp_min) and [`clamp_max`](Tensor::clamp_max).
    #[track_caller]
    pub fn clamp(&self, low: impl Into<Operand>, high: impl Into<Operand>) -> Tensor {
        let (low, high) = (low.into(), high.into());
        self.within("clamp", || self.clamp_min(low).clamp_max(high))
    }

    /// `self`, but at least `low`; NaN stays. As in PyTorch, no gradient passes at a bound that is a number, and half of
    /// it at one that is a tensor.
    #[track_caller]
    pub fn clamp_min(&self, low: impl Into<Operand>) -> Tensor {
        let low = low.into();
        self.within("clamp_min", || {
            if let Operand::Tensor(low) = low {
                return self.maximum(low);
            }
            let low = self.operand_beside(low);
            self.le(&low).select(&low, self)
        })
    }

    /// `self`, but at most `high`, as [`clamp_min`](Tensor::clamp_min).
    #[track_caller]
    pub fn clamp_max(&self, high: impl Into<Operand>) -> Tensor {
        let high = high.into();
        self.within("clamp_max", || {
            if let Operand::Tensor(high) = high {
                return self.minimum(high);
            }
            let high = self.operand_beside(high);
            self.ge(&high).select(&high, self)
        })
    }

    /// `self + weight * (end - self)`: a point between two.
    #[track_caller]
    pub fn lerp(&self, end: &Tensor, weight: impl Into<Operand>) -> Tensor {
        let weight = weight.into();
        self.within("lerp", || self + end.sub(self).mul(weight))
    }

    /// `self + value * a * b`.
    #[track_caller]
    pub fn addcmul(&self, a: &Tensor, b: &Tensor, value: f64) -> Tensor {
        self.within("addcmul", || self + scaled(a * b, value))
    }

    /// `self + value * a / b`.
    #[track_caller]
    pub fn addcdiv(&self, a: &Tensor, b: &Tensor, value: f64) -> Tensor {
        self.within("addcdiv", || self + scaled(a / b, value))
    }

    /// An operand as a tensor: a number in the type it takes beside this tensor, and in its shape.
    #[track_caller]
    pub(crate) fn operand_beside(&self, operand: Operand) -> Tensor {
        let dtype = operand.promote(self);
        let literal = match operand {
            Operand::Tensor(tensor) => return tensor,
            Operand::Float(value) => Literal::from_f64(dtype, value),
            Operand::Int(value) => Literal::from_i64(dtype, value),
            Operand::Bool(value) => Literal::from_i64(dtype, value as i64),
        };
        self.tracer().record(Op::Fill(literal, self.shape().clone()), &[])
    }
}

#[track_caller]
fn finish(op: BinaryOp, operands: Checked<(Tensor, Tensor)>) -> Tensor {
    match operands {
        Ok((lhs, rhs)) => lhs.record(Op::Binary(op), &[&rhs]),
        Err(poisoned) => poisoned,
    }
}

/// `x * factor`, and `x` itself for a factor of 1.
#[track_caller]
pub(crate) fn scaled(x: Tensor, factor: f64) -> Tensor {
    if factor == 1.0 { x } else { x * factor }
}
