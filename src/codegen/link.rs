//! Links compiled functions into executable memory.

use super::compiler::Compiled;
use super::symbols::Symbols;
use super::target::Target;
use cranelift_jit::{ArenaMemoryProvider, JITBuilder, JITModule};
use cranelift_module::{FuncId, Linkage, Module, default_libcall_names};
use std::collections::HashMap;

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

/// Links compiled functions with the symbols they call, and makes them executable.
pub fn link(compiled: &[Compiled], symbols: &Symbols, target: &Target) -> Code {
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
    let mut functions = HashMap::new();
    for Compiled { name, signature, alignment, bytes, relocations, .. } in compiled {
        let id = module.declare_function(name, Linkage::Local, signature).expect("names are unique");
        module.define_function_bytes(id, *alignment, bytes, relocations).unwrap_or_else(|error| {
            panic!("internal error: `{name}` does not link: {error}; please report this")
        });
        functions.insert(name.clone(), (id, bytes.len()));
    }
    module.finalize_definitions().expect("all functions are defined and the symbols are there");
    Code { module: Some(module), functions }
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
