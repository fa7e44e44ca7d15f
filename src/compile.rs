//! From a graph to an executable: the one function that runs all stages.

use crate::codegen::contraction::{ContractionCall, EpilogueFunction};
use crate::codegen::driver::{self, DriverFunction, Stamps, Step, Work};
use crate::codegen::link::{self, Code};
use crate::codegen::nest;
use crate::codegen::symbols::Symbols;
use crate::codegen::target::Target;
use crate::executable::{Executable, Pointer, Program};
use crate::kernels::isa::{Isa, IsaError};
use crate::runtime::Team;
use cranelift_codegen::ir::Function;
use cranelift_codegen::ir::types::I64;
use cranelift_frontend::FunctionBuilderContext;
use kiln_ir::kernel::{Kernel, KernelKind, Place};
use kiln_ir::{Graph, NodeId, Op};
use kiln_passes::loops::LoopBody;
use kiln_passes::lower::{self, Lowered};
use kiln_passes::pipeline::{Options as PassOptions, Pipeline, Report};
use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Work of a kernel, in elements times operations, from which it is shared among threads: below, waiting for another
/// thread costs more than half of it.
const SHARED_FROM: usize = 1 << 13;

/// What a block primitive costs beside an instruction.
const BLOCK_OP_COST: usize = 8;

/// How to compile a graph.
#[derive(Clone)]
pub struct CompileOptions {
    /// How many of the first inputs are state, which lives between runs; the others are given to each run.
    pub n_state: usize,
    /// The threads that run the program, this one included.
    pub team: Arc<Team>,
    /// The instruction set of tiles and block primitives.
    pub isa: Isa,
    /// Whether the graph goes through the passes first. Eager execution compiles single ops as they are.
    pub optimize: bool,
    /// How the passes run.
    pub passes: PassOptions,
    /// Work of a kernel, in elements times operations, from which all threads take part in it.
    pub shared_from: usize,
    /// Whether Cranelift verifies the generated code.
    pub verify_code: bool,
    /// Whether the program notes the time of each kernel (see [`Executable::profile`]).
    pub profile: bool,
    /// Whether the text of the generated code is kept, for `clif` and `asm` dumps.
    pub keep_text: bool,
}

impl CompileOptions {
    /// Options for a program on `n_threads` threads and the best instruction set of the machine (or the one that
    /// `KILN_ISA` names).
    pub fn new(n_state: usize, n_threads: usize) -> Result<CompileOptions, CompileError> {
        Ok(CompileOptions {
            n_state,
            team: Arc::new(Team::new(n_threads).map_err(CompileError::Threads)?),
            isa: Isa::detect()?,
            optimize: true,
            passes: PassOptions::default(),
            shared_from: SHARED_FROM,
            verify_code: cfg!(debug_assertions),
            profile: false,
            keep_text: false,
        })
    }
}

/// Why a program cannot be made for this machine.
#[derive(Debug, thiserror::Error)]
pub enum CompileError {
    /// The environment asks for an instruction set that is not there.
    #[error("error: {0}")]
    Isa(#[from] IsaError),
    /// The system gave no threads.
    #[error("error: the threads of the program could not be started: {0}")]
    Threads(std::io::Error),
}

/// The time that a stage of compilation took.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StageTime {
    /// Name of the stage.
    pub stage: &'static str,
    /// Its duration.
    pub time: Duration,
}

/// The text of generated code.
#[derive(Clone, Debug, Default)]
pub struct CodeText {
    /// Each function in Cranelift's language.
    pub clif: Vec<(String, String)>,
    /// Each function in assembly.
    pub assembly: Vec<(String, String)>,
}

/// Compiles a graph.
pub fn compile(mut graph: Graph, options: &CompileOptions) -> Executable {
    let mut times = Vec::new();
    let mut clock = Instant::now();
    let mut lap = |stage| {
        let now = Instant::now();
        times.push(StageTime { stage, time: now - clock });
        clock = now;
    };
    let report = if options.optimize {
        Pipeline::standard().run(&mut graph, &options.passes)
    } else {
        Report::default()
    };
    lap("passes");
    lower::separate_outputs(&mut graph);
    let lowered = lower::lower(&graph);
    lap("fuse, schedule, plan");
    let target = Target::new(options.isa, options.verify_code);
    let mut generator = Generator::new(&graph, &lowered, &target, options.shared_from);
    generator.kernels();
    let generated = generator.finish(options.team.n_threads(), options.profile);
    lap("generate code");
    let clif = if options.keep_text {
        generated.functions.iter().map(|(name, f)| (name.clone(), f.display().to_string())).collect()
    } else {
        Vec::new()
    };
    let (code, assembly) = link::link(generated.functions, &generated.symbols, &target, options.keep_text);
    lap("compile and link");
    let mut calls = generated.calls;
    for (call, epilogue) in &mut calls {
        if let Some(name) = epilogue {
            // SAFETY: the function was generated with this signature.
            call.epilogue =
                Some(unsafe { std::mem::transmute::<*const u8, EpilogueFunction>(code.address(name)) });
        }
    }
    // SAFETY: as above.
    let driver = unsafe { std::mem::transmute::<*const u8, DriverFunction>(code.address(DRIVER)) };
    let program = Program {
        driver,
        code,
        calls: calls.into_iter().map(|(call, _)| call).collect(),
        pointers: generated.pointers,
        scratch_bytes: generated.scratch_bytes,
        n_threads: generated.n_threads,
        kernel_of_step: generated.kernel_of_step,
        stamps: generated.stamps,
    };
    let mut executable = Executable::new(graph, lowered, program, options);
    lap("allocate");
    executable.times = times;
    executable.report = report;
    executable.text = CodeText { clif, assembly };
    executable
}

const DRIVER: &str = "step";

/// What code generation collects.
struct Generator<'a> {
    graph: &'a Graph,
    lowered: &'a Lowered,
    target: &'a Target,
    shared_from: usize,
    context: FunctionBuilderContext,
    symbols: Symbols,
    functions: Vec<(String, Function)>,
    calls: Vec<(Box<ContractionCall>, Option<String>)>,
    steps: Vec<Step>,
    /// Kernel of each step; `None` for the copies at the end.
    kernel_of_step: Vec<Option<usize>>,
    pointers: Vec<Pointer>,
    scratch_bytes: usize,
}

struct Generated {
    functions: Vec<(String, Function)>,
    symbols: Symbols,
    calls: Vec<(Box<ContractionCall>, Option<String>)>,
    pointers: Vec<Pointer>,
    scratch_bytes: usize,
    n_threads: usize,
    kernel_of_step: Vec<Option<usize>>,
    stamps: Option<Stamps>,
}

impl<'a> Generator<'a> {
    fn new(graph: &'a Graph, lowered: &'a Lowered, target: &'a Target, shared_from: usize) -> Generator<'a> {
        Generator {
            graph,
            lowered,
            target,
            shared_from,
            context: FunctionBuilderContext::new(),
            symbols: Symbols::default(),
            functions: Vec::new(),
            calls: Vec::new(),
            steps: Vec::new(),
            kernel_of_step: Vec::new(),
            pointers: Vec::new(),
            scratch_bytes: 0,
        }
    }

    fn kernels(&mut self) {
        let lowered = self.lowered;
        for (k, (kernel, body)) in lowered.schedule.kernels.iter().zip(&lowered.bodies).enumerate() {
            let is_empty = |node: &NodeId| self.graph.node(*node).ty().n_elements() == 0;
            if kernel.writes.iter().all(is_empty) {
                continue;
            }
            let first = self.pointers.len();
            for &node in &body.buffers {
                self.pointers.push(self.pointer(node));
            }
            let (work, parallel) = match kernel.kind {
                KernelKind::Contraction(root) => (self.contraction(k, root, kernel, body), true),
                KernelKind::Loop
                | KernelKind::ScatterAdd(_)
                | KernelKind::WindowPut(_)
                | KernelKind::Cumulative(_) => {
                    let name = self.loops(k, body);
                    (name, work_of(kernel, body) >= self.shared_from)
                }
            };
            self.steps.push(Step { pointers: first, work, parallel, barrier: false });
            self.kernel_of_step.push(Some(k));
        }
        for copy in &lowered.plan.copies {
            let first = self.pointers.len();
            let from = self.pointer(copy.from);
            self.pointers.extend([Pointer::Input(copy.to), from]);
            let n_bytes = self.graph.node(copy.from).ty().n_bytes();
            self.steps.push(Step {
                pointers: first,
                work: Work::Copy(n_bytes),
                parallel: false,
                barrier: false,
            });
            self.kernel_of_step.push(None);
        }
    }

    fn pointer(&self, node: NodeId) -> Pointer {
        match self.lowered.plan.placement(node).place {
            Place::Input(i) => Pointer::Input(i),
            Place::Arena(offset) => Pointer::Arena(offset),
            Place::Constant => Pointer::Constant(node),
        }
    }

    fn loops(&mut self, k: usize, body: &LoopBody) -> Work {
        let code = nest::emit(body, self.target, &mut self.symbols, &mut self.context);
        self.scratch_bytes = self.scratch_bytes.max(code.scratch_bytes);
        let name = self.declare(k, code.function);
        Work::Loop { name, rows: code.rows, line: code.line }
    }

    fn declare(&mut self, k: usize, function: Function) -> String {
        let name = format!("k{k}");
        let convention = function.signature.call_conv;
        self.symbols.declare(&name, std::ptr::null(), &[I64; 6], &[], convention);
        self.functions.push((name.clone(), function));
        name
    }

    fn contraction(&mut self, k: usize, root: NodeId, kernel: &Kernel, body: &LoopBody) -> Work {
        let plan = &self.lowered.plan;
        let in_memory = |node: NodeId| plan.placements.binary_search_by_key(&node, |p| p.node).is_ok();
        let (call, nodes) =
            ContractionCall::new(self.graph, root, &in_memory, self.target.kernels, body.buffers.len());
        for node in nodes {
            self.pointers.push(self.pointer(node));
        }
        let mut scratch = call.scratch_bytes();
        let epilogue = (kernel.writes != [root]).then(|| {
            let code = nest::emit(body, self.target, &mut self.symbols, &mut self.context);
            scratch += code.scratch_bytes;
            self.declare(k, code.function)
        });
        self.scratch_bytes = self.scratch_bytes.max(scratch);
        let call = Box::new(call);
        // The box does not move when it goes into the list, and later into the program.
        let address = (&raw const *call).cast::<u8>();
        self.calls.push((call, epilogue));
        Work::Contraction(address)
    }

    fn finish(mut self, n_threads: usize, profile: bool) -> Generated {
        // A program without a kernel worth sharing is run by one thread.
        let n_threads = if self.steps.iter().any(|step| step.parallel) { n_threads } else { 1 };
        self.place_barriers();
        let stamps = profile.then(|| Stamps::new(self.steps.len()));
        let driver = driver::emit(
            &self.steps,
            stamps.as_ref(),
            n_threads,
            self.target,
            &mut self.symbols,
            &mut self.context,
        );
        self.functions.push((DRIVER.to_string(), driver));
        Generated {
            functions: self.functions,
            symbols: self.symbols,
            calls: self.calls,
            pointers: self.pointers,
            scratch_bytes: self.scratch_bytes,
            n_threads,
            kernel_of_step: self.kernel_of_step,
            stamps,
        }
    }

    /// A barrier stands before a step that touches memory which, since the last barrier, another thread may have
    /// written, or may still be reading.
    fn place_barriers(&mut self) {
        let mut since: Vec<(bool, Touched)> = Vec::new();
        for i in 0..self.steps.len() {
            let touched = self.touched(i);
            let parallel = self.steps[i].parallel;
            let conflict = since.iter().any(|(other_parallel, other)| {
                (parallel || *other_parallel) && touched.conflicts_with(other)
            });
            if conflict {
                self.steps[i].barrier = true;
                since.clear();
            }
            since.push((parallel, touched));
        }
    }

    fn touched(&self, step: usize) -> Touched {
        let kernels = &self.lowered.schedule.kernels;
        let mut touched = Touched::default();
        match self.kernel_of_step[step] {
            Some(k) => {
                touched.reads.extend(kernels[k].reads.iter().map(|&node| self.memory(node)));
                touched.writes.extend(kernels[k].writes.iter().map(|&node| self.memory(node)));
            }
            None => {
                let copies = &self.lowered.plan.copies;
                let first =
                    self.kernel_of_step.iter().position(Option::is_none).expect("this step is a copy");
                let copy = copies[step - first];
                touched.reads.push(self.memory(copy.from));
                let state = self.graph.inputs()[copy.to];
                touched.writes.push((Region::Input(copy.to), 0..self.graph.node(state).ty().n_bytes()));
            }
        }
        touched
    }

    fn memory(&self, node: NodeId) -> (Region, Range<usize>) {
        let placement = self.lowered.plan.placement(node);
        match placement.place {
            Place::Input(i) => (Region::Input(i), 0..placement.n_bytes),
            Place::Arena(offset) => (Region::Arena, offset..offset + placement.n_bytes),
            Place::Constant => (Region::Constant(node), 0..placement.n_bytes),
        }
    }
}

/// A piece of memory of its own.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Region {
    Arena,
    Input(usize),
    Constant(NodeId),
}

/// The memory that a step reads and writes.
#[derive(Default)]
struct Touched {
    reads: Vec<(Region, Range<usize>)>,
    writes: Vec<(Region, Range<usize>)>,
}

impl Touched {
    fn conflicts_with(&self, other: &Touched) -> bool {
        let overlap = |a: &[(Region, Range<usize>)], b: &[(Region, Range<usize>)]| {
            a.iter().any(|(r, x)| b.iter().any(|(s, y)| r == s && x.start < y.end && y.start < x.end))
        };
        overlap(&self.writes, &other.writes)
            || overlap(&self.reads, &other.writes)
            || overlap(&self.writes, &other.reads)
    }
}

/// Elements of the domain times operations on each.
fn work_of(kernel: &Kernel, body: &LoopBody) -> usize {
    let ops = (0..body.values.len()).map(|id| if body.is_block_op(id) { BLOCK_OP_COST } else { 1 });
    kernel.domain.n_elements().saturating_mul(ops.sum::<usize>().div_ceil(4).max(1))
}

/// The constants of a graph.
pub(crate) fn constants(graph: &Graph) -> HashMap<NodeId, Arc<kiln_ir::TensorData>> {
    let dense = graph.ids().filter_map(|id| match graph.op(id) {
        Op::Dense(data) => Some((id, data.clone())),
        _ => None,
    });
    dense.collect()
}

/// The inputs that a program overwrites.
pub(crate) fn updated_inputs(graph: &Graph) -> HashSet<usize> {
    graph.outputs().iter().filter_map(|output| output.updates).collect()
}

/// A program's code, for an executable to hold.
pub(crate) type LinkedCode = Code;
