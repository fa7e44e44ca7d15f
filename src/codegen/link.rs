//! Compiles functions on several threads and links them into executable memory.

use super::symbols::Symbols;
use super::target::Target;
use cranelift_codegen::Context;
use cranelift_codegen::control::ControlPlane;
use cranelift_codegen::ir::Function;
use cranelift_jit::{ArenaMemoryProvider, JITBuilder, JITModule};
use cranelift_module::{FuncId, Linkage, Module, ModuleReloc, default_libcall_names};
use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Executable memory with the functions of a program. Freed when dropped.
pub struct Code {
    module: Option<JITModule>,
    functions: HashMap<String, (FuncId, usize)>,
}

// SAFETY: finished code is read and executed only; the module behind it is touched again only when it is dropped.
unsafe impl Send for Code {}
// SAFETY: as above.
unsafe impl Sync for Code {}

impl Code {
    /// The address of a function.
    pub fn address(&self, name: &str) -> *const u8 {
        let module = self.module.as_ref().expect("the module lives until the drop");
        module.get_finalized_function(self.functions[name].0)
    }

    /// Bytes of machine code.
    pub fn n_bytes(&self) -> usize {
        self.functions.values().map(|function| function.1).sum()
    }
}

impl Drop for Code {
    fn drop(&mut self) {
        if let Some(module) = self.module.take() {
            // SAFETY: whoever can call the functions holds this value, so that none is running.
            unsafe { module.free_memory() };
        }
    }
}

/// A function as machine code.
struct Compiled {
    alignment: u64,
    bytes: Vec<u8>,
    relocations: Vec<ModuleReloc>,
    assembly: Option<String>,
}

/// Compiles named functions, links them with the symbols they call, and makes them executable. With `assembly`, also
/// returns their text.
pub fn link(
    functions: Vec<(String, Function)>,
    symbols: &Symbols,
    target: &Target,
    assembly: bool,
) -> (Code, Vec<(String, String)>) {
    let compiled = compile(&functions, target, assembly);
    let mut builder = JITBuilder::with_isa(target.isa.clone(), default_libcall_names());
    let reserve = compiled.iter().map(|c| c.bytes.len() + 64).sum::<usize>() + (1 << 16);
    let arena = ArenaMemoryProvider::new_with_size(reserve).expect("address space for the program's code");
    builder.memory_provider(Box::new(arena));
    for symbol in symbols.list.iter().filter(|symbol| !symbol.address.is_null()) {
        builder.symbol(&symbol.name, symbol.address);
    }
    register_libcalls(&mut builder);
    let mut module = JITModule::new(builder);
    for (i, symbol) in symbols.list.iter().enumerate() {
        let linkage = if symbol.address.is_null() { Linkage::Local } else { Linkage::Import };
        let id = module
            .declare_function(&symbol.name, linkage, &symbol.signature)
            .expect("symbols have unique names");
        assert_eq!(id.as_u32() as usize, i, "symbols are declared first, in order");
    }
    let mut text = Vec::new();
    let mut table = HashMap::new();
    for ((name, function), code) in functions.into_iter().zip(compiled) {
        let id =
            module.declare_function(&name, Linkage::Local, &function.signature).expect("names are unique");
        module.define_function_bytes(id, code.alignment, &code.bytes, &code.relocations).unwrap_or_else(
            |error| panic!("internal error: `{name}` does not link: {error}; please report this"),
        );
        table.insert(name.clone(), (id, code.bytes.len()));
        text.extend(code.assembly.map(|assembly| (name, assembly)));
    }
    module.finalize_definitions().expect("all functions are defined and the symbols are there");
    (Code { module: Some(module), functions: table }, text)
}

/// Cranelift calls these where the machine lacks an instruction, by name.
fn register_libcalls(builder: &mut JITBuilder) {
    let f32s: [(&str, extern "C" fn(f32) -> f32); 4] =
        [("ceilf", ceilf), ("floorf", floorf), ("truncf", truncf), ("nearbyintf", nearbyintf)];
    let f64s: [(&str, extern "C" fn(f64) -> f64); 4] =
        [("ceil", ceil), ("floor", floor), ("trunc", trunc), ("nearbyint", nearbyint)];
    for (name, function) in f32s {
        builder.symbol(name, function as *const u8);
    }
    for (name, function) in f64s {
        builder.symbol(name, function as *const u8);
    }
}

macro_rules! libcalls {
    ($($name:ident($ty:ty) = $function:expr),* $(,)?) => {$(
        extern "C" fn $name(x: $ty) -> $ty {
            $function(x)
        }
    )*};
}
libcalls! {
    ceilf(f32) = f32::ceil, floorf(f32) = f32::floor, truncf(f32) = f32::trunc, nearbyintf(f32) = f32::round_ties_even,
    ceil(f64) = f64::ceil, floor(f64) = f64::floor, trunc(f64) = f64::trunc, nearbyint(f64) = f64::round_ties_even,
}

/// Compiles functions on as many threads as there are cores, each taking the next one.
fn compile(functions: &[(String, Function)], target: &Target, assembly: bool) -> Vec<Compiled> {
    let n_threads = std::thread::available_parallelism().map_or(1, usize::from).min(functions.len().max(1));
    let next = AtomicUsize::new(0);
    let worker = || {
        let mut done = Vec::new();
        let mut context = Context::new();
        loop {
            let i = next.fetch_add(1, Ordering::Relaxed);
            let Some((name, function)) = functions.get(i) else { return done };
            context.clear();
            context.func = function.clone();
            context.set_disasm(assembly);
            done.push((i, compile_one(name, &mut context, target)));
        }
    };
    let mut all: Vec<(usize, Compiled)> = std::thread::scope(|scope| {
        let others: Vec<_> = (1..n_threads).map(|_| scope.spawn(worker)).collect();
        let mut all = worker();
        all.extend(others.into_iter().flat_map(|thread| thread.join().expect("a compiling thread panicked")));
        all
    });
    all.sort_unstable_by_key(|(i, _)| *i);
    all.into_iter().map(|(_, compiled)| compiled).collect()
}

fn compile_one(name: &str, context: &mut Context, target: &Target) -> Compiled {
    if let Err(error) = context.compile(&*target.isa, &mut ControlPlane::default()) {
        let error = error.inner;
        panic!(
            "internal error: kernel `{name}` is not valid code: {error:?}; please report this\n{}",
            context.func
        );
    }
    let code = context.compiled_code().expect("just compiled");
    // Relocations name functions by index; the id given here would be that of the function itself, which none calls.
    let own = FuncId::from_u32(u32::MAX - 1);
    Compiled {
        alignment: code.buffer.alignment as u64,
        bytes: code.code_buffer().to_vec(),
        relocations: code
            .buffer
            .relocs()
            .iter()
            .map(|r| ModuleReloc::from_mach_reloc(r, &context.func, own))
            .collect(),
        assembly: code.vcode.clone(),
    }
}
