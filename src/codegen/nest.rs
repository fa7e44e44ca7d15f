//! The loop nest of a kernel, from the outside in.
//!
//! ```text
//! for each row of this thread's part          parallel axes but the vector axis, counted as one
//!   for each ordered index
//!     vector axis reduced:                    vector axis parallel:
//!       for each phase                          for each block of the vector axis
//!         for each reduced index                  for each phase
//!           walk the vector axis                    for each reduced index
//!       values per row                                walk the block
//!                                                 walk the block for values per row
//! ```
//!
//! Where the vector axis is reduced, accumulators are registers; where it is parallel, they are a block of scratch
//! memory, so that memory is read row by row.

use super::emit::{Accumulators, At, BLOCK, Emitter, Known, Slot};
use super::ops::Rep;
use super::symbols::Symbols;
use super::target::Target;
use super::walk::{Length, Sink, Span};
use cranelift_codegen::ir::types::{I8, I64};
use cranelift_codegen::ir::{AbiParam, Function, InstBuilder, MemFlagsData, UserFuncName, Value};
use cranelift_frontend::{FunctionBuilder, FunctionBuilderContext};
use kiln_ir::op::{BinaryOp, LogicalOp};
use kiln_ir::{DType, Literal};
use kiln_passes::loops::body::AxisKind;
use kiln_passes::loops::{Affine, LoopBody, ReductionKind, ValueId, ValueKind};
use std::collections::HashMap;

/// Most elements of a row whose transcendental values are kept from one phase to the next: beyond, they would not
/// stay in second-level cache and are computed again.
const MAX_KEPT_ROW: usize = 1 << 15;

/// The code of a kernel: `fn(pointers, row_begin, row_end, begin, end, scratch)`, where the first argument points to
/// one address per buffer of the body, and `begin..end` is the part of the vector axis where that is parallel.
pub struct LoopCode {
    pub function: Function,
    /// Bytes of scratch memory per thread.
    pub scratch_bytes: usize,
    /// Indices of the parallel axes but the vector axis.
    pub rows: usize,
    /// Elements of the vector axis, when it is parallel.
    pub line: Option<usize>,
}

/// Generates the code of a loop body. `line` is what is known of the parts of the vector axis that it is called for,
/// where that is parallel.
pub fn emit(
    body: &LoopBody,
    line: Length,
    target: &Target,
    symbols: &mut Symbols,
    context: &mut FunctionBuilderContext,
) -> LoopCode {
    let mut function = Function::new();
    function.name = UserFuncName::default();
    function.signature.call_conv = target.isa.default_call_conv();
    function.signature.params.extend([AbiParam::new(I64); 6]);
    let parallel = body.axes[body.vector_axis] == AxisKind::Parallel;
    let rows_axes: Vec<usize> =
        body.axes_of(AxisKind::Parallel).into_iter().filter(|&axis| axis != body.vector_axis).collect();
    let mut b = FunctionBuilder::new(&mut function, context);
    let entry = b.create_block();
    b.append_block_params_for_function_params(entry);
    b.switch_to_block(entry);
    let parameters = b.block_params(entry).to_vec();
    let fixed = MemFlagsData::new().with_notrap().with_readonly();
    let buffers: Vec<Value> =
        (0..body.buffers.len()).map(|i| b.ins().load(I64, fixed, parameters[0], 8 * i as i32)).collect();
    let varies = varies(body, parallel);
    let mut emitter = Emitter {
        b,
        body,
        target,
        symbols,
        buffers,
        scratch: parameters[5],
        scratch_bytes: 0,
        lanes: lanes(body, &varies),
        line,
        varies,
        index: vec![None; body.axes.len()],
        known: Known::default(),
        overrides: HashMap::new(),
        uniform: HashMap::new(),
        chain: None,
        splats: HashMap::new(),
        slots: HashMap::new(),
        accumulators: HashMap::new(),
        kept_rows: HashMap::new(),
        uses: uses(body),
    };
    if !parallel {
        emitter.keep_between_phases();
    }
    emitter.repeat(parameters[1], parameters[2], 1, |e, row| {
        e.unflatten(row, &rows_axes);
        e.row_group([parameters[3], parameters[4]]);
    });
    emitter.b.ins().return_(&[]);
    emitter.b.seal_all_blocks();
    let scratch_bytes = emitter.scratch_bytes;
    emitter.b.finalize(target.isa.frontend_config());
    let rows = rows_axes.iter().map(|&axis| body.extent(axis)).product();
    let line = parallel.then(|| body.extent(body.vector_axis));
    LoopCode { function, scratch_bytes, rows, line }
}

/// Which values change along the vector axis. Accumulators in scratch memory hold an element for each index.
fn varies(body: &LoopBody, parallel: bool) -> Vec<bool> {
    let mut varies = body.varies_along(|axis| axis == body.vector_axis);
    if parallel {
        for id in 0..varies.len() {
            let reduced = matches!(body.values[id].kind, ValueKind::Reduced(_));
            let by_index = body.index_of(id).is_some_and(|of| body.affine_varies(of, |_| false, &varies));
            varies[id] |= reduced || by_index || body.operands(id).iter().any(|&operand| varies[operand]);
        }
    }
    varies
}

fn uses(body: &LoopBody) -> Vec<usize> {
    let mut uses = vec![0; body.values.len()];
    (0..uses.len()).for_each(|id| body.operands(id).iter().for_each(|&operand| uses[operand] += 1));
    body.stores.iter().for_each(|store| uses[store.value] += 1);
    for reduction in &body.reductions {
        uses[reduction.operand] += 1;
        reduction.extras().iter().for_each(|&extra| uses[extra] += 1);
    }
    if let Some(accumulate) = &body.accumulate {
        uses[accumulate.value] += 1;
        uses[accumulate.condition] += 1;
    }
    uses
}

/// Lanes of the kernel's vectors: as many as all values that change along the vector axis have in 128 bits; 1 when
/// their widths differ or something is done that has no vector form.
fn lanes(body: &LoopBody, varies: &[bool]) -> usize {
    let axis = body.vector_axis;
    let jumps = |of: &Affine| body.affine_varies(&of.without(axis), |a| a == axis, varies);
    let one_by_one = body.reductions.iter().any(|r| {
        let running = r.kind == ReductionKind::Running && body.axes[axis] == AxisKind::Reduced;
        let bytes = matches!(body.values[r.operand].dtype, DType::U8);
        r.is_search() || running || bytes
    });
    // What is stored, added or folded along the axis is so in lanes, even if it is the same everywhere.
    let stores = body.stores.iter().filter(|store| !store.per_row || body.axes[axis] == AxisKind::Parallel);
    let writes = stores.map(|store| (store.value, &store.address));
    let writes =
        writes.chain(body.accumulate.iter().map(|accumulate| (accumulate.value, &accumulate.address)));
    let mut along: Vec<ValueId> = body.reductions.iter().map(|reduction| reduction.operand).collect();
    for (value, address) in writes {
        if jumps(address) {
            return 1;
        }
        along.push(value);
    }
    let (mut narrow, mut wide) = (false, false);
    for value in along {
        match body.values[value].dtype {
            DType::F32 | DType::I32 => narrow = true,
            DType::F64 | DType::I64 => wide = true,
            DType::Bool => {}
            DType::U8 => return 1,
        }
    }
    for (id, value) in body.values.iter().enumerate() {
        if !varies[id] {
            continue;
        }
        let dtype_of = |x: ValueId| body.values[x].dtype;
        match value.dtype {
            DType::F32 | DType::I32 => narrow = true,
            DType::F64 | DType::I64 => wide = true,
            DType::Bool => {}
            DType::U8 => return 1,
        }
        let scalar_only = match &value.kind {
            ValueKind::Load { address, .. } => jumps(address),
            ValueKind::Index(of) => jumps(of) || value.dtype == DType::F64,
            ValueKind::InRange { of, .. } => jumps(of),
            ValueKind::Random { element, .. } => jumps(element) || element.coefficient(axis) != 1,
            ValueKind::Compare(_, x, _) => matches!(dtype_of(*x), DType::Bool | DType::U8),
            ValueKind::Cast(x) => {
                matches!(dtype_of(*x), DType::U8)
                    || (wide
                        && dtype_of(*x).is_float() != value.dtype.is_float()
                        && dtype_of(*x) != DType::Bool)
            }
            ValueKind::Binary(BinaryOp::Mul, ..) => value.dtype == DType::I64,
            ValueKind::Logical(LogicalOp::ShiftLeft | LogicalOp::ShiftRight, xs) => varies[xs[1]],
            ValueKind::Constant(_)
            | ValueKind::Unary(..)
            | ValueKind::Binary(..)
            | ValueKind::Logical(..)
            | ValueKind::Select(..)
            | ValueKind::Reduced(_) => false,
        };
        if scalar_only {
            return 1;
        }
    }
    // Uniform operands become lanes too: their widths count where they meet the others.
    let mixed = (0..body.values.len()).filter(|&id| varies[id]).any(|id| {
        body.operands(id).iter().any(|&o| match body.values[o].dtype {
            DType::F64 | DType::I64 => narrow && !matches!(body.values[id].kind, ValueKind::Random { .. }),
            DType::F32 | DType::I32 => wide,
            DType::U8 => true,
            DType::Bool => false,
        })
    });
    match (narrow, wide) {
        _ if one_by_one || mixed || body.extent(axis) == 1 => 1,
        (true, true) => 1,
        (_, false) => 4,
        (false, true) => 2,
    }
}

impl Emitter<'_, '_> {
    /// Sets the indices of axes that are counted as one.
    fn unflatten(&mut self, flat: Value, axes: &[usize]) {
        let mut rest = flat;
        for (i, &axis) in axes.iter().enumerate().rev() {
            let extent = self.body.extent(axis) as i64;
            if i == 0 {
                self.index[axis] = Some(rest);
                return;
            }
            self.index[axis] = Some(self.remainder(rest, extent));
            rest = self.quotient(rest, extent);
        }
    }

    /// Everything for one index of the parallel axes.
    fn row_group(&mut self, line: [Value; 2]) {
        if self.body.accumulate.is_some() {
            self.zero(line);
        }
        let ordered = self.body.axes_of(AxisKind::Ordered);
        self.for_each(&ordered, &mut |e| match e.body.axes[e.body.vector_axis] {
            AxisKind::Reduced => e.row(),
            AxisKind::Parallel | AxisKind::Ordered => e.lines(line),
        });
    }

    /// Nested loops over axes.
    fn for_each(&mut self, axes: &[usize], inside: &mut dyn FnMut(&mut Self)) {
        let Some((&axis, rest)) = axes.split_first() else { return inside(self) };
        let from = self.constant(0);
        let to = self.constant(self.body.extent(axis) as i64);
        self.repeat(from, to, 1, |e, i| {
            let outside = e.index[axis].replace(i);
            e.for_each(rest, inside);
            e.index[axis] = outside;
        });
    }

    fn reduced_but_vector_axis(&self) -> Vec<usize> {
        let reduced = self.body.axes_of(AxisKind::Reduced).into_iter();
        reduced.filter(|&axis| axis != self.body.vector_axis).collect()
    }

    /// What a phase does at each element.
    fn sinks(&self, phase: usize) -> Vec<Sink> {
        let body = self.body;
        let reduce =
            (0..body.reductions.len()).filter(|&i| body.reductions[i].phase == phase).map(Sink::Reduce);
        let store = |i: &usize| !body.stores[*i].per_row && body.stores[*i].phase == phase;
        let stores = (0..body.stores.len()).filter(store).map(Sink::Store);
        let accumulate =
            body.accumulate.iter().filter(|a| !a.per_row && phase == 0).map(|_| Sink::Accumulate);
        reduce.chain(stores).chain(accumulate).collect()
    }

    /// A row whose vector axis is reduced.
    fn row(&mut self) {
        let remembered = (self.uniform.clone(), self.splats.clone());
        let length = self.body.extent(self.body.vector_axis) as i64;
        let outer = self.reduced_but_vector_axis();
        for phase in 0..self.body.n_phases() {
            let sinks = self.sinks(phase);
            let running: Vec<usize> =
                (0..self.body.reductions.len()).filter(|&i| self.body.reductions[i].phase == phase).collect();
            let from = self.constant(0);
            let to = self.constant(length);
            let span = Span { from, to, length: Length::Exactly(length), block: None };
            let copies = self.unroll(&sinks, Span { length: Length::Exactly(length.min(BLOCK)), ..span });
            running.iter().for_each(|&i| self.start_registers(i, copies));
            // Nothing may be loaded for a row without elements, not even what is the same for all of them.
            if length > 0 {
                self.for_each(&outer, &mut |e| e.walk(sinks.clone(), span));
            }
            running.iter().for_each(|&i| self.finish_registers(i));
        }
        self.per_row();
        self.slots.clear();
        (self.uniform, self.splats) = remembered;
    }

    /// Sets the accumulators of a reduction to its start.
    fn start_registers(&mut self, i: usize, copies: usize) {
        let reduction = &self.body.reductions[i];
        let identity = self.identity(i);
        let scalar = Rep { dtype: identity.dtype(), lanes: 1 };
        let vector = Rep { dtype: identity.dtype(), lanes: self.lanes };
        let register = |e: &mut Self, rep: Rep| {
            let variable = e.b.declare_var(rep.ty());
            let start = e.ops().literal(identity, rep.lanes);
            e.b.def_var(variable, start);
            variable
        };
        let vectors =
            if self.lanes > 1 { (0..copies).map(|_| register(self, vector)).collect() } else { vec![] };
        let scalar = register(self, scalar);
        let otherwise = match reduction.kind {
            ReductionKind::Arg(..) => Some(Literal::I64(0)),
            ReductionKind::Pick { otherwise, .. } => Some(otherwise),
            ReductionKind::Fold(_) | ReductionKind::Running => None,
        };
        let payload = otherwise.map(|otherwise| {
            let payload = self.b.declare_var(Rep { dtype: otherwise.dtype(), lanes: 1 }.ty());
            let start = self.ops().literal(otherwise, 1);
            self.b.def_var(payload, start);
            let found = self.b.declare_var(I8);
            let no = self.b.ins().iconst(I8, 0);
            self.b.def_var(found, no);
            (payload, found)
        });
        self.accumulators.insert(i, Accumulators { vectors, scalar, payload });
    }

    /// Combines the accumulators of a reduction into its result, in an order that depends on nothing but the extent.
    fn finish_registers(&mut self, i: usize) {
        let accumulators = self.accumulators.remove(&i).expect("the reduction was started");
        let reduction = &self.body.reductions[i];
        let key = self.reduced_key(i);
        if let Some((payload, _)) = accumulators.payload {
            let result = self.b.use_var(payload);
            self.uniform.insert(key, result);
            return;
        }
        let ReductionKind::Fold(op) = reduction.kind else { return };
        let dtype = self.body.values[reduction.operand].dtype;
        let (vector, scalar) = (Rep { dtype, lanes: self.lanes }, Rep { dtype, lanes: 1 });
        let mut partial: Vec<Value> = accumulators.vectors.iter().map(|&v| self.b.use_var(v)).collect();
        while partial.len() > 1 {
            partial = partial
                .chunks(2)
                .map(|pair| match *pair {
                    [x, y] => self.ops().fold(op, vector, x, y),
                    _ => pair[0],
                })
                .collect();
        }
        let remainder = self.b.use_var(accumulators.scalar);
        let result = match partial.pop() {
            Some(vectors) => {
                let folded = self.ops().fold_lanes(op, vector, vectors);
                self.ops().fold(op, scalar, folded, remainder)
            }
            None => remainder,
        };
        self.uniform.insert(key, result);
    }

    /// Values of which there is one per row.
    fn per_row(&mut self) {
        let zero = self.constant(0);
        let mut at = At { lanes: 1, position: zero, offset: 0, block: zero, values: HashMap::new() };
        let body = self.body;
        // All values before any store: a store may write over what another value still has to read.
        body.stores.iter().filter(|store| store.per_row).for_each(|store| self.prepare(store.value));
        for store in body.stores.iter().filter(|store| store.per_row) {
            let value = self.uniform(store.value);
            self.store(
                &mut at,
                Rep { dtype: body.values[store.value].dtype, lanes: 1 },
                value,
                store.buffer,
                &store.address,
            );
        }
        if let Some(accumulate) = body.accumulate.as_ref().filter(|a| a.per_row) {
            self.prepare(accumulate.value);
            let value = self.uniform(accumulate.value);
            self.accumulate(&mut at, value);
        }
    }

    /// A part of the vector axis, which is parallel.
    fn lines(&mut self, [from, to]: [Value; 2]) {
        let span = Span { from, to, length: self.line, block: None };
        if self.body.reductions.is_empty() && self.body.axes_of(AxisKind::Reduced).is_empty() {
            let sinks = self.sinks(0);
            self.walk(sinks, span);
            return;
        }
        self.blocks(span, |e, block| e.reduce_block(block));
    }

    /// A block of the vector axis, with accumulators in scratch memory.
    fn reduce_block(&mut self, block: Span) {
        let body = self.body;
        let outer = self.reduced_but_vector_axis();
        for i in 0..body.reductions.len() {
            let dtype = body.values[body.reductions[i].operand].dtype;
            let offset = self.take_scratch(BLOCK as usize * dtype.n_bytes());
            let address = self.plus_constant(self.scratch, offset as i64);
            let key = self.reduced_key(i);
            self.slots.insert(key, Slot { address, whole_row: false });
        }
        for phase in 0..body.n_phases() {
            let started: Vec<Sink> = (0..body.reductions.len())
                .filter(|&i| body.reductions[i].phase == phase)
                .map(Sink::Start)
                .collect();
            self.walk(started, block);
            let sinks = self.sinks(phase);
            self.for_each(&outer, &mut |e| e.walk(sinks.clone(), block));
        }
        let per_row = (0..body.stores.len()).filter(|&i| body.stores[i].per_row).map(Sink::Store).collect();
        self.walk(per_row, block);
        self.slots.clear();
    }

    /// Sets everything that is added to in this row group to zero.
    fn zero(&mut self, [from, to]: [Value; 2]) {
        let accumulate = self.body.accumulate.as_ref().expect("an accumulation");
        let count = match self.body.variables.definition(accumulate.loaded) {
            Some(kiln_passes::loops::Derived::Loaded { max, .. }) => max + 1,
            _ => unreachable!("the variable of an accumulation is loaded"),
        };
        let (first, end) = (self.constant(0), self.constant(count));
        let parallel = self.body.axes[self.body.vector_axis] == AxisKind::Parallel;
        self.repeat(first, end, 1, |e, i| {
            e.overrides.insert(accumulate.loaded, i);
            if parallel {
                e.walk(vec![Sink::Zero], Span { from, to, length: e.line, block: None });
            } else {
                let zero = e.constant(0);
                let mut at = At { lanes: 1, position: zero, offset: 0, block: zero, values: HashMap::new() };
                let dtype = e.body.values[accumulate.value].dtype;
                let value = e.ops().literal(Literal::zero(dtype), 1);
                e.store(&mut at, Rep { dtype, lanes: 1 }, value, accumulate.buffer, &accumulate.address);
            }
            e.overrides.remove(&accumulate.loaded);
        });
    }

    /// Takes scratch memory for block primitives that several phases need, where a row of them fits in cache.
    fn keep_between_phases(&mut self) {
        let body = self.body;
        let row: usize = body.axes_of(AxisKind::Reduced).iter().map(|&axis| body.extent(axis)).product();
        if row > MAX_KEPT_ROW {
            return;
        }
        let mut phases = vec![0; body.values.len()];
        for phase in 0..body.n_phases() {
            let sinks = self.sinks(phase);
            let roots = sinks.iter().filter_map(|sink| match sink {
                Sink::Store(i) => Some(body.stores[*i].value),
                Sink::Reduce(i) => Some(body.reductions[*i].operand),
                Sink::Stage(..) | Sink::Start(_) | Sink::Accumulate | Sink::Zero => None,
            });
            let needed = self.needed(roots);
            (0..phases.len()).filter(|&id| needed[id]).for_each(|id| phases[id] += 1);
        }
        for id in (0..phases.len()).filter(|&id| phases[id] > 1) {
            if body.is_block_op(id) && self.varies[id] {
                let offset = self.take_scratch(row * body.values[id].dtype.n_bytes());
                let address = self.plus_constant(self.scratch, offset as i64);
                self.kept_rows.insert(id, Slot { address, whole_row: true });
            }
        }
    }
}
