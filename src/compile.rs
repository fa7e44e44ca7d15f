//! From a graph to an executable: the one function that runs all stages.

use crate::codegen::compiler::{self, Compiled, FunctionText};
use crate::codegen::contraction::EpilogueFunction;
use crate::codegen::driver::DriverFunction;
use crate::codegen::link::{self, Code};
use crate::codegen::steps::{DRIVER, Generator};
use crate::codegen::target::Target;
use crate::executable::{Executable, Program};
use crate::kernels::isa::{Isa, IsaError};
use crate::runtime::{AlignedBuffer, Team, machine_bytes};
use kiln_ir::{Graph, NodeId, Op};
use kiln_passes::cost::Bytes;
use kiln_passes::lower;
use kiln_passes::pipeline::{Options as PassOptions, Pipeline, Report};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Work of a kernel, in elements times operations, from which it is shared among threads: below, waiting for another
/// thread costs more than half of it.
const SHARED_FROM: usize = 1 << 13;

/// Bytes of an arena up to which its pages are there before the first run.
const SMALL_ARENA: usize = 256 << 20;

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
    /// The values of one run are too large.
    #[error("error: a run needs {} for its values, and this machine has {}: choose smaller batches", Bytes(*needed), Bytes(*there))]
    Memory {
        /// Bytes that values between kernels take.
        needed: u64,
        /// Bytes of the machine.
        there: u64,
    },
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

impl CodeText {
    fn of(functions: Vec<Compiled>) -> CodeText {
        let mut all = CodeText::default();
        for Compiled { name, text, .. } in functions {
            if let Some(FunctionText { clif, assembly }) = text {
                all.clif.push((name.clone(), clif));
                all.assembly.push((name, assembly));
            }
        }
        all
    }
}

/// Compiles a graph.
///
/// # Panics
/// As [`try_compile`] has errors.
pub fn compile(graph: Graph, options: &CompileOptions) -> Executable {
    try_compile(graph, options).unwrap_or_else(|error| panic!("{error}"))
}

/// Compiles a graph.
///
/// Errors: the machine has not the memory that the values between kernels need.
pub fn try_compile(mut graph: Graph, options: &CompileOptions) -> Result<Executable, CompileError> {
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
    check_memory(lowered.plan.arena_bytes as u64)?;
    // What is computed on is prepared while the code is made, unless it takes the system longer than that.
    let arena = match lowered.plan.arena_bytes {
        n_bytes @ ..=SMALL_ARENA => AlignedBuffer::populated(n_bytes),
        n_bytes => AlignedBuffer::zeroed(n_bytes),
    };
    let target = Target::new(options.isa, options.verify_code);
    let (generated, compiled) = compiler::compile(&target, options.keep_text, |compiler| {
        let mut add = |name, function| compiler.add(name, function);
        let generator = Generator::new(&graph, &lowered, &target, options.shared_from, &mut add);
        let generated = generator.program(options.team.n_threads(), options.profile);
        lap("generate code");
        generated
    });
    let scratch_stride = generated.scratch_bytes.next_multiple_of(4096);
    let scratch = AlignedBuffer::populated(scratch_stride * generated.n_threads);
    let code = link::link(&compiled, &generated.symbols, &target);
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
        n_threads: generated.n_threads,
        kernel_of_step: generated.kernel_of_step,
        stamps: generated.stamps,
    };
    let mut executable = Executable::new(graph, lowered, program, [arena, scratch], options);
    lap("allocate");
    executable.times = times;
    executable.report = report;
    executable.text = CodeText::of(compiled);
    Ok(executable)
}

/// Whether there is so much memory, as far as is known: to ask the system for more ends the process.
fn check_memory(needed: u64) -> Result<(), CompileError> {
    match machine_bytes() {
        Some(there) if needed > there => Err(CompileError::Memory { needed, there }),
        Some(_) | None => Ok(()),
    }
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
