//! Lion: the sign of a momentum.

use super::{Optimizer, Setting, Slot, Updated, decayed};
use crate::tensor::Tensor;
use kiln_ir::DType;

/// Lion:
///
/// ```text
/// d = sign(beta1 * m + (1 - beta1) * g)
/// p = p - lr * (d + weight_decay * p)
/// m = beta2 * m + (1 - beta2) * g
/// ```
///
/// `m` is kept for each parameter, in its shape.
///
/// Source: Chen and others, *Symbolic Discovery of Optimization Algorithms*, 2023, algorithm 2.
///
/// ```
/// let optimizer = kiln::optim::Lion::new(1e-4).weight_decay(0.1);
/// ```
#[derive(Clone, Debug)]
pub struct Lion {
    learning_rate: f64,
    beta1: f64,
    beta2: f64,
    weight_decay: f64,
}

impl Lion {
    /// With this learning rate, a third to a tenth of what suits AdamW, betas 0.9 and 0.99 and no weight decay.
    pub fn new(learning_rate: f64) -> Lion {
        Lion { learning_rate, beta1: 0.9, beta2: 0.99, weight_decay: 0.0 }
    }

    /// How much of the momentum counts at a step, and how much of it stays.
    pub fn betas(self, beta1: f64, beta2: f64) -> Lion {
        Lion { beta1, beta2, ..self }
    }

    /// The share of a parameter that is taken away at each step, times the learning rate.
    pub fn weight_decay(self, weight_decay: f64) -> Lion {
        Lion { weight_decay, ..self }
    }
}

impl Optimizer for Lion {
    fn name(&self) -> &'static str {
        "lion"
    }

    fn learning_rate(&self) -> f64 {
        self.learning_rate
    }

    fn settings(&self) -> Vec<Setting> {
        vec![
            Setting::share("beta1", self.beta1),
            Setting::share("beta2", self.beta2),
            Setting::size("weight_decay", self.weight_decay),
        ]
    }

    fn slots(&self) -> Vec<Slot> {
        vec![Slot::new("exp_avg", 0.0)]
    }

    fn prepare(&self, learning_rate: &Tensor, _: &Tensor, dtype: DType) -> Vec<Tensor> {
        vec![learning_rate.cast(dtype)]
    }

    fn update(&self, shared: &[Tensor], parameter: &Tensor, gradient: &Tensor, slots: &[Tensor]) -> Updated {
        let mixed = |beta: f64| &slots[0] * beta + gradient * (1.0 - beta);
        let direction = decayed(&mixed(self.beta1).sign(), parameter, self.weight_decay);
        Updated { parameter: parameter - direction * &shared[0], slots: vec![mixed(self.beta2)] }
    }
}
