//! Elementwise ops as instructions, on scalars and on 128-bit vectors.
//!
//! An element is one scalar, or a vector of [`Rep::lanes`]. A truth value is an `i8` of 0 or 1 as a scalar, and a mask of
//! all ones in lanes as wide as its neighbours in a vector. Scalar and vector forms give the same bits, because which
//! elements of a row fall into the scalar remainder depends on where a thread's part begins.

use cranelift_codegen::ir::condcodes::{FloatCC, IntCC};
use cranelift_codegen::ir::types::*;
use cranelift_codegen::ir::{InstBuilder, MemFlagsData, Type, Value};
use cranelift_frontend::FunctionBuilder;
use kiln_ir::op::{BinaryOp, CompareOp, LogicalOp, ReduceOp, UnaryOp};
use kiln_ir::{DType, Literal};

/// How an element type is represented: as a scalar (1 lane) or a vector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rep {
    /// The element type.
    pub dtype: DType,
    /// Elements in one value.
    pub lanes: usize,
}

impl Rep {
    /// Cranelift's type.
    pub fn ty(self) -> Type {
        match (self.dtype, self.lanes) {
            (DType::F32, 1) => F32,
            (DType::F64, 1) => F64,
            (DType::I32, 1) => I32,
            (DType::I64, 1) => I64,
            (DType::U8 | DType::Bool, 1) => I8,
            (DType::F32, _) => F32X4,
            (DType::F64, _) => F64X2,
            (DType::I32, _) | (DType::Bool, 4) => I32X4,
            (DType::I64, _) | (DType::Bool, _) => I64X2,
            (DType::U8, _) => unreachable!("bytes are not computed in vectors"),
        }
    }

    fn is_vector(self) -> bool {
        self.lanes > 1
    }
}

/// Emits instructions.
pub struct Ops<'a, 'f> {
    /// Where they go.
    pub b: &'a mut FunctionBuilder<'f>,
}

impl Ops<'_, '_> {
    /// The same bits as another type of the same width.
    fn cast_bits(&mut self, ty: Type, x: Value) -> Value {
        if self.b.func.dfg.value_type(x) == ty {
            return x;
        }
        let flags = MemFlagsData::new().with_endianness(cranelift_codegen::ir::Endianness::Little);
        self.b.ins().bitcast(ty, flags, x)
    }

    /// A constant.
    pub fn literal(&mut self, value: Literal, lanes: usize) -> Value {
        let rep = Rep { dtype: value.dtype(), lanes };
        let scalar = match value {
            Literal::F32(v) => self.b.ins().f32const(v),
            Literal::F64(v) => self.b.ins().f64const(v),
            Literal::I32(v) => self.b.ins().iconst(I32, v as u32 as i64),
            Literal::I64(v) => self.b.ins().iconst(I64, v),
            Literal::U8(v) => self.b.ins().iconst(I8, v as i64),
            Literal::Bool(v) => self.b.ins().iconst(I8, v as i64),
        };
        self.splat(rep, scalar)
    }

    /// A scalar in every lane.
    pub fn splat(&mut self, rep: Rep, scalar: Value) -> Value {
        if !rep.is_vector() {
            return scalar;
        }
        let lane = rep.ty().lane_type();
        let scalar = if rep.dtype == DType::Bool { self.b.ins().bmask(lane, scalar) } else { scalar };
        self.b.ins().splat(rep.ty(), scalar)
    }

    /// One lane of a vector, as a scalar.
    pub fn lane(&mut self, rep: Rep, x: Value, lane: usize) -> Value {
        if !rep.is_vector() {
            return x;
        }
        let value = self.b.ins().extractlane(x, lane as u8);
        if rep.dtype != DType::Bool {
            return value;
        }
        let bit = self.b.ins().ireduce(I8, value);
        self.b.ins().band_imm_u(bit, 1)
    }

    /// A vector of scalars.
    pub fn join_lanes(&mut self, rep: Rep, lanes: &[Value]) -> Value {
        let mut vector = self.splat(rep, lanes[0]);
        for (lane, &scalar) in lanes.iter().enumerate().skip(1) {
            let scalar = if rep.dtype == DType::Bool {
                self.b.ins().bmask(rep.ty().lane_type(), scalar)
            } else {
                scalar
            };
            vector = self.b.ins().insertlane(vector, scalar, lane as u8);
        }
        vector
    }

    /// A unary op that is an instruction or a few; the transcendental ones are block primitives.
    pub fn unary(&mut self, op: UnaryOp, rep: Rep, x: Value) -> Value {
        let float = rep.dtype.is_float();
        match op {
            UnaryOp::Neg if float => self.b.ins().fneg(x),
            UnaryOp::Neg => self.b.ins().ineg(x),
            UnaryOp::Abs if float => self.b.ins().fabs(x),
            UnaryOp::Abs => {
                let negative = self.literal(Literal::zero(rep.dtype), rep.lanes);
                let below = self.compare(CompareOp::Lt, rep, x, negative);
                let opposite = self.b.ins().ineg(x);
                self.select(rep, below, opposite, x)
            }
            UnaryOp::Sign => self.sign(rep, x),
            UnaryOp::Sqrt => self.b.ins().sqrt(x),
            UnaryOp::Rsqrt => {
                let root = self.b.ins().sqrt(x);
                self.unary(UnaryOp::Reciprocal, rep, root)
            }
            UnaryOp::Floor => self.b.ins().floor(x),
            UnaryOp::Ceil => self.b.ins().ceil(x),
            UnaryOp::Round => self.b.ins().nearest(x),
            UnaryOp::Reciprocal => {
                let one = self.literal(Literal::one(rep.dtype), rep.lanes);
                self.b.ins().fdiv(one, x)
            }
            UnaryOp::Exp
            | UnaryOp::Expm1
            | UnaryOp::Log
            | UnaryOp::Log1p
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
            | UnaryOp::Erf => unreachable!("`{}` is a block primitive", op.name()),
        }
    }

    fn sign(&mut self, rep: Rep, x: Value) -> Value {
        let zero = self.literal(Literal::zero(rep.dtype), rep.lanes);
        let plus = self.literal(Literal::one(rep.dtype), rep.lanes);
        let minus = self.literal(Literal::from_i64(rep.dtype, -1), rep.lanes);
        let above = self.compare(CompareOp::Gt, rep, x, zero);
        let below = self.compare(CompareOp::Lt, rep, x, zero);
        // Zero and NaN are neither above nor below, and stay.
        let rest = self.select(rep, below, minus, x);
        self.select(rep, above, plus, rest)
    }

    /// A binary op, but for those of floats that are block primitives.
    pub fn binary(&mut self, op: BinaryOp, rep: Rep, x: Value, y: Value) -> Value {
        let float = rep.dtype.is_float();
        match op {
            BinaryOp::Add if float => self.b.ins().fadd(x, y),
            BinaryOp::Sub if float => self.b.ins().fsub(x, y),
            BinaryOp::Mul if float => self.b.ins().fmul(x, y),
            BinaryOp::Div if float => self.b.ins().fdiv(x, y),
            BinaryOp::Add => self.b.ins().iadd(x, y),
            BinaryOp::Sub => self.b.ins().isub(x, y),
            BinaryOp::Mul => self.b.ins().imul(x, y),
            BinaryOp::Max | BinaryOp::Min => self.extremum(op, rep, x, y),
            BinaryOp::Div | BinaryOp::Rem => {
                let scalar = Rep { lanes: 1, ..rep };
                let lanes: Vec<Value> = (0..rep.lanes)
                    .map(|lane| {
                        let (x, y) = (self.lane(rep, x, lane), self.lane(rep, y, lane));
                        self.divide_integers(op == BinaryOp::Div, scalar, x, y)
                    })
                    .collect();
                self.join_lanes(rep, &lanes)
            }
            BinaryOp::Pow | BinaryOp::Atan2 => unreachable!("`{}` is a block primitive", op.name()),
        }
    }

    /// The greater or lesser one. Comparison and selection become one instruction, which takes the second operand when
    /// either is NaN; only a NaN in the first one needs more.
    fn extremum(&mut self, op: BinaryOp, rep: Rep, x: Value, y: Value) -> Value {
        let (x, y) = if self.is_constant(y) { (y, x) } else { (x, y) };
        // `y < x` and not `x > y`: Cranelift knows the maximum by the former alone.
        let (lesser, greater) = if op == BinaryOp::Max { (y, x) } else { (x, y) };
        let takes_x = self.compare(CompareOp::Lt, rep, lesser, greater);
        let either = self.select(rep, takes_x, x, y);
        if !rep.dtype.is_float() || self.is_constant(x) {
            return either;
        }
        let x_is_nan = self.compare(CompareOp::Ne, rep, x, x);
        self.select(rep, x_is_nan, x, either)
    }

    /// Whether a value is a constant of the program (none of which is NaN where it matters: see the caller).
    fn is_constant(&self, x: Value) -> bool {
        use cranelift_codegen::ir::{InstructionData, Opcode};
        let dfg = &self.b.func.dfg;
        let Some(inst) = dfg.value_def(x).inst() else { return false };
        match dfg.insts[inst] {
            InstructionData::UnaryIeee32 { imm, .. } => !f32::from_bits(imm.bits()).is_nan(),
            InstructionData::UnaryIeee64 { imm, .. } => !f64::from_bits(imm.bits()).is_nan(),
            InstructionData::Unary { opcode: Opcode::Splat, arg } => self.is_constant(arg),
            _ => false,
        }
    }

    /// Truncated division, or its remainder, that never traps: by 0 it gives 0, and the one overflow wraps.
    fn divide_integers(&mut self, quotient: bool, rep: Rep, x: Value, y: Value) -> Value {
        let ty = rep.ty();
        let zero = self.b.ins().iconst(ty, 0);
        let one = self.b.ins().iconst(ty, 1);
        let by_zero = self.b.ins().icmp(IntCC::Equal, y, zero);
        if rep.dtype == DType::U8 {
            let safe = self.b.ins().select(by_zero, one, y);
            let result = if quotient { self.b.ins().udiv(x, safe) } else { self.b.ins().urem(x, safe) };
            return self.b.ins().select(by_zero, zero, result);
        }
        let by_minus_one = self.b.ins().icmp_imm_s(IntCC::Equal, y, -1);
        let unsafe_divisor = self.b.ins().bor(by_zero, by_minus_one);
        let safe = self.b.ins().select(unsafe_divisor, one, y);
        let (result, minus_one) = if quotient {
            (self.b.ins().sdiv(x, safe), self.b.ins().ineg(x))
        } else {
            (self.b.ins().srem(x, safe), zero)
        };
        let result = self.b.ins().select(by_minus_one, minus_one, result);
        self.b.ins().select(by_zero, zero, result)
    }

    /// A comparison of two elements; a truth value of as many lanes.
    pub fn compare(&mut self, op: CompareOp, rep: Rep, x: Value, y: Value) -> Value {
        if rep.dtype.is_float() {
            let cc = match op {
                CompareOp::Eq => FloatCC::Equal,
                CompareOp::Ne => FloatCC::NotEqual,
                CompareOp::Lt => FloatCC::LessThan,
                CompareOp::Le => FloatCC::LessThanOrEqual,
                CompareOp::Gt => FloatCC::GreaterThan,
                CompareOp::Ge => FloatCC::GreaterThanOrEqual,
            };
            return self.b.ins().fcmp(cc, x, y);
        }
        let signed = !matches!(rep.dtype, DType::U8 | DType::Bool);
        let cc = match (op, signed) {
            (CompareOp::Eq, _) => IntCC::Equal,
            (CompareOp::Ne, _) => IntCC::NotEqual,
            (CompareOp::Lt, true) => IntCC::SignedLessThan,
            (CompareOp::Le, true) => IntCC::SignedLessThanOrEqual,
            (CompareOp::Gt, true) => IntCC::SignedGreaterThan,
            (CompareOp::Ge, true) => IntCC::SignedGreaterThanOrEqual,
            (CompareOp::Lt, false) => IntCC::UnsignedLessThan,
            (CompareOp::Le, false) => IntCC::UnsignedLessThanOrEqual,
            (CompareOp::Gt, false) => IntCC::UnsignedGreaterThan,
            (CompareOp::Ge, false) => IntCC::UnsignedGreaterThanOrEqual,
        };
        self.b.ins().icmp(cc, x, y)
    }

    /// An op on bits. The second operand of a shift is one scalar for all lanes.
    pub fn logical(&mut self, op: LogicalOp, rep: Rep, xs: &[Value]) -> Value {
        match op {
            LogicalOp::And => self.b.ins().band(xs[0], xs[1]),
            LogicalOp::Or => self.b.ins().bor(xs[0], xs[1]),
            LogicalOp::Xor => self.b.ins().bxor(xs[0], xs[1]),
            LogicalOp::Not if rep.dtype == DType::Bool && !rep.is_vector() => {
                self.b.ins().bxor_imm_u(xs[0], 1)
            }
            LogicalOp::Not => self.b.ins().bnot(xs[0]),
            LogicalOp::ShiftLeft => self.shift(true, rep, xs[0], xs[1]),
            LogicalOp::ShiftRight => self.shift(false, rep, xs[0], xs[1]),
        }
    }

    /// Shifts by a distance that is one scalar for all lanes: vectors have no other shift.
    fn shift(&mut self, left: bool, rep: Rep, x: Value, by: Value) -> Value {
        let bits = i64::from(rep.ty().lane_bits());
        let shifted = if left { self.b.ins().ishl(x, by) } else { self.b.ins().ushr(x, by) };
        if self.constant_integer(by).is_some_and(|by| (0..bits).contains(&by)) {
            return shifted;
        }
        // As unsigned numbers, negative distances are large ones.
        let in_range = self.b.ins().icmp_imm_u(IntCC::UnsignedLessThan, by, bits);
        let in_range = self.splat(Rep { dtype: DType::Bool, ..rep }, in_range);
        let zero = self.literal(Literal::zero(rep.dtype), rep.lanes);
        self.select(rep, in_range, shifted, zero)
    }

    /// The value of an integer that is a constant of the program.
    fn constant_integer(&self, x: Value) -> Option<i64> {
        use cranelift_codegen::ir::{InstructionData, Opcode};
        let dfg = &self.b.func.dfg;
        match dfg.insts[dfg.value_def(x).inst()?] {
            InstructionData::UnaryImm { opcode: Opcode::Iconst, imm } => Some(imm.bits()),
            _ => None,
        }
    }

    /// `condition ? x : y`; `rep` is that of `x` and `y`.
    pub fn select(&mut self, rep: Rep, condition: Value, x: Value, y: Value) -> Value {
        if !rep.is_vector() {
            return self.b.ins().select(condition, x, y);
        }
        let condition = self.cast_bits(rep.ty(), condition);
        self.b.ins().bitselect(condition, x, y)
    }

    /// Conversion between element types of as many lanes.
    pub fn convert(&mut self, from: Rep, to: DType, x: Value) -> Value {
        let target = Rep { dtype: to, lanes: from.lanes };
        if from.dtype == to {
            return x;
        }
        if to == DType::Bool {
            let zero = self.literal(Literal::zero(from.dtype), from.lanes);
            return self.compare(CompareOp::Ne, from, x, zero);
        }
        if from.dtype == DType::Bool && from.is_vector() {
            let one = self.literal(Literal::one(to), from.lanes);
            let mask = self.cast_bits(target.ty(), x);
            return self.b.ins().band(mask, one);
        }
        match (from.dtype.is_float(), to.is_float()) {
            (true, true) if to == DType::F64 => self.b.ins().fpromote(F64, x),
            (true, true) => self.b.ins().fdemote(F32, x),
            (true, false) if to == DType::U8 => {
                let wide = self.b.ins().fcvt_to_sint_sat(I32, x);
                let (low, high) = (self.b.ins().iconst(I32, 0), self.b.ins().iconst(I32, 255));
                let wide = self.b.ins().smax(wide, low);
                let wide = self.b.ins().smin(wide, high);
                self.b.ins().ireduce(I8, wide)
            }
            (true, false) => self.b.ins().fcvt_to_sint_sat(target.ty(), x),
            (false, true) => {
                let signed = if from.ty() == I8 { self.b.ins().uextend(I32, x) } else { x };
                self.b.ins().fcvt_from_sint(target.ty(), signed)
            }
            (false, false) => {
                let (bits, wanted) = (from.ty().bits(), target.ty().bits());
                match bits.cmp(&wanted) {
                    std::cmp::Ordering::Equal => x,
                    std::cmp::Ordering::Greater => self.b.ins().ireduce(target.ty(), x),
                    std::cmp::Ordering::Less if bits == 8 => self.b.ins().uextend(target.ty(), x),
                    std::cmp::Ordering::Less => self.b.ins().sextend(target.ty(), x),
                }
            }
        }
    }

    /// Combines two partial results of a reduction.
    pub fn fold(&mut self, op: ReduceOp, rep: Rep, x: Value, y: Value) -> Value {
        if rep.dtype == DType::Bool {
            return match op {
                ReduceOp::Max => self.b.ins().bor(x, y),
                ReduceOp::Min => self.b.ins().band(x, y),
                ReduceOp::Sum | ReduceOp::Prod => unreachable!("truth values are not added"),
            };
        }
        let op = match op {
            ReduceOp::Sum => BinaryOp::Add,
            ReduceOp::Prod => BinaryOp::Mul,
            ReduceOp::Max => BinaryOp::Max,
            ReduceOp::Min => BinaryOp::Min,
        };
        self.binary(op, rep, x, y)
    }

    /// Combines the lanes of a vector.
    pub fn fold_lanes(&mut self, op: ReduceOp, rep: Rep, x: Value) -> Value {
        let scalar = Rep { lanes: 1, ..rep };
        let lanes: Vec<Value> = (0..rep.lanes).map(|lane| self.lane(rep, x, lane)).collect();
        match lanes[..] {
            [x] => x,
            [x, y] => self.fold(op, scalar, x, y),
            _ => {
                let low = self.fold(op, scalar, lanes[0], lanes[2]);
                let high = self.fold(op, scalar, lanes[1], lanes[3]);
                self.fold(op, scalar, low, high)
            }
        }
    }

    /// Loads elements that are next to one another; any alignment.
    pub fn load(&mut self, rep: Rep, address: Value, offset: i64) -> Value {
        let flags = MemFlagsData::new().with_notrap();
        let offset = i32::try_from(offset).expect("an offset within an unrolled loop");
        if rep.dtype != DType::Bool || !rep.is_vector() {
            return self.b.ins().load(rep.ty(), flags, address, offset);
        }
        if rep.lanes == 2 {
            let lanes: Vec<Value> =
                (0..2).map(|i| self.b.ins().load(I8, flags, address, offset + i)).collect();
            return self.join_lanes(rep, &lanes);
        }
        let bytes = self.b.ins().load(I32, flags, address, offset);
        let bytes = self.b.ins().scalar_to_vector(I32X4, bytes);
        let bytes = self.cast_bits(I8X16, bytes);
        let words = self.b.ins().uwiden_low(bytes);
        let lanes = self.b.ins().uwiden_low(words);
        let zero = self.b.ins().iconst(I32, 0);
        let zero = self.b.ins().splat(I32X4, zero);
        self.b.ins().icmp(IntCC::NotEqual, lanes, zero)
    }

    /// Stores elements next to one another; any alignment.
    pub fn store(&mut self, rep: Rep, x: Value, address: Value, offset: i64) {
        let flags = MemFlagsData::new().with_notrap();
        let offset = i32::try_from(offset).expect("an offset within an unrolled loop");
        if rep.dtype != DType::Bool || !rep.is_vector() {
            self.b.ins().store(flags, x, address, offset);
            return;
        }
        if rep.lanes == 2 {
            for lane in 0..2 {
                let bit = self.lane(rep, x, lane);
                self.b.ins().store(flags, bit, address, offset + lane as i32);
            }
            return;
        }
        // Masks saturate to -1 in narrower lanes; their lowest bit is the truth value.
        let words = self.b.ins().snarrow(x, x);
        let bytes = self.b.ins().snarrow(words, words);
        let bytes = self.cast_bits(I32X4, bytes);
        let bytes = self.b.ins().extractlane(bytes, 0);
        let bits = self.b.ins().band_imm_u(bytes, 0x0101_0101);
        self.b.ins().store(flags, bits, address, offset);
    }

    /// Index expression values of neighbouring lanes: `first, first + step, ...`, as numbers of this type.
    pub fn count_from(&mut self, rep: Rep, first: Value, step: i64) -> Value {
        if !rep.is_vector() {
            return self.number(rep.dtype, first);
        }
        let int = Rep { dtype: if rep.lanes == 4 { DType::I32 } else { DType::I64 }, lanes: rep.lanes };
        let lanes: Vec<Value> = (0..rep.lanes as i64)
            .map(|lane| self.b.ins().iconst(int.ty().lane_type(), (lane * step) & lane_mask(int)))
            .collect();
        let steps = self.join_lanes(int, &lanes);
        let first = if rep.lanes == 4 { self.b.ins().ireduce(I32, first) } else { first };
        let first = self.b.ins().splat(int.ty(), first);
        let index = self.b.ins().iadd(first, steps);
        match rep.dtype {
            DType::F32 | DType::F64 => self.b.ins().fcvt_from_sint(rep.ty(), index),
            DType::I32 | DType::I64 | DType::U8 | DType::Bool => index,
        }
    }

    /// An index (`i64`) as a number of this type.
    pub fn number(&mut self, dtype: DType, index: Value) -> Value {
        self.convert(Rep { dtype: DType::I64, lanes: 1 }, dtype, index)
    }
}

fn lane_mask(int: Rep) -> i64 {
    if int.lanes == 4 { 0xffff_ffff } else { -1 }
}
