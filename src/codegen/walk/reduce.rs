//! What a walk does with a value of each place beside storing it: additions to loaded addresses, folds, running sums and
//! searches.

use crate::codegen::emit::{Accumulators, At, Emitter};
use crate::codegen::ops::Rep;
use cranelift_codegen::ir::{InstBuilder, Value};
use kiln_ir::op::{ArgReduceOp, BinaryOp, CompareOp, ReduceOp};
use kiln_passes::loops::{ReductionKind, ValueId, ValueKind};

impl Emitter<'_, '_> {
    /// `buffer[address] += value` where the condition holds.
    pub fn accumulate(&mut self, at: &mut At, value: Value) {
        let accumulate = self.body.accumulate.as_ref().expect("an accumulation");
        let rep = self.rep(accumulate.value, at.lanes);
        let condition = self.lanes_of(at, accumulate.condition);
        let zero = self.ops().literal(kiln_ir::Literal::zero(rep.dtype), rep.lanes);
        let value = self.ops().select(rep, condition, value, zero);
        let before = self.load(at, rep, accumulate.buffer, &accumulate.address);
        let sum = self.ops().binary(BinaryOp::Add, rep, before, value);
        self.store(at, rep, sum, accumulate.buffer, &accumulate.address);
    }

    /// The slot of a reduction that accumulates in scratch memory, by the id of a value that stands for it.
    pub(super) fn store_accumulator(&mut self, at: &At, reduction: usize, value: Value) {
        let slot = self.slots[&self.reduced_key(reduction)];
        let rep =
            Rep { dtype: self.body.values[self.body.reductions[reduction].operand].dtype, lanes: at.lanes };
        let address = self.slot_address(at, slot, rep.dtype);
        self.ops().store(rep, value, address, at.offset * rep.dtype.n_bytes() as i64);
    }

    /// The value id that stands for a reduction's result; beyond all values when no value does.
    pub fn reduced_key(&self, reduction: usize) -> ValueId {
        let found = self.body.values.iter().position(|v| v.kind == ValueKind::Reduced(reduction));
        found.unwrap_or(self.body.values.len() + reduction)
    }

    pub(super) fn reduce(&mut self, at: &mut At, copy: usize, i: usize) {
        let reduction = &self.body.reductions[i];
        let rep = self.rep(reduction.operand, at.lanes);
        match self.accumulators.get(&i).cloned() {
            Some(accumulators) if accumulators.payload.is_some() => self.search(at, i, &accumulators),
            Some(accumulators) => {
                let register = if at.lanes > 1 { accumulators.vectors[copy] } else { accumulators.scalar };
                let before = self.b.use_var(register);
                let after = self.combine(at, rep, i, before);
                self.b.def_var(register, after);
                self.store_running(at, i, after);
            }
            None => {
                let slot = self.slots[&self.reduced_key(i)];
                let address = self.slot_address(at, slot, rep.dtype);
                let before = self.ops().load(rep, address, at.offset * rep.dtype.n_bytes() as i64);
                let after = self.combine(at, rep, i, before);
                self.store_accumulator(at, i, after);
                self.store_running(at, i, after);
            }
        }
    }

    fn store_running(&mut self, at: &mut At, reduction: usize, value: Value) {
        if self.body.reductions[reduction].kind != ReductionKind::Running {
            return;
        }
        let body = self.body;
        for store in
            body.stores.iter().filter(|store| body.values[store.value].kind == ValueKind::Reduced(reduction))
        {
            let rep = self.rep(store.value, at.lanes);
            self.store(at, rep, value, store.buffer, &store.address);
        }
    }

    /// The accumulator with the reduction's operand at this place taken in.
    fn combine(&mut self, at: &mut At, rep: Rep, i: usize, before: Value) -> Value {
        let reduction = &self.body.reductions[i];
        let op = match reduction.kind {
            ReductionKind::Fold(op) => op,
            ReductionKind::Running => ReduceOp::Sum,
            ReductionKind::Arg(..) | ReductionKind::Pick { .. } => unreachable!("a search is no fold"),
        };
        let operand = reduction.operand;
        if let ValueKind::Binary(BinaryOp::Mul, x, y) = self.body.values[operand].kind {
            let once = self.uses[operand] == 1 && !self.slots.contains_key(&operand);
            if op == ReduceOp::Sum
                && rep.dtype.is_float()
                && once
                && self.target.has_fma
                && self.varies[operand]
            {
                let (x, y) = (self.lanes_of(at, x), self.lanes_of(at, y));
                return self.b.ins().fma(x, y, before);
            }
        }
        let value = self.lanes_of(at, operand);
        self.ops().fold(op, rep, before, value)
    }

    /// Keeps the first greatest (or least) operand, and its index or payload. NaN counts as the greatest (and least).
    fn search(&mut self, at: &mut At, i: usize, registers: &Accumulators) {
        let reduction = &self.body.reductions[i];
        let (payload, found) = registers.payload.expect("a search has a payload");
        let rep = self.rep(reduction.operand, 1);
        let value = self.lanes_of(at, reduction.operand);
        let least = matches!(reduction.kind, ReductionKind::Arg(ArgReduceOp::ArgMin, _));
        let candidate = match &reduction.kind {
            ReductionKind::Arg(_, of) => self.index_value(Some(at), of),
            ReductionKind::Pick { payload, .. } => self.lanes_of(at, *payload),
            ReductionKind::Fold(_) | ReductionKind::Running => unreachable!("a fold is no search"),
        };
        let best = self.b.use_var(registers.scalar);
        let better = if least { CompareOp::Lt } else { CompareOp::Gt };
        let mut takes = self.ops().compare(better, rep, value, best);
        if rep.dtype.is_float() {
            let value_is_nan = self.ops().compare(CompareOp::Ne, rep, value, value);
            let best_is_number = self.ops().compare(CompareOp::Eq, rep, best, best);
            let first_nan = self.b.ins().band(value_is_nan, best_is_number);
            takes = self.b.ins().bor(takes, first_nan);
        }
        let was_found = self.b.use_var(found);
        let first = self.b.ins().bxor_imm_u(was_found, 1);
        takes = self.b.ins().bor(takes, first);
        let mut yes = self.b.ins().iconst(cranelift_codegen::ir::types::I8, 1);
        if let ReductionKind::Pick { inside: Some(inside), .. } = reduction.kind {
            let inside = self.lanes_of(at, inside);
            takes = self.b.ins().band(takes, inside);
            yes = self.b.ins().bor(was_found, inside);
        }
        let best = self.b.ins().select(takes, value, best);
        let before = self.b.use_var(payload);
        let kept = self.b.ins().select(takes, candidate, before);
        self.b.def_var(registers.scalar, best);
        self.b.def_var(payload, kept);
        self.b.def_var(found, yes);
    }
}
