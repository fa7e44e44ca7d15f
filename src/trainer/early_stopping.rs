//! Stopping when a measure no longer gets better.

use super::Trainer;
use crate::error::Error;
use kiln_ir::TensorData;
use std::collections::BTreeMap;

/// Watches a measure that should fall, such as the loss on held-out data, or one that should rise, keeps the best parameters and says when to stop.
///
/// Source: Prechelt, *Early Stopping - But When?*, 1998: stop after so many observations without a new best.
///
/// ```
/// # use kiln::prelude::*;
/// # let model = Linear::new(2, 1);
/// # let mut trainer = Trainer::new(&model).loss(mse).optimizer(Sgd::new(0.1)).compile(f32(&[4, 2]), f32(&[4, 1]))?;
/// # let (x, y) = (TensorData::new([4, 2], vec![1f32; 8]), TensorData::new([4, 1], vec![0f32; 4]));
/// let mut stopping = EarlyStopping::new(3);
/// for _ in 0..100 {
///     trainer.step(&x, &y)?;
///     let (loss, _) = trainer.evaluate(&x, &y)?;
///     if stopping.observe(f64::from(loss), &trainer) {
///         break;
///     }
/// }
/// stopping.restore(&mut trainer)?;
/// # Ok::<(), kiln::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct EarlyStopping {
    patience: usize,
    min_delta: f64,
    rises: bool,
    pub(super) n_worse: usize,
    pub(super) best: Option<(f64, BTreeMap<String, TensorData>)>,
}

impl EarlyStopping {
    /// Stops after so many observations in a row that are no better than the best.
    pub fn new(patience: usize) -> EarlyStopping {
        EarlyStopping { patience, min_delta: 0.0, rises: false, n_worse: 0, best: None }
    }

    /// The same for a measure that should rise, such as an accuracy.
    pub fn rising(self) -> EarlyStopping {
        EarlyStopping { rises: true, ..self }
    }

    /// The same, where better means lower (of what should rise: higher) by more than this.
    pub fn min_delta(self, min_delta: f64) -> EarlyStopping {
        EarlyStopping { min_delta, ..self }
    }

    /// Takes note of the measure: whether to stop. What is not a number is worse than everything.
    pub fn observe(&mut self, measure: f64, trainer: &Trainer<'_>) -> bool {
        let is_better = match &self.best {
            Some((best, _)) if self.rises => measure > best + self.min_delta,
            Some((best, _)) => measure < best - self.min_delta,
            None => !measure.is_nan(),
        };
        if is_better {
            self.best = Some((measure, trainer.parameters().into_iter().collect()));
            self.n_worse = 0;
        } else {
            self.n_worse += 1;
        }
        self.n_worse >= self.patience
    }

    /// The best measure so far.
    pub fn best(&self) -> Option<f64> {
        self.best.as_ref().map(|(measure, _)| *measure)
    }

    /// Puts the parameters and buffers of the best observation back. Without one, nothing happens.
    ///
    /// Errors: the trainer is of another model.
    #[track_caller]
    pub fn restore(&self, trainer: &mut Trainer<'_>) -> Result<(), Error> {
        match &self.best {
            Some((_, parameters)) => trainer.set_parameters(parameters),
            None => Ok(()),
        }
    }
}
