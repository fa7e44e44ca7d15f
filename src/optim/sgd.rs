//! Stochastic gradient descent.

use super::{Optimizer, Setting, Slot, Updated, decayed};
use crate::tensor::Tensor;
use kiln_ir::DType;

/// Stochastic gradient descent with momentum, Nesterov's momentum and weight decay, as `torch.optim.SGD`:
///
/// ```text
/// g = gradient + weight_decay * p
/// b = momentum * b + (1 - dampening) * g      (g itself at the first step)
/// p = p - lr * (g + momentum * b  if nesterov, else b)
/// ```
///
/// `b` is kept for each parameter, in its shape, if there is momentum.
///
/// Source: Sutskever and others, *On the importance of initialization and momentum in deep learning*, 2013, in the
/// form that PyTorch documents, where the learning rate multiplies the momentum too.
///
/// ```
/// use kiln::prelude::*;
/// let optimizer = Sgd::new(0.1).momentum(0.9).weight_decay(5e-4);
/// ```
#[derive(Clone, Debug)]
pub struct Sgd {
    learning_rate: f64,
    momentum: f64,
    dampening: f64,
    weight_decay: f64,
    nesterov: bool,
}

impl Sgd {
    /// Plain descent with this learning rate.
    pub fn new(learning_rate: f64) -> Sgd {
        Sgd { learning_rate, momentum: 0.0, dampening: 0.0, weight_decay: 0.0, nesterov: false }
    }

    /// How much of the last direction stays.
    pub fn momentum(self, momentum: f64) -> Sgd {
        Sgd { momentum, ..self }
    }

    /// How much of the gradient is kept out of the momentum.
    pub fn dampening(self, dampening: f64) -> Sgd {
        Sgd { dampening, ..self }
    }

    /// How strongly parameters are pulled to zero.
    pub fn weight_decay(self, weight_decay: f64) -> Sgd {
        Sgd { weight_decay, ..self }
    }

    /// Whether the gradient is corrected by the momentum that it changes. Without dampening only, as in PyTorch.
    pub fn nesterov(self, nesterov: bool) -> Sgd {
        Sgd { nesterov, ..self }
    }
}

impl Optimizer for Sgd {
    fn name(&self) -> &'static str {
        "sgd"
    }

    fn learning_rate(&self) -> f64 {
        self.learning_rate
    }

    fn settings(&self) -> Vec<Setting> {
        vec![Setting::size("momentum", self.momentum), Setting::size("weight_decay", self.weight_decay)]
    }

    fn slots(&self) -> Vec<Slot> {
        if self.momentum == 0.0 { Vec::new() } else { vec![Slot::new("momentum", 0.0)] }
    }

    fn prepare(&self, learning_rate: &Tensor, step: &Tensor, dtype: DType) -> Vec<Tensor> {
        let mut shared = vec![learning_rate.cast(dtype)];
        // Without dampening a momentum that starts at zero becomes the gradient by itself.
        if self.momentum != 0.0 && self.dampening != 0.0 {
            shared.push(step.le(1.0));
        }
        shared
    }

    fn update(&self, shared: &[Tensor], parameter: &Tensor, gradient: &Tensor, slots: &[Tensor]) -> Updated {
        let decayed = decayed(gradient, parameter, self.weight_decay);
        let [old] = slots else {
            return Updated { parameter: parameter - decayed * &shared[0], slots: Vec::new() };
        };
        let kept = old * self.momentum;
        let momentum = match shared.get(1) {
            None => kept + &decayed,
            Some(is_first) => is_first.select(&decayed, kept + &decayed * (1.0 - self.dampening)),
        };
        let direction = if self.nesterov { decayed + &momentum * self.momentum } else { momentum.clone() };
        Updated { parameter: parameter - direction * &shared[0], slots: vec![momentum] }
    }
}
