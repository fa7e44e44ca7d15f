//! The machine's own code: what generated code calls because no code generator would write it as well.
//!
//! Everything here is a function over raw pointers and plain data, compiled once per instruction set ([`isa::Isa`])
//! and chosen when the program starts. Nothing here allocates, blocks or knows the graph.

pub mod conv;
pub mod gemm;
pub mod isa;
pub mod math;
mod part;
pub mod random;
mod simd;
pub mod sort;
#[cfg(test)]
mod testing;
