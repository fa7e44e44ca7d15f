//! From kernels to what the driver calls: a function for each kernel, where its pointers come from, and which steps run
//! one after the other.
//!
//! The body of a loop is a program within the program: its inputs are memory of the program around it, and its arena a
//! part of that one's. Addresses of stacked values move from step to step by a stride.

use super::barriers::{self, Memory, Region, Touched};
use super::contraction::ContractionCall;
use super::driver::{self, Stamps, Step, Varying, Work};
use super::nest;
use super::sort::SortCall;
use super::symbols::Symbols;
use super::target::Target;
use super::walk::{Length, power_of_two_in};
use cranelift_codegen::ir::Function;
use cranelift_codegen::ir::types::I64;
use cranelift_frontend::FunctionBuilderContext;
use kiln_ir::kernel::{Kernel, KernelKind, Place};
use kiln_ir::op::Loop;
use kiln_ir::op::iteration::Role;
use kiln_ir::{Graph, NodeId, Op};
use kiln_passes::loops::body::Computation;
use kiln_passes::loops::{LoopBody, view};
use kiln_passes::lower::Lowered;
use std::collections::HashMap;

/// Name of the driver's function.
pub const DRIVER: &str = "step";

/// What a block primitive costs beside an instruction.
const BLOCK_OP_COST: usize = 8;

/// Where an address that generated code uses comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pointer {
    /// The buffer of an input: state or batch.
    Input(usize),
    /// The arena, at an offset.
    Arena(usize),
    /// A constant.
    Constant(NodeId),
}

/// Where a value lies, as seen from the kernels that use it.
#[derive(Clone, Debug, PartialEq)]
struct Address {
    /// Where the value begins, in the first index of all loops around it.
    pointer: Pointer,
    /// Bytes from one index of a loop to the next: (depth of the loop, bytes).
    strides: Vec<(usize, usize)>,
    /// The memory that is touched over all steps of these loops.
    memory: Memory,
}

/// A graph whose kernels are generated: the program, or the body of a loop in it.
struct Scope<'a> {
    graph: &'a Graph,
    lowered: &'a Lowered,
    inputs: Vec<Address>,
    /// Where the graph's arena begins in that of the program.
    arena: usize,
    /// Loops around it.
    depth: usize,
    /// What the names of its functions begin with.
    prefix: String,
}

impl Scope<'_> {
    fn address(&self, node: NodeId) -> Address {
        let placement = self.lowered.plan.placement(node);
        let whole = |pointer, region, start| Address {
            pointer,
            strides: Vec::new(),
            memory: (region, start..start + placement.n_bytes),
        };
        match placement.place {
            Place::Input(i) => self.inputs[i].clone(),
            Place::Arena(offset) => {
                let offset = self.arena + offset;
                whole(Pointer::Arena(offset), Region::Arena, offset)
            }
            Place::Constant => whole(Pointer::Constant(node), Region::Constant(node), 0),
        }
    }

    /// Where the elements of an operand of a loop lie.
    fn stored(&self, operand: NodeId) -> Address {
        let placements = &self.lowered.plan.placements;
        let in_memory = |node: NodeId| placements.binary_search_by_key(&node, |p| p.node).is_ok();
        self.address(view::stored(self.graph, operand, &in_memory))
    }

    fn is_empty(&self, node: NodeId) -> bool {
        self.graph.node(node).ty().n_elements() == 0
    }
}

/// What code generation collects.
pub struct Generator<'a> {
    graph: &'a Graph,
    lowered: &'a Lowered,
    target: &'a Target,
    shared_from: usize,
    /// Takes each function with its name.
    compile: &'a mut dyn FnMut(String, Function),
    context: FunctionBuilderContext,
    symbols: Symbols,
    /// The function of each computation that was generated: layers of the same kind share theirs.
    nests: HashMap<(Computation<'a>, Parts), Nest>,
    calls: Vec<(Box<ContractionCall>, Option<String>)>,
    pointers: Vec<Pointer>,
    scratch_bytes: usize,
    /// Most pointers of a step in a loop that are not the same each time.
    n_varying_pointers: usize,
}

/// Which parts of a line a function is called for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Parts {
    /// Those of the driver: multiples of [`LINE_UNIT`](driver::LINE_UNIT), but for the end of the line.
    Units,
    /// Regions of a product, as the tiles finish them.
    Regions,
}

impl Parts {
    /// What this says of the lengths of parts.
    fn length(self, body: &LoopBody) -> Length {
        match self {
            Parts::Units => {
                let line = body.extent(body.vector_axis);
                Length::MultipleOf(power_of_two_in(line, driver::LINE_UNIT as i64))
            }
            Parts::Regions => Length::MultipleOf(1),
        }
    }
}

/// A loop nest that became a function.
#[derive(Clone)]
struct Nest {
    /// Its symbol: the name of the first kernel that it is of.
    name: String,
    scratch_bytes: usize,
    rows: usize,
    line: Option<usize>,
}

/// What the functions of a program need.
pub struct Generated {
    pub symbols: Symbols,
    pub calls: Vec<(Box<ContractionCall>, Option<String>)>,
    pub pointers: Vec<Pointer>,
    pub scratch_bytes: usize,
    pub n_threads: usize,
    /// Kernel of each step; `None` for the copies at the end.
    pub kernel_of_step: Vec<Option<usize>>,
    pub stamps: Option<Stamps>,
}

impl<'a> Generator<'a> {
    pub fn new(
        graph: &'a Graph,
        lowered: &'a Lowered,
        target: &'a Target,
        shared_from: usize,
        compile: &'a mut dyn FnMut(String, Function),
    ) -> Generator<'a> {
        Generator {
            graph,
            lowered,
            target,
            shared_from,
            compile,
            context: FunctionBuilderContext::new(),
            symbols: Symbols::default(),
            nests: HashMap::new(),
            calls: Vec::new(),
            pointers: Vec::new(),
            scratch_bytes: 0,
            n_varying_pointers: 0,
        }
    }

    /// Generates all kernels, and the driver that calls them on so many threads.
    pub fn program(mut self, n_threads: usize, profile: bool) -> Generated {
        let of_input = |(i, &node): (usize, &NodeId)| Address {
            pointer: Pointer::Input(i),
            strides: Vec::new(),
            memory: (Region::Input(i), 0..self.graph.node(node).ty().n_bytes()),
        };
        let scope = Scope {
            graph: self.graph,
            lowered: self.lowered,
            inputs: self.graph.inputs().iter().enumerate().map(of_input).collect(),
            arena: 0,
            depth: 0,
            prefix: String::new(),
        };
        let (mut steps, kernel_of_step): (Vec<Step>, Vec<Option<usize>>) =
            self.steps(&scope).into_iter().unzip();
        barriers::place(&mut steps);
        // A program without a kernel worth sharing is run by one thread.
        let n_threads = if steps.iter().any(|step| step.parallel) { n_threads } else { 1 };
        let stamps = profile.then(|| Stamps::new(steps.len()));
        // Behind the scratch memory of kernels lie the pointers of a step in a loop.
        let own_pointers = self.scratch_bytes.next_multiple_of(64);
        let layout = driver::Layout { n_threads, own_pointers };
        driver::emit(DRIVER, &steps, stamps.as_ref(), layout, self.target, &mut self.symbols, self.compile);
        Generated {
            symbols: self.symbols,
            calls: self.calls,
            pointers: self.pointers,
            scratch_bytes: own_pointers + 8 * self.n_varying_pointers,
            n_threads,
            kernel_of_step,
            stamps,
        }
    }

    /// The steps of a graph, each with the kernel that it belongs to.
    fn steps(&mut self, scope: &Scope<'a>) -> Vec<(Step, Option<usize>)> {
        let mut steps = Vec::new();
        let lowered = scope.lowered;
        for (k, (kernel, body)) in lowered.schedule.kernels.iter().zip(&lowered.bodies).enumerate() {
            if kernel.writes.iter().all(|&node| scope.is_empty(node)) {
                continue;
            }
            let of_kernel = match kernel.kind {
                KernelKind::Repeat(node) => self.repeat(scope, k, node),
                KernelKind::Contraction(root) => vec![self.contraction(scope, k, root, kernel, body)],
                KernelKind::Sort(node) => vec![self.sort(scope, node, kernel, body)],
                KernelKind::Loop
                | KernelKind::ScatterAdd(_)
                | KernelKind::WindowPut(_)
                | KernelKind::Cumulative(_) => vec![self.nest(scope, k, kernel, body)],
            };
            steps.extend(of_kernel.into_iter().map(|step| (step, Some(k))));
        }
        for copy in &lowered.plan.copies {
            let n_bytes = scope.graph.node(copy.from).ty().n_bytes();
            let step = self.copy(scope.address(copy.from), scope.inputs[copy.to].clone(), n_bytes);
            steps.push((step, None));
        }
        steps
    }

    /// A step, with its addresses as pointers in the table.
    fn step(&mut self, addresses: &[Address], work: Work, parallel: bool, touched: Touched) -> Step {
        let pointers = self.pointers.len();
        self.pointers.extend(addresses.iter().map(|address| address.pointer));
        let mut varying = Vec::new();
        for (position, address) in addresses.iter().enumerate() {
            let strides = address.strides.iter();
            varying.extend(strides.map(|&(depth, n_bytes)| Varying { position, depth, n_bytes }));
        }
        let n_pointers = addresses.len();
        if !varying.is_empty() {
            self.n_varying_pointers = self.n_varying_pointers.max(n_pointers);
        }
        Step { pointers, n_pointers, varying, work, parallel, barrier: false, touched }
    }

    fn copy(&mut self, from: Address, to: Address, n_bytes: usize) -> Step {
        let touched = Touched { reads: vec![from.memory.clone()], writes: vec![to.memory.clone()] };
        self.step(&[to, from], Work::Copy(n_bytes), false, touched)
    }

    fn nest(&mut self, scope: &Scope, k: usize, kernel: &Kernel, body: &'a LoopBody) -> Step {
        let Nest { name, scratch_bytes, rows, line } = self.function(scope, k, body, Parts::Units);
        self.scratch_bytes = self.scratch_bytes.max(scratch_bytes);
        let work = Work::Loop { name, rows, line };
        let addresses: Vec<Address> = body.buffers.iter().map(|&node| scope.address(node)).collect();
        let parallel = work_of(kernel, body) >= self.shared_from;
        self.step(&addresses, work, parallel, touched(scope, kernel))
    }

    fn sort(&mut self, scope: &Scope, node: NodeId, kernel: &Kernel, body: &LoopBody) -> Step {
        let Op::ArgSort(sort) = *scope.graph.op(node) else { unreachable!("a sort") };
        let operand = scope.graph.node(scope.graph.operands(node)[0]).ty();
        let call = SortCall::new(sort, operand.dtype, &operand.shape);
        self.scratch_bytes = self.scratch_bytes.max(call.scratch_bytes());
        let addresses: Vec<Address> = body.buffers.iter().map(|&node| scope.address(node)).collect();
        let parallel = call.work() >= self.shared_from;
        self.step(&addresses, Work::Sort(call), parallel, touched(scope, kernel))
    }

    /// The function of a loop nest: that of an equal one, if there was one.
    fn function(&mut self, scope: &Scope, k: usize, body: &'a LoopBody, parts: Parts) -> Nest {
        if let Some(nest) = self.nests.get(&(body.computation(), parts)) {
            return nest.clone();
        }
        let code = nest::emit(body, parts.length(body), self.target, &mut self.symbols, &mut self.context);
        let name = format!("{}k{k}", scope.prefix);
        let convention = code.function.signature.call_conv;
        self.symbols.declare(&name, std::ptr::null(), &[I64; 6], &[], convention);
        (self.compile)(name.clone(), code.function);
        let nest = Nest { name, scratch_bytes: code.scratch_bytes, rows: code.rows, line: code.line };
        self.nests.insert((body.computation(), parts), nest.clone());
        nest
    }

    fn contraction(
        &mut self,
        scope: &Scope,
        k: usize,
        root: NodeId,
        kernel: &Kernel,
        body: &'a LoopBody,
    ) -> Step {
        let plan = &scope.lowered.plan;
        let in_memory = |node: NodeId| plan.placements.binary_search_by_key(&node, |p| p.node).is_ok();
        let (call, nodes) =
            ContractionCall::new(scope.graph, root, &in_memory, self.target.kernels, body.buffers.len());
        let addresses: Vec<Address> =
            body.buffers.iter().chain(&nodes).map(|&node| scope.address(node)).collect();
        let mut scratch = call.scratch_bytes();
        let epilogue = (kernel.writes != [root]).then(|| {
            let nest = self.function(scope, k, body, Parts::Regions);
            scratch += nest.scratch_bytes;
            nest.name
        });
        self.scratch_bytes = self.scratch_bytes.max(scratch);
        let call = Box::new(call);
        // The box does not move when it goes into the list, and later into the program.
        let address = (&raw const *call).cast::<u8>();
        self.calls.push((call, epilogue));
        self.step(&addresses, Work::Contraction(address), true, touched(scope, kernel))
    }

    /// A loop: its carried values are copied to where they are carried, unless they lie there, and its body repeated.
    fn repeat(&mut self, scope: &Scope<'a>, k: usize, node: NodeId) -> Vec<Step> {
        let Op::Loop(looped) = scope.graph.op(node) else { unreachable!("a loop is repeated") };
        let of_body = &scope.lowered.loops[&node];
        let arena = match scope.address(node).pointer {
            Pointer::Arena(offset) => offset,
            Pointer::Input(_) | Pointer::Constant(_) => unreachable!("the body's memory is in the arena"),
        };
        let inputs = body_inputs(scope, node, looped);
        let mut steps = Vec::new();
        for (i, carried) in inputs.iter().enumerate().take(looped.n_carried()) {
            let operand = scope.graph.operands(node)[i];
            let from = scope.stored(operand);
            if from != *carried && !scope.is_empty(operand) {
                let n_bytes = scope.graph.node(operand).ty().n_bytes();
                steps.push(self.copy(from, carried.clone(), n_bytes));
            }
        }
        let prefix = format!("{}k{k}.", scope.prefix);
        let (graph, lowered) = (&of_body.body, &of_body.lowered);
        let body = Scope { graph, lowered, inputs, arena, depth: scope.depth + 1, prefix };
        let repeated: Vec<Step> = self.steps(&body).into_iter().map(|(step, _)| step).collect();
        let parallel = repeated.iter().any(|step| step.parallel);
        let touched = Touched::union(&repeated);
        let work = Work::Repeat { n_steps: looped.n_steps, reverse: looped.reverse, steps: repeated };
        steps.push(self.step(&[], work, parallel, touched));
        steps
    }
}

/// Where the inputs of a loop's body lie: those of the loop's body, then the slots of stacked results.
fn body_inputs(scope: &Scope, node: NodeId, looped: &Loop) -> Vec<Address> {
    let graph = scope.graph;
    let mut results = vec![None; looped.n_results()];
    for user in graph.users(node) {
        if let Op::LoopResult { position, .. } = graph.op(user) {
            results[*position] = Some(user);
        }
    }
    let result = |position: usize| scope.address(results[position].expect("every result has a node"));
    let part = |mut address: Address, ty: &kiln_ir::TensorType| {
        address.strides.push((scope.depth, ty.n_bytes()));
        address
    };
    let operand = |(i, &operand): (usize, &NodeId)| {
        let ty = looped.body.node(looped.body.inputs()[i]).ty();
        match looped.operand_role(i) {
            Role::Carried => result(i),
            Role::Stacked => part(scope.stored(operand), ty),
            Role::Invariant => scope.stored(operand),
        }
    };
    let slot = |k: usize| part(result(k), looped.body.node(looped.body.outputs()[k].value).ty());
    let operands = graph.operands(node).iter().enumerate().map(operand);
    operands.chain((looped.n_carried()..looped.n_results()).map(slot)).collect()
}

fn touched(scope: &Scope, kernel: &Kernel) -> Touched {
    let memory = |&node: &NodeId| scope.address(node).memory;
    Touched {
        reads: kernel.reads.iter().map(memory).collect(),
        writes: kernel.writes.iter().map(memory).collect(),
    }
}

/// Elements of the domain times operations on each.
fn work_of(kernel: &Kernel, body: &LoopBody) -> usize {
    let ops = (0..body.values.len()).map(|id| if body.is_block_op(id) { BLOCK_OP_COST } else { 1 });
    kernel.domain.n_elements().saturating_mul(ops.sum::<usize>().div_ceil(4).max(1))
}
