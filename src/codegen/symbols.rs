//! The functions outside of generated code that it calls, by name.

use cranelift_codegen::ir::{
    AbiParam, ExtFuncData, ExternalName, FuncRef, Function, Signature, Type, UserExternalName,
};
use cranelift_codegen::isa::CallConv;
use std::collections::HashMap;

/// Namespace of imported functions in generated code: their index is that in [`Symbols`], and their id in the module.
const NAMESPACE: u32 = 0;

/// A function to link against.
pub struct Symbol {
    /// Its unique name.
    pub name: String,
    /// Where it is in this process; null for a function of the module itself.
    pub address: *const u8,
    /// How it is called.
    pub signature: Signature,
}

/// All functions that are called, in order of their first mention.
#[derive(Default)]
pub struct Symbols {
    /// The functions; the position is the id in the module.
    pub list: Vec<Symbol>,
    by_name: HashMap<String, u32>,
}

impl Symbols {
    /// The reference by which a function under construction calls this symbol.
    pub fn import(
        &mut self,
        function: &mut Function,
        name: &str,
        address: *const u8,
        parameters: &[Type],
        returns: &[Type],
    ) -> FuncRef {
        let index = self.declare(name, address, parameters, returns, function.signature.call_conv);
        let signature = function.import_signature(self.list[index as usize].signature.clone());
        let name = function.declare_imported_user_function(UserExternalName::new(NAMESPACE, index));
        let data =
            ExtFuncData { name: ExternalName::User(name), signature, colocated: false, patchable: false };
        function.import_function(data)
    }

    /// The index of a symbol, which is added when it is new.
    pub fn declare(
        &mut self,
        name: &str,
        address: *const u8,
        parameters: &[Type],
        returns: &[Type],
        convention: CallConv,
    ) -> u32 {
        if let Some(&index) = self.by_name.get(name) {
            return index;
        }
        let mut signature = Signature::new(convention);
        signature.params.extend(parameters.iter().map(|&ty| AbiParam::new(ty)));
        signature.returns.extend(returns.iter().map(|&ty| AbiParam::new(ty)));
        let index = self.list.len() as u32;
        self.list.push(Symbol { name: name.to_string(), address, signature });
        self.by_name.insert(name.to_string(), index);
        index
    }
}
