//! Adam and AdamW.

use super::{Optimizer, Setting, Slot, Updated, decayed};
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
/// `m` and `v` are kept for each parameter, in its shape; `t` counts the steps from 1.
///
/// With AMSGrad the greatest `v` so far takes the place of `v` in the last line.
///
/// Sources: Kingma and Ba, *Adam: A Method for Stochastic Optimization*, 2015, where `eps` stands is PyTorch's choice;
/// Reddi, Kale, Kumar, *On the Convergence of Adam and Beyond*, 2018.
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
    amsgrad: bool,
}

impl Settings {
    fn new(learning_rate: f64, weight_decay: f64) -> Settings {
        Settings { learning_rate, beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay, amsgrad: false }
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
        let ([step_size, correction, ..], [m, v, greatest @ ..]) = (shared, slots) else {
            panic!(
                "internal error: Adam has two scalars and two slots or more, not these; please report this"
            )
        };
        let m = m + (gradient - m) * (1.0 - self.beta1);
        let v = v * self.beta2 + gradient * gradient * (1.0 - self.beta2);
        let greatest = greatest.first().map(|greatest| greatest.maximum(&v));
        let deviation = greatest.as_ref().unwrap_or(&v).sqrt() * correction + self.eps;
        let parameter = parameter - (&m / deviation) * step_size;
        Updated { parameter, slots: [m, v].into_iter().chain(greatest).collect() }
    }

    fn settings(&self) -> Vec<Setting> {
        vec![
            Setting::share("beta1", self.beta1),
            Setting::share("beta2", self.beta2),
            Setting::size("eps", self.eps),
            Setting::size("weight_decay", self.weight_decay),
        ]
    }

    fn slots(&self) -> Vec<Slot> {
        // The names of PyTorch's optimizer state.
        let mut slots = vec![Slot::new("exp_avg", 0.0), Slot::new("exp_avg_sq", 0.0)];
        slots.extend(self.amsgrad.then(|| Slot::new("max_exp_avg_sq", 0.0)));
        slots
    }
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

    /// Whether steps are divided by the greatest mean square so far.
    pub fn amsgrad(self, amsgrad: bool) -> Adam {
        Adam(Settings { amsgrad, ..self.0 })
    }
}

impl Optimizer for Adam {
    fn name(&self) -> &'static str {
        "adam"
    }

    fn learning_rate(&self) -> f64 {
        self.0.learning_rate
    }

    fn settings(&self) -> Vec<Setting> {
        self.0.settings()
    }

    fn slots(&self) -> Vec<Slot> {
        self.0.slots()
    }

    fn prepare(&self, learning_rate: &Tensor, step: &Tensor, dtype: DType) -> Vec<Tensor> {
        self.0.prepare(learning_rate, step, dtype)
    }

    fn update(&self, shared: &[Tensor], parameter: &Tensor, gradient: &Tensor, slots: &[Tensor]) -> Updated {
        self.0.step(shared, parameter, &decayed(gradient, parameter, self.0.weight_decay), slots)
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

    /// Whether steps are divided by the greatest mean square so far.
    pub fn amsgrad(self, amsgrad: bool) -> AdamW {
        AdamW(Settings { amsgrad, ..self.0 })
    }
}

impl Optimizer for AdamW {
    fn name(&self) -> &'static str {
        "adamw"
    }

    fn learning_rate(&self) -> f64 {
        self.0.learning_rate
    }

    fn settings(&self) -> Vec<Setting> {
        self.0.settings()
    }

    fn slots(&self) -> Vec<Slot> {
        self.0.slots()
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
