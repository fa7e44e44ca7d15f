//! Calls of block primitives in a walk: which operands are staged in scratch memory, and the calls themselves.

use super::{Sink, Span};
use crate::codegen::emit::{At, BLOCK, Emitter, Routine, Slot};
use cranelift_codegen::ir::{InstBuilder, Value};
use kiln_ir::op::{BinaryOp, ReduceOp, UnaryOp};
use kiln_ir::{DType, Literal};
use kiln_passes::loops::{Affine, ReductionKind, ValueId, ValueKind};
use std::collections::HashMap;

/// A block primitive to be called, and where its operands come from.
pub(super) struct Call {
    pub op: ValueId,
    slot: Slot,
    /// Operands that are put into scratch memory before the call.
    pub staged: Vec<(ValueId, Slot)>,
    kind: CallKind,
}

enum CallKind {
    Unary {
        routine: Routine,
        source: Source,
        /// What is done to the operand first.
        scaled: Option<Scaled>,
        /// A reduction that the sum of the results goes into.
        sum: Option<usize>,
    },
    Binary {
        routine: Routine,
        operands: [Slot; 2],
    },
    Random {
        key: ValueId,
        counter: ValueId,
        element: Affine,
    },
}

/// Where the operand of a primitive lies.
enum Source {
    /// In memory as it is: buffer and address.
    Memory(usize, Affine),
    /// In the block of a primitive that was called before, or in the block of the result.
    Block(Slot),
}

/// `scale x + shift`, where neither factor nor term changes along the vector axis.
#[derive(Clone, Copy)]
struct Scaled {
    x: ValueId,
    /// 1 if there is none.
    scale: Option<ValueId>,
    negates_scale: bool,
    /// 0 if there is none.
    shift: Option<ValueId>,
    negates_shift: bool,
}

impl Emitter<'_, '_> {
    pub(super) fn plan_call(&mut self, id: ValueId, sinks: &mut Vec<Sink>) -> Call {
        let slot = self.new_slot(id);
        let body = self.body;
        let dtype = body.values[id].dtype;
        let mut staged = Vec::new();
        let kind = match &body.values[id].kind {
            ValueKind::Unary(op, operand) => {
                let scaled = self.scaled(*operand);
                let x = scaled.map_or(*operand, |scaled| scaled.x);
                let source = self.source(x).unwrap_or_else(|| {
                    staged.push((x, slot));
                    Source::Block(slot)
                });
                // The primitive that returns a sum scales too.
                let sum = (*op == UnaryOp::Exp).then(|| self.take_sum(id, sinks)).flatten();
                CallKind::Unary { routine: Routine::Unary(*op), source, scaled, sum }
            }
            ValueKind::Binary(op, x, y) => {
                let offset = self.take_scratch(BLOCK as usize * dtype.n_bytes());
                let address = self.plus_constant(self.scratch, offset as i64);
                let other = Slot { address, whole_row: false };
                staged.extend([(*x, slot), (*y, other)]);
                CallKind::Binary { routine: Routine::Binary(*op), operands: [slot, other] }
            }
            ValueKind::Random { key, counter, element } => {
                CallKind::Random { key: *key, counter: *counter, element: element.clone() }
            }
            _ => unreachable!("no block primitive"),
        };
        Call { op: id, slot, staged, kind }
    }

    /// The slot of a block primitive: that of a whole row when the value is needed in several phases.
    fn new_slot(&mut self, id: ValueId) -> Slot {
        let slot = self.kept_rows.get(&id).copied().unwrap_or_else(|| {
            let offset = self.take_scratch(BLOCK as usize * self.body.values[id].dtype.n_bytes());
            Slot { address: self.plus_constant(self.scratch, offset as i64), whole_row: false }
        });
        self.slots.insert(id, slot);
        slot
    }

    /// An operand as `scale x + shift`: the primitive computes that in wider vectors than loops have, and a value that is
    /// in memory as it is need not be staged.
    fn scaled(&self, id: ValueId) -> Option<Scaled> {
        let varies = |id: ValueId| self.varies[id];
        let kind = |id: ValueId| &self.body.values[id].kind;
        let product = |id: ValueId| match *kind(id) {
            ValueKind::Binary(BinaryOp::Mul, x, a) if varies(x) && !varies(a) => (x, Some(a)),
            ValueKind::Binary(BinaryOp::Mul, a, x) if varies(x) && !varies(a) => (x, Some(a)),
            _ => (id, None),
        };
        let scaled = |of: ValueId, negates_scale: bool, shift: Option<ValueId>, negates_shift: bool| {
            let (x, scale) = product(of);
            Scaled { x, scale, negates_scale, shift, negates_shift }
        };
        let scaled = match *kind(id) {
            ValueKind::Unary(UnaryOp::Neg, x) => scaled(x, true, None, false),
            ValueKind::Binary(BinaryOp::Mul, ..) => scaled(id, false, None, false),
            ValueKind::Binary(BinaryOp::Add, x, c) if varies(x) && !varies(c) => {
                scaled(x, false, Some(c), false)
            }
            ValueKind::Binary(BinaryOp::Add, c, x) if varies(x) && !varies(c) => {
                scaled(x, false, Some(c), false)
            }
            ValueKind::Binary(BinaryOp::Sub, x, c) if varies(x) && !varies(c) => {
                scaled(x, false, Some(c), true)
            }
            ValueKind::Binary(BinaryOp::Sub, c, x) if varies(x) && !varies(c) => {
                scaled(x, true, Some(c), false)
            }
            _ => return None,
        };
        let saves = scaled.x != id && (self.uses[id] == 1 || self.source(scaled.x).is_some());
        saves.then_some(scaled)
    }

    /// Where a value lies already.
    fn source(&self, id: ValueId) -> Option<Source> {
        if let Some(slot) = self.slots.get(&id).filter(|_| self.body.is_block_op(id)) {
            return Some(Source::Block(*slot));
        }
        self.contiguous(id).map(|(buffer, address)| Source::Memory(buffer, address))
    }

    /// The address of a value that is a load of neighbouring elements.
    fn contiguous(&self, id: ValueId) -> Option<(usize, Affine)> {
        let ValueKind::Load { buffer, address } = &self.body.values[id].kind else { return None };
        let axis = self.body.vector_axis;
        let jumps = self.body.affine_varies(&address.without(axis), |a| a == axis, &self.varies);
        (address.coefficient(axis) == 1 && !jumps).then(|| (*buffer, address.clone()))
    }

    /// A sum of this value among the sinks, taken out of them: the primitive returns it.
    fn take_sum(&self, id: ValueId, sinks: &mut Vec<Sink>) -> Option<usize> {
        let found = sinks.iter().position(|sink| match sink {
            Sink::Reduce(i) => {
                let reduction = &self.body.reductions[*i];
                reduction.operand == id
                    && reduction.kind == ReductionKind::Fold(ReduceOp::Sum)
                    && self.accumulators.contains_key(i)
            }
            _ => false,
        })?;
        let Sink::Reduce(i) = sinks.remove(found) else { unreachable!("just found") };
        Some(i)
    }

    pub(super) fn call(&mut self, call: &Call, span: Span) {
        let dtype = self.body.values[call.op].dtype;
        let block = span.block.unwrap_or(span.from);
        let n = self.minus(span.to, span.from);
        let mut at = At { lanes: 1, position: span.from, offset: 0, block, values: HashMap::new() };
        let dst = self.slot_address(&at, call.slot, dtype);
        match &call.kind {
            CallKind::Unary { routine, source, scaled, sum } => {
                let src = match source {
                    Source::Memory(buffer, address) => {
                        let index = self.index_value(Some(&mut at), address);
                        self.element(self.buffers[*buffer], index, dtype)
                    }
                    Source::Block(slot) => self.slot_address(&at, *slot, dtype),
                };
                match (scaled, sum) {
                    (None, None) => {
                        let function = self.block_function(*routine, dtype);
                        self.b.ins().call(function, &[dst, src, n]);
                    }
                    _ => self.call_scaled(*routine, dtype, [dst, src, n], *scaled, *sum),
                }
            }
            CallKind::Binary { routine, operands } => {
                let [x, y] = operands.map(|slot| self.slot_address(&at, slot, dtype));
                let function = self.block_function(*routine, dtype);
                self.b.ins().call(function, &[dst, x, y, n]);
            }
            CallKind::Random { key, counter, element } => {
                let first = self.index_value(Some(&mut at), element);
                self.call_philox(dst, n, *key, *counter, first);
            }
        }
    }

    /// Calls a primitive that scales and shifts its operand, or the one that returns the sum of its results too.
    fn call_scaled(
        &mut self,
        routine: Routine,
        dtype: DType,
        [dst, src, n]: [Value; 3],
        scaled: Option<Scaled>,
        sum: Option<usize>,
    ) {
        let part = |e: &mut Self, value: Option<ValueId>, otherwise: f64, negates: bool| match value {
            Some(id) => {
                let value = e.uniform(id);
                if negates { e.b.ins().fneg(value) } else { value }
            }
            None => {
                let value = if negates { -otherwise } else { otherwise };
                e.ops().literal(Literal::from_f64(dtype, value), 1)
            }
        };
        let scale = part(self, scaled.and_then(|s| s.scale), 1.0, scaled.is_some_and(|s| s.negates_scale));
        // Minus zero: added to anything it leaves it as it is, zeros of either sign too.
        let shift = part(self, scaled.and_then(|s| s.shift), -0.0, scaled.is_some_and(|s| s.negates_shift));
        let arguments = [dst, src, n, scale, shift];
        let Some(reduction) = sum else {
            let function = self.affine_function(routine, dtype);
            self.b.ins().call(function, &arguments);
            return;
        };
        let function = self.exp_sum_function(dtype);
        let call = self.b.ins().call(function, &arguments);
        let partial = self.b.inst_results(call)[0];
        let register = self.accumulators[&reduction].scalar;
        let before = self.b.use_var(register);
        let after = self.b.ins().fadd(before, partial);
        self.b.def_var(register, after);
    }
}
