//! Losses of one class among several.

use super::{Reduction, Weight, losses};
use crate::tensor::Tensor;
use kiln_ir::{DType, TypeError};

losses! {
    /// Cross entropy of the softmax of logits, with class labels or probabilities of classes.
    ///
    /// Shapes: `logits: [n, classes, ..]` with `label: [n, ..]`, or `[classes]` with `[]`. Labels are `i32`, `i64` or
    /// `u8`; of a label that is no class the loss is that of a score at the greatest one. A float label of the shape of
    /// `logits` is taken as the probability of each class.
    ///
    /// With `p = softmax(logits)` the loss of a sample is `-weight[label] log p[label]`, and the mean divides by the sum
    /// of the weights of the labels; of probabilities `q` it is `-sum(weight q log p)`, and the mean is over samples.
    /// Source: Bishop, equations 4.104 and 4.108.
    CrossEntropy {
        /// A factor for each class.
        weight: Option<Weight> = None,
        /// Samples of this label count nothing: neither a loss nor in the mean. None is ignored unless it is set
        /// (PyTorch ignores -100), because counting the others takes a sum over the labels.
        ignore_index: Option<i64> = None,
        /// The share `s` of a label that is spread evenly over all classes: `q (1 - s) + s / classes`.
        /// Source: Szegedy and others, *Rethinking the Inception Architecture for Computer Vision*, 2016, section 7.
        label_smoothing: f64 = 0.0,
    }

    /// Negative log likelihood: of each sample, minus the log probability of its label.
    ///
    /// Shapes: as [`CrossEntropy`], with log probabilities in place of logits. Labels are integers. The loss of a sample is
    /// `-weight[label] log_p[label]`. Source: Bishop, equation 4.108.
    Nll {
        /// A factor for each class.
        weight: Option<Weight> = None,
        /// Samples of this label count nothing: neither a loss nor in the mean. None is ignored unless it is set
        /// (PyTorch ignores -100), because counting the others takes a sum over the labels.
        ignore_index: Option<i64> = None,
    }
}

impl CrossEntropy {
    /// The loss of logits and labels.
    #[track_caller]
    pub fn of(&self, logits: &Tensor, label: &Tensor) -> Tensor {
        logits.within("cross_entropy", || {
            let axis = match class_axis("cross_entropy", logits, label) {
                Ok(axis) => axis,
                Err(poisoned) => return poisoned,
            };
            let (shifted, log_sum) = logits.log_softmax_parts(axis);
            let weight = self.weight.as_ref().map(|weight| by_class(&weight.beside(logits), logits, axis));
            if label.dtype().is_float() {
                return self.of_probabilities(&(log_sum - shifted), label, weight, axis);
            }
            let labels = Labels { label, ignore_index: self.ignore_index, axis, weight };
            let chosen = labels.chosen(&shifted);
            let mut losses = labels.weighted(log_sum.reshape_exact(chosen.shape().clone()) - &chosen);
            if self.label_smoothing > 0.0 {
                let all = times(&log_sum - &shifted, labels.weight.as_ref()).sum(axis as i64);
                let share = self.label_smoothing / logits.shape()[axis] as f64;
                losses = losses * (1.0 - self.label_smoothing) + all * share;
            }
            labels.reduced(losses, self.reduction)
        })
    }

    /// The loss of probabilities of classes; `surprise` is minus the logarithm of the softmax.
    fn of_probabilities(
        &self,
        surprise: &Tensor,
        probabilities: &Tensor,
        weight: Option<Tensor>,
        axis: usize,
    ) -> Tensor {
        let mut q = probabilities.cast(surprise.dtype());
        if self.label_smoothing > 0.0 {
            let share = self.label_smoothing / surprise.shape()[axis] as f64;
            q = q * (1.0 - self.label_smoothing) + share;
        }
        let losses = times(surprise * q, weight.as_ref()).sum(axis as i64);
        self.reduction.apply(losses)
    }
}

impl Nll {
    /// The loss of log probabilities and labels.
    #[track_caller]
    pub fn of(&self, log_p: &Tensor, label: &Tensor) -> Tensor {
        log_p.within("nll", || {
            let axis = match class_axis("nll", log_p, label) {
                Ok(axis) => axis,
                Err(poisoned) => return poisoned,
            };
            let weight = self.weight.as_ref().map(|weight| by_class(&weight.beside(log_p), log_p, axis));
            let labels = Labels { label, ignore_index: self.ignore_index, axis, weight };
            labels.reduced(labels.weighted(-labels.chosen(log_p)), self.reduction)
        })
    }
}

/// The labels of samples, what they weigh, and which of them do not count.
struct Labels<'a> {
    label: &'a Tensor,
    ignore_index: Option<i64>,
    /// The axis of the classes.
    axis: usize,
    /// The weight of each class, in the shape of the prediction.
    weight: Option<Tensor>,
}

impl Labels<'_> {
    /// Of each row along the axis of classes, the element that the label names.
    fn chosen(&self, rows: &Tensor) -> Tensor {
        // A sum over a row of which one element is not zero: it fuses with the other sums over the row, a gather does
        // not.
        let marks = self.label.cast(DType::I32).marks(self.axis, rows.shape()[self.axis]);
        marks.select(rows, 0.0).sum(self.axis as i64)
    }

    /// The losses of samples times the weights of their labels.
    fn weighted(&self, losses: Tensor) -> Tensor {
        match &self.weight {
            Some(weight) => losses * self.chosen(weight),
            None => losses,
        }
    }

    /// The losses of samples that count, reduced; their mean is by weight.
    fn reduced(&self, losses: Tensor, reduction: Reduction) -> Tensor {
        let counted = |x: Tensor| match self.ignore_index {
            Some(ignored) => self.label.ne(ignored).select(x, 0.0),
            None => x,
        };
        let losses = counted(losses);
        let is_weighed = self.weight.is_some() || self.ignore_index.is_some();
        if reduction != Reduction::Mean || !is_weighed {
            return reduction.apply(losses);
        }
        let weights = counted(self.weighted(losses.ones_like()));
        losses.sum(..) / weights.sum(..)
    }
}

/// A tensor times a weight, if there is one.
fn times(x: Tensor, weight: Option<&Tensor>) -> Tensor {
    weight.map_or(x.clone(), |weight| x * weight)
}

/// A vector with a number for each class, in the shape of `rows`.
fn by_class(vector: &Tensor, rows: &Tensor, axis: usize) -> Tensor {
    let column: Vec<i64> = (0..rows.rank()).map(|a| if a == axis { -1 } else { 1 }).collect();
    vector.reshape(column).expand_as(rows)
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
    let problem = format!(
        "it takes a label for each sample, integers of shape {samples}; the classes are axis {axis} of the prediction"
    );
    let problem = TypeError::Attribute { op, operand: y.ty().clone(), problem };
    Err(y.tracer().refuse(problem.into(), &[("prediction", y), ("label", label)]))
}

/// [`CrossEntropy`] with the default options.
///
/// ```
/// # use kiln::prelude::*;
/// # let tracer = Tracer::new("loss");
/// let (y, label) = (tracer.input("y", f32(&[64, 10])), tracer.input("label", i64(&[64])));
/// assert_eq!(cross_entropy(&y, &label).rank(), 0);
/// ```
#[track_caller]
pub fn cross_entropy(logits: &Tensor, label: &Tensor) -> Tensor {
    CrossEntropy::new().of(logits, label)
}

/// [`Nll`] with the default options.
#[track_caller]
pub fn nll(log_p: &Tensor, label: &Tensor) -> Tensor {
    Nll::new().of(log_p, label)
}
