//! The driver: the one function that a thread enters for a whole step. It calls the kernels in order, each with this
//! thread's part, and meets the other threads where data crosses between them.

use super::barriers::Touched;
use super::sort::SortCall;
use super::symbols::Symbols;
use super::target::Target;
use crate::runtime::kiln_barrier;
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::types::I64;
use cranelift_codegen::ir::{AbiParam, Function, InstBuilder, MemFlagsData, UserFuncName, Value};
use cranelift_frontend::{FunctionBuilder, FunctionBuilderContext};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Parts of a line begin at multiples of this many elements, whole cache lines of every type, and end there or with the
/// line. Loops count on it: they have no code for what a multiple of their step cannot leave over.
pub const LINE_UNIT: usize = 64;

/// One thing that the driver does.
pub struct Step {
    /// Position of the kernel's first pointer in the table.
    pub pointers: usize,
    /// How many pointers the kernel has.
    pub n_pointers: usize,
    /// What is added to pointers in the steps of loops.
    pub varying: Vec<Varying>,
    /// What is called.
    pub work: Work,
    /// Whether all threads take part; else the first does it alone.
    pub parallel: bool,
    /// Whether all threads must have come here before.
    pub barrier: bool,
    /// The memory that it reads and writes.
    pub touched: Touched,
}

/// A pointer that moves from one step of a loop to the next.
#[derive(Clone, Copy, Debug)]
pub struct Varying {
    /// Position among the kernel's pointers.
    pub position: usize,
    /// Which of the loops around the kernel, from the outside.
    pub depth: usize,
    /// Bytes from one index to the next.
    pub n_bytes: usize,
}

/// What a step calls.
pub enum Work {
    /// A generated loop nest: its symbol, rows, and elements of a line that can be cut.
    Loop {
        /// Name of the symbol.
        name: String,
        /// Independent rows.
        rows: usize,
        /// Elements of the vector axis, when it can be cut.
        line: Option<usize>,
    },
    /// A contraction: address of its [`ContractionCall`](super::contraction::ContractionCall).
    Contraction(*const u8),
    /// A sort of lines.
    Sort(SortCall),
    /// A copy from the second pointer to the first, of so many bytes.
    Copy(usize),
    /// A loop.
    Repeat {
        /// How often the steps run.
        n_steps: usize,
        /// Whether the first of these has the last index.
        reverse: bool,
        /// What runs each time.
        steps: Vec<Step>,
    },
}

/// How a program is laid out.
#[derive(Clone, Copy, Debug)]
pub struct Layout {
    /// The threads that enter the driver.
    pub n_threads: usize,
    /// Where in a thread's scratch memory the pointers of a step in a loop lie.
    pub own_pointers: usize,
}

/// `fn(table of pointers, scratch of this thread, thread, barrier)`.
pub type DriverFunction = unsafe extern "C" fn(*const *mut u8, *mut u8, usize, *const u8);

/// Most steps of one function of the driver. Allocating registers for ten times as many takes thirty times as long, and
/// several functions are compiled at once.
const STEPS_OF_PART: usize = 64;

/// Generates the driver: its parts and then itself, each handed over with its name.
pub fn emit(
    name: &str,
    steps: &[Step],
    stamps: Option<&Stamps>,
    layout: Layout,
    target: &Target,
    symbols: &mut Symbols,
    hand_over: &mut dyn FnMut(String, Function),
) {
    let mut context = FunctionBuilderContext::new();
    let mut sequence = |steps: &[Step], first: usize, symbols: &mut Symbols| {
        let stamps = stamps.map(|stamps| &stamps.0[first..]);
        function(target, symbols, layout, &mut context, |driver| {
            driver.stamp(stamps, 0);
            driver.sequence(steps, stamps);
        })
    };
    if steps.len() <= STEPS_OF_PART {
        return hand_over(name.to_string(), sequence(steps, 0, symbols));
    }
    let mut parts = Vec::new();
    for (i, part) in steps.chunks(STEPS_OF_PART).enumerate() {
        let function = sequence(part, i * STEPS_OF_PART, symbols);
        let part = format!("{name}.{i}");
        symbols.declare(&part, std::ptr::null(), &[I64; 4], &[], function.signature.call_conv);
        hand_over(part.clone(), function);
        parts.push(part);
    }
    let whole = function(target, symbols, layout, &mut context, |driver| driver.parts(&parts));
    hand_over(name.to_string(), whole);
}

/// A function of the driver, of which `inside` is the code.
fn function(
    target: &Target,
    symbols: &mut Symbols,
    layout: Layout,
    context: &mut FunctionBuilderContext,
    inside: impl FnOnce(&mut Driver),
) -> Function {
    let mut function = Function::new();
    function.name = UserFuncName::default();
    function.signature.call_conv = target.isa.default_call_conv();
    function.signature.params.extend([AbiParam::new(I64); 4]);
    let mut b = FunctionBuilder::new(&mut function, context);
    let entry = b.create_block();
    b.append_block_params_for_function_params(entry);
    b.switch_to_block(entry);
    let parameters = b.block_params(entry).to_vec();
    let [table, scratch, thread, barrier] = parameters[..] else {
        unreachable!("the driver has four parameters")
    };
    let mut driver = Driver { b, symbols, table, scratch, thread, barrier, layout, indices: Vec::new() };
    inside(&mut driver);
    driver.b.ins().return_(&[]);
    driver.b.seal_all_blocks();
    driver.b.finalize(target.isa.frontend_config());
    function
}

struct Driver<'a, 'f> {
    b: FunctionBuilder<'f>,
    symbols: &'a mut Symbols,
    table: Value,
    scratch: Value,
    thread: Value,
    barrier: Value,
    layout: Layout,
    /// The index of each loop around the present step, from the outside.
    indices: Vec<Value>,
}

impl Driver<'_, '_> {
    /// Steps that all threads come to; the stamps, if there are any, are taken after each.
    fn sequence(&mut self, steps: &[Step], stamps: Option<&[AtomicU64]>) {
        let shared = self.layout.n_threads > 1;
        let alone = |step: &Step| shared && !step.parallel;
        let mut i = 0;
        while i < steps.len() {
            if shared && steps[i].barrier {
                let address = kiln_barrier as *const u8;
                let function = self.symbols.import(self.b.func, "kiln_barrier", address, &[I64], &[]);
                self.b.ins().call(function, &[self.barrier]);
            }
            // Steps that the first thread does alone share one test.
            let end = if alone(&steps[i]) && stamps.is_none() {
                (i + 1..steps.len()).find(|&j| !alone(&steps[j]) || steps[j].barrier).unwrap_or(steps.len())
            } else {
                i + 1
            };
            if alone(&steps[i]) {
                self.by_first_thread(&steps[i..end]);
            } else {
                self.call(&steps[i], false);
            }
            self.stamp(stamps, end);
            i = end;
        }
    }

    /// Calls the functions that the steps were divided among.
    fn parts(&mut self, names: &[String]) {
        for name in names {
            let function = self.symbols.import(self.b.func, name, std::ptr::null(), &[I64; 4], &[]);
            self.b.ins().call(function, &[self.table, self.scratch, self.thread, self.barrier]);
        }
    }

    fn by_first_thread(&mut self, steps: &[Step]) {
        let (first, after) = (self.b.create_block(), self.b.create_block());
        let is_first = self.b.ins().icmp_imm_s(IntCC::Equal, self.thread, 0);
        self.b.ins().brif(is_first, first, &[], after, &[]);
        self.b.switch_to_block(first);
        steps.iter().for_each(|step| self.call(step, true));
        self.b.ins().jump(after, &[]);
        self.b.switch_to_block(after);
    }

    /// The address of a step's pointers: in the program's table, or in this thread's own memory, where those that move
    /// with the indices of loops are written first.
    fn pointers(&mut self, step: &Step) -> Value {
        let table = self.b.ins().iadd_imm_s(self.table, 8 * step.pointers as i64);
        if step.varying.is_empty() {
            return table;
        }
        let flags = MemFlagsData::new().with_notrap();
        let own = self.b.ins().iadd_imm_s(self.scratch, self.layout.own_pointers as i64);
        for position in 0..step.n_pointers {
            let mut pointer = self.b.ins().load(I64, flags, table, 8 * position as i32);
            for varying in step.varying.iter().filter(|varying| varying.position == position) {
                let offset = self.b.ins().imul_imm_s(self.indices[varying.depth], varying.n_bytes as i64);
                pointer = self.b.ins().iadd(pointer, offset);
            }
            self.b.ins().store(flags, pointer, own, 8 * position as i32);
        }
        own
    }

    /// A loop over steps, which one thread does alone or all do together.
    fn repeat(&mut self, n_steps: usize, reverse: bool, steps: &[Step], alone: bool) {
        let (head, body, after) = (self.b.create_block(), self.b.create_block(), self.b.create_block());
        let done = self.b.append_block_param(head, I64);
        let zero = self.b.ins().iconst(I64, 0);
        self.b.ins().jump(head, &[zero.into()]);
        self.b.switch_to_block(head);
        let is_left = self.b.ins().icmp_imm_u(IntCC::UnsignedLessThan, done, n_steps as i64);
        self.b.ins().brif(is_left, body, &[], after, &[]);
        self.b.switch_to_block(body);
        let index = if reverse {
            let last = self.b.ins().iconst(I64, n_steps as i64 - 1);
            self.b.ins().isub(last, done)
        } else {
            done
        };
        self.indices.push(index);
        if alone {
            steps.iter().for_each(|step| self.call(step, true));
        } else {
            self.sequence(steps, None);
        }
        self.indices.pop();
        let next = self.b.ins().iadd_imm_s(done, 1);
        self.b.ins().jump(head, &[next.into()]);
        self.b.switch_to_block(after);
    }

    fn call(&mut self, step: &Step, alone: bool) {
        let parts = if alone { 1 } else { self.layout.n_threads };
        match &step.work {
            Work::Repeat { n_steps, reverse, steps } => self.repeat(*n_steps, *reverse, steps, alone),
            Work::Loop { name, rows, line, .. } => {
                let pointers = self.pointers(step);
                let function = self.symbols.import(self.b.func, name, std::ptr::null(), &[I64; 6], &[]);
                // Rows are cut when there are some for everybody, else the line is.
                let cut_line = line.is_some_and(|line| *rows < 4 * parts && line >= LINE_UNIT * parts);
                let (rows_cut, line_cut) = if cut_line { (1, parts) } else { (parts, 1) };
                let [row_begin, row_end] = self.part(*rows, 1, rows_cut);
                let [begin, end] = self.part(line.unwrap_or(0), LINE_UNIT, line_cut);
                self.b.ins().call(function, &[pointers, row_begin, row_end, begin, end, self.scratch]);
            }
            Work::Contraction(call) => {
                let pointers = self.pointers(step);
                let address = super::contraction::kiln_contraction as *const u8;
                let function = self.symbols.import(self.b.func, "kiln_contraction", address, &[I64; 5], &[]);
                let call = self.b.ins().iconst(I64, *call as i64);
                let thread = if alone { self.b.ins().iconst(I64, 0) } else { self.thread };
                let n = self.b.ins().iconst(I64, parts as i64);
                self.b.ins().call(function, &[call, pointers, self.scratch, thread, n]);
            }
            Work::Sort(sort) => {
                let pointers = self.pointers(step);
                let (name, address) = (sort.name, sort.function as *const u8);
                let function = self.symbols.import(self.b.func, name, address, &[I64; 7], &[]);
                let [begin, end] = self.part(sort.lines, 1, parts);
                let numbers = [sort.extent, sort.stride, usize::from(sort.descending)];
                let [extent, stride, descending] =
                    numbers.map(|number| self.b.ins().iconst(I64, number as i64));
                let arguments = [pointers, self.scratch, begin, end, extent, stride, descending];
                self.b.ins().call(function, &arguments);
            }
            Work::Copy(n_bytes) => {
                let pointers = self.pointers(step);
                let address = kiln_copy as *const u8;
                let function = self.symbols.import(self.b.func, "kiln_copy", address, &[I64; 2], &[]);
                let n = self.b.ins().iconst(I64, *n_bytes as i64);
                self.b.ins().call(function, &[pointers, n]);
            }
        }
    }

    /// Notes the time after so many steps, when a profile is wanted.
    fn stamp(&mut self, stamps: Option<&[AtomicU64]>, step: usize) {
        let Some(stamps) = stamps else { return };
        let address = kiln_stamp as *const u8;
        let function = self.symbols.import(self.b.func, "kiln_stamp", address, &[I64; 2], &[]);
        let at = self.b.ins().iconst(I64, (&raw const stamps[step]) as i64);
        self.b.ins().call(function, &[at, self.thread]);
    }

    /// This thread's part of a range, in multiples of a unit.
    fn part(&mut self, extent: usize, unit: usize, parts: usize) -> [Value; 2] {
        if parts == 1 {
            return [0, extent].map(|bound| self.b.ins().iconst(I64, bound as i64));
        }
        let begin = self.bound(self.thread, extent, unit, parts);
        let next = self.b.ins().iadd_imm_s(self.thread, 1);
        let end = self.bound(next, extent, unit, parts);
        [begin, end]
    }

    fn bound(&mut self, thread: Value, extent: usize, unit: usize, parts: usize) -> Value {
        let scaled = self.b.ins().imul_imm_s(thread, extent.div_ceil(unit) as i64);
        let share = self.b.ins().udiv_imm_u(scaled, parts as i64);
        let bound = self.b.ins().imul_imm_s(share, unit as i64);
        let extent = self.b.ins().iconst(I64, extent as i64);
        self.b.ins().smin(bound, extent)
    }
}

/// Nanoseconds of the first thread's own time: before the first step, and after each.
#[derive(Debug)]
pub struct Stamps(Box<[AtomicU64]>);

impl Stamps {
    /// Room for the stamps of so many steps.
    pub fn new(n_steps: usize) -> Stamps {
        Stamps((0..=n_steps).map(|_| AtomicU64::new(0)).collect())
    }

    /// The time of each step in the last run.
    pub fn times(&self) -> Vec<Duration> {
        let at = |i: usize| self.0[i].load(Ordering::Relaxed);
        (1..self.0.len()).map(|i| Duration::from_nanos(at(i) - at(i - 1))).collect()
    }
}

/// Notes the time that the first thread has run so far; called by generated code. The thread's own time does not count
/// what other programs on the machine take.
///
/// # Safety
/// `at` is a stamp of a live program.
unsafe extern "C" fn kiln_stamp(at: *const AtomicU64, thread: usize) {
    if thread != 0 {
        return;
    }
    // SAFETY: the caller's promise.
    unsafe { &*at }.store(thread_nanoseconds(), Ordering::Relaxed);
}

/// The time that this thread has run.
#[cfg(unix)]
fn thread_nanoseconds() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the call writes a time to the given place.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time) };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// The time since the first call: the nearest thing that the standard library has.
#[cfg(not(unix))]
fn thread_nanoseconds() -> u64 {
    static START: std::sync::OnceLock<std::time::Instant> = std::sync::OnceLock::new();
    START.get_or_init(std::time::Instant::now).elapsed().as_nanos() as u64
}

/// Copies `n_bytes` from the second pointer to the first; called by generated code.
///
/// # Safety
/// Both pointers are to buffers of so many bytes that do not overlap.
unsafe extern "C" fn kiln_copy(pointers: *const *mut u8, n_bytes: usize) {
    // SAFETY: the caller's promise.
    unsafe { std::ptr::copy_nonoverlapping((*pointers.add(1)).cast_const(), *pointers, n_bytes) }
}
