//! A model with everything that its training needs but the data: what `train`, `dump`, `verify` and `bench` share.
//!
//! Each example and each workload is described once, by a [`Recipe`]. A training takes model, loss and optimizer from it and
//! brings the data; the other commands feed the programs with random numbers of the same form.

use super::error::CliError;
use super::feed::{Feed, Size};
use super::options::Options;
use crate::error::Error;
use crate::nn::Module;
use crate::trainer::{Task, Trainer, TrainerBuilder, Types};
use kiln_ir::{Graph, TensorData, TensorType};
use std::panic::Location;

/// A model, how it is trained, and which programs there are.
pub struct Recipe<M> {
    /// The model.
    pub model: M,
    /// Samples per step, unless the user says otherwise.
    pub batch: usize,
    /// The learning rate at the beginning, unless the user says otherwise.
    pub learning_rate: f64,
    begin: Begin<M>,
    programs: Vec<Program>,
    /// Whether only predictions are made: nothing is kept for a training.
    is_inference: bool,
}

/// Begins a trainer of a model with a learning rate: with loss, optimizer and programs.
pub type Begin<M> = for<'m> fn(&'m M, f64) -> TrainerBuilder<'m>;

/// A program that a trainer runs, and what it takes.
#[derive(Clone, Debug)]
pub(crate) struct Program {
    pub name: String,
    pub kind: ProgramKind,
    pub inputs: Vec<Feed>,
    pub targets: Vec<Feed>,
}

/// What a program does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ProgramKind {
    /// The ordinary step: prediction, loss, gradient, update.
    Step,
    /// The loss and the prediction, as outside of training.
    Evaluate,
    /// The prediction, as outside of training.
    Predict,
    /// One of the model's own, which is part of a step of its training.
    Training,
    /// One of the model's own, which is not.
    Other,
}

impl<M: Module> Recipe<M> {
    /// A model, samples per step, the learning rate at the beginning, and what begins a trainer with loss and optimizer.
    pub fn new(model: M, batch: usize, learning_rate: f64, begin: Begin<M>) -> Recipe<M> {
        Recipe { model, batch, learning_rate, begin, programs: Vec::new(), is_inference: false }
    }

    fn add(mut self, name: &str, kind: ProgramKind, inputs: Vec<Feed>) -> Recipe<M> {
        self.programs.push(Program { name: name.to_string(), kind, inputs, targets: Vec::new() });
        self
    }

    /// The step of the training takes inputs and targets of this form.
    pub fn step<const N: usize>(mut self, input: Feed, targets: [Feed; N]) -> Recipe<M> {
        for (name, kind) in [
            ("train", ProgramKind::Step),
            ("evaluate", ProgramKind::Evaluate),
            ("predict", ProgramKind::Predict),
        ] {
            self = self.add(name, kind, vec![input.clone()]);
            if let (Some(program), false) = (self.programs.last_mut(), kind == ProgramKind::Predict) {
                program.targets = targets.to_vec();
            }
        }
        self
    }

    /// A program of the trainer's that is part of a step of training, and what it takes.
    pub fn training(self, name: &str, inputs: impl Into<Vec<Feed>>) -> Recipe<M> {
        self.add(name, ProgramKind::Training, inputs.into())
    }

    /// Another program of the trainer's, and what it takes.
    pub fn program(self, name: &str, inputs: impl Into<Vec<Feed>>) -> Recipe<M> {
        self.add(name, ProgramKind::Other, inputs.into())
    }

    /// The same model, of which one sample is predicted and nothing is learned.
    pub(crate) fn for_inference(mut self) -> Recipe<M> {
        self.programs.retain(|program| program.kind == ProgramKind::Predict);
        Recipe { batch: 1, is_inference: true, ..self }
    }

    /// Begins a trainer with the learning rate, the seed, the threads and the mode of the options.
    pub fn trainer(&self, options: &Options) -> TrainerBuilder<'_> {
        options.configure((self.begin)(&self.model, options.learning_rate(self.learning_rate)))
    }

    /// Types of the inputs and of the targets of a step.
    ///
    /// # Panics
    /// When the recipe has no [`step`](Recipe::step).
    pub fn types(&self, batch: usize) -> [Types; 2] {
        let program = self.programs.first().expect("a recipe has programs");
        program.types(Size { batch, length: None }).map(Types::from)
    }
}

impl Program {
    /// Types of inputs and of targets.
    pub fn types(&self, size: Size) -> [Vec<TensorType>; 2] {
        [&self.inputs, &self.targets].map(|side| side.iter().map(|feed| feed.ty(size)).collect())
    }

    /// Random inputs and targets, the same for the same seed.
    pub fn random(&self, size: Size, seed: u64) -> [Vec<TensorData>; 2] {
        let first_target = self.inputs.len() as u64;
        [(&self.inputs, 0), (&self.targets, first_target)].map(|(side, first)| {
            side.iter().zip(seed + first..).map(|(feed, seed)| feed.random(size, seed)).collect()
        })
    }

    /// The usual number of places of the sequences that it takes, if it takes some.
    pub fn length(&self) -> Option<usize> {
        self.inputs.iter().find_map(Feed::length)
    }

    /// Which program of a trainer it is.
    fn task(&self, trainer: &Trainer<'_>) -> Result<Task, Error> {
        Ok(match self.kind {
            ProgramKind::Step => Task::Train,
            ProgramKind::Evaluate => Task::Evaluate,
            ProgramKind::Predict => Task::Predict,
            ProgramKind::Training | ProgramKind::Other => trainer.task_of(&self.name, Location::caller())?,
        })
    }

    /// The graph of the program, as traced.
    pub fn graph(&self, trainer: &Trainer<'_>, size: Size) -> Result<Graph, Error> {
        let [inputs, targets] = self.types(size);
        trainer.graph_for(self.task(trainer)?, inputs, targets)
    }

    /// Runs the program on inputs and targets.
    pub fn run(
        &self,
        trainer: &mut Trainer<'_>,
        [inputs, targets]: &[Vec<TensorData>; 2],
    ) -> Result<Outcome, Error> {
        Ok(match self.kind {
            ProgramKind::Step => Outcome::Loss(trainer.step(inputs, targets)?.into()),
            ProgramKind::Evaluate => Outcome::Loss(trainer.evaluate(inputs, targets)?.0.into()),
            ProgramKind::Predict => Outcome::Tensor(trainer.predict(inputs)?),
            ProgramKind::Training => Outcome::Loss(trainer.run(&self.name, inputs)?[0].get(0).as_f64()),
            ProgramKind::Other => Outcome::Tensor(trainer.run(&self.name, inputs)?.remove(0)),
        })
    }
}

/// What a program returned, of which only a number is of interest.
pub(crate) enum Outcome {
    Loss(f64),
    /// A number of it is asked for outside of the time that is measured.
    Tensor(TensorData),
}

/// A recipe whose model is whatever it is.
pub(crate) trait AnyRecipe {
    fn programs(&self) -> &[Program];

    /// Samples per step.
    fn batch(&self) -> usize;

    /// Begins a trainer.
    fn begin(&self) -> TrainerBuilder<'_>;

    /// Whether only predictions are made.
    fn is_inference(&self) -> bool;
}

impl<M: Module> AnyRecipe for Recipe<M> {
    fn programs(&self) -> &[Program] {
        &self.programs
    }

    fn batch(&self) -> usize {
        self.batch
    }

    fn begin(&self) -> TrainerBuilder<'_> {
        (self.begin)(&self.model, self.learning_rate)
    }

    fn is_inference(&self) -> bool {
        self.is_inference
    }
}

impl<'r> dyn AnyRecipe + 'r {
    /// Makes the trainer of a builder that [`begin`](AnyRecipe::begin) has given, without a program.
    pub fn build<'m>(&self, trainer: TrainerBuilder<'m>) -> Result<Trainer<'m>, Error> {
        // The empty name is that of the whole model: nothing is kept for its training.
        if self.is_inference() { trainer.freeze("").build() } else { trainer.build() }
    }

    /// The same with the program of the ordinary step, or of a prediction when nothing is learned.
    pub fn compile<'m>(&self, trainer: TrainerBuilder<'m>, size: Size) -> Result<Trainer<'m>, Error> {
        let [inputs, targets] = self.programs()[0].types(size);
        match self.programs()[0].kind {
            _ if self.is_inference() => trainer.compile_for_inference(inputs),
            ProgramKind::Step => trainer.compile(inputs, targets),
            ProgramKind::Evaluate | ProgramKind::Predict | ProgramKind::Training | ProgramKind::Other => {
                trainer.build()
            }
        }
    }

    /// One step of the training on random data; nothing when nothing is learned.
    pub fn random_step(&self, trainer: &mut Trainer<'_>, size: Size, seed: u64) -> Result<(), Error> {
        for program in self.programs() {
            let is_of_step = match program.kind {
                ProgramKind::Step | ProgramKind::Training => true,
                ProgramKind::Evaluate | ProgramKind::Predict | ProgramKind::Other => false,
            };
            if is_of_step {
                program.run(trainer, &program.random(size, seed))?;
            }
        }
        Ok(())
    }
}

/// One recipe of several, or the only one, with what its programs are told apart by.
pub(crate) struct Part {
    /// Nothing where it is the only one.
    name: Option<String>,
    pub recipe: Box<dyn AnyRecipe>,
}

/// The recipes of an example: one for each of its models.
pub struct Recipes(pub(crate) Vec<Part>);

impl<M: Module + 'static> From<Recipe<M>> for Recipes {
    fn from(recipe: Recipe<M>) -> Recipes {
        Recipes(vec![Part { name: None, recipe: Box::new(recipe) }])
    }
}

impl Recipes {
    /// Of an example that trains several models.
    pub fn none() -> Recipes {
        Recipes(Vec::new())
    }

    /// Adds a model, by what it is called.
    pub fn and<M: Module + 'static>(mut self, name: &str, recipe: Recipe<M>) -> Recipes {
        let name = Some(name.to_lowercase().replace(", ", "-").replace(' ', "-"));
        self.0.push(Part { name, recipe: Box::new(recipe) });
        self
    }

    /// The names of all programs. Where there are several models, the first program of one has the name of the model.
    pub fn names(&self) -> Vec<String> {
        self.0.iter().flat_map(|part| (0..part.recipe.programs().len()).map(|i| part.name_of(i))).collect()
    }

    /// The recipe and the program of a name, or the first ones, with the name.
    pub(crate) fn find(
        &self,
        model: &str,
        name: Option<&str>,
    ) -> Result<(&dyn AnyRecipe, &Program, String), CliError> {
        for part in &self.0 {
            for (i, program) in part.recipe.programs().iter().enumerate() {
                let of = part.name_of(i);
                if name.is_none_or(|name| of == name) {
                    return Ok((&*part.recipe, program, of));
                }
            }
        }
        let (name, known) = (name.unwrap_or_default(), self.names().join(", "));
        Err(CliError::Arguments(format!("`{model}` has no program `{name}`; it has {known}")))
    }
}

impl Part {
    /// The name of a program.
    fn name_of(&self, i: usize) -> String {
        let program = &self.recipe.programs()[i].name;
        match (&self.name, i) {
            (None, _) => program.clone(),
            (Some(model), 0) => model.clone(),
            (Some(model), _) => format!("{model}.{program}"),
        }
    }
}
