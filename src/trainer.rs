//! Training: from a model, a loss and an optimizer to a program that is called once a step.
//!
//! ```
//! use kiln::prelude::*;
//!
//! struct Xor { fc1: Linear, fc2: Linear }
//! kiln::parameters!(Xor { fc1, fc2 });
//! impl Model for Xor {
//!     fn forward(&self, x: &Tensor) -> Tensor {
//!         self.fc2.forward(&self.fc1.forward(x).tanh()).sigmoid()
//!     }
//! }
//!
//! let model = Xor { fc1: Linear::new(2, 8), fc2: Linear::new(8, 1) };
//! let mut trainer = Trainer::new(&model)
//!     .loss(mse)
//!     .optimizer(Adam::new(0.05))
//!     .compile(f32(&[4, 2]), f32(&[4, 1]))?;
//! let x = TensorData::new([4, 2], vec![0f32, 0., 0., 1., 1., 0., 1., 1.]);
//! let y = TensorData::new([4, 1], vec![0f32, 1., 1., 0.]);
//! let first = trainer.step(&x, &y)?;
//! for _ in 0..50 {
//!     trainer.step(&x, &y)?;
//! }
//! assert!(trainer.step(&x, &y)? < first);
//! # Ok::<(), kiln::Error>(())
//! ```

mod backend;
mod batch;
mod builder;
mod compiled;
mod early_stopping;
mod files;
mod measure;
mod plan;
mod program;
pub(crate) mod resume;
mod state;
mod update;

pub use batch::{Batch, Types};
pub use builder::TrainerBuilder;
pub use early_stopping::EarlyStopping;
pub use files::{Difference, Resume, ResumeError, ResumeProblem};
pub use plan::Task;
pub use program::{Gradients, Step};
pub use update::{Constraint, Penalty};

use crate::compile::CompileOptions;
use crate::error::Error;
use crate::optim::Schedule;
use backend::Backend;
use batch::Samples;
use kiln_ir::{Graph, TensorData};
use plan::Plan;
use std::collections::BTreeMap;
use std::panic::Location;

/// A model in training: its state, and the program that one step is.
pub struct Trainer<'m> {
    plan: Plan<'m>,
    backend: Box<dyn Backend>,
    schedule: Option<Box<dyn Schedule + 'm>>,
    inputs: Types,
    targets: Types,
    threads: usize,
    /// What it was compiled for first: to train or to predict.
    task: Task,
}

impl<'m> Trainer<'m> {
    /// One step of training on a batch: the loss before the update.
    ///
    /// Where the gradients of [several batches](TrainerBuilder::accumulate) make one step, this is their part of it. A batch
    /// may have fewer samples than the trainer was compiled for, as the last of an epoch: a program is compiled for each
    /// number of samples once. Errors: the batch has other types.
    #[track_caller]
    pub fn step(&mut self, inputs: &impl Batch, targets: &impl Batch) -> Result<f32, Error> {
        let (inputs, targets) = (inputs.tensors(), targets.tensors());
        self.check(&inputs, &targets, Location::caller())?;
        self.follow_schedule();
        let task = self.task_of_step();
        self.backend.step(&self.plan, task, [&inputs, &targets]).map(|loss| loss as f32)
    }

    /// Whether the next batch completes a step, or only adds its gradients to those of others.
    fn task_of_step(&self) -> Task {
        let Some(place) = self.plan.accumulated() else { return Task::Train };
        let n_waiting = self.backend.scalar(place) as usize;
        if n_waiting + 1 < self.plan.rules.accumulate { Task::Accumulate } else { Task::Train }
    }

    /// Runs a [program](TrainerBuilder::training_program) of the user's on a batch: what it returns. A program is
    /// compiled for each shape of a batch once.
    ///
    /// Errors: there is no program of this name; it does not take the batch.
    #[track_caller]
    pub fn run(&mut self, program: &str, batch: &impl Batch) -> Result<Vec<TensorData>, Error> {
        let task = self.task_of(program, Location::caller())?;
        self.follow_schedule();
        self.backend.run(&self.plan, task, [&batch.tensors(), &[]])
    }

    /// Makes a program of the user's for batches of these types, so that the first run need not.
    ///
    /// Errors: as [`run`](Trainer::run).
    #[track_caller]
    pub fn prepare(&mut self, program: &str, batch: impl Into<Types>) -> Result<(), Error> {
        let task = self.task_of(program, Location::caller())?;
        self.backend.prepare(&self.plan, task, [&batch.into().0, &[]])
    }

    /// The task that is the user's program of this name.
    pub(crate) fn task_of(&self, name: &str, location: &'static Location<'static>) -> Result<Task, Error> {
        self.program(name, location).map(Task::Program)
    }

    /// The number of the user's program of this name.
    fn program(&self, name: &str, location: &'static Location<'static>) -> Result<usize, Error> {
        let position = self.plan.programs.iter().position(|program| program.name == name);
        let unknown = || {
            let known: Vec<&str> = self.plan.programs.iter().map(|program| &*program.name).collect();
            let problem = match known.is_empty() {
                true => format!("there is no program `{name}`: none was added to the trainer"),
                false => format!("there is no program `{name}`, only {}", known.join(", ")),
            };
            Error::Setup { problem, location }
        };
        position.ok_or_else(unknown)
    }

    /// The loss of a batch and the prediction for it, as outside of training: nothing is dropped or updated.
    ///
    /// The batch may have other shapes than that of training, as long as they suit the model: a program is made for
    /// each shape once. Errors: the model does not take the batch.
    #[track_caller]
    pub fn evaluate(
        &mut self,
        inputs: &impl Batch,
        targets: &impl Batch,
    ) -> Result<(f32, TensorData), Error> {
        let batch = [&inputs.tensors()[..], &targets.tensors()[..]];
        self.check_count(batch[0].len(), Location::caller())?;
        let mut results = self.backend.run(&self.plan, Task::Evaluate, batch)?;
        let prediction = results.pop().expect("an evaluation returns a prediction");
        Ok((results[0].get(0).as_f64() as f32, prediction))
    }

    /// The prediction for a batch, as outside of training. Shapes and errors: as [`evaluate`](Trainer::evaluate).
    #[track_caller]
    pub fn predict(&mut self, inputs: &impl Batch) -> Result<TensorData, Error> {
        let inputs = inputs.tensors();
        self.check_count(inputs.len(), Location::caller())?;
        let mut results = self.backend.run(&self.plan, Task::Predict, [&inputs, &[]])?;
        Ok(results.pop().expect("a prediction is one tensor"))
    }

    /// The gradient of the loss of a batch with respect to each trained parameter, by name; nothing is updated.
    ///
    /// Errors: as [`step`](Trainer::step).
    #[track_caller]
    pub fn gradients(
        &mut self,
        inputs: &impl Batch,
        targets: &impl Batch,
    ) -> Result<BTreeMap<String, TensorData>, Error> {
        let (inputs, targets) = (inputs.tensors(), targets.tensors());
        self.check(&inputs, &targets, Location::caller())?;
        let results = self.backend.run(&self.plan, Task::Gradients, [&inputs, &targets])?;
        let trained = self.plan.parameters.iter().filter(|parameter| parameter.trained.is_some());
        Ok(trained.map(|p| p.name.clone()).zip(results.into_iter().skip(1)).collect())
    }

    /// Checks that a batch of any shapes has as many inputs as the trainer was compiled for, if it was.
    fn check_count(&self, found: usize, location: &'static Location<'static>) -> Result<(), Error> {
        match self.inputs.0.len() {
            0 => Ok(()),
            expected if expected == found => Ok(()),
            expected => Err(Error::BatchCount { role: "input", expected, found, location }),
        }
    }

    /// Checks a batch against the types the trainer was compiled for; it may have fewer samples.
    pub(crate) fn check(
        &self,
        inputs: &[&TensorData],
        targets: &[&TensorData],
        location: &'static Location<'static>,
    ) -> Result<(), Error> {
        let mut samples = Samples::default();
        self.inputs.check("input", inputs, &mut samples, location)?;
        self.targets.check("target", targets, &mut samples, location)
    }

    /// The compiled program of a task, if steps are compiled and it was asked for: its kernels, memory, code.
    pub fn executable(&self, task: Task) -> Option<&crate::executable::Executable> {
        self.backend.executable(task)
    }

    /// What the trainer was compiled for: to train, or only to predict.
    pub(crate) fn task(&self) -> Task {
        self.task
    }

    /// How its programs are compiled.
    pub(crate) fn compile_options(&self) -> Result<CompileOptions, Error> {
        Ok(CompileOptions::new(self.plan.state.len(), self.threads)?)
    }

    /// The present state, in the order of the programs' inputs.
    pub(crate) fn state_values(&self) -> Vec<TensorData> {
        (0..self.plan.state.len()).map(|index| self.backend.state(index)).collect()
    }

    /// Number of threads that carry out a step.
    pub fn threads(&self) -> usize {
        self.threads
    }

    /// The graph of a program, as traced, for the batch types the trainer was compiled for.
    ///
    /// A program of the user's gets the inputs; where it takes others, see [`graph_for`](Trainer::graph_for).
    pub fn graph(&self, task: Task) -> Result<Graph, Error> {
        let takes_targets = match task {
            Task::Train
            | Task::Accumulate
            | Task::TrainWithHealth
            | Task::AccumulateWithHealth
            | Task::Evaluate
            | Task::Gradients => true,
            Task::Predict | Task::Program(_) | Task::ProgramWithHealth(_) => false,
        };
        self.plan.graph(task, &self.inputs.0, if takes_targets { &self.targets.0 } else { &[] })
    }

    /// The graph of a program, as traced, for batches of these types.
    pub fn graph_for(
        &self,
        task: Task,
        inputs: impl Into<Types>,
        targets: impl Into<Types>,
    ) -> Result<Graph, Error> {
        self.plan.graph(task, &inputs.into().0, &targets.into().0)
    }
}
