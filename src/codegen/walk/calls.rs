//! Calls of block primitives in a walk: which operands are staged in scratch memory, and the calls themselves.

use super::{Sink, Span};
use crate::codegen::emit::{At, BLOCK, Emitter, Routine, Slot};
use crate::kernels::math;
use cranelift_codegen::ir::types::{F32, F64, I64};
use cranelift_codegen::ir::{InstBuilder, Value};
use kiln_ir::DType;
use kiln_ir::op::{BinaryOp, ReduceOp, UnaryOp};
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
    /// The operand is in memory as it is: buffer and address.
    Unary {
        routine: Routine,
        source: Option<(usize, Affine)>,
    },
    Binary {
        routine: Routine,
        operands: [Slot; 2],
    },
    /// `e^(x - c)`, and its sum into a reduction.
    ExpSub {
        source: Option<(usize, Affine)>,
        subtrahend: ValueId,
        sum: Option<usize>,
    },
    Random {
        key: ValueId,
        counter: ValueId,
        element: Affine,
    },
}

impl Emitter<'_, '_> {
    pub(super) fn plan_call(&mut self, id: ValueId, sinks: &mut Vec<Sink>) -> Call {
        let slot = self.new_slot(id);
        let body = self.body;
        let dtype = body.values[id].dtype;
        let mut staged = Vec::new();
        let kind = match &body.values[id].kind {
            ValueKind::Unary(UnaryOp::Exp, operand) if self.is_shift(*operand).is_some() => {
                let (x, subtrahend) = self.is_shift(*operand).expect("just asked");
                let source = self.contiguous(x);
                if source.is_none() {
                    staged.push((x, slot));
                }
                CallKind::ExpSub { source, subtrahend, sum: self.take_sum(id, sinks) }
            }
            ValueKind::Unary(op, operand) => {
                let source = self.contiguous(*operand);
                if source.is_none() {
                    staged.push((*operand, slot));
                }
                CallKind::Unary { routine: Routine::Unary(*op), source }
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

    /// `x` and `c` of `x - c` where `c` stays the same along the vector axis and the difference is used once.
    fn is_shift(&self, id: ValueId) -> Option<(ValueId, ValueId)> {
        match self.body.values[id].kind {
            ValueKind::Binary(BinaryOp::Sub, x, c)
                if self.varies[x] && !self.varies[c] && self.uses[id] == 1 =>
            {
                Some((x, c))
            }
            _ => None,
        }
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
        let mut source_address = |e: &mut Self, source: &Option<(usize, Affine)>| match source {
            Some((buffer, address)) => {
                let index = e.index_value(Some(&mut at), address);
                e.element(e.buffers[*buffer], index, dtype)
            }
            None => dst,
        };
        match &call.kind {
            CallKind::Unary { routine, source } => {
                let src = source_address(self, source);
                let function = self.block_function(*routine, dtype);
                self.b.ins().call(function, &[dst, src, n]);
            }
            CallKind::Binary { routine, operands } => {
                let [x, y] = operands.map(|slot| self.slot_address(&at, slot, dtype));
                let function = self.block_function(*routine, dtype);
                self.b.ins().call(function, &[dst, x, y, n]);
            }
            CallKind::ExpSub { source, subtrahend, sum } => {
                let src = source_address(self, source);
                let c = self.uniform(*subtrahend);
                self.call_exp_sub(dtype, [dst, src, n, c], *sum);
            }
            CallKind::Random { key, counter, element } => {
                let first = self.index_value(Some(&mut at), element);
                self.call_philox(dst, n, *key, *counter, first);
            }
        }
    }

    fn call_exp_sub(&mut self, dtype: DType, arguments: [Value; 4], sum: Option<usize>) {
        let (isa, ty) = (self.target.kernels, if dtype == DType::F32 { F32 } else { F64 });
        let parameters = [I64, I64, I64, ty];
        let (f32s, f64s) = (math::rows_f32(isa), math::rows_f64(isa));
        let Some(reduction) = sum else {
            let (name, address) = match dtype {
                DType::F32 => (f32s.exp_sub.symbol, f32s.exp_sub.function as *const u8),
                _ => (f64s.exp_sub.symbol, f64s.exp_sub.function as *const u8),
            };
            let function = self.symbols.import(self.b.func, name, address, &parameters, &[]);
            self.b.ins().call(function, &arguments);
            return;
        };
        let (name, address) = match dtype {
            DType::F32 => (f32s.exp_sub_sum.symbol, f32s.exp_sub_sum.function as *const u8),
            _ => (f64s.exp_sub_sum.symbol, f64s.exp_sub_sum.function as *const u8),
        };
        let function = self.symbols.import(self.b.func, name, address, &parameters, &[ty]);
        let call = self.b.ins().call(function, &arguments);
        let partial = self.b.inst_results(call)[0];
        let register = self.accumulators[&reduction].scalar;
        let before = self.b.use_var(register);
        let after = self.b.ins().fadd(before, partial);
        self.b.def_var(register, after);
    }
}
