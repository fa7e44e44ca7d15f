//! Losses that ask for a margin, and no more once it is there.

use super::{Weight, elementwise, losses};
use crate::tensor::{Tensor, keep};
use kiln_ir::{DType, TypeError};

losses! {
    /// `max(margin - t y, 0)` of a score `y` and a class `t` of 1 or -1: that of support vector machines.
    ///
    /// Shapes: both alike -> `[]`. PyTorch has it only as [`MultiMargin`] of several classes; it is Keras' `Hinge`. Source:
    /// Cortes and Vapnik, *Support-Vector Networks*, 1995.
    Hinge {
        /// The margin; 1 unless it is set.
        margin: f64 = 1.0,
    }

    /// Of distances: the distance itself where the target is 1, `max(margin - distance, 0)` where it is -1.
    ///
    /// Shapes: both broadcast to one -> `[]`. Source: after Hadsell, Chopra, LeCun, *Dimensionality Reduction by Learning an
    /// Invariant Mapping*, 2006, whose distances are squared.
    HingeEmbedding {
        /// The distance asked for; 1 unless it is set.
        margin: f64 = 1.0,
    }

    /// The hinge loss of one class among several: `sum over the others of max(margin - y[label] + y[i], 0)^p`, divided by
    /// the number of classes.
    ///
    /// Shapes: `y: [n, classes]` with `label: [n]`, or `[classes]` with `[]` or `[1]` -> `[]`. Source: Crammer and Singer, *On the
    /// Algorithmic Implementation of Multiclass Kernel-based Vector Machines*, 2001, for `p` of 1.
    MultiMargin {
        /// The exponent, 1 or 2; 1 unless it is set.
        p: f64 = 1.0,
        /// The margin; 1 unless it is set.
        margin: f64 = 1.0,
        /// A factor for each class, which counts for the samples with that label.
        weight: Option<Weight> = None,
    }

    /// The hinge loss of several labels at once: `max(1 - (y[label] - y[i]), 0)`, summed over the labels and over the
    /// classes `i` that are no label, and divided by the number of classes.
    ///
    /// Shapes: `y` and `label`: `[n, classes]`, or `[classes]` -> `[]`. A row of labels ends at the first negative one.
    /// Source: Elisseeff and Weston, *A Kernel Method for Multi-Labelled Classification*, 2001, for the pairs; the division
    /// is PyTorch's.
    MultiLabelMargin {}
}

impl Hinge {
    /// The loss of scores and classes (1 or -1).
    #[track_caller]
    pub fn of(&self, y: &Tensor, target: &Tensor) -> Tensor {
        elementwise("hinge", y, target, self.reduction, |y, target| (self.margin - target * y).relu())
    }
}

impl HingeEmbedding {
    /// The loss of distances and whether they belong to what is alike (1 or -1).
    #[track_caller]
    pub fn of(&self, distance: &Tensor, target: &Tensor) -> Tensor {
        distance.within("hinge_embedding", || {
            let zeros = distance.zeros_like();
            let far = target.ne(1).select((self.margin - distance).relu(), &zeros);
            let near = target.ne(-1).select(distance, &zeros);
            self.reduction.apply(far + near)
        })
    }
}

impl MultiMargin {
    /// The loss of scores and labels.
    #[track_caller]
    pub fn of(&self, y: &Tensor, label: &Tensor) -> Tensor {
        y.within("multi_margin", || {
            let (rows, label) = match as_rows("multi_margin", y, label, 0) {
                Ok(pair) => pair,
                Err(poisoned) => return poisoned,
            };
            let n = rows.shape()[1];
            let marks = label.cast(DType::I32).marks(1, n);
            let chosen = marks.select(&rows, 0.0).sum(keep(1));
            let hinges = (self.margin - chosen + &rows).relu().pow(self.p);
            let mut losses = marks.select(0.0, hinges).sum(-1) / n as f64;
            if let Some(weight) = &self.weight {
                losses = losses * marks.select(weight.beside(&rows).expand_as(&rows), 0.0).sum(-1);
            }
            self.reduction.apply(if y.rank() == 1 { losses.reshape([]) } else { losses })
        })
    }
}

impl MultiLabelMargin {
    /// The loss of scores and rows of labels.
    #[track_caller]
    pub fn of(&self, y: &Tensor, label: &Tensor) -> Tensor {
        y.within("multilabel_margin", || {
            let (rows, label) = match as_rows("multilabel_margin", y, label, 1) {
                Ok(pair) => pair,
                Err(poisoned) => return poisoned,
            };
            let n = rows.shape()[1];
            // Labels count until the first negative one.
            let counted = label.lt(0).cumsum(1).eq(0);
            // [n, labels, classes]: the class that each label names.
            let marks = label.cast(DType::I32).marks(2, n).logical_and(counted.unsqueeze(-1));
            let is_label = marks.any(1);
            let chosen = marks.select(rows.unsqueeze(1), 0.0).sum(-1);
            let hinges = (1.0 - chosen.unsqueeze(-1) + rows.unsqueeze(1)).relu();
            let pairs = counted.unsqueeze(-1).logical_and(is_label.logical_not().unsqueeze(1));
            let losses = pairs.select(hinges, 0.0).sum([1, 2]) / n as f64;
            self.reduction.apply(if y.rank() == 1 { losses.reshape([]) } else { losses })
        })
    }
}

/// Scores as `[n, classes]` and labels as `[n]` or `[n, classes]`, from a batch or a single sample.
#[track_caller]
fn as_rows(op: &'static str, y: &Tensor, label: &Tensor, n_axes: usize) -> Result<(Tensor, Tensor), Tensor> {
    y.require_float(op)?;
    let (y_rows, labels) = match y.rank() {
        0 | 1 if label.rank() <= 1 => (
            y.reshape([1, y.n_elements() as i64]),
            label.reshape(if n_axes == 0 { vec![1] } else { vec![1, -1] }),
        ),
        _ => (y.clone(), label.clone()),
    };
    let fits = y_rows.rank() == 2 && labels.shape()[..] == y_rows.shape()[..1 + n_axes];
    if fits && !label.dtype().is_float() {
        return Ok((y_rows, labels));
    }
    let problem = "it takes scores of shape [n, classes] and integers as labels".to_string();
    let problem = TypeError::Attribute { op, operand: y.ty().clone(), problem };
    Err(y.tracer().refuse(problem.into(), &[("prediction", y), ("label", label)]))
}
