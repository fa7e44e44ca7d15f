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
mod compiled;
mod plan;

pub use batch::{Batch, Types};
pub use plan::Task;

use crate::checkpoint;
use crate::compile::CompileOptions;
use crate::eager::CompiledEvaluator;
use crate::error::Error;
use crate::nn::{Model, Module};
use crate::optim::{Optimizer, Sgd};
use crate::tensor::Tensor;
use backend::{Backend, Eager, Interpreter};
use compiled::Compiled;
use kiln_ir::{Graph, TensorData, TensorType};
use plan::{Forward, Loss, Plan, StateValue};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::panic::Location;
use std::path::Path;
use std::rc::Rc;

/// A model in training: its state, and the program that one step is.
pub struct Trainer<'m> {
    plan: Plan<'m>,
    backend: Box<dyn Backend>,
    inputs: Types,
    targets: Types,
    threads: usize,
    /// What it was compiled for first: to train or to predict.
    task: Task,
}

/// What a trainer is made of; begins with [`Trainer::new`], ends with [`compile`](TrainerBuilder::compile).
pub struct TrainerBuilder<'m> {
    module: &'m dyn Module,
    forward: Forward<'m>,
    loss: Option<Loss<'m>>,
    optimizer: Option<Box<dyn Optimizer + 'm>>,
    frozen: Vec<String>,
    seed: u64,
    threads: usize,
    mode: Mode,
    profile: bool,
}

/// How a trainer carries out its programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Compiled,
    Eager,
    Reference,
}

impl<'m> Trainer<'m> {
    /// Begins a trainer of a model with one input.
    // The builder is what `new` is for: no trainer exists before its program is compiled.
    #[allow(clippy::new_ret_no_self)]
    pub fn new<M: Model>(model: &'m M) -> TrainerBuilder<'m> {
        Trainer::of(model, |inputs| model.forward(&inputs[0]))
    }

    /// Begins a trainer of something that computes its prediction from several inputs.
    pub fn of<M: Module>(module: &'m M, forward: impl Fn(&[Tensor]) -> Tensor + 'm) -> TrainerBuilder<'m> {
        TrainerBuilder {
            module,
            forward: Box::new(forward),
            loss: None,
            optimizer: None,
            frozen: Vec::new(),
            seed: 0,
            threads: std::thread::available_parallelism().map_or(1, |n| n.get()),
            mode: Mode::Compiled,
            profile: false,
        }
    }

    /// One step of training on a batch: the loss before the update.
    ///
    /// Errors: the batch has other types than the trainer was compiled for.
    #[track_caller]
    pub fn step(&mut self, inputs: &impl Batch, targets: &impl Batch) -> Result<f32, Error> {
        let (inputs, targets) = (inputs.tensors(), targets.tensors());
        self.check(&inputs, &targets, Location::caller())?;
        self.backend.step(&self.plan, [&inputs, &targets]).map(|loss| loss as f32)
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
        let mut results = self.backend.run(&self.plan, Task::Evaluate, batch)?;
        let prediction = results.pop().expect("an evaluation returns a prediction");
        Ok((results[0].get(0).as_f64() as f32, prediction))
    }

    /// The prediction for a batch, as outside of training. Shapes and errors: as [`evaluate`](Trainer::evaluate).
    #[track_caller]
    pub fn predict(&mut self, inputs: &impl Batch) -> Result<TensorData, Error> {
        let mut results = self.backend.run(&self.plan, Task::Predict, [&inputs.tensors()[..], &[]])?;
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
        let trained = self.plan.parameters.iter().filter(|parameter| parameter.slots.is_some());
        Ok(trained.map(|p| p.name.clone()).zip(results.into_iter().skip(1)).collect())
    }

    /// Checks a batch against the types the trainer was compiled for.
    pub(crate) fn check(
        &self,
        inputs: &[&TensorData],
        targets: &[&TensorData],
        location: &'static Location<'static>,
    ) -> Result<(), Error> {
        self.inputs.check("input", inputs, location)?;
        self.targets.check("target", targets, location)
    }

    /// The parameters by name, in the order of the model.
    pub fn parameters(&self) -> Vec<(String, TensorData)> {
        let value = |(i, p): (usize, &plan::Parameter)| (p.name.clone(), self.backend.state(i));
        self.plan.parameters.iter().enumerate().map(value).collect()
    }

    /// One parameter.
    ///
    /// Errors: the model has none of this name.
    #[track_caller]
    pub fn parameter(&self, name: &str) -> Result<TensorData, Error> {
        self.index_of(name, Location::caller()).map(|index| self.backend.state(index))
    }

    /// Replaces the value of one parameter.
    ///
    /// Errors: the model has none of this name; the value has another type.
    #[track_caller]
    pub fn set_parameter(&mut self, name: &str, value: TensorData) -> Result<(), Error> {
        let location = Location::caller();
        let index = self.index_of(name, location)?;
        self.check_parameter(index, &value, location)?;
        self.backend.set_state(index, value);
        Ok(())
    }

    /// Replaces the values of all parameters; names that the model does not have are ignored.
    ///
    /// Errors: a parameter has no value, or one of another type; then none is replaced.
    #[track_caller]
    pub fn set_parameters(&mut self, values: &BTreeMap<String, TensorData>) -> Result<(), Error> {
        self.set_first(self.plan.parameters.len(), values, Location::caller())
    }

    /// Replaces the first `n` pieces of the state, or none.
    fn set_first(
        &mut self,
        n: usize,
        values: &BTreeMap<String, TensorData>,
        location: &'static Location<'static>,
    ) -> Result<(), Error> {
        for (index, StateValue { name, ty, .. }) in self.plan.state[..n].iter().enumerate() {
            match values.get(name) {
                Some(value) => self.check_parameter(index, value, location)?,
                None => {
                    return Err(Error::MissingParameter { name: name.clone(), ty: ty.clone(), location });
                }
            }
        }
        for (index, StateValue { name, .. }) in self.plan.state[..n].iter().enumerate() {
            self.backend.set_state(index, values[name].clone());
        }
        Ok(())
    }

    fn index_of(&self, name: &str, location: &'static Location<'static>) -> Result<usize, Error> {
        self.plan.parameters.iter().position(|p| p.name == name).ok_or_else(|| Error::UnknownParameter {
            name: name.to_string(),
            known: self.plan.parameters.iter().map(|p| p.name.clone()).collect(),
            location,
        })
    }

    fn check_parameter(
        &self,
        index: usize,
        value: &TensorData,
        location: &'static Location<'static>,
    ) -> Result<(), Error> {
        let (name, expected, found) = (&self.plan.state[index].name, &self.plan.state[index].ty, value.ty());
        if *expected == found {
            return Ok(());
        }
        Err(Error::ParameterType { name: name.clone(), expected: expected.clone(), found, location })
    }

    /// Writes the parameters to a file in the safetensors format, under the names of PyTorch's `state_dict`.
    ///
    /// The file is replaced at once, or not at all. Errors: it cannot be written.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<(), Error> {
        self.save_first(self.plan.parameters.len(), path.as_ref())
    }

    /// Reads the parameters from a file in the safetensors format, one of PyTorch's as well.
    ///
    /// Errors: it cannot be read; a parameter is missing or has another type. Then none is replaced.
    #[track_caller]
    pub fn load(&mut self, path: impl AsRef<Path>) -> Result<(), Error> {
        self.load_first(self.plan.parameters.len(), path.as_ref(), Location::caller())
    }

    /// Writes the whole state of the training: parameters, what the optimizer keeps, learning rate, number of steps,
    /// random state. A trainer that reads it goes on as if it had never stopped.
    ///
    /// Errors: as [`save`](Trainer::save).
    pub fn save_state(&self, path: impl AsRef<Path>) -> Result<(), Error> {
        self.save_first(self.plan.state.len(), path.as_ref())
    }

    /// Reads the whole state of a training. Errors: as [`load`](Trainer::load).
    #[track_caller]
    pub fn load_state(&mut self, path: impl AsRef<Path>) -> Result<(), Error> {
        self.load_first(self.plan.state.len(), path.as_ref(), Location::caller())
    }

    /// Writes the first `n` pieces of the state.
    fn save_first(&self, n: usize, path: &Path) -> Result<(), Error> {
        let values: Vec<TensorData> = (0..n).map(|index| self.backend.state(index)).collect();
        let named = self.plan.state.iter().zip(&values).map(|(of, value)| (of.name.as_str(), value));
        checkpoint::save(path, named, &BTreeMap::new()).map_err(|error| Error::File(Box::new(error)))
    }

    /// Reads the first `n` pieces of the state.
    fn load_first(
        &mut self,
        n: usize,
        path: &Path,
        location: &'static Location<'static>,
    ) -> Result<(), Error> {
        let file = checkpoint::load(path).map_err(|error| Error::File(Box::new(error)))?;
        self.set_first(n, &file.tensors, location)
    }

    /// The learning rate.
    pub fn learning_rate(&self) -> f64 {
        self.backend.state(self.plan.learning_rate()).get(0).as_f64()
    }

    /// Changes the learning rate: a scalar of the state, so nothing is compiled.
    pub fn set_learning_rate(&mut self, rate: f64) {
        self.backend.set_state(self.plan.learning_rate(), TensorData::scalar(rate));
    }

    /// How many steps were taken.
    pub fn n_steps(&self) -> u64 {
        self.backend.state(self.plan.step()).get(0).as_f64() as u64
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
    pub fn graph(&self, task: Task) -> Result<Graph, Error> {
        let targets: &[TensorType] = if task == Task::Predict { &[] } else { &self.targets.0 };
        self.plan.graph(task, &self.inputs.0, targets)
    }
}

impl<'m> TrainerBuilder<'m> {
    /// The loss of a prediction and the one target of a batch: one number.
    pub fn loss(self, loss: impl Fn(&Tensor, &Tensor) -> Tensor + 'm) -> TrainerBuilder<'m> {
        self.loss_of(move |prediction, targets| loss(prediction, &targets[0]))
    }

    /// The loss of a prediction and all targets of a batch: one number.
    pub fn loss_of(self, loss: impl Fn(&Tensor, &[Tensor]) -> Tensor + 'm) -> TrainerBuilder<'m> {
        TrainerBuilder { loss: Some(Box::new(loss)), ..self }
    }

    /// How parameters follow their gradients.
    pub fn optimizer(self, optimizer: impl Optimizer + 'm) -> TrainerBuilder<'m> {
        TrainerBuilder { optimizer: Some(Box::new(optimizer)), ..self }
    }

    /// Leaves alone the parameter of this name, or those of the layer of this name.
    pub fn freeze(mut self, name: &str) -> TrainerBuilder<'m> {
        self.frozen.push(name.to_string());
        self
    }

    /// What all random numbers follow from: the first parameters, and what dropout drops. 0 unless it is set.
    pub fn seed(self, seed: u64) -> TrainerBuilder<'m> {
        TrainerBuilder { seed, ..self }
    }

    /// Number of threads that carry out a step; all of the machine's unless it is set.
    pub fn threads(self, threads: usize) -> TrainerBuilder<'m> {
        TrainerBuilder { threads, ..self }
    }

    /// Whether ops are computed one at a time, each time the model is called, instead of compiled.
    pub fn eager(self, eager: bool) -> TrainerBuilder<'m> {
        TrainerBuilder { mode: if eager { Mode::Eager } else { Mode::Compiled }, ..self }
    }

    /// Whether the program notes the time of each of its kernels, for
    /// [`Executable::profile`](crate::executable::Executable::profile).
    pub fn profile(self, profile: bool) -> TrainerBuilder<'m> {
        TrainerBuilder { profile, ..self }
    }

    /// Carries out steps with the reference interpreter: slowly, with no code in common with compiled programs. For
    /// finding out which of the two is wrong.
    pub fn reference(self) -> TrainerBuilder<'m> {
        TrainerBuilder { mode: Mode::Reference, ..self }
    }

    /// Traces the model for batches of these types, derives the gradient and makes the program of one step.
    ///
    /// Errors: every independent mistake of the model, each with its line; parameters that get no gradient; no loss
    /// or no optimizer was given.
    #[track_caller]
    pub fn compile(
        mut self,
        inputs: impl Into<Types>,
        targets: impl Into<Types>,
    ) -> Result<Trainer<'m>, Error> {
        let location = Location::caller();
        let missing = |what: &str| Error::Setup { problem: format!("the trainer has no {what}"), location };
        let loss = self.loss.take().ok_or_else(|| missing("loss"))?;
        let optimizer = self.optimizer.take().ok_or_else(|| missing("optimizer"))?;
        self.finish(loss, optimizer, [inputs.into(), targets.into()], Task::Train, location)
    }

    /// Makes a program that only predicts, for inputs of these types: no loss and no optimizer is needed, and nothing
    /// is kept for them. Of the result [`predict`](Trainer::predict) and what has to do with parameters can be used.
    ///
    /// Errors: every independent mistake of the model, each with its line.
    #[track_caller]
    pub fn compile_for_inference(mut self, inputs: impl Into<Types>) -> Result<Trainer<'m>, Error> {
        // The empty name stands before every other: all parameters are frozen.
        self.frozen.push(String::new());
        let loss: Loss<'m> = Box::new(|y, _| y.refuse("loss", "the model was compiled for inference"));
        let targets = Types::from(Vec::new());
        self.finish(
            loss,
            Box::new(Sgd::new(0.0)),
            [inputs.into(), targets],
            Task::Predict,
            Location::caller(),
        )
    }

    /// Makes the trainer, and the program of its first task.
    fn finish(
        self,
        loss: Loss<'m>,
        optimizer: Box<dyn Optimizer + 'm>,
        [inputs, targets]: [Types; 2],
        task: Task,
        location: &'static Location<'static>,
    ) -> Result<Trainer<'m>, Error> {
        let is_frozen = |name: &str| self.frozen.iter().any(|prefix| is_within(name, prefix));
        let plan = Plan::new(self.module, self.forward, loss, optimizer, is_frozen, self.seed, location)?;
        let options = CompileOptions { profile: self.profile, ..CompileOptions::new(0, self.threads)? };
        let mut backend: Box<dyn Backend> = match self.mode {
            Mode::Compiled => Box::new(Compiled::new(&plan, options)),
            Mode::Eager => {
                let evaluator = CompiledEvaluator::new(options);
                Box::new(Eager::new(&plan, Rc::new(RefCell::new(evaluator))))
            }
            Mode::Reference => Box::new(Interpreter::new(&plan)),
        };
        backend.prepare(&plan, task, [&inputs.0, &targets.0])?;
        Ok(Trainer { plan, backend, inputs, targets, threads: self.threads, task })
    }
}

/// Whether a parameter has this name or is of the layer of this name; the empty name is that of the whole model.
fn is_within(name: &str, layer: &str) -> bool {
    name.strip_prefix(layer).is_some_and(|rest| layer.is_empty() || rest.is_empty() || rest.starts_with('.'))
}
