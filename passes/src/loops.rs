//! From a kernel to loops: index expressions, and the body of the loop nest as a short list of values.
//!
//! [`affine`] is the language of addresses, [`body`] the form that code generation reads, [`mod@build`] makes it from the
//! graph, [`layout`] merges and splits axes and chooses the one that vectors run along.

pub mod affine;
pub mod body;
pub mod build;
pub mod layout;
pub mod segments;
mod split;
pub mod view;

pub use affine::{Affine, Derived, Variable, Variables};
pub use body::{Accumulate, LoopBody, Reduction, ReductionKind, Store, Value, ValueId, ValueKind};
pub use build::build;

#[cfg(test)]
mod print;
#[cfg(test)]
mod tests;
