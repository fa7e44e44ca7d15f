//! Losses of distributions: how badly one explains another, or an observation.

use super::{elementwise, losses};
use crate::tensor::Tensor;
use std::f64::consts::PI;

losses! {
    /// Kullback-Leibler divergence of log probabilities from a target: `target (log(target) - log_p)`.
    ///
    /// Shapes: both broadcast to one -> `[]`. The mean over samples, which the mathematical definition asks for, is
    /// [`Reduction::BatchMean`](super::Reduction). Source: Kullback and Leibler, *On Information and Sufficiency*, 1951.
    KlDiv {
        /// Whether the target holds logarithms of probabilities too.
        log_target: bool = false,
    }

    /// Negative log likelihood of counts that follow a Poisson distribution: `e^y - target y` of the logarithm of its
    /// rate, or `y - target log(y + eps)` of the rate.
    ///
    /// Shapes: both alike -> `[]`. Source: McCullagh and Nelder, *Generalized Linear Models*, second edition, 1989, chapter 6.
    PoissonNll {
        /// Whether the prediction is the logarithm of the rate; it is unless this is set to `false`.
        log_input: bool = true,
        /// Whether to add the term without `y`, `log(target!)` by Stirling's approximation for targets above 1.
        full: bool = false,
        /// What is added to a rate before its logarithm; 1e-8 unless it is set.
        eps: f64 = 1e-8,
    }

    /// Negative log likelihood of numbers that follow normal distributions:
    /// `(log(var) + (y - target)^2 / var) / 2`, with a variance of at least `eps`.
    ///
    /// Shapes: `y` and `target` alike; `var` alike, or with a last axis of extent 1 or without that axis -> `[]`.
    /// No gradient is cut where the variance is bounded. Source: Nix and Weigend, *Estimating the mean and variance of
    /// the target probability distribution*, 1994.
    GaussianNll {
        /// Whether to add the term without `y`, `log(2 pi) / 2`.
        full: bool = false,
        /// The least variance; 1e-6 unless it is set.
        eps: f64 = 1e-6,
    }
}

impl KlDiv {
    /// The divergence of log probabilities from a target.
    #[track_caller]
    pub fn of(&self, log_p: &Tensor, target: &Tensor) -> Tensor {
        log_p.within("kl_div", || {
            if let Err(poisoned) = log_p.require_float("kl_div") {
                return poisoned;
            }
            let target = target.cast(log_p.dtype());
            self.reduction.apply(match self.log_target {
                true => target.exp() * (&target - log_p),
                false => target.xlogy(&target) - &target * log_p,
            })
        })
    }
}

impl PoissonNll {
    /// The loss of rates, or their logarithms, and counts.
    #[track_caller]
    pub fn of(&self, y: &Tensor, target: &Tensor) -> Tensor {
        elementwise("poisson_nll", y, target, self.reduction, |y, target| {
            let losses = match self.log_input {
                true => y.exp() - target * y,
                false => y - target * (y + self.eps).log(),
            };
            if !self.full {
                return losses;
            }
            // Elsewhere the logarithm is taken of 1: its slope at 0 is infinite, and times zero NaN.
            let is_above = target.gt(1.0);
            let n = is_above.select(target, 1.0);
            let stirling = &n * n.log() - &n + (&n * (2.0 * PI)).log() * 0.5;
            losses + is_above.select(stirling, 0.0)
        })
    }
}

impl GaussianNll {
    /// The loss of means, targets and variances.
    #[track_caller]
    pub fn of(&self, y: &Tensor, target: &Tensor, var: &Tensor) -> Tensor {
        y.within("gaussian_nll", || {
            if let Err(poisoned) = y.require_float("gaussian_nll") {
                return poisoned;
            }
            // One variance for each row: its axis may be missing.
            let is_by_row =
                var.rank() > 0 && var.rank() + 1 == y.rank() && var.shape()[..] == y.shape()[..var.rank()];
            let var = if is_by_row { var.unsqueeze(-1) } else { var.clone() };
            let bounded = &var + (var.clamp_min(self.eps) - &var).detach();
            let losses = (bounded.log() + (y - target).square() / bounded) * 0.5;
            self.reduction.apply(if self.full { losses + 0.5 * (2.0 * PI).ln() } else { losses })
        })
    }
}

/// [`KlDiv`] with the default options.
#[track_caller]
pub fn kl_div(log_p: &Tensor, target: &Tensor) -> Tensor {
    KlDiv::new().of(log_p, target)
}
