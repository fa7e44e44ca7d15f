//! NAdam: Adam with Nesterov's momentum.

use super::{Optimizer, Setting, Slot, Updated, decayed};
use crate::tensor::Tensor;
use kiln_ir::DType;

/// NAdam, as `torch.optim.NAdam`, with `u(t) = beta1 * (1 - 0.96^(t * momentum_decay) / 2)`:
///
/// ```text
/// g = gradient + weight_decay * p
/// m = m + (g - m) * (1 - beta1)
/// v = v * beta2 + g * g * (1 - beta2)
/// c = c * u(t)
/// d = sqrt(v / (1 - beta2^t)) + eps
/// p = p - lr * (1 - u(t)) / (1 - c) * g / d - lr * u(t + 1) / (1 - c * u(t + 1)) * m / d
/// ```
///
/// `m` and `v` are kept for each parameter, in its shape, and the number `c`; `t` counts the steps from 1.
///
/// Source: Dozat, *Incorporating Nesterov Momentum into Adam*, 2016.
///
/// ```
/// let optimizer = kiln::optim::NAdam::new(2e-3);
/// ```
#[derive(Clone, Debug)]
pub struct NAdam {
    learning_rate: f64,
    beta1: f64,
    beta2: f64,
    eps: f64,
    weight_decay: f64,
    momentum_decay: f64,
}

impl NAdam {
    /// With this learning rate, betas 0.9 and 0.999, `eps` 1e-8, momentum decay 4e-3 and no weight decay.
    pub fn new(learning_rate: f64) -> NAdam {
        let (beta1, beta2, eps) = (0.9, 0.999, 1e-8);
        NAdam { learning_rate, beta1, beta2, eps, weight_decay: 0.0, momentum_decay: 4e-3 }
    }

    /// How much of the mean and of the mean square stays.
    pub fn betas(self, beta1: f64, beta2: f64) -> NAdam {
        NAdam { beta1, beta2, ..self }
    }

    /// What is added to the deviation.
    pub fn eps(self, eps: f64) -> NAdam {
        NAdam { eps, ..self }
    }

    /// How strongly the gradient pulls parameters to zero.
    pub fn weight_decay(self, weight_decay: f64) -> NAdam {
        NAdam { weight_decay, ..self }
    }

    /// How fast the momentum grows to `beta1`.
    pub fn momentum_decay(self, momentum_decay: f64) -> NAdam {
        NAdam { momentum_decay, ..self }
    }

    /// The momentum of a step.
    fn momentum(&self, step: &Tensor) -> Tensor {
        (1.0 - step.full_like(0.96).pow(step * self.momentum_decay) * 0.5) * self.beta1
    }
}

impl Optimizer for NAdam {
    fn name(&self) -> &'static str {
        "nadam"
    }

    fn learning_rate(&self) -> f64 {
        self.learning_rate
    }

    fn settings(&self) -> Vec<Setting> {
        vec![
            Setting::share("beta1", self.beta1),
            Setting::share("beta2", self.beta2),
            Setting::size("eps", self.eps),
            Setting::size("weight_decay", self.weight_decay),
            Setting::size("momentum_decay", self.momentum_decay),
        ]
    }

    fn slots(&self) -> Vec<Slot> {
        vec![Slot::new("exp_avg", 0.0), Slot::new("exp_avg_sq", 0.0), Slot::scalar("mu_product", 1.0)]
    }

    fn prepare(&self, learning_rate: &Tensor, step: &Tensor, dtype: DType) -> Vec<Tensor> {
        let correction = (1.0 - step.full_like(self.beta2).pow(step)).rsqrt().cast(dtype);
        vec![correction, learning_rate.clone(), self.momentum(step), self.momentum(&(step + 1.0))]
    }

    fn update(&self, shared: &[Tensor], parameter: &Tensor, gradient: &Tensor, slots: &[Tensor]) -> Updated {
        let ([correction, rate, now, next], [m, v, product]) = (shared, slots) else {
            panic!("internal error: NAdam has four scalars and three slots, not these; please report this")
        };
        let dtype = parameter.dtype();
        let gradient = decayed(gradient, parameter, self.weight_decay);
        let m = m + (&gradient - m) * (1.0 - self.beta1);
        let v = v * self.beta2 + &gradient * &gradient * (1.0 - self.beta2);
        let product = product * now;
        let of_gradient = (rate * (1.0 - now) / (1.0 - &product)).cast(dtype);
        let of_mean = (rate * next / (1.0 - &product * next)).cast(dtype);
        let deviation = v.sqrt() * correction + self.eps;
        let parameter = parameter - (gradient * of_gradient + &m * of_mean) / deviation;
        Updated { parameter, slots: vec![m, v, product] }
    }
}
