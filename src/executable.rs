//! A compiled program: code, memory and threads, run by one call.

use crate::codegen::contraction::ContractionCall;
use crate::codegen::driver::{DriverFunction, Stamps};
use crate::codegen::steps::Pointer;
use crate::compile::{CodeText, CompileOptions, LinkedCode, StageTime, constants, updated_inputs};
use crate::runtime::{AlignedBuffer, Team};
use crate::state::{State, data_pointer, data_pointer_mut, read_bytes, write_bytes};
use kiln_ir::kernel::Place;
use kiln_ir::{DType, Graph, NodeId, TensorData, TensorType};
use kiln_passes::lower::Lowered;
use kiln_passes::pipeline::Report;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

/// Linked code and what it needs.
pub(crate) struct Program {
    pub driver: DriverFunction,
    pub code: LinkedCode,
    /// Generated code holds the addresses of these: boxed, so that they never move.
    #[expect(clippy::vec_box, reason = "their addresses are part of the code")]
    pub calls: Vec<Box<ContractionCall>>,
    pub pointers: Vec<Pointer>,
    pub n_threads: usize,
    /// Kernel of each step of the driver; `None` for copies of state.
    pub kernel_of_step: Vec<Option<usize>>,
    /// Generated code holds their addresses.
    pub stamps: Option<Stamps>,
}

/// A compiled program. [`run`](Executable::run) allocates nothing and returns when the whole program is done.
pub struct Executable {
    graph: Graph,
    lowered: Lowered,
    program: Program,
    team: Arc<Team>,
    n_state: usize,
    /// All addresses that the code uses; those of inputs are set by each run.
    table: Vec<*mut u8>,
    /// The address of each input in the current run.
    addresses: Vec<*mut u8>,
    /// Positions in the table of each input's addresses.
    patches: Vec<(usize, usize)>,
    arena: AlignedBuffer,
    /// The scratch memory of all threads, and the distance from one to the next.
    scratch: AlignedBuffer,
    scratch_stride: usize,
    constants: HashMap<NodeId, AlignedBuffer>,
    pub(crate) times: Vec<StageTime>,
    pub(crate) report: Report,
    pub(crate) text: CodeText,
}

// SAFETY: the addresses in the table are of memory that the executable owns (or that a run borrows for its duration);
// nothing else points to it.
unsafe impl Send for Executable {}

/// What the threads of a run share.
struct Shared {
    driver: DriverFunction,
    table: *const *mut u8,
    scratch: *mut u8,
    scratch_stride: usize,
}

// SAFETY: the threads only read these addresses; what they point to is divided among the threads by the program.
unsafe impl Sync for Shared {}

impl Executable {
    pub(crate) fn new(
        graph: Graph,
        lowered: Lowered,
        program: Program,
        [mut arena, scratch]: [AlignedBuffer; 2],
        options: &CompileOptions,
    ) -> Executable {
        let scratch_stride = scratch.n_bytes() / program.n_threads;
        let mut constants: HashMap<NodeId, AlignedBuffer> = constants(&graph)
            .into_iter()
            .map(|(node, data)| {
                let mut buffer = AlignedBuffer::zeroed(data.ty().n_bytes());
                write_bytes(&data, buffer.as_mut_slice());
                (node, buffer)
            })
            .collect();
        let arena_start = arena.as_mut_ptr();
        let mut address = |pointer: &Pointer| match pointer {
            Pointer::Input(_) => std::ptr::null_mut(),
            Pointer::Arena(offset) => arena_start.wrapping_add(*offset),
            Pointer::Constant(node) => constants.get_mut(node).expect("a constant of the graph").as_mut_ptr(),
        };
        let table = program.pointers.iter().map(&mut address).collect();
        let patches = (program.pointers.iter().enumerate())
            .filter_map(|(at, pointer)| match pointer {
                Pointer::Input(input) => Some((at, *input)),
                Pointer::Arena(_) | Pointer::Constant(_) => None,
            })
            .collect();
        Executable {
            addresses: vec![std::ptr::null_mut(); graph.inputs().len()],
            graph,
            lowered,
            program,
            team: options.team.clone(),
            n_state: options.n_state,
            table,
            patches,
            arena,
            scratch,
            scratch_stride,
            constants,
            times: Vec::new(),
            report: Report::default(),
            text: CodeText::default(),
        }
    }

    /// Runs the program: one whole step. State is updated in place.
    ///
    /// # Panics
    /// When state or batch do not have the number and the types of the inputs: callers check what users give them.
    pub fn run(&mut self, state: &mut State, batch: &[&TensorData]) {
        self.run_with(state, batch.iter().copied());
    }

    /// As [`run`](Executable::run), for a batch that is not in one slice.
    pub(crate) fn run_with<'a>(&mut self, state: &mut State, batch: impl Iterator<Item = &'a TensorData>) {
        assert!(state.types().len() >= self.n_state, "the program has {} pieces of state", self.n_state);
        for i in 0..self.n_state {
            let ty = self.graph.node(self.graph.inputs()[i]).ty();
            assert!(state.types()[i] == *ty, "state {i} has another type than the program's");
            self.addresses[i] = state.pointer(i);
        }
        let mut n = self.n_state;
        for tensor in batch {
            self.check_input(n, tensor);
            // Batches are only read: no output updates them.
            self.addresses[n] = data_pointer(tensor).cast_mut();
            n += 1;
        }
        assert_eq!(n, self.graph.inputs().len(), "the number of inputs");
        self.enter();
    }

    /// Runs a program whose last input is the memory of its only result.
    pub(crate) fn run_into<'a>(
        &mut self,
        operands: impl Iterator<Item = &'a TensorData>,
        result: &mut TensorData,
    ) {
        let mut n = 0;
        for tensor in operands {
            self.check_input(n, tensor);
            self.addresses[n] = data_pointer(tensor).cast_mut();
            n += 1;
        }
        self.check_input(n, result);
        self.addresses[n] = data_pointer_mut(result);
        assert_eq!(n + 1, self.graph.inputs().len(), "the number of inputs");
        self.enter();
    }

    fn check_input(&self, i: usize, given: &TensorData) {
        let expected = self.graph.node(self.graph.inputs()[i]).ty();
        let same = given.dtype() == expected.dtype && *given.shape() == expected.shape;
        assert!(same, "input {i} is {}, the program takes {expected}", given.ty());
    }

    /// Runs the program on the addresses of the inputs.
    fn enter(&mut self) {
        for &(at, input) in &self.patches {
            self.table[at] = self.addresses[input];
        }
        let shared = Shared {
            driver: self.program.driver,
            table: self.table.as_ptr(),
            scratch: self.scratch.as_mut_ptr(),
            scratch_stride: self.scratch_stride,
        };
        let enter = |shared: &Shared, thread: usize, barrier: *const u8| {
            let scratch = shared.scratch.wrapping_add(thread * shared.scratch_stride);
            // SAFETY: the code was generated for this table; every address in it is that of a buffer of the type that
            // the code expects, checked above for inputs and laid out by the memory plan for the rest; each thread has
            // scratch memory of its own.
            unsafe { (shared.driver)(shared.table, scratch, thread, barrier) }
        };
        if self.program.n_threads == 1 {
            enter(&shared, 0, std::ptr::null());
        } else {
            let shared = &shared;
            self.team.run(|worker| enter(shared, worker.thread, (&raw const *worker.barrier).cast()));
        }
    }

    /// A copy of an output of the last run that updates no state; by position among all outputs.
    ///
    /// # Panics
    /// When the output updates state (ask the [`State`]) or there is no such output.
    pub fn output(&self, k: usize) -> TensorData {
        let (ty, bytes) = self.output_bytes(k);
        read_bytes(ty, bytes)
    }

    /// An output of one float of the last run, such as a loss, without an allocation.
    ///
    /// # Panics
    /// When the output is of another type.
    pub fn scalar(&self, k: usize) -> f64 {
        let (ty, bytes) = self.output_bytes(k);
        match (ty.dtype, bytes) {
            (DType::F32, &[a, b, c, d]) => f32::from_ne_bytes([a, b, c, d]).into(),
            (DType::F64, &[a, b, c, d, e, f, g, h]) => f64::from_ne_bytes([a, b, c, d, e, f, g, h]),
            _ => panic!("output {k} is {ty}, not one float"),
        }
    }

    fn output_bytes(&self, k: usize) -> (&TensorType, &[u8]) {
        let value = self.graph.outputs()[k].value;
        let ty = self.graph.node(value).ty();
        let bytes = match self.lowered.plan.placement(value).place {
            Place::Arena(offset) => &self.arena.as_slice()[offset..offset + ty.n_bytes()],
            Place::Constant => &self.constants[&value].as_slice()[..ty.n_bytes()],
            Place::Input(i) => panic!("output {k} is state {i}"),
        };
        (ty, bytes)
    }

    /// The optimized graph.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// Kernels, their loops and the memory plan.
    pub fn lowered(&self) -> &Lowered {
        &self.lowered
    }

    /// What the passes did.
    pub fn report(&self) -> &Report {
        &self.report
    }

    /// The time that each kernel took of the first thread in the last run, by position in the schedule (`None`: copies of
    /// state); empty unless the program was compiled with `profile`.
    pub fn profile(&self) -> Vec<(Option<usize>, Duration)> {
        let times = self.program.stamps.as_ref().map_or(Vec::new(), Stamps::times);
        self.program.kernel_of_step.iter().copied().zip(times).collect()
    }

    /// Time of each stage of compilation.
    pub fn times(&self) -> &[StageTime] {
        &self.times
    }

    /// The text of the generated code, when it was kept.
    pub fn text(&self) -> &CodeText {
        &self.text
    }

    /// Bytes of machine code.
    pub fn code_bytes(&self) -> usize {
        self.program.code.n_bytes()
    }

    /// How many of the first inputs are state.
    pub fn n_state(&self) -> usize {
        self.n_state
    }

    /// How many threads take part in a run.
    pub fn n_threads(&self) -> usize {
        self.program.n_threads
    }

    /// What the tiles of contractions compute, in the order of their kernels.
    pub fn contractions(&self) -> impl Iterator<Item = String> + '_ {
        self.program.calls.iter().map(|call| call.describe())
    }

    /// The positions of the inputs that a run overwrites.
    pub fn updated_inputs(&self) -> impl Iterator<Item = usize> {
        updated_inputs(&self.graph).into_iter()
    }
}
