//! What a step of training does besides the optimizer: penalties on parameters, clipping of gradients, constraints,
//! averages.

use super::plan::Takes;
use crate::tensor::{Tensor, keep};

/// What a trainer does beside its optimizers.
#[derive(Default)]
pub(crate) struct Rules<'m> {
    /// The greatest norm of all gradients together.
    pub clip_norm: Option<f64>,
    /// The greatest magnitude of an element of a gradient.
    pub clip_value: Option<f64>,
    /// How much of the moving average of the parameters stays at a step.
    pub average: Option<f64>,
    /// Number of batches whose gradients make one step; 0 as 1.
    pub accumulate: usize,
    pub constraints: Vec<(Takes<'m>, Constraint)>,
    pub penalties: Vec<(Takes<'m>, Penalty)>,
}

impl Rules<'_> {
    /// Whether a step uses the gradients of several batches.
    pub fn accumulates(&self) -> bool {
        self.accumulate > 1
    }

    /// The gradients as optimizers see them.
    pub fn clip(&self, gradients: Vec<Tensor>) -> Vec<Tensor> {
        let gradients = match self.clip_value {
            Some(bound) => gradients.iter().map(|gradient| gradient.clamp(-bound, bound)).collect(),
            None => gradients,
        };
        match self.clip_norm {
            Some(bound) if !gradients.is_empty() => {
                let scale = norm_scale(&gradients, bound);
                gradients.iter().map(|gradient| gradient * scale.cast(gradient.dtype())).collect()
            }
            Some(_) | None => gradients,
        }
    }

    /// A loss with what a parameter's penalties add to it.
    pub fn penalize(&self, loss: Tensor, name: &str, parameter: &Tensor) -> Tensor {
        let of_this = self.penalties.iter().filter(|(takes, _)| takes(name, parameter.ty()));
        of_this.fold(loss, |loss, (_, penalty)| penalty.add_to(loss, parameter))
    }

    /// A parameter after what its constraints ask for.
    pub fn constrain(&self, name: &str, parameter: Tensor) -> Tensor {
        let of_this = self.constraints.iter().filter(|(takes, _)| takes(name, parameter.ty()));
        let constraints: Vec<Constraint> = of_this.map(|(_, constraint)| *constraint).collect();
        constraints.iter().fold(parameter, |parameter, constraint| constraint.of(&parameter))
    }
}

/// What all gradients are multiplied by so that their norm together is at most `bound`.
///
/// Source: Pascanu, Mikolov, Bengio, *On the difficulty of training recurrent neural networks*, 2013; the small number
/// is that of `torch.nn.utils.clip_grad_norm_`.
fn norm_scale(gradients: &[Tensor], bound: f64) -> Tensor {
    let squares = gradients.iter().map(|gradient| gradient.square().sum(..));
    let norm = squares.reduce(|total, square| total + square).expect("there is a gradient").sqrt();
    (bound / (norm + 1e-6)).clamp_max(1.0)
}

/// What is added to the loss of training for a parameter: `l1 * sum(|p|) + l2 * sum(p²)`.
///
/// The first makes elements zero (Tibshirani, *Regression Shrinkage and Selection via the Lasso*, 1996), the second keeps
/// them small (Hoerl and Kennard, *Ridge Regression*, 1970); both together are the elastic net (Zou and Hastie, 2005). The
/// numbers are those of Keras' `L1L2`; an `l2` is half of the weight decay of an optimizer that adds it to the gradient.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Penalty {
    /// Times the sum of the magnitudes.
    pub l1: f64,
    /// Times the sum of the squares.
    pub l2: f64,
}

impl Penalty {
    fn add_to(self, loss: Tensor, parameter: &Tensor) -> Tensor {
        let loss = if self.l1 == 0.0 { loss } else { loss + parameter.abs().sum(..) * self.l1 };
        if self.l2 == 0.0 { loss } else { loss + parameter.square().sum(..) * self.l2 }
    }
}

/// What holds for a parameter after each step.
///
/// A unit is an element of the first axis: of the weight of a linear layer or a convolution, all that one output is
/// computed with.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Constraint {
    /// The Euclidean norm of each unit is at most this: longer ones are shortened, as `torch.renorm` does. Source:
    /// Srivastava and others, *Dropout*, 2014, section 5.1.
    MaxNorm(f64),
    /// The Euclidean norm of each unit is 1.
    UnitNorm,
    /// No element is negative: negative ones become 0.
    NonNegative,
}

impl Constraint {
    /// Applies it to a parameter.
    pub(crate) fn of(self, parameter: &Tensor) -> Tensor {
        // The number that `torch.renorm` adds to the norm.
        const SMALL: f64 = 1e-7;
        match self {
            Constraint::MaxNorm(bound) => {
                let norm = unit_norm(parameter);
                parameter * norm.gt(bound).select(bound / (&norm + SMALL), 1.0)
            }
            Constraint::UnitNorm => parameter / (unit_norm(parameter) + SMALL),
            Constraint::NonNegative => parameter.clamp_min(0.0),
        }
    }
}

/// The norm of each unit, with all axes kept. An element of a vector is a unit by itself.
fn unit_norm(parameter: &Tensor) -> Tensor {
    let others: Vec<i64> = (1..parameter.rank() as i64).collect();
    match others.is_empty() {
        true => parameter.abs(),
        false => parameter.square().sum(keep(&others[..])).sqrt(),
    }
}
