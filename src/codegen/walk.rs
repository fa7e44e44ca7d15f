//! One walk along the vector axis: an unrolled loop over vectors and a scalar remainder, or, when block primitives are
//! needed, several such loops over a block with calls in between. Loops for what another one leaves over are there only
//! where something may be left.

mod calls;
mod reduce;
use calls::Call;

use super::emit::{At, BLOCK, Emitter, Slot};
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::types::I64;
use cranelift_codegen::ir::{BlockArg, InstBuilder, Value};
use cranelift_frontend::Variable;
use kiln_passes::loops::{Affine, Derived, ReductionKind, ValueId, ValueKind};
use std::collections::HashMap;

/// What is done with a value at each element.
#[derive(Clone, Debug)]
pub enum Sink {
    /// Written to a buffer: position in the body's stores.
    Store(usize),
    /// Combined into a reduction.
    Reduce(usize),
    /// Put into a block of scratch memory, as an operand of a block primitive.
    Stage(ValueId, Slot),
    /// Sets the accumulator of a reduction in scratch memory to its start.
    Start(usize),
    /// Adds to an element at a loaded address.
    Accumulate,
    /// Sets elements to zero, before anything is added to them.
    Zero,
}

/// The part of the vector axis that is walked.
#[derive(Clone, Copy)]
pub struct Span {
    pub from: Value,
    pub to: Value,
    /// What is known of the number of elements.
    pub length: Length,
    /// Position at which the block of scratch memory begins, when the span is a part of one block.
    pub block: Option<Value>,
}

/// What is known of the number of elements of a span.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Length {
    /// The number itself.
    Exactly(i64),
    /// A power of two that it is a multiple of.
    MultipleOf(i64),
}

impl Length {
    fn exact(self) -> Option<i64> {
        match self {
            Length::Exactly(n) => Some(n),
            Length::MultipleOf(_) => None,
        }
    }

    /// Whether a loop that takes so many elements at a time may leave as many as `n`, which divides `step`.
    fn may_leave(self, n: i64, step: i64) -> bool {
        match self {
            Length::Exactly(length) => length % step >= n,
            Length::MultipleOf(unit) => unit % step != 0,
        }
    }

    /// What is known of each block that a span is cut into.
    fn of_blocks(self) -> Length {
        match self {
            Length::Exactly(n) if n % BLOCK == 0 => Length::Exactly(BLOCK),
            Length::Exactly(n) => Length::MultipleOf(power_of_two_in(n as usize, BLOCK)),
            Length::MultipleOf(unit) => Length::MultipleOf(unit.min(BLOCK)),
        }
    }
}

/// The greatest power of two that divides a number, but at most this one.
pub fn power_of_two_in(n: usize, most: i64) -> i64 {
    if n == 0 { most } else { most.min(1 << n.trailing_zeros().min(62)) }
}

impl Emitter<'_, '_> {
    /// Repeats for `from, from + step, ..` below `to`. What is remembered inside is forgotten outside.
    pub fn repeat(&mut self, from: Value, to: Value, step: i64, inside: impl FnOnce(&mut Self, Value)) {
        let (uniform, splats, known) = (self.uniform.clone(), self.splats.clone(), self.known.mark());
        let (head, exit) = (self.b.create_block(), self.b.create_block());
        let i = self.b.append_block_param(head, I64);
        let any = self.b.ins().icmp(IntCC::SignedLessThan, from, to);
        self.b.ins().brif(any, head, &[BlockArg::from(from)], exit, &[]);
        self.b.switch_to_block(head);
        inside(self, i);
        let next = self.plus_constant(i, step);
        let more = self.b.ins().icmp(IntCC::SignedLessThan, next, to);
        self.b.ins().brif(more, head, &[BlockArg::from(next)], exit, &[]);
        self.b.switch_to_block(exit);
        (self.uniform, self.splats) = (uniform, splats);
        self.known.forget_since(known);
    }

    /// Walks a span in a phase: computes what the sinks need and hands it to them.
    pub fn walk(&mut self, mut sinks: Vec<Sink>, span: Span) {
        let needed = self.needed(sinks.iter().filter_map(|sink| self.sink_value(sink)));
        self.prepare_uniform(&needed, &sinks);
        let block_ops: Vec<ValueId> = (0..needed.len())
            .filter(|&id| {
                needed[id] && self.body.is_block_op(id) && self.varies[id] && !self.slots.contains_key(&id)
            })
            .collect();
        if block_ops.is_empty() {
            self.span(&sinks, span);
            return;
        }
        let ready: Vec<bool> = (0..needed.len()).map(|id| self.slots.contains_key(&id)).collect();
        let segments = self.body.segments(|id| ready[id]);
        let calls: Vec<Call> = block_ops.iter().map(|&id| self.plan_call(id, &mut sinks)).collect();
        let in_one_block = span.block.is_some() || span.length.exact().is_some_and(|n| n <= BLOCK);
        if in_one_block {
            self.block(&sinks, &calls, &segments, Span { block: span.block.or(Some(span.from)), ..span });
        } else {
            self.blocks(span, |e, block| e.block(&sinks, &calls, &segments, block));
        }
        for id in block_ops {
            if !self.slots[&id].whole_row {
                self.slots.remove(&id);
            }
        }
    }

    /// Cuts a span into blocks.
    pub fn blocks(&mut self, span: Span, inside: impl FnOnce(&mut Self, Span)) {
        self.repeat(span.from, span.to, BLOCK, |e, from| {
            let end = e.plus_constant(from, BLOCK);
            let to = e.lesser(end, span.to);
            inside(e, Span { from, to, length: span.length.of_blocks(), block: Some(from) });
        });
    }

    /// One block: loops and calls of primitives in turn, segment after segment.
    fn block(&mut self, sinks: &[Sink], calls: &[Call], segments: &[usize], span: Span) {
        let last = calls.iter().map(|call| segments[call.op]).max().unwrap_or(0);
        for segment in 0..=last {
            let next: Vec<&Call> = calls.iter().filter(|call| segments[call.op] == segment + 1).collect();
            let mut here: Vec<Sink> = sinks
                .iter()
                .filter(|sink| self.sink_value(sink).map_or(0, |value| segments[value]) == segment)
                .cloned()
                .collect();
            here.extend(
                next.iter()
                    .flat_map(|call| call.staged.iter().map(|&(value, slot)| Sink::Stage(value, slot))),
            );
            if !here.is_empty() {
                self.span(&here, span);
            }
            for call in next {
                self.call(call, span);
            }
        }
    }

    fn sink_value(&self, sink: &Sink) -> Option<ValueId> {
        match sink {
            // Running sums are stored when they are updated.
            Sink::Store(i) => Some(self.body.stores[*i].value).filter(|&value| !self.is_running(value)),
            Sink::Reduce(i) => Some(self.body.reductions[*i].operand),
            Sink::Stage(value, _) => Some(*value),
            Sink::Accumulate => self.body.accumulate.as_ref().map(|a| a.value),
            Sink::Start(_) | Sink::Zero => None,
        }
    }

    /// Other values that a sink uses beside the one it takes.
    fn sink_extras(&self, sink: &Sink) -> Vec<ValueId> {
        match sink {
            Sink::Reduce(i) => self.body.reductions[*i].extras().into_iter().collect(),
            Sink::Accumulate => self.body.accumulate.as_ref().map(|a| a.condition).into_iter().collect(),
            Sink::Store(_) | Sink::Stage(..) | Sink::Start(_) | Sink::Zero => vec![],
        }
    }

    /// All values that these are computed from, down to block primitives that are there already.
    pub fn needed(&self, roots: impl Iterator<Item = ValueId>) -> Vec<bool> {
        let mut needed = vec![false; self.body.values.len()];
        let mut stack: Vec<ValueId> = roots.collect();
        while let Some(id) = stack.pop() {
            if std::mem::replace(&mut needed[id], true) || self.slots.contains_key(&id) {
                continue;
            }
            stack.extend(self.body.operands(id));
            if let Some(of) = self.body.index_of(id) {
                self.loaded_indices(of, &mut stack);
            }
        }
        needed
    }

    fn loaded_indices(&self, of: &Affine, values: &mut Vec<ValueId>) {
        for &(variable, _) in &of.terms {
            match self.body.variables.definition(variable) {
                Some(
                    Derived::Quotient { of, .. } | Derived::Remainder { of, .. } | Derived::Clamp { of, .. },
                ) => {
                    self.loaded_indices(of, values);
                }
                Some(Derived::Loaded { value, .. }) => values.push(*value),
                None => {}
            }
        }
    }

    /// Computes, before the loop, what does not change in it and is used in it.
    fn prepare_uniform(&mut self, needed: &[bool], sinks: &[Sink]) {
        let mut used: Vec<ValueId> = Vec::new();
        for sink in sinks {
            used.extend(self.sink_value(sink));
            used.extend(self.sink_extras(sink));
        }
        for id in (0..needed.len()).filter(|&id| needed[id] && self.varies[id]) {
            used.extend(self.body.operands(id));
            if let Some(of) = self.body.index_of(id) {
                self.loaded_indices(of, &mut used);
            }
        }
        used.sort_unstable();
        used.dedup();
        for id in used {
            if !self.varies[id] {
                self.prepare(id);
            }
        }
    }

    /// Loops over a span: unrolled vectors, vectors, elements.
    fn span(&mut self, sinks: &[Sink], span: Span) {
        let needed = self.needed(sinks.iter().filter_map(|sink| self.sink_value(sink)));
        self.prepare_lines(&needed, sinks);
        let lanes = self.lanes as i64;
        // No more copies than there are registers for the accumulators.
        let registers = sinks.iter().filter_map(|sink| match sink {
            Sink::Reduce(i) => self.accumulators.get(i).map(|a| a.vectors.len().max(1)),
            _ => None,
        });
        let unroll = registers.min().unwrap_or(4).min(self.unroll(sinks, span));
        let step = lanes * unroll as i64;
        let block = span.block.unwrap_or(span.from);
        let position = self.b.declare_var(I64);
        self.b.def_var(position, span.from);
        if lanes > 1 && span.length.exact().is_none_or(|n| n >= step) {
            self.steps(sinks, span.to, position, block, lanes as usize, unroll);
        }
        if lanes > 1 && unroll > 1 && span.length.may_leave(lanes, step) {
            self.steps(sinks, span.to, position, block, lanes as usize, 1);
        }
        if lanes == 1 || span.length.may_leave(1, lanes) {
            self.steps(sinks, span.to, position, block, 1, 1);
        }
    }

    /// Repeats while a whole step fits.
    fn steps(
        &mut self,
        sinks: &[Sink],
        to: Value,
        position: Variable,
        block: Value,
        lanes: usize,
        unroll: usize,
    ) {
        let step = (lanes * unroll) as i64;
        let limit = self.plus_constant(to, 1 - step);
        let from = self.b.use_var(position);
        self.repeat(from, limit, step, |e, i| {
            let mut places: Vec<At> = (0..unroll)
                .map(|copy| At {
                    lanes,
                    position: i,
                    offset: (copy * lanes) as i64,
                    block,
                    values: HashMap::new(),
                })
                .collect();
            e.at_each(sinks, &mut places);
            let next = e.plus_constant(i, step);
            e.b.def_var(position, next);
        });
    }

    /// All sinks at some places: first all values are computed, then they are written, so that memory that is given on
    /// is read before it is overwritten.
    fn at_each(&mut self, sinks: &[Sink], places: &mut [At]) {
        let mut values: Vec<Vec<Value>> = Vec::with_capacity(sinks.len());
        for sink in sinks {
            let taken = match (sink, self.sink_value(sink)) {
                (Sink::Reduce(_), _) | (_, None) => Vec::new(),
                (_, Some(value)) => places.iter_mut().map(|at| self.lanes_of(at, value)).collect(),
            };
            values.push(taken);
        }
        for (sink, values) in sinks.iter().zip(values) {
            for (copy, at) in places.iter_mut().enumerate() {
                self.sink(sink, at, copy, values.get(copy).copied());
            }
        }
    }

    fn is_running(&self, value: ValueId) -> bool {
        let ValueKind::Reduced(i) = self.body.values[value].kind else { return false };
        self.body.reductions[i].kind == ReductionKind::Running
    }

    fn sink(&mut self, sink: &Sink, at: &mut At, copy: usize, value: Option<Value>) {
        let body = self.body;
        match (sink, value) {
            (Sink::Store(i), Some(value)) => {
                let store = &body.stores[*i];
                let rep = self.rep(store.value, at.lanes);
                self.store(at, rep, value, store.buffer, &store.address);
            }
            (Sink::Stage(id, slot), Some(value)) => {
                let rep = self.rep(*id, at.lanes);
                let address = self.slot_address(at, *slot, rep.dtype);
                self.ops().store(rep, value, address, at.offset * rep.dtype.n_bytes() as i64);
            }
            (Sink::Accumulate, Some(value)) => self.accumulate(at, value),
            (Sink::Reduce(i), _) => self.reduce(at, copy, *i),
            (Sink::Start(i), _) => {
                let identity = self.identity(*i);
                let start = self.ops().literal(identity, at.lanes);
                self.store_accumulator(at, *i, start);
            }
            (Sink::Zero, _) => {
                let accumulate = body.accumulate.as_ref().expect("zeros are for an accumulation");
                let rep = self.rep(accumulate.value, at.lanes);
                let zero = self.ops().literal(kiln_ir::Literal::zero(rep.dtype), rep.lanes);
                self.store(at, rep, zero, accumulate.buffer, &accumulate.address);
            }
            (Sink::Store(_), None) => {}
            (Sink::Stage(..) | Sink::Accumulate, None) => unreachable!("these sinks take a value"),
        }
    }

    /// How many vectors are computed in one step: enough independent work to hide latencies, as long as it fits
    /// the 16 registers.
    pub fn unroll(&self, sinks: &[Sink], span: Span) -> usize {
        if self.lanes == 1 {
            return 1;
        }
        let needed = self.needed(sinks.iter().filter_map(|sink| self.sink_value(sink)));
        let n_values = (0..needed.len()).filter(|&id| needed[id] && self.varies[id]).count();
        let by_size = match n_values {
            0..=8 => 4,
            9..=20 => 2,
            _ => 1,
        };
        let extent = span.length.exact().unwrap_or(self.body.extent(self.body.vector_axis) as i64);
        let by_length = (extent / self.lanes as i64).max(1) as usize;
        // A power of two, so that the remainder of one span is that of the next.
        let by_length = 1 << by_length.ilog2();
        by_size.min(by_length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loop_leaves_nothing_of_a_multiple_of_its_step() {
        // 16 elements at a time and then 4: of 4 * 169 some vectors are left but no single elements.
        assert!(Length::Exactly(676).may_leave(4, 16) && !Length::Exactly(676).may_leave(1, 4));
        assert!(!Length::MultipleOf(64).may_leave(4, 16) && !Length::MultipleOf(16).may_leave(1, 4));
        assert!(Length::MultipleOf(8).may_leave(4, 16) && Length::MultipleOf(2).may_leave(1, 4));
        assert!(!Length::Exactly(19).may_leave(4, 16) && Length::Exactly(19).may_leave(1, 4));
    }

    #[test]
    fn the_last_block_of_a_span_is_as_even_as_the_span() {
        assert_eq!(Length::Exactly(1024).of_blocks(), Length::Exactly(512));
        assert_eq!(Length::Exactly(768).of_blocks(), Length::MultipleOf(256));
        assert_eq!(Length::Exactly(513).of_blocks(), Length::MultipleOf(1));
        assert_eq!(Length::MultipleOf(64).of_blocks(), Length::MultipleOf(64));
        assert_eq!(power_of_two_in(0, 64), 64);
    }
}
