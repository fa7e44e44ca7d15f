//! How a trainer is put together.

use super::backend::{Backend, Eager, Interpreter};
use super::compiled::Compiled;
use super::plan::{Forward, Group, Loss, Parts, Plan, Task};
use super::program::{NamedProgram, Step};
use super::update::{Constraint, Penalty, Rules};
use super::{Trainer, Types};
use crate::compile::CompileOptions;
use crate::eager::CompiledEvaluator;
use crate::error::Error;
use crate::nn::{Model, Module, parameters_of};
use crate::optim::{Optimizer, Schedule, Setting};
use crate::tensor::Tensor;
use kiln_ir::TensorType;
use std::cell::RefCell;
use std::panic::Location;
use std::rc::Rc;

/// What a trainer is made of; begins with [`Trainer::new`], ends with [`compile`](TrainerBuilder::compile).
pub struct TrainerBuilder<'m> {
    module: &'m dyn Module,
    forward: Forward<'m>,
    loss: Option<Loss<'m>>,
    optimizer: Option<Box<dyn Optimizer + 'm>>,
    groups: Vec<Group<'m>>,
    programs: Vec<NamedProgram<'m>>,
    rules: Rules<'m>,
    schedule: Option<Box<dyn Schedule + 'm>>,
    frozen: Vec<String>,
    /// Names of parameters or layers that the user gave, and the lines.
    named: Vec<(String, &'static Location<'static>)>,
    seed: u64,
    threads: usize,
    mode: Mode,
    profile: bool,
}

/// The name of the group of the parameters that are in no other.
const MAIN_GROUP: &str = "others";

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
            groups: Vec::new(),
            programs: Vec::new(),
            rules: Rules::default(),
            schedule: None,
            frozen: Vec::new(),
            named: Vec::new(),
            seed: 0,
            threads: std::thread::available_parallelism().map_or(1, |n| n.get()),
            mode: Mode::Compiled,
            profile: false,
        }
    }

    /// Begins a trainer of something that computes its loss from the inputs alone; a batch has no targets, which is
    /// written `()`. What [`predict`](Trainer::predict) returns is the loss.
    ///
    /// ```
    /// use kiln::prelude::*;
    ///
    /// let layer = Linear::new(3, 3);
    /// let loss = |x: &[Tensor]| (layer.forward(&x[0]) - &x[0]).square().mean(..);
    /// let trainer = Trainer::minimizing(&layer, loss).optimizer(Sgd::new(0.1));
    /// let mut trainer = trainer.compile(f32(&[8, 3]), ())?;
    /// trainer.step(&TensorData::new([8, 3], vec![1f32; 24]), &())?;
    /// # Ok::<(), kiln::Error>(())
    /// ```
    pub fn minimizing<M: Module>(
        module: &'m M,
        loss: impl Fn(&[Tensor]) -> Tensor + 'm,
    ) -> TrainerBuilder<'m> {
        Trainer::of(module, loss).loss_of(|loss, _| loss.clone())
    }

    /// Begins a trainer that has programs of the user's only; see [`TrainerBuilder::training_program`].
    pub fn with_programs<M: Module>(module: &'m M) -> TrainerBuilder<'m> {
        Trainer::of(module, |x| x[0].refuse("predict", "the trainer has programs only, and no prediction"))
    }
}

impl<'m> TrainerBuilder<'m> {
    /// The loss of a prediction and the one target of a batch: one number.
    #[track_caller]
    pub fn loss(self, loss: impl Fn(&Tensor, &Tensor) -> Tensor + 'm) -> TrainerBuilder<'m> {
        let location = Location::caller();
        self.loss_of(move |prediction, targets| match targets {
            [target, ..] => loss(prediction, target),
            [] => prediction.tracer().at(location, || {
                prediction.refuse("loss", "it is given a target, and the batch has none: see `loss_of`")
            }),
        })
    }

    /// The loss of a prediction and all targets of a batch: one number.
    #[track_caller]
    pub fn loss_of(self, loss: impl Fn(&Tensor, &[Tensor]) -> Tensor + 'm) -> TrainerBuilder<'m> {
        let location = Location::caller();
        let loss = move |prediction: &Tensor, targets: &[Tensor]| {
            prediction.tracer().given_at(location, || loss(prediction, targets))
        };
        TrainerBuilder { loss: Some(Box::new(loss)), ..self }
    }

    /// How parameters follow their gradients: those that are in no [`group`](TrainerBuilder::group). They are the main
    /// group, called `others`; its learning rate is what [`Trainer::learning_rate`] says.
    pub fn optimizer(self, optimizer: impl Optimizer + 'm) -> TrainerBuilder<'m> {
        TrainerBuilder { optimizer: Some(Box::new(optimizer)), ..self }
    }

    /// How the parameters follow their gradients for which `takes` is true of name and type. Each parameter is in the
    /// first group that takes it.
    ///
    /// ```
    /// # use kiln::prelude::*;
    /// # let model = Linear::new(2, 2);
    /// // Weights decay, biases do not.
    /// let trainer = Trainer::new(&model)
    ///     .loss(mse)
    ///     .optimizer(AdamW::new(1e-3).weight_decay(0.1))
    ///     .group("biases", |_, ty| ty.rank() < 2, AdamW::new(1e-3).weight_decay(0.0));
    /// ```
    pub fn group(
        mut self,
        name: &str,
        takes: impl Fn(&str, &TensorType) -> bool + 'm,
        optimizer: impl Optimizer + 'm,
    ) -> TrainerBuilder<'m> {
        let optimizer = Box::new(optimizer);
        self.groups.push(Group { name: name.to_string(), takes: Some(Box::new(takes)), optimizer });
        self
    }

    /// How the parameters of one layer, or of a part of the model, follow their gradients: a group of its name.
    #[track_caller]
    pub fn optimizer_of(mut self, layer: &'m str, optimizer: impl Optimizer + 'm) -> TrainerBuilder<'m> {
        self.named.push((layer.to_string(), Location::caller()));
        self.group(layer, move |name, _| is_within(name, layer), optimizer)
    }

    /// A program of the user's own over the state of the trainer, in which layers behave as in training and which may
    /// train: it computes from the tensors of a batch what [`run`](Trainer::run) returns.
    ///
    /// ```
    /// use kiln::prelude::*;
    ///
    /// struct Gan { g: Linear, d: Linear }
    /// kiln::parameters!(Gan { g, d });
    ///
    /// let gan = Gan { g: Linear::new(4, 2), d: Linear::new(2, 1) };
    /// let mut trainer = Trainer::with_programs(&gan)
    ///     .optimizer_of("g", Adam::new(1e-3))
    ///     .optimizer_of("d", Adam::new(1e-3))
    ///     .training_program("step", |step, x| {
    ///         let (real, fake) = (gan.d.forward(&x[0]), gan.g.forward(&x[1]));
    ///         let d_loss = (1.0 - real).square().mean(..) + gan.d.forward(&fake.detach()).square().mean(..);
    ///         step.minimize("d", &d_loss);
    ///         let g_loss = (1.0 - gan.d.forward(&fake)).square().mean(..);
    ///         step.minimize("g", &g_loss);
    ///         vec![d_loss, g_loss]
    ///     })
    ///     .build()?;
    /// let batch = [TensorData::new([8, 2], vec![1f32; 16]), TensorData::new([8, 4], vec![0.5f32; 32])];
    /// assert_eq!(trainer.run("step", &batch)?.len(), 2);
    /// # Ok::<(), kiln::Error>(())
    /// ```
    pub fn training_program(
        self,
        name: &str,
        body: impl Fn(&Step<'_>, &[Tensor]) -> Vec<Tensor> + 'm,
    ) -> TrainerBuilder<'m> {
        self.add_program(NamedProgram { name: name.to_string(), is_training: true, body: Box::new(body) })
    }

    /// A program of the user's own over the state of the trainer, which changes nothing and in which layers behave as
    /// outside of training: it computes from the tensors of a batch what [`run`](Trainer::run) returns.
    pub fn program(self, name: &str, body: impl Fn(&[Tensor]) -> Vec<Tensor> + 'm) -> TrainerBuilder<'m> {
        let body = Box::new(move |_: &Step<'_>, batch: &[Tensor]| body(batch));
        self.add_program(NamedProgram { name: name.to_string(), is_training: false, body })
    }

    fn add_program(mut self, program: NamedProgram<'m>) -> TrainerBuilder<'m> {
        self.programs.push(program);
        self
    }

    /// How the learning rates change from step to step: each group's is what it began with times what the schedule says
    /// for the group's number of steps. Rates are state of the programs, so that nothing is compiled for it.
    pub fn schedule(self, schedule: impl Schedule + 'm) -> TrainerBuilder<'m> {
        TrainerBuilder { schedule: Some(Box::new(schedule)), ..self }
    }

    /// Shortens all gradients together to this norm where it is greater, as `torch.nn.utils.clip_grad_norm_`. Source: as
    /// [`clip_value`](TrainerBuilder::clip_value), algorithm 1.
    pub fn clip_norm(mut self, bound: f64) -> TrainerBuilder<'m> {
        self.rules.clip_norm = Some(bound);
        self
    }

    /// Cuts each element of the gradients to at most this magnitude, as `torch.nn.utils.clip_grad_value_`. Source: Pascanu,
    /// Mikolov, Bengio, *On the difficulty of training recurrent neural networks*, 2013, section 3.2, on Mikolov's thesis.
    pub fn clip_value(mut self, bound: f64) -> TrainerBuilder<'m> {
        self.rules.clip_value = Some(bound);
        self
    }

    /// Takes the gradients of so many batches for one step: parameters follow their mean. A
    /// [`step`](Trainer::step) on each of the batches before the last only adds its gradients up.
    pub fn accumulate(mut self, n_batches: usize) -> TrainerBuilder<'m> {
        self.rules.accumulate = n_batches;
        self
    }

    /// Keeps an exponential moving average of each trained parameter: `decay` of it stays at a step, and the rest comes
    /// from the parameter: `a = decay a + (1 - decay) p`. [`Trainer::swap_averages`] puts the averages in the place of the
    /// parameters. Source: Polyak and Juditsky, *Acceleration of Stochastic Approximation by Averaging*, 1992, with the
    /// weights of Tarvainen and Valpola, *Mean Teachers Are Better Role Models*, 2017.
    pub fn average(mut self, decay: f64) -> TrainerBuilder<'m> {
        self.rules.average = Some(decay);
        self
    }

    /// What is added to the loss of training for the trained parameters for which `takes` is true of name and type; the
    /// loss that a [`step`](Trainer::step) returns has it, that of [`evaluate`](Trainer::evaluate) has not. In programs of
    /// the user's it is added where gradients of the parameters' group are asked for.
    ///
    /// ```
    /// # use kiln::prelude::*;
    /// # use kiln::trainer::Penalty;
    /// # let model = Linear::new(2, 2);
    /// let trainer = Trainer::new(&model)
    ///     .loss(mse)
    ///     .optimizer(Sgd::new(0.1))
    ///     .penalize(|name, _| name.ends_with("weight"), Penalty { l1: 1e-4, l2: 0.0 });
    /// ```
    pub fn penalize(
        mut self,
        takes: impl Fn(&str, &TensorType) -> bool + 'm,
        penalty: Penalty,
    ) -> TrainerBuilder<'m> {
        self.rules.penalties.push((Box::new(takes), penalty));
        self
    }

    /// What holds after each step for the trained parameters for which `takes` is true of name and type.
    pub fn constrain(
        mut self,
        takes: impl Fn(&str, &TensorType) -> bool + 'm,
        constraint: Constraint,
    ) -> TrainerBuilder<'m> {
        self.rules.constraints.push((Box::new(takes), constraint));
        self
    }

    /// Leaves alone the parameter of this name, or those of the layer of this name. That there is one shows when the
    /// trainer is compiled.
    #[track_caller]
    pub fn freeze(mut self, name: &str) -> TrainerBuilder<'m> {
        self.named.push((name.to_string(), Location::caller()));
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
        if self.optimizer.is_none() && self.groups.is_empty() {
            return Err(missing("optimizer"));
        }
        let task = if self.rules.accumulates() { Task::Accumulate } else { Task::Train };
        let mut trainer = self.finish(loss, [inputs.into(), targets.into()], Task::Train, location)?;
        if task == Task::Accumulate {
            trainer.backend.prepare(&trainer.plan, task, [&trainer.inputs.0, &trainer.targets.0])?;
        }
        Ok(trainer)
    }

    /// Makes a program that only predicts, for inputs of these types: no loss and no optimizer is needed, and nothing
    /// is kept for them. Of the result [`predict`](Trainer::predict), [`run`](Trainer::run) and what has to do with
    /// parameters can be used.
    ///
    /// Errors: every independent mistake of the model, each with its line.
    #[track_caller]
    pub fn compile_for_inference(mut self, inputs: impl Into<Types>) -> Result<Trainer<'m>, Error> {
        // The empty name stands before every other: all parameters are frozen.
        self.frozen.push(String::new());
        let loss: Loss<'m> = Box::new(|y, _| y.refuse("loss", "the model was compiled for inference"));
        self.finish(loss, [inputs.into(), ().into()], Task::Predict, Location::caller())
    }

    /// Makes a trainer whose programs are traced and compiled when they are first run, or
    /// [prepared](Trainer::prepare): for the user's own programs.
    ///
    /// Errors: two parameters of one name.
    #[track_caller]
    pub fn build(mut self) -> Result<Trainer<'m>, Error> {
        let no_loss: Loss<'m> = Box::new(|y, _| y.refuse("loss", "the trainer has no loss"));
        let loss = self.loss.take().unwrap_or(no_loss);
        self.make(loss, [().into(), ().into()], Task::Train, Location::caller())
    }

    /// Makes the trainer, and the program of its first task.
    fn finish(
        self,
        loss: Loss<'m>,
        types: [Types; 2],
        task: Task,
        location: &'static Location<'static>,
    ) -> Result<Trainer<'m>, Error> {
        let mut trainer = self.make(loss, types, task, location)?;
        trainer.backend.prepare(&trainer.plan, task, [&trainer.inputs.0, &trainer.targets.0])?;
        Ok(trainer)
    }

    fn make(
        self,
        loss: Loss<'m>,
        [inputs, targets]: [Types; 2],
        task: Task,
        location: &'static Location<'static>,
    ) -> Result<Trainer<'m>, Error> {
        check_names(self.module, &self.named)?;
        let frozen = self.frozen;
        let is_frozen = |name: &str| frozen.iter().any(|prefix| is_within(name, prefix));
        let mut groups = self.groups;
        if let Some(optimizer) = self.optimizer {
            groups.insert(0, Group { name: MAIN_GROUP.to_string(), takes: None, optimizer });
        }
        let (module, forward, programs, rules) = (self.module, self.forward, self.programs, self.rules);
        check_numbers(&groups, &rules).map_err(|problem| Error::Setup { problem, location })?;
        let parts = Parts { module, forward, loss, programs, groups, rules, seed: self.seed, location };
        let plan = Plan::new(parts, is_frozen)?;
        let options = CompileOptions { profile: self.profile, ..CompileOptions::new(0, self.threads)? };
        let backend: Box<dyn Backend> = match self.mode {
            Mode::Compiled => Box::new(Compiled::new(&plan, options)),
            Mode::Eager => {
                let evaluator = CompiledEvaluator::new(options);
                Box::new(Eager::new(&plan, Rc::new(RefCell::new(evaluator))))
            }
            Mode::Reference => Box::new(Interpreter::new(&plan)),
        };
        let schedule = self.schedule;
        Ok(Trainer { plan, backend, schedule, inputs, targets, threads: self.threads, task })
    }
}

/// Errors: the first number of an optimizer or of a rule that cannot be.
fn check_numbers(groups: &[Group<'_>], rules: &Rules<'_>) -> Result<(), String> {
    for group in groups {
        let optimizer = &group.optimizer;
        let mut settings = vec![Setting::size("lr", optimizer.learning_rate())];
        settings.extend(optimizer.settings());
        if let Some(problem) = settings.iter().find_map(Setting::problem) {
            return Err(format!("optimizer `{}`: {problem}", optimizer.name()));
        }
    }
    let clip_norm = rules.clip_norm.map(|norm| Setting::size("clip_norm", norm));
    let clip_value = rules.clip_value.map(|value| Setting::size("clip_value", value));
    match clip_norm.into_iter().chain(clip_value).find_map(|setting| setting.problem()) {
        Some(problem) => Err(problem),
        None => Ok(()),
    }
}

/// Checks that a parameter, or one of a layer, has each of these names.
fn check_names(module: &dyn Module, named: &[(String, &'static Location<'static>)]) -> Result<(), Error> {
    if named.is_empty() {
        return Ok(());
    }
    let known: Vec<String> = parameters_of(module).into_iter().map(|(name, _)| name).collect();
    match named.iter().find(|(layer, _)| !known.iter().any(|name| is_within(name, layer))) {
        Some((name, location)) => Err(Error::UnknownParameter { name: name.clone(), known, location }),
        None => Ok(()),
    }
}

/// Whether a parameter has this name or is of the layer of this name; the empty name is that of the whole model.
fn is_within(name: &str, layer: &str) -> bool {
    name.strip_prefix(layer).is_some_and(|rest| layer.is_empty() || rest.is_empty() || rest.starts_with('.'))
}
