//! Constants, and elementwise ops with their operands brought into the domain.

use super::{Generator, MAX_INPUT_INT, MAX_MAGNITUDE, Value, random_literal};
use crate::compare::SplitMix;
use crate::op::rule::Accepts;
use crate::op::{BinaryOp, CompareOp, LogicalOp, UnaryOp};
use crate::{DType, Literal, Op, TensorData, TensorType};
use std::sync::Arc;

impl Generator<'_, '_> {
    pub(super) fn constant(&mut self) -> Option<Value> {
        let ty = self.random_type();
        Some(self.constant_of(&ty))
    }

    /// A constant of this type: a fill, a tensor when it is small, or an iota.
    pub(super) fn constant_of(&mut self, ty: &TensorType) -> Value {
        const MAX_DENSE: usize = 64;
        let kind = self.below(3);
        if kind == 1 && ty.n_elements() <= MAX_DENSE {
            let mut elements = SplitMix(self.below(1 << 16) as u64);
            let finite = self.config.finite;
            let data = TensorData::from_fn(ty, |_| random_literal(ty.dtype, finite, &mut elements));
            return self.source(Op::Dense(Arc::new(data)), MAX_INPUT_INT as f64);
        }
        if kind == 2 && ty.rank() > 0 && ty.dtype.is_number() {
            let axis = self.below(ty.rank());
            let op = Op::Iota { ty: ty.clone(), axis };
            return self.source(op, ty.shape[axis] as f64);
        }
        let value = self.literal(ty.dtype);
        self.source(Op::Fill(value, ty.shape.clone()), value.as_f64().abs())
    }

    /// Adds an op without operands, whose type was small enough already.
    fn source(&mut self, op: Op, bound: f64) -> Value {
        let id = self.graph.add(op, &[]).expect("constants of every type exist");
        Value { id, exact: true, bound }
    }

    /// A constant element: zero and one among them, and the ends of the type.
    pub(super) fn literal(&mut self, dtype: DType) -> Literal {
        const FINITE: [f64; 8] = [0.0, 1.0, -1.0, 0.5, 2.0, -0.0, 1.5, -3.0];
        const ANY: [f64; 12] =
            [0.0, 1.0, -1.0, 0.5, 2.0, -0.0, 1.5, -3.0, f64::INFINITY, f64::NEG_INFINITY, f64::NAN, 1e30];
        if dtype.is_float() {
            let value = if self.config.finite { *self.one_of(&FINITE) } else { *self.one_of(&ANY) };
            return Literal::from_f64(dtype, value);
        }
        let small = [0, 1, -1, 2, 7].map(|value| Literal::from_i64(dtype, value));
        let [a, b, c, d, e] = small;
        *self.one_of(&[a, b, c, d, e, Literal::lowest(dtype), Literal::highest(dtype)])
    }

    pub(super) fn unary(&mut self) -> Option<Value> {
        let op = *self.one_of(&UnaryOp::ALL);
        let x = self.pick(|ty| op.accepts().dtype(ty.dtype))?;
        let is_float = self.ty(x.id).dtype.is_float();
        if is_float && self.config.finite { self.unary_in_domain(op, x) } else { self.unary_anywhere(op, x) }
    }

    fn unary_anywhere(&mut self, op: UnaryOp, x: Value) -> Option<Value> {
        match op {
            UnaryOp::Sign | UnaryOp::Floor | UnaryOp::Ceil | UnaryOp::Round => {
                let x = self.steady(x)?;
                self.add(Op::Unary(op), &[x], true, x.bound + 1.0)
            }
            UnaryOp::Neg | UnaryOp::Abs => self.add(Op::Unary(op), &[x], true, x.bound),
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
            | UnaryOp::Reciprocal => self.inexact(op, x, f64::INFINITY),
        }
    }

    /// The op on an operand that is first moved to where the op is finite and not steep. The bounds are those of the
    /// functions there, rounded up.
    fn unary_in_domain(&mut self, op: UnaryOp, x: Value) -> Option<Value> {
        match op {
            UnaryOp::Neg | UnaryOp::Abs | UnaryOp::Sign | UnaryOp::Floor | UnaryOp::Ceil | UnaryOp::Round => {
                self.unary_anywhere(op, x)
            }
            UnaryOp::Exp | UnaryOp::Expm1 | UnaryOp::Sinh | UnaryOp::Cosh => {
                let x = if x.bound > 4.0 { self.inexact(UnaryOp::Tanh, x, 1.0)? } else { x };
                self.inexact(op, x, x.bound.exp() + 1.0)
            }
            UnaryOp::Log => {
                let x = self.positive(x)?;
                self.inexact(op, x, x.bound.ln().max(0.7))
            }
            UnaryOp::Log1p => {
                let x = self.unary_anywhere(UnaryOp::Abs, x)?;
                self.inexact(op, x, x.bound.ln_1p())
            }
            UnaryOp::Sqrt | UnaryOp::Rsqrt | UnaryOp::Reciprocal => {
                let x = self.positive(x)?;
                self.inexact(op, x, x.bound.sqrt().max(2.0))
            }
            UnaryOp::Tan => {
                let x = self.inexact(UnaryOp::Tanh, x, 1.0)?;
                self.inexact(op, x, 1.6)
            }
            UnaryOp::Asin | UnaryOp::Acos => {
                let x = self.inexact(UnaryOp::Tanh, x, 1.0)?;
                let x = self.times(x, 0.75)?;
                self.inexact(op, x, 2.5)
            }
            UnaryOp::Sin | UnaryOp::Cos | UnaryOp::Tanh | UnaryOp::Sigmoid | UnaryOp::Erf => {
                self.inexact(op, x, 1.0)
            }
            UnaryOp::Atan => self.inexact(op, x, 1.6),
        }
    }

    pub(super) fn inexact(&mut self, op: UnaryOp, x: Value, bound: f64) -> Option<Value> {
        self.add(Op::Unary(op), &[x], false, bound)
    }

    /// `|x| + 1/2`, which is at least a half.
    fn positive(&mut self, x: Value) -> Option<Value> {
        let x = self.unary_anywhere(UnaryOp::Abs, x)?;
        let half = self.constant_like(x, 0.5);
        self.add(Op::Binary(BinaryOp::Add), &[x, half], false, x.bound + 0.5)
    }

    fn times(&mut self, x: Value, factor: f64) -> Option<Value> {
        let factor = self.constant_like(x, factor);
        self.add(Op::Binary(BinaryOp::Mul), &[x, factor], false, x.bound * factor.bound)
    }

    fn constant_like(&mut self, x: Value, value: f64) -> Value {
        let ty = self.ty(x.id).clone();
        self.source(Op::Fill(Literal::from_f64(ty.dtype, value), ty.shape), value.abs())
    }

    /// The value, or a multiple of it when it is a float that may have grown too large for a finite program.
    pub(super) fn scaled_down(&mut self, x: Value) -> Value {
        if !self.config.finite || x.bound <= MAX_MAGNITUDE || !self.ty(x.id).dtype.is_float() {
            return x;
        }
        self.times(x, 2.0 / x.bound).unwrap_or(x)
    }

    pub(super) fn binary(&mut self) -> Option<Value> {
        let op = *self.one_of(&BinaryOp::ALL);
        let a = self.pick(|ty| op.accepts().dtype(ty.dtype))?;
        let ty = self.ty(a.id).clone();
        let b = self.value_of(&ty);
        let (a, b) = if self.below(2) == 0 { (a, b) } else { (b, a) };
        let is_float = ty.dtype.is_float();
        let keep = is_float && self.config.finite;
        let op_node = Op::Binary(op);
        match op {
            BinaryOp::Add | BinaryOp::Sub => self.add(op_node, &[a, b], !is_float, a.bound + b.bound),
            BinaryOp::Mul => self.add(op_node, &[a, b], !is_float, a.bound * b.bound),
            BinaryOp::Max | BinaryOp::Min => self.add(op_node, &[a, b], true, a.bound.max(b.bound)),
            BinaryOp::Div => {
                let b = if keep { self.positive(b)? } else { b };
                self.add(op_node, &[a, b], !is_float, a.bound * 2.0)
            }
            BinaryOp::Rem => {
                let b = if keep { self.constant_like(b, 1.5) } else { b };
                let (a, b) = (self.steady(a)?, self.steady(b)?);
                self.add(op_node, &[a, b], true, a.bound)
            }
            BinaryOp::Pow if keep => {
                let a = self.positive(a)?;
                let b = self.inexact(UnaryOp::Tanh, b, 1.0)?;
                self.add(op_node, &[a, b], false, a.bound.max(2.0))
            }
            BinaryOp::Atan2 if keep => {
                // Right of the vertical axis there is no jump.
                let b = self.positive(b)?;
                self.add(op_node, &[a, b], false, 1.6)
            }
            BinaryOp::Pow | BinaryOp::Atan2 => {
                let (a, b) = (self.steady(a)?, self.steady(b)?);
                self.add(op_node, &[a, b], false, f64::INFINITY)
            }
        }
    }

    /// An input moved by a value of its type, as an optimizer moves a parameter.
    pub(super) fn update(&mut self) -> Option<Value> {
        let inputs: Vec<Value> = self.values.iter().copied().filter(|v| self.is_input(v)).collect();
        let input = *self.one_of(&inputs);
        let ty = self.ty(input.id).clone();
        if !ty.dtype.is_number() {
            return None;
        }
        let step = self.value_of(&ty);
        let op = *self.one_of(&[BinaryOp::Sub, BinaryOp::Add]);
        self.add(Op::Binary(op), &[input, step], !ty.dtype.is_float(), input.bound + step.bound)
    }

    fn is_input(&self, value: &Value) -> bool {
        self.graph.inputs().contains(&value.id)
    }

    pub(super) fn compare(&mut self) -> Option<Value> {
        let op = *self.one_of(&CompareOp::ALL);
        let a = self.pick(|_| true)?;
        let a = self.steady(a)?;
        let ty = self.ty(a.id).clone();
        let b = self.value_of(&ty);
        let b = self.steady(b)?;
        self.add(Op::Compare(op), &[a, b], true, 1.0)
    }

    pub(super) fn select(&mut self) -> Option<Value> {
        let a = self.pick(|_| true)?;
        let ty = self.ty(a.id).clone();
        let b = self.value_of(&ty);
        let condition = self.value_of(&ty.with_dtype(DType::Bool));
        let (a, b) = if self.below(2) == 0 { (a, b) } else { (b, a) };
        self.add(Op::Select, &[condition, a, b], true, a.bound.max(b.bound))
    }

    pub(super) fn logical(&mut self) -> Option<Value> {
        let op = *self.one_of(&LogicalOp::ALL);
        let a = self.pick(|ty| op.accepts().dtype(ty.dtype))?;
        let ty = self.ty(a.id).clone();
        let operands = if op.n_operands() == 1 { vec![a] } else { vec![a, self.value_of(&ty)] };
        self.add(Op::Logical(op), &operands, true, f64::INFINITY)
    }

    pub(super) fn cast(&mut self) -> Option<Value> {
        let dtype = *self.one_of(&DType::ALL);
        let x = self.pick(|ty| ty.dtype != dtype)?;
        let jumps = self.ty(x.id).dtype.is_float() && !dtype.is_float();
        let x = if jumps { self.steady(x)? } else { x };
        // A negative number wraps to a large one in `u8`, but to no larger one elsewhere.
        let bound =
            if dtype == DType::U8 && !Accepts::Bool.dtype(self.ty(x.id).dtype) { 255.0 } else { x.bound };
        self.add(Op::Cast(dtype), &[x], true, bound.max(1.0))
    }
}
