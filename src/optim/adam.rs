//! Adam and AdamW.

use super::{Optimizer, Slot, Updated};
use crate::tensor::Tensor;
use kiln_ir::DType;

/// Adam, as `torch.optim.Adam`:
///
/// ```text
/// g = gradient + weight_decay * p
/// m = m + (g - m) * (1 - beta1)
/// v = v * beta2 + g * g * (1 - beta2)
/// p = p - lr / (1 - beta1^t) * m / (sqrt(v) / sqrt(1 - beta2^t) + eps)
/// ```
///
/// Source: Kingma and Ba, *Adam: A Method for Stochastic Optimization*, 2015; where `eps` stands is PyTorch's choice.
///
/// ```
/// use kiln::prelude::*;
/// let optimizer = Adam::new(1e-3).betas(0.9, 0.99);
/// ```
#[derive(Clone, Debug)]
pub struct Adam(Settings);

/// Adam whose weight decay does not pass through the momenta, as `torch.optim.AdamW`: `p = p - lr * weight_decay * p`
/// before the step of [`Adam`].
///
/// Source: Loshchilov and Hutter, *Decoupled Weight Decay Regularization*, 2019.
#[derive(Clone, Debug)]
pub struct AdamW(Settings);

#[derive(Clone, Debug)]
struct Settings {
    learning_rate: f64,
    beta1: f64,
    beta2: f64,
    eps: f64,
    weight_decay: f64,
}

impl Settings {
    fn new(learning_rate: f64, weight_decay: f64) -> Settings {
        Settings { learning_rate, beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay }
    }

    /// The size of the step and the correction of the deviations; in `f64`, because `1 - beta2^t` is a small
    /// difference at the first steps.
    fn prepare(&self, learning_rate: &Tensor, step: &Tensor, dtype: DType) -> Vec<Tensor> {
        let power = |beta: f64| step.full_like(beta).pow(step);
        let step_size = learning_rate / (1.0 - power(self.beta1));
        let correction = (1.0 - power(self.beta2)).rsqrt();
        vec![step_size.cast(dtype), correction.cast(dtype)]
    }

    /// The moved parameter and the next momenta.
    fn step(&self, shared: &[Tensor], parameter: &Tensor, gradient: &Tensor, slots: &[Tensor]) -> Updated {
        let ([step_size, correction, ..], [m, v]) = (shared, slots) else {
            panic!("internal error: Adam has two scalars and two slots, not these; please report this")
        };
        let m = m + (gradient - m) * (1.0 - self.beta1);
        let v = v * self.beta2 + gradient * gradient * (1.0 - self.beta2);
        let deviation = v.sqrt() * correction + self.eps;
        Updated { parameter: parameter - (&m / deviation) * step_size, slots: vec![m, v] }
    }
}

fn momenta() -> Vec<Slot> {
    // The names of PyTorch's optimizer state.
    vec![Slot { name: "exp_avg", initial: 0.0 }, Slot { name: "exp_avg_sq", initial: 0.0 }]
}

impl Adam {
    /// With this learning rate, betas 0.9 and 0.999, `eps` 1e-8 and no weight decay.
    pub fn new(learning_rate: f64) -> Adam {
        Adam(Settings::new(learning_rate, 0.0))
    }

    /// How much of the mean and of the mean square stays.
    pub fn betas(self, beta1: f64, beta2: f64) -> Adam {
        Adam(Settings { beta1, beta2, ..self.0 })
    }

    /// What is added to the deviation.
    pub fn eps(self, eps: f64) -> Adam {
        Adam(Settings { eps, ..self.0 })
    }

    /// How strongly the gradient pulls parameters to zero.
    pub fn weight_decay(self, weight_decay: f64) -> Adam {
        Adam(Settings { weight_decay, ..self.0 })
    }
}

impl Optimizer for Adam {
    fn name(&self) -> &'static str {
        "adam"
    }

    fn learning_rate(&self) -> f64 {
        self.0.learning_rate
    }

    fn slots(&self) -> Vec<Slot> {
        momenta()
    }

    fn prepare(&self, learning_rate: &Tensor, step: &Tensor, dtype: DType) -> Vec<Tensor> {
        self.0.prepare(learning_rate, step, dtype)
    }

    fn update(&self, shared: &[Tensor], parameter: &Tensor, gradient: &Tensor, slots: &[Tensor]) -> Updated {
        match self.0.weight_decay {
            0.0 => self.0.step(shared, parameter, gradient, slots),
            decay => self.0.step(shared, parameter, &(gradient + parameter * decay), slots),
        }
    }
}

impl AdamW {
    /// With this learning rate, betas 0.9 and 0.999, `eps` 1e-8 and a weight decay of 0.01.
    pub fn new(learning_rate: f64) -> AdamW {
        AdamW(Settings::new(learning_rate, 0.01))
    }

    /// How much of the mean and of the mean square stays.
    pub fn betas(self, beta1: f64, beta2: f64) -> AdamW {
        AdamW(Settings { beta1, beta2, ..self.0 })
    }

    /// What is added to the deviation.
    pub fn eps(self, eps: f64) -> AdamW {
        AdamW(Settings { eps, ..self.0 })
    }

    /// The share of a parameter that is taken away at each step, times the learning rate.
    pub fn weight_decay(self, weight_decay: f64) -> AdamW {
        AdamW(Settings { weight_decay, ..self.0 })
    }
}

impl Optimizer for AdamW {
    fn name(&self) -> &'static str {
        "adamw"
    }

    fn learning_rate(&self) -> f64 {
        self.0.learning_rate
    }

    fn slots(&self) -> Vec<Slot> {
        momenta()
    }

    fn prepare(&self, learning_rate: &Tensor, step: &Tensor, dtype: DType) -> Vec<Tensor> {
        let mut shared = self.0.prepare(learning_rate, step, dtype);
        shared.push((1.0 - learning_rate * self.0.weight_decay).cast(dtype));
        shared
    }

    fn update(&self, shared: &[Tensor], parameter: &Tensor, gradient: &Tensor, slots: &[Tensor]) -> Updated {
        self.0.step(shared, &(parameter * &shared[2]), gradient, slots)
    }
}
