//! Compiles functions on several threads, beginning while others are still generated.

use super::target::Target;
use cranelift_codegen::Context;
use cranelift_codegen::control::ControlPlane;
use cranelift_codegen::ir::{Function, Signature};
use cranelift_module::{FuncId, ModuleReloc};
use std::collections::BinaryHeap;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, Scope, ScopedJoinHandle};

/// A function as machine code.
pub struct Compiled {
    pub name: String,
    pub signature: Signature,
    pub alignment: u64,
    pub bytes: Vec<u8>,
    pub relocations: Vec<ModuleReloc>,
    /// What it was made of and what it became, when that is asked for.
    pub text: Option<FunctionText>,
}

/// The text of a function.
pub struct FunctionText {
    pub clif: String,
    pub assembly: String,
}

/// Calls `generate` with what takes the functions that it generates, and compiles these on as many threads as there are
/// cores. The functions come back in the order in which they were given.
pub fn compile<T>(
    target: &Target,
    keep_text: bool,
    generate: impl FnOnce(&mut Compiler<'_, '_>) -> T,
) -> (T, Vec<Compiled>) {
    let queue = Queue { target, keep_text, state: Mutex::default(), changed: Condvar::new() };
    thread::scope(|scope| {
        let most = thread::available_parallelism().map_or(1, usize::from);
        let mut compiler = Compiler { queue: &queue, scope, threads: Vec::new(), most, n_given: 0 };
        let open = Open(&queue);
        let generated = generate(&mut compiler);
        drop(open);
        let mut all = queue.work();
        for thread in compiler.threads {
            all.extend(thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        }
        all.sort_unstable_by_key(|&(position, _)| position);
        (generated, all.into_iter().map(|(_, compiled)| compiled).collect())
    })
}

/// Takes functions to be compiled.
pub struct Compiler<'scope, 'env> {
    queue: &'scope Queue<'env>,
    scope: &'scope Scope<'scope, 'env>,
    threads: Vec<ScopedJoinHandle<'scope, Vec<(usize, Compiled)>>>,
    /// How many threads compile at most, that which generates included.
    most: usize,
    n_given: usize,
}

impl Compiler<'_, '_> {
    /// Has a function compiled.
    pub fn add(&mut self, name: String, function: Function) {
        let size = function.dfg.num_insts();
        let position = self.n_given;
        self.n_given += 1;
        let job = Job { size, position, name, function: Box::new(function) };
        self.queue.state().waiting.push(job);
        self.queue.changed.notify_one();
        // The first function alone is compiled by this thread in the time in which another would start.
        if self.n_given > 1 && self.threads.len() + 1 < self.most {
            let queue = self.queue;
            self.threads.push(self.scope.spawn(move || queue.work()));
        }
    }
}

/// A function that waits to be compiled.
struct Job {
    size: usize,
    position: usize,
    name: String,
    function: Box<Function>,
}

impl Ord for Job {
    fn cmp(&self, other: &Job) -> std::cmp::Ordering {
        (self.size, other.position).cmp(&(other.size, self.position))
    }
}

impl PartialOrd for Job {
    fn partial_cmp(&self, other: &Job) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Job {
    fn eq(&self, other: &Job) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Job {}

/// What the threads share.
struct Queue<'a> {
    target: &'a Target,
    keep_text: bool,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// The largest comes first, so that the last ones that threads are busy with are small.
    waiting: BinaryHeap<Job>,
    /// Whether no more functions come.
    is_complete: bool,
}

/// Functions may come as long as this lives.
struct Open<'a>(&'a Queue<'a>);

impl Drop for Open<'_> {
    /// Also when generating panics: the threads must not wait for ever.
    fn drop(&mut self) {
        self.0.state().is_complete = true;
        self.0.changed.notify_all();
    }
}

impl Queue<'_> {
    /// Nothing panics with the lock.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Compiles functions until no more come: each with its position among all.
    fn work(&self) -> Vec<(usize, Compiled)> {
        let mut done = Vec::new();
        let mut context = Context::new();
        while let Some(job) = self.next() {
            context.clear();
            context.func = *job.function;
            done.push((job.position, self.compile_one(job.name, &mut context)));
        }
        done
    }

    fn next(&self) -> Option<Job> {
        let mut state = self.state();
        loop {
            if let Some(job) = state.waiting.pop() {
                return Some(job);
            }
            if state.is_complete {
                return None;
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn compile_one(&self, name: String, context: &mut Context) -> Compiled {
        let clif = self.keep_text.then(|| context.func.display().to_string());
        context.set_disasm(self.keep_text);
        if let Err(error) = context.compile(&*self.target.isa, &mut ControlPlane::default()) {
            let error = error.inner;
            panic!(
                "internal error: kernel `{name}` is not valid code: {error:?}; please report this\n{}",
                context.func
            );
        }
        let code = context.compiled_code().expect("just compiled");
        // Relocations name functions by index; the id given here would be that of the function itself, which none calls.
        let own = FuncId::from_u32(u32::MAX - 1);
        let relocations = code.buffer.relocs().iter();
        Compiled {
            alignment: code.buffer.alignment as u64,
            bytes: code.code_buffer().to_vec(),
            relocations: relocations.map(|r| ModuleReloc::from_mach_reloc(r, &context.func, own)).collect(),
            text: clif.zip(code.vcode.clone()).map(|(clif, assembly)| FunctionText { clif, assembly }),
            signature: context.func.signature.clone(),
            name,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::isa::Isa;
    use cranelift_codegen::cursor::{Cursor, FuncCursor};
    use cranelift_codegen::ir::InstBuilder;
    use cranelift_codegen::ir::types::I64;

    /// A function that adds up some constants.
    fn function(n: usize) -> Function {
        let mut function = Function::new();
        let block = function.dfg.make_block();
        let mut cursor = FuncCursor::new(&mut function);
        cursor.insert_block(block);
        let mut sum = cursor.ins().iconst(I64, 1);
        for i in 0..n {
            sum = cursor.ins().iadd_imm_s(sum, i as i64);
        }
        cursor.ins().return_(&[]);
        function
    }

    #[test]
    fn functions_come_back_in_the_order_in_which_they_were_given() {
        let target = Target::new(Isa::Portable, true);
        for n in [0, 1, 2, 40] {
            let (answer, compiled) = compile(&target, false, |compiler| {
                (0..n).for_each(|i| compiler.add(format!("f{i}"), function(7 * i % 40)));
                42
            });
            let names: Vec<String> = compiled.iter().map(|compiled| compiled.name.clone()).collect();
            assert_eq!(names, (0..n).map(|i| format!("f{i}")).collect::<Vec<_>>());
            assert!(answer == 42 && compiled.iter().all(|compiled| !compiled.bytes.is_empty()));
        }
    }

    #[test]
    #[should_panic(expected = "no more")]
    fn threads_do_not_wait_for_a_generator_that_panics() {
        compile(&Target::new(Isa::Portable, true), false, |compiler| -> () {
            (0..3).for_each(|i| compiler.add(format!("f{i}"), function(i)));
            panic!("no more")
        });
    }
}
