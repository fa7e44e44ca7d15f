//! Optimizers: how a parameter follows its gradient, as more graph.
//!
//! An optimizer is a few lines over tensors, traced into the training program after the gradient. What it keeps
//! between steps (momenta) is state of the program. The learning rate and the number of the step are scalars of the
//! state, so that changing the rate compiles nothing.

mod adam;
mod sgd;

pub use adam::{Adam, AdamW};
pub use sgd::Sgd;

use crate::tensor::Tensor;
use kiln_ir::DType;

/// A tensor that an optimizer keeps for each parameter, in the parameter's type.
#[derive(Clone, Debug, PartialEq)]
pub struct Slot {
    /// The name, after that of the parameter: `fc1.weight.momentum`.
    pub name: &'static str,
    /// What every element starts with.
    pub initial: f64,
}

/// What an update yields.
#[derive(Clone, Debug)]
pub struct Updated {
    /// The next value of the parameter.
    pub parameter: Tensor,
    /// The next value of each slot.
    pub slots: Vec<Tensor>,
}

/// A rule that moves parameters along their gradients.
pub trait Optimizer {
    /// The name, for values of the graph.
    fn name(&self) -> &'static str;

    /// The learning rate to start with.
    fn learning_rate(&self) -> f64;

    /// What is kept for each parameter.
    fn slots(&self) -> Vec<Slot>;

    /// Scalars that all parameters of an element type share, from the learning rate and the number of the step,
    /// which is 1 at the first (both `f64[]`).
    fn prepare(&self, learning_rate: &Tensor, step: &Tensor, dtype: DType) -> Vec<Tensor>;

    /// The update of one parameter; `shared` is from [`prepare`](Optimizer::prepare).
    fn update(&self, shared: &[Tensor], parameter: &Tensor, gradient: &Tensor, slots: &[Tensor]) -> Updated;
}
