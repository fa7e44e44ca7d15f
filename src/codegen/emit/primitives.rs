//! The block primitives by name, and calls of them for one element.

use super::{At, Emitter};
use crate::codegen::ops::Rep;
use crate::kernels::math;
use cranelift_codegen::ir::types::{F32, F64, I64};
use cranelift_codegen::ir::{FuncRef, InstBuilder, MemFlagsData, Type, Value};
use kiln_ir::DType;
use kiln_ir::op::{BinaryOp, UnaryOp};
use kiln_passes::loops::{Affine, ValueId};

/// Symbol and address of a routine, whatever its signature.
macro_rules! entry {
    ($routine:expr) => {{
        let routine = $routine;
        (routine.symbol, routine.function as *const u8)
    }};
}

impl Emitter<'_, '_> {
    /// Calls the scalar form of a block primitive: for values of which there is one per row.
    pub(super) fn call_scalar(&mut self, dtype: DType, routine: Routine, operands: &[Value]) -> Value {
        let (name, address) = routine.scalar(self.target.kernels, dtype);
        let ty = float_type(dtype);
        let parameters = vec![ty; operands.len()];
        let function = self.symbols.import(self.b.func, name, address, &parameters, &[ty]);
        let call = self.b.ins().call(function, operands);
        self.b.inst_results(call)[0]
    }

    /// One word of the random stream, through the block form.
    pub(super) fn random_word(
        &mut self,
        at: &mut At,
        key: ValueId,
        counter: ValueId,
        element: &Affine,
    ) -> Value {
        let offset = self.take_scratch(8);
        let address = self.plus_constant(self.scratch, offset as i64);
        let first = self.index_value(Some(at), element);
        let one = self.constant(1);
        self.call_philox(address, one, key, counter, first);
        self.ops().load(Rep { dtype: DType::I32, lanes: 1 }, address, 0)
    }

    /// Fills a block with random words from position `first` of the stream on.
    pub fn call_philox(&mut self, dst: Value, n: Value, key: ValueId, counter: ValueId, first: Value) {
        let offset = self.take_scratch(32);
        let state = self.plus_constant(self.scratch, offset as i64);
        let flags = MemFlagsData::new().with_notrap();
        let (key, counter) = (self.uniform(key), self.uniform(counter));
        let zero = self.constant(0);
        self.b.ins().store(flags, key, state, 0);
        // The counter has 128 bits; the state holds the lower 64 of them.
        self.b.ins().store(flags, counter, state, 8);
        self.b.ins().store(flags, zero, state, 16);
        let routine = math::philox(self.target.kernels);
        let address = routine.function as *const u8;
        let function = self.symbols.import(self.b.func, routine.symbol, address, &[I64; 5], &[]);
        let counter = self.plus_constant(state, 8);
        self.b.ins().call(function, &[dst, n, state, counter, first]);
    }

    /// A reference to the block form of a primitive.
    pub fn block_function(&mut self, routine: Routine, dtype: DType) -> FuncRef {
        let (name, address, n) = routine.block(self.target.kernels, dtype);
        self.symbols.import(self.b.func, name, address, &vec![I64; n], &[])
    }

    /// A reference to the block form of a primitive that scales and shifts its operand.
    pub fn affine_function(&mut self, routine: Routine, dtype: DType) -> FuncRef {
        let (name, address) = routine.affine(self.target.kernels, dtype);
        let float = float_type(dtype);
        self.symbols.import(self.b.func, name, address, &[I64, I64, I64, float, float], &[])
    }

    /// A reference to the exponential of a scaled and shifted block, which returns the sum of what it writes.
    pub fn exp_sum_function(&mut self, dtype: DType) -> FuncRef {
        let (isa, float) = (self.target.kernels, float_type(dtype));
        let (name, address) = match dtype {
            DType::F32 => entry!(math::rows_f32(isa).exp_sum),
            _ => entry!(math::rows_f64(isa).exp_sum),
        };
        self.symbols.import(self.b.func, name, address, &[I64, I64, I64, float, float], &[float])
    }
}

/// The register type of a float.
fn float_type(dtype: DType) -> Type {
    if dtype == DType::F32 { F32 } else { F64 }
}

/// A block primitive, by what it computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Routine {
    /// A transcendental function.
    Unary(UnaryOp),
    /// Power, angle or remainder.
    Binary(BinaryOp),
}

impl Routine {
    fn scalar(self, isa: crate::kernels::isa::Isa, dtype: DType) -> (&'static str, *const u8) {
        match (self, dtype) {
            (Routine::Unary(op), DType::F32) => entry!(math::unary_scalar_f32(isa, math_op(op))),
            (Routine::Unary(op), _) => entry!(math::unary_scalar_f64(isa, math_op(op))),
            (Routine::Binary(op), DType::F32) => entry!(math::binary_scalar_f32(isa, math_op2(op))),
            (Routine::Binary(op), _) => entry!(math::binary_scalar_f64(isa, math_op2(op))),
        }
    }

    /// Symbol and address of the form that scales and shifts its operand.
    fn affine(self, isa: crate::kernels::isa::Isa, dtype: DType) -> (&'static str, *const u8) {
        match (self, dtype) {
            (Routine::Unary(op), DType::F32) => entry!(math::affine_f32(isa, math_op(op))),
            (Routine::Unary(op), _) => entry!(math::affine_f64(isa, math_op(op))),
            (Routine::Binary(op), _) => unreachable!("`{}` has two operands", op.name()),
        }
    }

    /// Symbol, address and number of parameters of the block form.
    fn block(self, isa: crate::kernels::isa::Isa, dtype: DType) -> (&'static str, *const u8, usize) {
        let float = if dtype == DType::F32 { math::FloatKind::F32 } else { math::FloatKind::F64 };
        match self {
            Routine::Unary(op) => {
                let routine = math::unary(isa, math_op(op), float);
                (routine.symbol, routine.function as *const u8, 3)
            }
            Routine::Binary(op) => {
                let routine = math::binary(isa, math_op2(op), float);
                (routine.symbol, routine.function as *const u8, 4)
            }
        }
    }
}

fn math_op(op: UnaryOp) -> math::MathOp {
    match op {
        UnaryOp::Exp => math::MathOp::Exp,
        UnaryOp::Expm1 => math::MathOp::Expm1,
        UnaryOp::Log => math::MathOp::Log,
        UnaryOp::Log1p => math::MathOp::Log1p,
        UnaryOp::Sin => math::MathOp::Sin,
        UnaryOp::Cos => math::MathOp::Cos,
        UnaryOp::Tan => math::MathOp::Tan,
        UnaryOp::Asin => math::MathOp::Asin,
        UnaryOp::Acos => math::MathOp::Acos,
        UnaryOp::Atan => math::MathOp::Atan,
        UnaryOp::Sinh => math::MathOp::Sinh,
        UnaryOp::Cosh => math::MathOp::Cosh,
        UnaryOp::Tanh => math::MathOp::Tanh,
        UnaryOp::Sigmoid => math::MathOp::Sigmoid,
        UnaryOp::Erf => math::MathOp::Erf,
        UnaryOp::Neg
        | UnaryOp::Abs
        | UnaryOp::Sign
        | UnaryOp::Sqrt
        | UnaryOp::Rsqrt
        | UnaryOp::Floor
        | UnaryOp::Ceil
        | UnaryOp::Round
        | UnaryOp::Reciprocal => unreachable!("`{}` is an instruction", op.name()),
    }
}

fn math_op2(op: BinaryOp) -> math::MathOp2 {
    match op {
        BinaryOp::Pow => math::MathOp2::Pow,
        BinaryOp::Atan2 => math::MathOp2::Atan2,
        BinaryOp::Rem => math::MathOp2::Rem,
        BinaryOp::Add | BinaryOp::Sub | BinaryOp::Mul | BinaryOp::Div | BinaryOp::Max | BinaryOp::Min => {
            unreachable!("`{}` is an instruction", op.name())
        }
    }
}
