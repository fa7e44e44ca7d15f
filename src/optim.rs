//! Optimizers: how a parameter follows its gradient, as more graph.
//!
//! An optimizer is a few lines over tensors, traced into the training program after the gradient. What it keeps
//! between steps (momenta) is state of the program. The learning rate and the number of the step are scalars of the
//! state, so that changing the rate compiles nothing.

mod adadelta;
mod adagrad;
mod adam;
mod lion;
mod nadam;
mod rmsprop;
mod schedule;
mod sgd;

pub use adadelta::Adadelta;
pub use adagrad::Adagrad;
pub use adam::{Adam, AdamW};
pub use lion::Lion;
pub use nadam::NAdam;
pub use rmsprop::RmsProp;
pub use schedule::{Cosine, Every, Exponential, OneCycle, Plateau, Schedule, Steps};
pub use sgd::Sgd;

use crate::tensor::Tensor;
use kiln_ir::{DType, TensorType};

/// What an optimizer keeps for each parameter.
#[derive(Clone, Debug, PartialEq)]
pub struct Slot {
    /// The name, after that of the parameter: `fc1.weight.momentum`.
    pub name: &'static str,
    /// What every element starts with.
    pub initial: f64,
    /// Whether it is one number, an `f64`, instead of a tensor of the parameter's type.
    pub is_scalar: bool,
}

impl Slot {
    /// A tensor of the parameter's type.
    pub fn new(name: &'static str, initial: f64) -> Slot {
        Slot { name, initial, is_scalar: false }
    }

    /// One `f64`.
    pub fn scalar(name: &'static str, initial: f64) -> Slot {
        Slot { name, initial, is_scalar: true }
    }

    /// The type for a parameter.
    pub(crate) fn ty(&self, parameter: &TensorType) -> TensorType {
        if self.is_scalar { TensorType::scalar(DType::F64) } else { parameter.clone() }
    }
}

/// A number that an optimizer was given, and what it may be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Setting {
    /// Its name, as PyTorch calls it.
    pub name: &'static str,
    /// What it is.
    pub value: f64,
    /// Whether it must be less than 1, as the share of the past in an average.
    pub below_one: bool,
}

impl Setting {
    /// A number that must not be negative.
    pub fn size(name: &'static str, value: f64) -> Setting {
        Setting { name, value, below_one: false }
    }

    /// A number that must be in `[0, 1)`.
    pub fn share(name: &'static str, value: f64) -> Setting {
        Setting { name, value, below_one: true }
    }

    /// What is wrong with it. NaN is, everywhere.
    pub(crate) fn problem(&self) -> Option<String> {
        let Setting { name, value, below_one } = *self;
        let is_right = value >= 0.0 && !(below_one && value >= 1.0);
        let wanted = if below_one { "in [0, 1)" } else { "a number that is not negative" };
        (!is_right).then(|| format!("`{name}` is {value}; it must be {wanted}"))
    }
}

/// A gradient with the pull of a weight decay to zero.
#[track_caller]
fn decayed(gradient: &Tensor, parameter: &Tensor, weight_decay: f64) -> Tensor {
    if weight_decay == 0.0 { gradient.clone() } else { gradient + parameter * weight_decay }
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

    /// The other numbers that it was given, which are checked before anything is compiled; the learning rate always is.
    fn settings(&self) -> Vec<Setting> {
        Vec::new()
    }

    /// What is kept for each parameter.
    fn slots(&self) -> Vec<Slot>;

    /// Scalars that all parameters of an element type share, from the learning rate and the number of the step,
    /// which is 1 at the first (both `f64[]`).
    fn prepare(&self, learning_rate: &Tensor, step: &Tensor, dtype: DType) -> Vec<Tensor>;

    /// The update of one parameter; `shared` is from [`prepare`](Optimizer::prepare).
    fn update(&self, shared: &[Tensor], parameter: &Tensor, gradient: &Tensor, slots: &[Tensor]) -> Updated;
}
