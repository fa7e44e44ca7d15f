//! Workloads that are models: a step of training, or a prediction.

use super::measure::Running;
use super::workload::Way;
use crate::cli::error::CliError;
use crate::cli::feed::Size;
use crate::cli::recipe::{AnyRecipe, Outcome, Program};
use crate::cli::workloads::ModelWorkload;
use crate::trainer::Trainer;
use kiln_ir::TensorData;

/// A model with a batch, run again and again.
struct Steps<'a> {
    way: Way,
    recipe: &'a dyn AnyRecipe,
    program: &'a Program,
    size: Size,
    /// Inputs, targets.
    batch: [Vec<TensorData>; 2],
    trainer: Option<Trainer<'a>>,
    last: Option<Outcome>,
}

impl Running for Steps<'_> {
    fn step(&mut self) -> Result<(), CliError> {
        let trainer = match &mut self.trainer {
            Some(trainer) => trainer,
            None => {
                let trainer = self.recipe.compile(self.way.of(self.recipe.begin()), self.size)?;
                self.trainer.insert(trainer)
            }
        };
        self.last = Some(self.program.run(trainer, &self.batch)?);
        Ok(())
    }

    fn value(&self) -> f64 {
        match &self.last {
            None => f64::NAN,
            Some(Outcome::Loss(loss)) => *loss,
            Some(Outcome::Tensor(results)) => results.to_f64_vec().iter().sum(),
        }
    }
}

/// Prepares a model of this workload and hands it, not yet compiled, to `measure`.
pub(super) fn run<R>(
    workload: ModelWorkload,
    way: Way,
    measure: impl FnOnce(&mut dyn Running) -> Result<R, CliError>,
) -> Result<R, CliError> {
    let recipes = workload.recipes();
    let (recipe, program, _) = recipes.find("", None)?;
    let size = Size { batch: recipe.batch(), length: None };
    let batch = program.random(size, 1);
    measure(&mut Steps { way, recipe, program, size, batch, trainer: None, last: None })
}
