//! The values of a loop body as instructions, at one place in the loop nest.
//!
//! [`Emitter`] holds what stays the same in a kernel, [`At`] is a place: which lanes of the vector axis are computed.
//! Values that do not change along the vector axis are computed once, before its loop.

mod index;
mod primitives;

pub use index::Known;
pub use primitives::Routine;

use super::ops::{Ops, Rep};
use super::symbols::Symbols;
use super::target::Target;
use super::walk::Length;
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{InstBuilder, Value};
use cranelift_frontend::{FunctionBuilder, Variable};
use kiln_ir::op::{BinaryOp, LogicalOp, ReduceOp};
use kiln_ir::{DType, Literal};
use kiln_passes::loops::{Affine, LoopBody, ReductionKind, ValueId, ValueKind};
use std::collections::HashMap;

/// Elements of a block: what a block primitive is called on. Its operands and results lie in first-level cache.
pub const BLOCK: i64 = 512;

/// A place in the loop nest: lanes of the vector axis.
#[derive(Clone)]
pub struct At {
    /// How many elements are computed at once.
    pub lanes: usize,
    /// Index along the vector axis of the first one...
    pub position: Value,
    /// ...plus this.
    pub offset: i64,
    /// Position at which the block of scratch memory begins.
    pub block: Value,
    /// What was computed here already.
    pub values: HashMap<ValueId, Value>,
}

/// A block of scratch memory that holds a value for each element of a block (or of a whole row).
#[derive(Clone, Copy, Debug)]
pub struct Slot {
    /// Address of the first element.
    pub address: Value,
    /// Whether it holds a whole row and is kept between phases.
    pub whole_row: bool,
}

/// Emits the code of one kernel.
pub struct Emitter<'a, 'f> {
    pub b: FunctionBuilder<'f>,
    pub body: &'a LoopBody,
    pub target: &'a Target,
    pub symbols: &'a mut Symbols,
    /// Address of each buffer of the body.
    pub buffers: Vec<Value>,
    /// Address of this thread's scratch memory, and how much of it is taken.
    pub scratch: Value,
    pub scratch_bytes: usize,
    /// Lanes of a vector; 1 when the body must be computed element by element.
    pub lanes: usize,
    /// What is known of the parts of the vector axis that the code is called for, where that is parallel.
    pub line: Length,
    /// Which values change along the vector axis.
    pub varies: Vec<bool>,
    /// Current index along each axis but the vector axis; `None` outside of its loop.
    pub index: Vec<Option<Value>>,
    /// The integers that were computed for indices and addresses.
    pub known: Known,
    /// Fixed values for derived variables.
    pub overrides: HashMap<usize, Value>,
    /// Values that do not change along the vector axis, and their splats, as far as computed.
    pub uniform: HashMap<ValueId, Value>,
    pub splats: HashMap<ValueId, Value>,
    /// While such a value is computed, those that it is made of: they come one after the other, so that each can be used by
    /// all that follow. Without it a chain of values that each use the last one several times would double at each.
    pub chain: Option<HashMap<ValueId, Value>>,
    /// Where block primitives and accumulators have their results.
    pub slots: HashMap<ValueId, Slot>,
    /// Registers of the accumulators of reductions, in use while their phase runs.
    pub accumulators: HashMap<usize, Accumulators>,
    /// Where block primitives whose results are kept from one phase to later ones have them, for a whole row.
    pub kept_rows: HashMap<ValueId, Slot>,
    /// How often each value is used: a product used once may become part of a multiply-add.
    pub uses: Vec<usize>,
}

/// The registers of one reduction along the vector axis.
#[derive(Clone)]
pub struct Accumulators {
    /// One for each unrolled copy of the loop body.
    pub vectors: Vec<Variable>,
    /// For the remainder.
    pub scalar: Variable,
    /// The index or payload of a search, and whether anything was found yet.
    pub payload: Option<(Variable, Variable)>,
}

impl<'f> Emitter<'_, 'f> {
    pub fn ops(&mut self) -> Ops<'_, 'f> {
        Ops { b: &mut self.b }
    }

    /// How a value is represented at a place, when it is wanted in lanes.
    pub fn rep(&self, id: ValueId, lanes: usize) -> Rep {
        Rep { dtype: self.body.values[id].dtype, lanes }
    }

    /// The value in lanes: a vector unless there is one lane.
    pub fn lanes_of(&mut self, at: &mut At, id: ValueId) -> Value {
        if self.varies[id] {
            return self.varying(at, id);
        }
        let scalar = self.uniform(id);
        if at.lanes == 1 {
            return scalar;
        }
        if let Some(&splat) = self.splats.get(&id).or_else(|| at.values.get(&id)) {
            return splat;
        }
        let rep = self.rep(id, at.lanes);
        let splat = self.ops().splat(rep, scalar);
        at.values.insert(id, splat);
        splat
    }

    /// A value that does not change along the vector axis.
    pub fn uniform(&mut self, id: ValueId) -> Value {
        if let Some(&value) = self.uniform.get(&id).or_else(|| self.chain.as_ref()?.get(&id)) {
            return value;
        }
        let is_last = self.chain.is_none();
        self.chain.get_or_insert_default();
        let zero = self.constant(0);
        let mut at = At { lanes: 1, position: zero, offset: 0, block: zero, values: HashMap::new() };
        let value = self.compute(&mut at, id);
        // Not remembered any longer: the place may not dominate later uses. `prepare` fills the table where it does.
        match &mut self.chain {
            Some(chain) if !is_last => _ = chain.insert(id, value),
            chain => *chain = None,
        }
        value
    }

    /// Computes a value that does not change along the vector axis and remembers it (and its splat) for the loops inside.
    pub fn prepare(&mut self, id: ValueId) {
        if self.uniform.contains_key(&id) {
            return;
        }
        let value = self.uniform(id);
        self.uniform.insert(id, value);
        if self.lanes > 1 && !matches!(self.body.values[id].dtype, DType::U8) && self.vector_dtype(id) {
            let rep = self.rep(id, self.lanes);
            let splat = self.ops().splat(rep, value);
            self.splats.insert(id, splat);
        }
    }

    fn vector_dtype(&self, id: ValueId) -> bool {
        let wide = matches!(self.body.values[id].dtype, DType::F64 | DType::I64);
        let narrow = matches!(self.body.values[id].dtype, DType::F32 | DType::I32);
        !(wide && self.lanes == 4 || narrow && self.lanes == 2)
    }

    fn varying(&mut self, at: &mut At, id: ValueId) -> Value {
        if let Some(&value) = at.values.get(&id) {
            return value;
        }
        let value = match self.slots.get(&id).copied() {
            Some(slot) => self.load_slot(at, id, slot),
            None => self.compute(at, id),
        };
        at.values.insert(id, value);
        value
    }

    /// The value of a block primitive or accumulator, from scratch memory.
    fn load_slot(&mut self, at: &At, id: ValueId, slot: Slot) -> Value {
        let rep = self.rep(id, at.lanes);
        let address = self.slot_address(at, slot, rep.dtype);
        self.ops().load(rep, address, at.offset * rep.dtype.n_bytes() as i64)
    }

    fn compute(&mut self, at: &mut At, id: ValueId) -> Value {
        let body = self.body;
        let rep = self.rep(id, if self.varies[id] { at.lanes } else { 1 });
        match &body.values[id].kind {
            ValueKind::Load { buffer, address } => self.load(at, rep, *buffer, address),
            ValueKind::Constant(value) => self.ops().literal(*value, 1),
            ValueKind::Index(of) => {
                let step = of.coefficient(body.vector_axis);
                let first = self.index_value(Some(at), of);
                self.ops().count_from(rep, first, step)
            }
            ValueKind::InRange { of, low, high } => self.in_range(at, rep.lanes, of, *low, *high),
            ValueKind::Unary(op, x) => {
                let operand = self.operand(at, rep.lanes, *x);
                if body.is_block_op(id) {
                    return self.call_scalar(rep.dtype, Routine::Unary(*op), &[operand]);
                }
                self.ops().unary(*op, rep, operand)
            }
            ValueKind::Binary(op, x, y) => {
                if let Some(value) = self.multiply_add(at, rep, *op, *x, *y) {
                    return value;
                }
                let (x, y) = (self.operand(at, rep.lanes, *x), self.operand(at, rep.lanes, *y));
                if body.is_block_op(id) {
                    return self.call_scalar(rep.dtype, Routine::Binary(*op), &[x, y]);
                }
                self.ops().binary(*op, rep, x, y)
            }
            ValueKind::Compare(op, x, y) => {
                let of = self.rep(*x, rep.lanes);
                let (x, y) = (self.operand(at, rep.lanes, *x), self.operand(at, rep.lanes, *y));
                self.ops().compare(*op, of, x, y)
            }
            ValueKind::Logical(op @ (LogicalOp::ShiftLeft | LogicalOp::ShiftRight), xs) => {
                let x = self.operand(at, rep.lanes, xs[0]);
                let by = if self.varies[xs[1]] { self.varying(at, xs[1]) } else { self.uniform(xs[1]) };
                self.ops().logical(*op, rep, &[x, by])
            }
            ValueKind::Logical(op, xs) => {
                let xs: Vec<Value> = xs.iter().map(|&x| self.operand(at, rep.lanes, x)).collect();
                self.ops().logical(*op, rep, &xs)
            }
            ValueKind::Select(c, x, y) => {
                let c = self.operand(at, rep.lanes, *c);
                let (x, y) = (self.operand(at, rep.lanes, *x), self.operand(at, rep.lanes, *y));
                self.ops().select(rep, c, x, y)
            }
            ValueKind::Cast(x) => {
                let from = self.rep(*x, rep.lanes);
                let x = self.operand(at, rep.lanes, *x);
                self.ops().convert(from, rep.dtype, x)
            }
            ValueKind::Reduced(i) => {
                unreachable!("reduction {i} has a register or a slot when its result is used")
            }
            ValueKind::Random { key, counter, element } => self.random_word(at, *key, *counter, element),
        }
    }

    fn operand(&mut self, at: &mut At, lanes: usize, id: ValueId) -> Value {
        if lanes == 1 && !self.varies[id] { self.uniform(id) } else { self.lanes_of(at, id) }
    }

    /// `x * y + z` as one instruction, when the product is used only here and the machine has it.
    fn multiply_add(&mut self, at: &mut At, rep: Rep, op: BinaryOp, x: ValueId, y: ValueId) -> Option<Value> {
        if op != BinaryOp::Add || !rep.dtype.is_float() || !self.target.has_fma {
            return None;
        }
        let product = |id: ValueId| match self.body.values[id].kind {
            ValueKind::Binary(BinaryOp::Mul, a, b) if self.uses[id] == 1 => Some((a, b)),
            _ => None,
        };
        let ((a, b), rest) = match (product(x), product(y)) {
            (Some(factors), _) => (factors, y),
            (None, Some(factors)) => (factors, x),
            (None, None) => return None,
        };
        let (a, b) = (self.operand(at, rep.lanes, a), self.operand(at, rep.lanes, b));
        let rest = self.operand(at, rep.lanes, rest);
        Some(self.b.ins().fma(a, b, rest))
    }

    fn in_range(&mut self, at: &mut At, lanes: usize, of: &Affine, low: i64, high: i64) -> Value {
        let (least, greatest) = self.body.variables.range(of);
        let step = of.coefficient(self.body.vector_axis);
        let index = self.index_value(Some(at), of);
        let dtype = if lanes == 4 { DType::I32 } else { DType::I64 };
        let rep = Rep { dtype, lanes };
        let index = if lanes == 1 { index } else { self.ops().count_from(rep, index, step) };
        let bound = |e: &mut Self, value: i64| e.ops().literal(Literal::from_i64(dtype, value), lanes);
        let above = (least < low).then(|| {
            let low = bound(self, low);
            self.b.ins().icmp(IntCC::SignedGreaterThanOrEqual, index, low)
        });
        let below = (greatest >= high).then(|| {
            let high = bound(self, high);
            self.b.ins().icmp(IntCC::SignedLessThan, index, high)
        });
        match (above, below) {
            (Some(above), Some(below)) => self.b.ins().band(above, below),
            (Some(one), None) | (None, Some(one)) => one,
            (None, None) => self.ops().literal(Literal::Bool(true), lanes),
        }
    }

    /// Takes bytes of scratch memory; the offset of the first.
    pub fn take_scratch(&mut self, n_bytes: usize) -> usize {
        let offset = self.scratch_bytes;
        self.scratch_bytes += n_bytes.next_multiple_of(64);
        offset
    }

    /// The start of a reduction.
    pub fn identity(&self, reduction: usize) -> Literal {
        let reduction = &self.body.reductions[reduction];
        let operand = self.body.values[reduction.operand].dtype;
        match reduction.kind {
            ReductionKind::Fold(op) => op.identity(operand),
            ReductionKind::Running => ReduceOp::Sum.identity(operand),
            ReductionKind::Arg(kiln_ir::op::ArgReduceOp::ArgMin, _) => ReduceOp::Min.identity(operand),
            ReductionKind::Arg(..) | ReductionKind::Pick { .. } => ReduceOp::Max.identity(operand),
        }
    }
}
