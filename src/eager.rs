//! Eager execution: each op is computed when it is recorded.
//!
//! The trace is the tape: the same graph that a compiled program is made of, with a value beside each node. So the
//! gradient rules and the optimizers are the same code in both modes.

pub mod compiled;

pub use compiled::CompiledEvaluator;

use kiln_ir::{Op, TensorData, TensorType};
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

/// A value computed eagerly. Shared: a tensor, the tape and the state hold the same buffer.
pub type Value = Arc<TensorData>;

/// Computes one op at a time.
pub trait Evaluator {
    /// The value of `op` on these operands; `result` is the type it has by the op's type rule.
    fn evaluate(&mut self, op: &Op, operands: &[&Value], result: &TensorType) -> Value;
}

/// An evaluator that several traces use one after the other: it keeps what it compiled.
pub type SharedEvaluator = Rc<RefCell<dyn Evaluator>>;
