//! Losses of yes and no: of probabilities, of their logits, and of several labels at once.

use super::{Weight, elementwise, losses, weighted};
use crate::tensor::Tensor;

losses! {
    /// Binary cross entropy of probabilities: `-target log(p) - (1 - target) log(1 - p)`, each logarithm at least -100.
    ///
    /// Shapes: both alike -> `[]`. For the result of a sigmoid use [`BceWithLogits`] on its operand, which loses no
    /// digits. Source: Bishop, equation 4.90; the bound of the logarithms is PyTorch's.
    Bce {
        /// A factor for each element, which broadcasts.
        weight: Option<Weight> = None,
    }

    /// Binary cross entropy of `sigmoid(z)`: `log(1 + e^z) - target z`, which neither overflows nor loses digits.
    ///
    /// Shapes: both alike -> `[]`. Source: Bishop, equations 4.59 and 4.90.
    BceWithLogits {
        /// A factor for each element, which broadcasts.
        weight: Option<Weight> = None,
        /// A factor for what a target of 1 adds, for each class (the last axis): above 1 it favours recall.
        pos_weight: Option<Weight> = None,
    }

    /// The mean over the classes (the last axis) of the binary cross entropies of `sigmoid(z)`.
    ///
    /// Shapes: `z` and `target`: `[.., classes]` -> `[]`. Source: Bishop, equation 4.90, for each class by itself (binary
    /// relevance: Zhang and Zhou, *A Review on Multi-Label Learning Algorithms*, 2014).
    MultiLabelSoftMargin {
        /// A factor for each class.
        weight: Option<Weight> = None,
    }

    /// The logistic loss of targets -1 and 1: `log(1 + e^(-target z))`.
    ///
    /// Shapes: both alike -> `[]`. Source: Bishop, section 7.1.2.
    SoftMargin {}
}

impl Bce {
    /// The loss of probabilities and their targets.
    #[track_caller]
    pub fn of(&self, p: &Tensor, target: &Tensor) -> Tensor {
        elementwise("bce", p, target, self.reduction, |p, target| {
            let losses = -(target * bounded_log(p) + (1.0 - target) * bounded_log(&(1.0 - p)));
            weighted(losses, self.weight.as_ref())
        })
    }
}

/// `max(log(p), -100)`, with slope 0 below.
fn bounded_log(p: &Tensor) -> Tensor {
    // Where the bound holds the logarithm is taken of 1: its slope at 0 is infinite, and times zero NaN.
    let bounded = p.lt((-100f64).exp());
    bounded.select(-100.0, bounded.select(1.0, p).log())
}

impl BceWithLogits {
    /// The loss of logits and their targets.
    #[track_caller]
    pub fn of(&self, z: &Tensor, target: &Tensor) -> Tensor {
        elementwise("bce_with_logits", z, target, self.reduction, |z, target| {
            let losses = match &self.pos_weight {
                None => z.log1p_exp() - target * z,
                Some(factor) => {
                    // -w t log(s) - (1 - t) log(1 - s) with log(s) = z - log(1 + e^z), log(1 - s) = -log(1 + e^z).
                    let share = target * (factor.beside(z) - 1.0) + 1.0;
                    (1.0 - target) * z + share * (-z).log1p_exp()
                }
            };
            weighted(losses, self.weight.as_ref())
        })
    }
}

impl MultiLabelSoftMargin {
    /// The loss of logits and their targets.
    #[track_caller]
    pub fn of(&self, z: &Tensor, target: &Tensor) -> Tensor {
        elementwise("multilabel_soft_margin", z, target, self.reduction, |z, target| {
            weighted(z.log1p_exp() - target * z, self.weight.as_ref()).mean(-1)
        })
    }
}

impl SoftMargin {
    /// The loss of logits and their targets, -1 or 1.
    #[track_caller]
    pub fn of(&self, z: &Tensor, target: &Tensor) -> Tensor {
        elementwise("soft_margin", z, target, self.reduction, |z, target| (-target * z).log1p_exp())
    }
}

/// [`Bce`] with the default options.
#[track_caller]
pub fn bce(p: &Tensor, target: &Tensor) -> Tensor {
    Bce::new().of(p, target)
}

/// [`BceWithLogits`] with the default options.
#[track_caller]
pub fn bce_with_logits(z: &Tensor, target: &Tensor) -> Tensor {
    BceWithLogits::new().of(z, target)
}
