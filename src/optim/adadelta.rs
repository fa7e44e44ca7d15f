//! Adadelta.

use super::{Optimizer, Setting, Slot, Updated, decayed};
use crate::tensor::Tensor;
use kiln_ir::DType;

/// Adadelta, as `torch.optim.Adadelta`:
///
/// ```text
/// g = gradient + weight_decay * p
/// s = rho * s + (1 - rho) * g * g
/// d = sqrt(a + eps) / sqrt(s + eps) * g
/// a = rho * a + (1 - rho) * d * d
/// p = p - lr * d
/// ```
///
/// `s` and `a` are kept for each parameter, in its shape.
///
/// Source: Zeiler, *ADADELTA: An Adaptive Learning Rate Method*, 2012; the learning rate is PyTorch's addition.
///
/// ```
/// let optimizer = kiln::optim::Adadelta::new(1.0).rho(0.95);
/// ```
#[derive(Clone, Debug)]
pub struct Adadelta {
    learning_rate: f64,
    rho: f64,
    eps: f64,
    weight_decay: f64,
}

impl Adadelta {
    /// With this learning rate (1 is usual), `rho` 0.9, `eps` 1e-6 and no weight decay.
    pub fn new(learning_rate: f64) -> Adadelta {
        Adadelta { learning_rate, rho: 0.9, eps: 1e-6, weight_decay: 0.0 }
    }

    /// How much of the mean squares stays.
    pub fn rho(self, rho: f64) -> Adadelta {
        Adadelta { rho, ..self }
    }

    /// What is added to the mean squares.
    pub fn eps(self, eps: f64) -> Adadelta {
        Adadelta { eps, ..self }
    }

    /// How strongly the gradient pulls parameters to zero.
    pub fn weight_decay(self, weight_decay: f64) -> Adadelta {
        Adadelta { weight_decay, ..self }
    }
}

impl Optimizer for Adadelta {
    fn name(&self) -> &'static str {
        "adadelta"
    }

    fn learning_rate(&self) -> f64 {
        self.learning_rate
    }

    fn settings(&self) -> Vec<Setting> {
        vec![
            Setting::size("eps", self.eps),
            Setting::size("weight_decay", self.weight_decay),
            Setting::share("rho", self.rho),
        ]
    }

    fn slots(&self) -> Vec<Slot> {
        vec![Slot::new("square_avg", 0.0), Slot::new("acc_delta", 0.0)]
    }

    fn prepare(&self, learning_rate: &Tensor, _: &Tensor, dtype: DType) -> Vec<Tensor> {
        vec![learning_rate.cast(dtype)]
    }

    fn update(&self, shared: &[Tensor], parameter: &Tensor, gradient: &Tensor, slots: &[Tensor]) -> Updated {
        let gradient = decayed(gradient, parameter, self.weight_decay);
        let mean_square = |old: &Tensor, x: &Tensor| old * self.rho + x * x * (1.0 - self.rho);
        let square = mean_square(&slots[0], &gradient);
        let delta = (&slots[1] + self.eps).sqrt() / (&square + self.eps).sqrt() * &gradient;
        let moved = mean_square(&slots[1], &delta);
        Updated { parameter: parameter - delta * &shared[0], slots: vec![square, moved] }
    }
}
