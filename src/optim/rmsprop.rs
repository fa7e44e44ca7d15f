//! RMSprop.

use super::{Optimizer, Setting, Slot, Updated, decayed};
use crate::tensor::Tensor;
use kiln_ir::DType;

/// RMSprop, as `torch.optim.RMSprop`:
///
/// ```text
/// g = gradient + weight_decay * p
/// s = alpha * s + (1 - alpha) * g * g
/// a = a + (g - a) * (1 - alpha)                    (if centered)
/// d = g / (sqrt(s - a * a  if centered, else s) + eps)
/// b = momentum * b + d                             (with momentum)
/// p = p - lr * (b  with momentum, else d)
/// ```
///
/// `s`, and if they are used `a` and `b`, are kept for each parameter, in its shape.
///
/// Source: Hinton, *Neural Networks for Machine Learning*, lecture 6e, 2012; centered: Graves, *Generating Sequences With
/// Recurrent Neural Networks*, 2013, equations 38 to 45.
///
/// ```
/// let optimizer = kiln::optim::RmsProp::new(0.01).momentum(0.9).centered(true);
/// ```
#[derive(Clone, Debug)]
pub struct RmsProp {
    learning_rate: f64,
    alpha: f64,
    eps: f64,
    weight_decay: f64,
    momentum: f64,
    centered: bool,
}

impl RmsProp {
    /// With this learning rate, `alpha` 0.99, `eps` 1e-8, no momentum and no weight decay.
    pub fn new(learning_rate: f64) -> RmsProp {
        RmsProp { learning_rate, alpha: 0.99, eps: 1e-8, weight_decay: 0.0, momentum: 0.0, centered: false }
    }

    /// How much of the mean square stays.
    pub fn alpha(self, alpha: f64) -> RmsProp {
        RmsProp { alpha, ..self }
    }

    /// What is added to the root of the mean square.
    pub fn eps(self, eps: f64) -> RmsProp {
        RmsProp { eps, ..self }
    }

    /// How strongly the gradient pulls parameters to zero.
    pub fn weight_decay(self, weight_decay: f64) -> RmsProp {
        RmsProp { weight_decay, ..self }
    }

    /// How much of the last direction stays.
    pub fn momentum(self, momentum: f64) -> RmsProp {
        RmsProp { momentum, ..self }
    }

    /// Whether the mean is taken off the mean square.
    pub fn centered(self, centered: bool) -> RmsProp {
        RmsProp { centered, ..self }
    }
}

impl Optimizer for RmsProp {
    fn name(&self) -> &'static str {
        "rmsprop"
    }

    fn learning_rate(&self) -> f64 {
        self.learning_rate
    }

    fn settings(&self) -> Vec<Setting> {
        vec![
            Setting::size("alpha", self.alpha),
            Setting::size("eps", self.eps),
            Setting::size("weight_decay", self.weight_decay),
            Setting::size("momentum", self.momentum),
        ]
    }

    fn slots(&self) -> Vec<Slot> {
        let mut slots = vec![Slot::new("square_avg", 0.0)];
        slots.extend(self.centered.then(|| Slot::new("grad_avg", 0.0)));
        slots.extend((self.momentum != 0.0).then(|| Slot::new("momentum_buffer", 0.0)));
        slots
    }

    fn prepare(&self, learning_rate: &Tensor, _: &Tensor, dtype: DType) -> Vec<Tensor> {
        vec![learning_rate.cast(dtype)]
    }

    fn update(&self, shared: &[Tensor], parameter: &Tensor, gradient: &Tensor, slots: &[Tensor]) -> Updated {
        let gradient = decayed(gradient, parameter, self.weight_decay);
        let square = &slots[0] * self.alpha + &gradient * &gradient * (1.0 - self.alpha);
        let mut next = vec![square.clone()];
        let mut variance = square;
        if self.centered {
            let mean = &slots[1] + (&gradient - &slots[1]) * (1.0 - self.alpha);
            variance = variance - &mean * &mean;
            next.push(mean);
        }
        let mut direction = gradient / (variance.sqrt() + self.eps);
        if let Some(old) = slots.get(next.len()) {
            direction = old * self.momentum + direction;
            next.push(direction.clone());
        }
        Updated { parameter: parameter - direction * &shared[0], slots: next }
    }
}
