//! Code generation: kernels to machine code, with Cranelift. The only module that knows it.
//!
//! [`nest`] makes the loop nest of a kernel, [`walk`] one walk along its vector axis, [`emit`] the values at a place,
//! [`ops`] the instructions of an op. [`contraction`] calls the tiles, [`steps`] makes a function of each kernel, [`barriers`] decides where
//! threads meet, [`driver`] strings the kernels together, [`compiler`] makes machine code of
//! each function, [`link`] executable memory of all.

mod barriers;
pub(crate) mod compiler;
pub(crate) mod contraction;
pub(crate) mod driver;
mod emit;
pub(crate) mod link;
pub(crate) mod nest;
mod ops;
pub(crate) mod sort;
pub(crate) mod steps;
pub(crate) mod symbols;
pub(crate) mod target;
mod walk;
