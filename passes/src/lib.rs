//! The passes of Kiln: the verbs. Graph in, better graph out.
//!
//! A pass rewrites a [`Graph`](kiln_ir::Graph) or derives something from it. Nothing in this crate knows a machine or
//! a user's tensor.
#![forbid(unsafe_code)]

pub mod contraction;
pub mod fuse;
pub mod gradient;
pub mod loops;
pub mod lower;
pub mod plan_memory;
pub mod schedule;
