//! What is reported beside the loss: how good predictions are.
//!
//! Metrics are computed on the host, from the tensors that [`Trainer::evaluate`](crate::Trainer::evaluate) returns. Those
//! that are not means of the samples (precision, the area under a curve, R²) need all samples at once: a
//! [`ConfusionMatrix`] collects counts over batches, and [`Mean`] what is a mean.

mod classification;
mod confusion;
mod regression;

pub use classification::{accuracy, binary_accuracy, roc_auc, top_k_accuracy};
pub use confusion::{Average, ConfusionMatrix};
pub use regression::{
    explained_variance, mean_absolute_error, mean_squared_error, r_squared, root_mean_squared_error,
};

/// `e^loss`: between how many equally likely words a language model hesitates, from its mean cross entropy in nats.
///
/// Source: Jelinek, Mercer, Bahl, Baker, *Perplexity - a measure of the difficulty of speech recognition tasks*, 1977.
///
/// ```
/// // A model that knows nothing of ten words.
/// assert!((kiln::metrics::perplexity(10f64.ln()) - 10.0).abs() < 1e-12);
/// ```
pub fn perplexity(cross_entropy: f64) -> f64 {
    cross_entropy.exp()
}

/// A mean over batches of different sizes: `sum(n * value) / sum(n)`.
///
/// ```
/// use kiln::metrics::Mean;
/// let mut loss = Mean::new();
/// loss.add(1.0, 64);
/// loss.add(4.0, 32);
/// assert_eq!(loss.value(), 2.0);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Mean {
    sum: f64,
    n: u64,
}

impl Mean {
    /// Of nothing yet.
    pub fn new() -> Mean {
        Mean::default()
    }

    /// Takes in the mean of `n` samples.
    pub fn add(&mut self, value: f64, n: usize) {
        self.sum += value * n as f64;
        self.n += n as u64;
    }

    /// The mean; NaN without samples.
    pub fn value(&self) -> f64 {
        self.sum / self.n as f64
    }

    /// Number of samples.
    pub fn n_samples(&self) -> u64 {
        self.n
    }

    /// The sum, and the number of samples.
    pub(crate) fn parts(&self) -> (f64, u64) {
        (self.sum, self.n)
    }

    /// The mean of these parts.
    pub(crate) fn of_parts(sum: f64, n: u64) -> Mean {
        Mean { sum, n }
    }
}
