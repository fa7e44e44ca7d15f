//! Adagrad.

use super::{Optimizer, Setting, Slot, Updated, decayed};
use crate::tensor::Tensor;
use kiln_ir::DType;

/// Adagrad, as `torch.optim.Adagrad`:
///
/// ```text
/// g = gradient + weight_decay * p
/// s = s + g * g
/// p = p - lr / (1 + (t - 1) * lr_decay) * g / (sqrt(s) + eps)
/// ```
///
/// `s` is kept for each parameter, in its shape; `t` counts the steps from 1.
///
/// Source: Duchi, Hazan, Singer, *Adaptive Subgradient Methods*, 2011.
///
/// ```
/// let optimizer = kiln::optim::Adagrad::new(0.01).lr_decay(1e-3);
/// ```
#[derive(Clone, Debug)]
pub struct Adagrad {
    learning_rate: f64,
    lr_decay: f64,
    weight_decay: f64,
    initial: f64,
    eps: f64,
}

impl Adagrad {
    /// With this learning rate, `eps` 1e-10, and neither decay.
    pub fn new(learning_rate: f64) -> Adagrad {
        Adagrad { learning_rate, lr_decay: 0.0, weight_decay: 0.0, initial: 0.0, eps: 1e-10 }
    }

    /// How fast the learning rate falls by itself.
    pub fn lr_decay(self, lr_decay: f64) -> Adagrad {
        Adagrad { lr_decay, ..self }
    }

    /// How strongly the gradient pulls parameters to zero.
    pub fn weight_decay(self, weight_decay: f64) -> Adagrad {
        Adagrad { weight_decay, ..self }
    }

    /// What the sum of squares starts with.
    pub fn initial_accumulator(self, initial: f64) -> Adagrad {
        Adagrad { initial, ..self }
    }

    /// What is added to the root of the sum.
    pub fn eps(self, eps: f64) -> Adagrad {
        Adagrad { eps, ..self }
    }
}

impl Optimizer for Adagrad {
    fn name(&self) -> &'static str {
        "adagrad"
    }

    fn learning_rate(&self) -> f64 {
        self.learning_rate
    }

    fn settings(&self) -> Vec<Setting> {
        vec![
            Setting::size("lr_decay", self.lr_decay),
            Setting::size("weight_decay", self.weight_decay),
            Setting::size("initial_accumulator_value", self.initial),
            Setting::size("eps", self.eps),
        ]
    }

    fn slots(&self) -> Vec<Slot> {
        vec![Slot::new("sum", self.initial)]
    }

    fn prepare(&self, learning_rate: &Tensor, step: &Tensor, dtype: DType) -> Vec<Tensor> {
        vec![(learning_rate / (1.0 + (step - 1.0) * self.lr_decay)).cast(dtype)]
    }

    fn update(&self, shared: &[Tensor], parameter: &Tensor, gradient: &Tensor, slots: &[Tensor]) -> Updated {
        let gradient = decayed(gradient, parameter, self.weight_decay);
        let sum = &slots[0] + &gradient * &gradient;
        let parameter = parameter - gradient / (sum.sqrt() + self.eps) * &shared[0];
        Updated { parameter, slots: vec![sum] }
    }
}
