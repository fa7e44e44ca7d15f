//! What has parameters, and what computes.

use super::Param;
use crate::tensor::Tensor;

/// Something that holds parameters: a layer, or a struct, vector or option of such.
///
/// Implement it with [`parameters!`](crate::parameters).
pub trait Module {
    /// Shows each parameter to the visitor, in a fixed order.
    fn visit<'m>(&'m self, visitor: &mut Visitor<'m>);
}

/// Something with parameters that computes one tensor from one tensor.
pub trait Model: Module {
    /// The prediction for a batch.
    fn forward(&self, x: &Tensor) -> Tensor;
}

/// Collects parameters with their names: the paths of fields, joined with dots.
pub struct Visitor<'m> {
    path: String,
    found: Vec<(String, &'m Param)>,
}

impl<'m> Visitor<'m> {
    /// Visits a part of a module, under its name.
    pub fn child(&mut self, name: &str, module: &'m (impl Module + ?Sized)) {
        let outer = self.path.len();
        if outer > 0 {
            self.path.push('.');
        }
        self.path.push_str(name);
        module.visit(self);
        self.path.truncate(outer);
    }
}

/// The parameters of a module with their names, in the order of its fields.
pub fn parameters_of(module: &(impl Module + ?Sized)) -> Vec<(String, &Param)> {
    let mut visitor = Visitor { path: String::new(), found: Vec::new() };
    module.visit(&mut visitor);
    visitor.found
}

impl Module for Param {
    fn visit<'m>(&'m self, visitor: &mut Visitor<'m>) {
        visitor.found.push((visitor.path.clone(), self));
    }
}

impl<M: Module> Module for Vec<M> {
    fn visit<'m>(&'m self, visitor: &mut Visitor<'m>) {
        for (i, module) in self.iter().enumerate() {
            visitor.child(&i.to_string(), module);
        }
    }
}

impl<M: Module> Module for Option<M> {
    fn visit<'m>(&'m self, visitor: &mut Visitor<'m>) {
        if let Some(module) = self {
            module.visit(visitor);
        }
    }
}

impl<M: Module + ?Sized> Module for Box<M> {
    fn visit<'m>(&'m self, visitor: &mut Visitor<'m>) {
        M::visit(self, visitor);
    }
}

/// Implements [`Module`](crate::nn::Module) for a struct: `parameters!(Mlp { fc1, fc2 })` names its fields that hold
/// parameters.
///
/// The parameters get the names `fc1.weight`, `fc1.bias` and so on, as in PyTorch's `state_dict`.
#[macro_export]
macro_rules! parameters {
    ($type:ty { $($field:ident),* $(,)? }) => {
        impl $crate::nn::Module for $type {
            fn visit<'m>(&'m self, visitor: &mut $crate::nn::Visitor<'m>) {
                $(visitor.child(stringify!($field), &self.$field);)*
                // Without fields the visitor is not used.
                let _ = visitor;
            }
        }
    };
}
