//! Losses: one number that says how far a prediction is from its target.
//!
//! Each loss is the mean over all elements or samples; the form with `_with` takes another [`Reduction`]. Definitions
//! are PyTorch's, in stable forms. Errors: a prediction and a target that do not fit: their shapes must be equal, not
//! only broadcast to one, which would silently compare each sample with all others.

use crate::tensor::{Over, Tensor};
use kiln_ir::{DType, TypeError};

/// What becomes of the losses of single elements or samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reduction {
    /// Their mean.
    Mean,
    /// Their sum.
    Sum,
    /// They stay as they are.
    None,
}

impl Reduction {
    #[track_caller]
    fn apply(self, losses: Tensor) -> Tensor {
        match self {
            Reduction::Mean => losses.mean(..),
            Reduction::Sum => losses.sum(..),
            Reduction::None => losses,
        }
    }
}

/// Mean squared error: `(y - target)^2`.
///
/// ```
/// # use kiln::prelude::*;
/// # let tracer = Tracer::new("loss");
/// let (y, target) = (tracer.input("y", f32(&[4, 1])), tracer.input("target", f32(&[4, 1])));
/// assert_eq!(mse(&y, &target).rank(), 0);
/// ```
#[track_caller]
pub fn mse(y: &Tensor, target: &Tensor) -> Tensor {
    mse_with(y, target, Reduction::Mean)
}

/// [`mse`] with another reduction.
#[track_caller]
pub fn mse_with(y: &Tensor, target: &Tensor, reduction: Reduction) -> Tensor {
    elementwise("mse", y, target, reduction, |y, target| (y - target).square())
}

/// Mean absolute error: `|y - target|`.
#[track_caller]
pub fn l1(y: &Tensor, target: &Tensor) -> Tensor {
    l1_with(y, target, Reduction::Mean)
}

/// [`l1`] with another reduction.
#[track_caller]
pub fn l1_with(y: &Tensor, target: &Tensor, reduction: Reduction) -> Tensor {
    elementwise("l1", y, target, reduction, |y, target| (y - target).abs())
}

/// Squared below a distance of `delta`, linear above: `d^2 / 2`, and `delta (d - delta / 2)`.
///
/// Source: Huber, *Robust Estimation of a Location Parameter*, 1964.
#[track_caller]
pub fn huber(y: &Tensor, target: &Tensor, delta: f64) -> Tensor {
    huber_with(y, target, delta, Reduction::Mean)
}

/// [`huber`] with another reduction.
#[track_caller]
pub fn huber_with(y: &Tensor, target: &Tensor, delta: f64, reduction: Reduction) -> Tensor {
    elementwise("huber", y, target, reduction, |y, target| {
        let distance = y - target;
        let size = distance.abs();
        size.lt(delta).select(distance.square() * 0.5, (&size - 0.5 * delta) * delta)
    })
}

/// Huber's loss divided by `beta`: `d^2 / (2 beta)` below a distance of `beta`, `d - beta / 2` above.
#[track_caller]
pub fn smooth_l1(y: &Tensor, target: &Tensor, beta: f64) -> Tensor {
    smooth_l1_with(y, target, beta, Reduction::Mean)
}

/// [`smooth_l1`] with another reduction.
#[track_caller]
pub fn smooth_l1_with(y: &Tensor, target: &Tensor, beta: f64, reduction: Reduction) -> Tensor {
    if beta == 0.0 {
        return l1_with(y, target, reduction);
    }
    elementwise("smooth_l1", y, target, reduction, |y, target| {
        let distance = y - target;
        let size = distance.abs();
        size.lt(beta).select(distance.square() * (0.5 / beta), &size - 0.5 * beta)
    })
}

/// Binary cross entropy of probabilities: `-target log(p) - (1 - target) log(1 - p)`, each logarithm at least -100.
///
/// For the result of a sigmoid use [`bce_with_logits`] on its operand, which loses no digits.
#[track_caller]
pub fn bce(p: &Tensor, target: &Tensor) -> Tensor {
    bce_with(p, target, Reduction::Mean)
}

/// [`bce`] with another reduction.
#[track_caller]
pub fn bce_with(p: &Tensor, target: &Tensor, reduction: Reduction) -> Tensor {
    elementwise("bce", p, target, reduction, |p, target| {
        -(target * bounded_log(p) + (1.0 - target) * bounded_log(&(1.0 - p)))
    })
}

/// `max(log(p), -100)`, with slope 0 below.
fn bounded_log(p: &Tensor) -> Tensor {
    // Where the bound holds the logarithm is taken of 1: its slope at 0 is infinite, and times zero NaN.
    let bounded = p.lt((-100f64).exp());
    bounded.select(-100.0, bounded.select(1.0, p).log())
}

/// Binary cross entropy of `sigmoid(z)`: `log(1 + e^z) - target z`, which neither overflows nor loses digits.
#[track_caller]
pub fn bce_with_logits(z: &Tensor, target: &Tensor) -> Tensor {
    bce_with_logits_with(z, target, Reduction::Mean)
}

/// [`bce_with_logits`] with another reduction.
#[track_caller]
pub fn bce_with_logits_with(z: &Tensor, target: &Tensor, reduction: Reduction) -> Tensor {
    elementwise("bce_with_logits", z, target, reduction, |z, target| z.log1p_exp() - target * z)
}

/// Cross entropy of the softmax of `logits` and class labels.
///
/// Shapes: `logits: [n, classes, ..]` with `label: [n, ..]`, or `[classes]` with `[]`. Labels are `i32`, `i64` or
/// `u8`; of a label that is no class the loss is that of a score at the greatest one.
/// A float label of the shape of `logits` is taken as the probability of each class.
///
/// ```
/// # use kiln::prelude::*;
/// # let tracer = Tracer::new("loss");
/// let (y, label) = (tracer.input("y", f32(&[64, 10])), tracer.input("label", i64(&[64])));
/// assert_eq!(cross_entropy(&y, &label).rank(), 0);
/// ```
#[track_caller]
pub fn cross_entropy(logits: &Tensor, label: &Tensor) -> Tensor {
    cross_entropy_with(logits, label, Reduction::Mean)
}

/// [`cross_entropy`] with another reduction.
#[track_caller]
pub fn cross_entropy_with(logits: &Tensor, label: &Tensor, reduction: Reduction) -> Tensor {
    logits.within("cross_entropy", || {
        let axis = match class_axis("cross_entropy", logits, label) {
            Ok(axis) => axis,
            Err(poisoned) => return poisoned,
        };
        let (shifted, log_sum) = logits.log_softmax_parts(axis);
        if label.dtype().is_float() {
            let losses = ((log_sum - shifted) * label).sum(axis as i64);
            return reduction.apply(losses);
        }
        let chosen = chosen(&shifted, label, axis);
        reduction.apply(log_sum.reshape_exact(chosen.shape().clone()) - chosen)
    })
}

/// Negative log likelihood: of each sample, minus the log probability of its label.
///
/// Shapes: as [`cross_entropy`], with log probabilities in place of logits. Labels are integers.
#[track_caller]
pub fn nll(log_p: &Tensor, label: &Tensor) -> Tensor {
    nll_with(log_p, label, Reduction::Mean)
}

/// [`nll`] with another reduction.
#[track_caller]
pub fn nll_with(log_p: &Tensor, label: &Tensor, reduction: Reduction) -> Tensor {
    log_p.within("nll", || match class_axis("nll", log_p, label) {
        Ok(axis) => reduction.apply(-chosen(log_p, label, axis)),
        Err(poisoned) => poisoned,
    })
}

/// Of each row along `axis`, the element that the label names.
fn chosen(rows: &Tensor, label: &Tensor, axis: usize) -> Tensor {
    // A sum over a row of which one element is not zero: it fuses with the other sums over the row, a gather does not.
    let marks = label.cast(DType::I32).marks(axis, rows.shape()[axis]);
    marks.select(rows, 0.0).sum(axis as i64)
}

/// The axis of the classes, or the poisoned loss when prediction and label do not fit.
#[track_caller]
fn class_axis(op: &'static str, y: &Tensor, label: &Tensor) -> Result<usize, Tensor> {
    y.require_float(op)?;
    if y.rank() == 0 {
        return Err(y.refuse(op, "the prediction needs an axis of classes"));
    }
    let axis = usize::from(y.rank() > 1);
    let samples = y.shape().without(&[axis]);
    let fits = if label.dtype().is_float() { label.shape() == y.shape() } else { *label.shape() == samples };
    if fits && label.dtype() != DType::Bool {
        return Ok(axis);
    }
    let problem = format!("it takes a label for each sample, integers of shape {samples}");
    let problem = TypeError::Attribute { op, operand: y.ty().clone(), problem };
    Err(y.tracer().refuse(problem.into(), &[("prediction", y), ("label", label)]))
}

/// A loss of single elements, reduced.
#[track_caller]
fn elementwise(
    op: &'static str,
    y: &Tensor,
    target: &Tensor,
    reduction: Reduction,
    loss: impl FnOnce(&Tensor, &Tensor) -> Tensor,
) -> Tensor {
    y.within(op, || {
        if y.shape() != target.shape() {
            let problem = TypeError::ShapeMismatch { op, lhs: y.ty().clone(), rhs: target.ty().clone() };
            return y.tracer().refuse(problem.into(), &[("prediction", y), ("target", target)]);
        }
        if let Err(poisoned) = y.require_float(op) {
            return poisoned;
        }
        reduction.apply(loss(y, &target.cast(y.dtype())))
    })
}

/// Of each row of a prediction, whether its greatest element is at the label: `bool`, for accuracies.
///
/// Shapes: `y: [n, classes]`, `label: [n]` -> `[n]`.
#[track_caller]
pub fn is_correct(y: &Tensor, label: &Tensor) -> Tensor {
    y.within("is_correct", || y.argmax(Over::from(-1)).eq(label))
}
