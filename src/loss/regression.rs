//! Losses of distances between numbers.

use super::{Reduction, elementwise, losses};
use crate::tensor::Tensor;

losses! {
    /// Mean squared error: `(y - target)^2`.
    ///
    /// Shapes: both alike -> `[]`. Source: Bishop, equation 1.2, without the factor 1/2.
    Mse {}

    /// Mean absolute error: `|y - target|`.
    ///
    /// Shapes: both alike -> `[]`. Source: Koenker and Bassett, *Regression Quantiles*, 1978, for the
    /// median.
    L1 {}

    /// Squared below a distance of `delta`, linear above: `d^2 / 2`, and `delta (d - delta / 2)`.
    ///
    /// Shapes: both alike -> `[]`. Source: Huber, *Robust Estimation of a Location Parameter*, 1964.
    Huber {
        /// The distance where the loss becomes linear; 1 unless it is set.
        delta: f64 = 1.0,
    }

    /// Huber's loss divided by `beta`: `d^2 / (2 beta)` below a distance of `beta`, `d - beta / 2` above; with a `beta`
    /// of 0 the distance itself.
    ///
    /// Shapes: both alike -> `[]`. Source: Girshick, *Fast R-CNN*, 2015.
    SmoothL1 {
        /// The distance where the loss becomes linear; 1 unless it is set.
        beta: f64 = 1.0,
    }
}

impl Mse {
    /// The loss of a prediction and its target.
    #[track_caller]
    pub fn of(&self, y: &Tensor, target: &Tensor) -> Tensor {
        elementwise("mse", y, target, self.reduction, |y, target| (y - target).square())
    }
}

impl L1 {
    /// The loss of a prediction and its target.
    #[track_caller]
    pub fn of(&self, y: &Tensor, target: &Tensor) -> Tensor {
        l1_with(y, target, self.reduction)
    }
}

#[track_caller]
fn l1_with(y: &Tensor, target: &Tensor, reduction: Reduction) -> Tensor {
    elementwise("l1", y, target, reduction, |y, target| (y - target).abs())
}

impl Huber {
    /// The loss of a prediction and its target.
    #[track_caller]
    pub fn of(&self, y: &Tensor, target: &Tensor) -> Tensor {
        let delta = self.delta;
        elementwise("huber", y, target, self.reduction, |y, target| {
            let distance = y - target;
            let size = distance.abs();
            size.lt(delta).select(distance.square() * 0.5, (&size - 0.5 * delta) * delta)
        })
    }
}

impl SmoothL1 {
    /// The loss of a prediction and its target.
    #[track_caller]
    pub fn of(&self, y: &Tensor, target: &Tensor) -> Tensor {
        let beta = self.beta;
        if beta == 0.0 {
            return l1_with(y, target, self.reduction);
        }
        elementwise("smooth_l1", y, target, self.reduction, |y, target| {
            let distance = y - target;
            let size = distance.abs();
            size.lt(beta).select(distance.square() * (0.5 / beta), &size - 0.5 * beta)
        })
    }
}

/// [`Mse`] with the default options.
///
/// ```
/// # use kiln::prelude::*;
/// # let tracer = Tracer::new("loss");
/// let (y, target) = (tracer.input("y", f32(&[4, 1])), tracer.input("target", f32(&[4, 1])));
/// assert_eq!(mse(&y, &target).rank(), 0);
/// ```
#[track_caller]
pub fn mse(y: &Tensor, target: &Tensor) -> Tensor {
    Mse::new().of(y, target)
}

/// [`L1`] with the default options.
#[track_caller]
pub fn l1(y: &Tensor, target: &Tensor) -> Tensor {
    L1::new().of(y, target)
}

/// [`Huber`] with this `delta`.
#[track_caller]
pub fn huber(y: &Tensor, target: &Tensor, delta: f64) -> Tensor {
    Huber::new().delta(delta).of(y, target)
}

/// [`SmoothL1`] with this `beta`.
#[track_caller]
pub fn smooth_l1(y: &Tensor, target: &Tensor, beta: f64) -> Tensor {
    SmoothL1::new().beta(beta).of(y, target)
}
