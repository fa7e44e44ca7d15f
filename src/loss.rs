//! Losses: one number that says how far a prediction is from its target.
//!
//! Each loss is a small value with PyTorch's options, names and defaults: `Huber::new().delta(2.0)`, applied by its method
//! `of(prediction, target)`; the most frequent ones are functions too ([`mse`], [`cross_entropy`], ...), with the
//! default options. What becomes of the losses of single elements or samples is an option as well, [`Reduction`]. Bishop is
//! Bishop, *Pattern Recognition and Machine Learning*, 2006.
//!
//! Errors: a prediction and a target that do not fit: unless a loss says otherwise their shapes must be equal, not only
//! broadcast to one, which would silently compare each sample with all others.

mod binary;
mod classification;
mod ctc;
mod distance;
mod distribution;
mod margin;
mod regression;

pub use binary::{Bce, BceWithLogits, MultiLabelSoftMargin, SoftMargin, bce, bce_with_logits};
pub use classification::{CrossEntropy, Nll, cross_entropy, nll};
pub use ctc::Ctc;
pub use distance::{CosineEmbedding, MarginRanking, TripletMargin};
pub use distribution::{GaussianNll, KlDiv, PoissonNll, kl_div};
pub use margin::{Hinge, HingeEmbedding, MultiLabelMargin, MultiMargin};
pub use regression::{Huber, L1, Mse, SmoothL1, huber, l1, mse, smooth_l1};

use crate::tensor::{Over, Tensor};
use kiln_ir::{TensorData, TypeError};

/// What becomes of the losses of single elements or samples.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reduction {
    /// Their mean.
    #[default]
    Mean,
    /// Their sum.
    Sum,
    /// They stay as they are.
    None,
    /// Their sum, divided by the extent of the first axis: the mean over the samples of a batch.
    BatchMean,
}

impl Reduction {
    #[track_caller]
    fn apply(self, losses: Tensor) -> Tensor {
        match self {
            Reduction::Mean => losses.mean(..),
            Reduction::Sum => losses.sum(..),
            Reduction::None => losses,
            Reduction::BatchMean => {
                let n = losses.extents().first().map_or(1.0, |&n| n as f64);
                losses.sum(..) / n
            }
        }
    }
}

/// Weights of classes or elements: numbers kept with the loss, or a tensor of the trace.
#[derive(Clone, Debug)]
pub enum Weight {
    /// Numbers that are known before the program is traced.
    Data(TensorData),
    /// A value of the program.
    Tensor(Tensor),
}

impl Weight {
    /// The weights in the trace of `x`, as elements of its type.
    #[track_caller]
    fn beside(&self, x: &Tensor) -> Tensor {
        match self {
            Weight::Data(data) => x.constant(data.clone()).cast(x.dtype()),
            Weight::Tensor(tensor) => tensor.cast(x.dtype()),
        }
    }
}

impl From<TensorData> for Weight {
    fn from(data: TensorData) -> Weight {
        Weight::Data(data)
    }
}

impl From<Tensor> for Weight {
    fn from(tensor: Tensor) -> Weight {
        Weight::Tensor(tensor)
    }
}

impl From<&Tensor> for Weight {
    fn from(tensor: &Tensor) -> Weight {
        Weight::Tensor(tensor.clone())
    }
}

impl From<Tensor> for Option<Weight> {
    fn from(tensor: Tensor) -> Option<Weight> {
        Some(tensor.into())
    }
}

/// Declares losses as values with options, each with its default; the reduction is the last option of all.
macro_rules! losses {
    ($($(#[$doc:meta])* $name:ident {
        $($(#[$field_doc:meta])* $field:ident: $type:ty = $default:expr),* $(,)?
    })*) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug)]
        pub struct $name {
            $($field: $type,)*
            reduction: $crate::loss::Reduction,
        }

        impl $name {
            /// The loss with the default options.
            pub fn new() -> $name {
                $name { $($field: $default,)* reduction: $crate::loss::Reduction::Mean }
            }

            $($(#[$field_doc])*
            pub fn $field(self, $field: impl Into<$type>) -> $name {
                $name { $field: $field.into(), ..self }
            })*

            /// What becomes of the losses of single elements or samples: their mean, unless this is called.
            pub fn reduction(mut self, reduction: $crate::loss::Reduction) -> $name {
                self.reduction = reduction;
                self
            }
        }

        impl Default for $name {
            fn default() -> $name {
                $name::new()
            }
        }
    )*};
}
use losses;

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

/// Losses times weights of elements or classes, which broadcast.
fn weighted(losses: Tensor, weight: Option<&Weight>) -> Tensor {
    match weight {
        Some(weight) => {
            let weight = weight.beside(&losses);
            losses * weight
        }
        None => losses,
    }
}

/// Of each row of a prediction, whether its greatest element is at the label: `bool`, for accuracies.
///
/// Shapes: `y: [n, classes]`, `label: [n]` -> `[n]`.
#[track_caller]
pub fn is_correct(y: &Tensor, label: &Tensor) -> Tensor {
    y.within("is_correct", || y.argmax(Over::from(-1)).eq(label))
}
