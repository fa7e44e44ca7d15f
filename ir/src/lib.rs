//! The intermediate representation of Kiln: the nouns.
//!
//! A [`Graph`] is a static dataflow graph of tensor operations. Every node has one [`Op`], an ordered list
//! of operands and one result of a known [`TensorType`]; a node's id is its value's id. Broadcasts, casts and
//! axis order are explicit nodes: no op does any of them implicitly.
//!
//! Nothing in this crate knows a machine, a thread or a user's tensor. What is true of an op on every machine
//! (its name, type rule, reference value and gradient) is in one file of its family under [`op`].
#![forbid(unsafe_code)]

mod attributes;
pub mod compare;
pub mod data;
pub mod dtype;
pub mod emit;
pub mod error;
pub mod graph;
pub mod interpret;
pub mod kernel;
pub mod literal;
pub mod names;
pub mod op;
pub mod parse;
pub mod print;
pub mod random_graph;
mod same;
pub mod shape;
pub mod source;
pub mod tensor_type;
pub mod verify;
pub mod visualize;

pub use compare::{Difference, Tolerance, compare, random_data};
pub use data::{Element, TensorData};
pub use dtype::DType;
pub use emit::Emit;
pub use error::TypeError;
pub use graph::{Graph, Node, NodeId, Output};
pub use interpret::{
    InterpretError, evaluate, evaluate_loop, evaluate_loop_with, interpret, interpret_all, interpret_observed,
};
pub use literal::Literal;
pub use names::Names;
pub use op::Op;
pub use parse::{ParseError, parse};
pub use print::{PrintOptions, print_with};
pub use shape::{Axes, Shape};
pub use source::Source;
pub use tensor_type::TensorType;
pub use verify::{VerifyError, verify};
pub use visualize::graphviz;
