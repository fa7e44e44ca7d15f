//! What a trainer traces: the training program and the programs that share its state.
//!
//! All programs have the same inputs first, the state in the order of [`Plan::state`]: parameters and buffers, what
//! optimizers keep for them, then learning rate and number of steps of each group, the number of batches whose
//! gradients are accumulated, and the random state; after these the batch. A program returns its results, then each
//! changed piece of state as the next value of its input.

use super::measure::{self, Measured};
use super::program::{NamedProgram, Step};
use super::update::Rules;
use crate::eager::Value;
use crate::error::{Error, Mistake, Problem};
use crate::nn::{Init, Module, Param, ParamId, parameters_of};
use crate::optim::Optimizer;
use crate::state::write_bytes;
use crate::tensor::Tensor;
use crate::trace::Tracer;
use kiln_ir::{DType, Graph, Source, TensorData, TensorType};
use smallvec::SmallVec;
use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::panic::Location;
use std::sync::Arc;

/// Computes the predictions from the inputs of a batch.
pub(crate) type Forward<'m> = Box<dyn Fn(&[Tensor]) -> Tensor + 'm>;
/// Computes the loss from the prediction and the targets of a batch.
pub(crate) type Loss<'m> = Box<dyn Fn(&Tensor, &[Tensor]) -> Tensor + 'm>;

/// Which program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Task {
    /// One step of training: returns the loss, and the next state.
    Train,
    /// Adds the gradients of a batch to those that the next step of training uses: returns the loss, and the next state.
    Accumulate,
    /// As [`Train`](Task::Train); returns also the norms of gradients, parameters and activations.
    TrainWithHealth,
    /// As [`Accumulate`](Task::Accumulate); returns also the norms of gradients, parameters and activations.
    AccumulateWithHealth,
    /// The loss and the prediction, as outside of training.
    Evaluate,
    /// The prediction, as outside of training. Takes no targets.
    Predict,
    /// The loss and the gradient of each trained parameter, as in training.
    Gradients,
    /// A program of the user's, by its number: what it returns, and, if it trains, the next state. Takes no targets.
    Program(usize),
    /// As [`Program`](Task::Program); returns also the norms of gradients, parameters and activations of each loss.
    ProgramWithHealth(usize),
}

/// One value that stays from step to step.
#[derive(Clone)]
pub(crate) struct StateValue {
    pub name: String,
    pub ty: TensorType,
    pub initial: Initial,
}

/// What a value of the state begins with. It is drawn or filled in where it is kept: nothing is made only to be copied.
#[derive(Clone)]
pub(crate) enum Initial {
    /// A draw with a seed and the number of the parameter.
    Drawn { init: Init, seed: u64, index: u64 },
    /// Every element is the same.
    Filled(f64),
    /// These elements.
    Given(TensorData),
}

impl StateValue {
    fn filled(name: String, ty: TensorType, value: f64) -> StateValue {
        StateValue { name, ty, initial: Initial::Filled(value) }
    }

    /// The value that it begins with.
    pub fn first(&self) -> TensorData {
        match &self.initial {
            Initial::Drawn { init, seed, index } => init.sample(&self.ty, *seed, *index),
            Initial::Filled(value) => Init::Constant(*value).sample(&self.ty, 0, 0),
            Initial::Given(data) => data.clone(),
        }
    }

    /// Writes the value that it begins with over the bytes of a buffer, which are zero.
    pub fn write_first(&self, bytes: &mut [u8]) {
        match &self.initial {
            Initial::Drawn { init, seed, index } => init.write(&self.ty, *seed, *index, bytes),
            Initial::Filled(value) => Init::Constant(*value).write(&self.ty, 0, 0, bytes),
            Initial::Given(data) => write_bytes(data, bytes),
        }
    }
}

/// A parameter or buffer of the model; its index is that of its state.
pub(crate) struct Parameter {
    pub name: String,
    pub id: ParamId,
    pub is_buffer: bool,
    /// Nothing when no optimizer changes it.
    pub trained: Option<Trained>,
}

/// What is kept for a trained parameter, by its places in the state.
pub(crate) struct Trained {
    /// The group that it belongs to.
    pub group: usize,
    /// What the optimizer keeps.
    pub slots: Range<usize>,
    /// The moving average of the parameter.
    pub average: Option<usize>,
    /// The sum of the gradients of batches since the last step.
    pub accumulated: Option<usize>,
}

/// Parameters that follow one optimizer.
pub(crate) struct Group<'m> {
    pub name: String,
    /// Whether it is for the parameter of this name and type; without, it is for those that no other group takes.
    pub takes: Option<Takes<'m>>,
    pub optimizer: Box<dyn Optimizer + 'm>,
}

/// Whether something is for the parameter of this name and type.
pub(crate) type Takes<'m> = Box<dyn Fn(&str, &TensorType) -> bool + 'm>;

/// Everything that is decided before the first trace.
pub(crate) struct Plan<'m> {
    pub forward: Forward<'m>,
    pub loss: Loss<'m>,
    pub programs: Vec<NamedProgram<'m>>,
    pub groups: Vec<Group<'m>>,
    pub rules: Rules<'m>,
    pub parameters: Vec<Parameter>,
    pub state: Vec<StateValue>,
    /// The user's call of `compile`: the line of what no line of the model stands for.
    pub location: &'static Location<'static>,
    /// What the programs with health measure: each trace notes it.
    pub measured: RefCell<HashMap<MeasuredIn, Vec<Measured>>>,
    /// The place in the state of the first group's learning rate, after which come the other scalars.
    first_scalar: usize,
}

/// A program with health: the number of the user's own if it is one, and the types of its batch.
pub(crate) type MeasuredIn = (Option<usize>, [Vec<TensorType>; 2]);

/// What a plan is made of.
pub(crate) struct Parts<'m> {
    pub module: &'m dyn Module,
    pub forward: Forward<'m>,
    pub loss: Loss<'m>,
    pub programs: Vec<NamedProgram<'m>>,
    /// The first group that takes a parameter has it. If there is one for all others, it is the first of the list, and
    /// with it the one whose scalars have no suffix.
    pub groups: Vec<Group<'m>>,
    pub rules: Rules<'m>,
    pub seed: u64,
    pub location: &'static Location<'static>,
}

/// The results of one trace.
pub(crate) struct Traced {
    /// What the program returns besides the next state.
    pub results: Vec<Tensor>,
    /// The next values of state, by its index.
    pub updates: Vec<(usize, Tensor)>,
}

/// The inputs of a program in a trace.
struct Inputs {
    state: Vec<Tensor>,
    inputs: Vec<Tensor>,
    targets: Vec<Tensor>,
}

impl<'m> Plan<'m> {
    pub fn new(parts: Parts<'m>, is_frozen: impl Fn(&str) -> bool) -> Result<Plan<'m>, Error> {
        let Parts { module, forward, loss, programs, groups, rules, seed, location } = parts;
        let found = distinct(parameters_of(module), location)?;
        let mut state: Vec<StateValue> = Vec::new();
        for (index, (name, param)) in found.iter().enumerate() {
            let initial = Initial::Drawn { init: param.init().clone(), seed, index: index as u64 };
            state.push(StateValue { name: name.clone(), ty: param.ty().clone(), initial });
        }
        let mut parameters = Vec::new();
        for (index, (name, param)) in found.into_iter().enumerate() {
            let takes =
                |group: &Group<'_>| group.takes.as_ref().is_some_and(|takes| takes(&name, param.ty()));
            let others = || groups.iter().position(|group| group.takes.is_none());
            let group = groups.iter().position(takes).or_else(others);
            let trained = match group {
                Some(group) if !param.is_frozen() && !is_frozen(&name) => {
                    Some(kept(&mut state, index, group, groups[group].optimizer.as_ref(), &rules))
                }
                Some(_) | None => None,
            };
            parameters.push(Parameter { name, id: param.id(), is_buffer: param.is_buffer(), trained });
        }
        let first_scalar = state.len();
        let mut add = |name: String, value| {
            state.push(StateValue::filled(name, TensorType::scalar(DType::F64), value));
        };
        for (index, group) in groups.iter().enumerate() {
            // The first group has the names without its own: in most trainings it is the only one.
            let suffix = if index == 0 { String::new() } else { format!(".{}", group.name) };
            add(format!("learning_rate{suffix}"), group.optimizer.learning_rate());
            add(format!("step{suffix}"), 0.0);
        }
        if rules.accumulates() {
            add("accumulated".to_string(), 0.0);
        }
        let random = TensorData::new([2], vec![seed as i64, 0]);
        let (name, ty) = ("random".to_string(), random.ty());
        state.push(StateValue { name, ty, initial: Initial::Given(random) });
        let measured = RefCell::default();
        Ok(Plan {
            forward,
            loss,
            programs,
            groups,
            rules,
            parameters,
            state,
            location,
            measured,
            first_scalar,
        })
    }

    /// The place of a group's learning rate.
    pub fn learning_rate(&self, group: usize) -> usize {
        self.first_scalar + 2 * group
    }

    /// The place of a group's number of steps.
    pub fn step(&self, group: usize) -> usize {
        self.first_scalar + 2 * group + 1
    }

    /// The place of the number of batches whose gradients wait for a step, if gradients are accumulated.
    pub fn accumulated(&self) -> Option<usize> {
        self.rules.accumulates().then_some(self.state.len() - 2)
    }

    pub fn random(&self) -> usize {
        self.state.len() - 1
    }

    /// The graph of a program for a batch of these types.
    pub fn graph(&self, task: Task, inputs: &[TensorType], targets: &[TensorType]) -> Result<Graph, Error> {
        let tracer = Tracer::new(self.name(task));
        let state = self.state.iter().map(|value| tracer.input(&value.name, value.ty.clone())).collect();
        let side = |name: &str, types: &[TensorType]| -> Vec<Tensor> {
            let named =
                |(i, ty): (usize, &TensorType)| tracer.input(&numbered(name, i, types.len()), ty.clone());
            types.iter().enumerate().map(named).collect()
        };
        let inputs = Inputs { state, inputs: side("input", inputs), targets: side("target", targets) };
        let traced = self.trace(&tracer, task, inputs)?;
        let results: Vec<&Tensor> = traced.results.iter().collect();
        let mut graph = tracer.finish(&results)?;
        for (index, value) in &traced.updates {
            graph.add_output(value.expect_id(), Some(*index));
        }
        Ok(graph)
    }

    /// Runs a program eagerly: a trace whose ops are computed as they are recorded.
    pub fn run(
        &self,
        tracer: &Tracer,
        task: Task,
        state: &[Value],
        batch: [&[Value]; 2],
    ) -> Result<Traced, Error> {
        let named = |(value, of): (&Value, &StateValue)| tracer.input_value(&of.name, value.clone());
        let state = state.iter().zip(&self.state).map(named).collect();
        let side = |name: &str, values: &[Value]| -> Vec<Tensor> {
            values.iter().map(|value| tracer.input_value(name, value.clone())).collect()
        };
        let inputs = Inputs { state, inputs: side("input", batch[0]), targets: side("target", batch[1]) };
        self.trace(tracer, task, inputs)
    }

    fn trace(&self, tracer: &Tracer, task: Task, inputs: Inputs) -> Result<Traced, Error> {
        let Inputs { state, inputs, targets } = inputs;
        for (parameter, value) in self.parameters.iter().zip(&state) {
            tracer.bind_parameter(parameter.id, value);
        }
        tracer.bind_random(&state[self.random()]);
        let is_training = match task {
            Task::Train
            | Task::Accumulate
            | Task::TrainWithHealth
            | Task::AccumulateWithHealth
            | Task::Gradients => true,
            Task::Evaluate | Task::Predict => false,
            Task::Program(index) | Task::ProgramWithHealth(index) => self.programs[index].is_training,
        };
        tracer.set_training(is_training);
        let step = Step::new(self, tracer, state, matches!(task, Task::ProgramWithHealth(_)));
        let results = tracer.given_at(self.location, || match task {
            Task::Program(index) => (self.programs[index].body)(&step, &inputs),
            Task::ProgramWithHealth(index) => {
                let mut results = (self.programs[index].body)(&step, &inputs);
                let (norms, measured) = step.take_health();
                results.extend(norms);
                self.note_measured(Some(index), [&inputs, &[]], measured);
                results
            }
            Task::Predict => vec![(self.forward)(&inputs)],
            Task::Train
            | Task::Accumulate
            | Task::TrainWithHealth
            | Task::AccumulateWithHealth
            | Task::Evaluate
            | Task::Gradients => self.trace_with_loss(&step, task, &inputs, &targets),
        });
        tracer.check()?;
        let has_next_state = is_training && task != Task::Gradients;
        let updates = step.finish()?;
        Ok(Traced { results, updates: if has_next_state { updates } else { Vec::new() } })
    }

    fn trace_with_loss(
        &self,
        step: &Step<'_>,
        task: Task,
        inputs: &[Tensor],
        targets: &[Tensor],
    ) -> Vec<Tensor> {
        let prediction = (self.forward)(inputs);
        let tracer = prediction.tracer();
        let n_forward = tracer.graph().id_bound();
        let loss = (self.loss)(&prediction, targets);
        let loss = tracer.at(self.location, || tracer.with_penalties(loss));
        let loss = if tracer.is_training() { step.penalized(loss, |_| true) } else { loss };
        match task {
            Task::Gradients => {
                let gradients = step.all_gradients(&loss);
                std::iter::once(loss).chain(gradients.into_tensors()).collect()
            }
            Task::Train => {
                step.apply_with_accumulated(step.all_gradients(&loss));
                vec![loss]
            }
            Task::Accumulate => {
                step.accumulate(step.all_gradients(&loss));
                vec![loss]
            }
            Task::TrainWithHealth | Task::AccumulateWithHealth => {
                let gradients = step.all_gradients(&loss);
                let forward = measure::Forward { prediction: &prediction, bound: n_forward, skipped: &[] };
                let (norms, measured) =
                    tracer.at(self.location, || measure::measure(step, &gradients, &forward));
                self.note_measured(None, [inputs, targets], vec![measured]);
                match task == Task::TrainWithHealth {
                    true => step.apply_with_accumulated(gradients),
                    false => step.accumulate(gradients),
                }
                std::iter::once(loss).chain(norms).collect()
            }
            Task::Evaluate | Task::Predict | Task::Program(_) | Task::ProgramWithHealth(_) => {
                step.check_loss(&loss);
                vec![loss, prediction]
            }
        }
    }

    /// Takes note of what a program with health measures.
    fn note_measured(&self, program: Option<usize>, batch: [&[Tensor]; 2], measured: Vec<Measured>) {
        let types = batch.map(|side| side.iter().map(|x| x.ty().clone()).collect());
        self.measured.borrow_mut().insert((program, types), measured);
    }

    /// The name of a program's graph.
    fn name(&self, task: Task) -> &str {
        match task {
            Task::Train => "train",
            Task::Accumulate => "accumulate",
            Task::TrainWithHealth => "train_with_health",
            Task::AccumulateWithHealth => "accumulate_with_health",
            Task::Evaluate => "evaluate",
            Task::Predict => "predict",
            Task::Gradients => "gradients",
            Task::Program(index) | Task::ProgramWithHealth(index) => &self.programs[index].name,
        }
    }
}

/// Adds to the state what is kept for a trained parameter, which is at `index`.
fn kept(
    state: &mut Vec<StateValue>,
    index: usize,
    group: usize,
    optimizer: &dyn Optimizer,
    rules: &Rules<'_>,
) -> Trained {
    let StateValue { name, ty, initial } = &state[index];
    let (name, ty, start) = (name.clone(), ty.clone(), initial.clone());
    let mut add = |suffix: &str, ty: TensorType, initial: Initial| {
        state.push(StateValue { name: format!("{name}.{suffix}"), ty, initial });
        state.len() - 1
    };
    let slots =
        optimizer.slots().into_iter().map(|slot| add(slot.name, slot.ty(&ty), Initial::Filled(slot.initial)));
    let slots: Vec<usize> = slots.collect();
    let average = rules.average.map(|_| add("average", ty.clone(), start));
    let accumulated = rules.accumulates().then(|| add("accumulated", ty.clone(), Initial::Filled(0.0)));
    let slots = slots.first().map_or(0..0, |&first| first..first + slots.len());
    Trained { group, slots, average, accumulated }
}

/// `input`, or `input.1` where there are several.
fn numbered(name: &str, index: usize, n: usize) -> String {
    if n == 1 { name.to_string() } else { format!("{name}.{index}") }
}

/// Each parameter once, under its first name; two parameters of one name are a mistake.
fn distinct<'m>(
    found: Vec<(String, &'m Param)>,
    location: &'static Location<'static>,
) -> Result<Vec<(String, &'m Param)>, Error> {
    let mut ids = HashSet::new();
    let mut names = HashSet::new();
    let mut mistakes = Vec::new();
    let mut parameters = Vec::new();
    for (name, param) in found {
        if !ids.insert(param.id()) {
            continue;
        }
        if !names.insert(name.clone()) {
            let source = Source { location, scope: Arc::from("") };
            let problem = Problem::RepeatedParameter { name: name.clone() };
            mistakes.push(Mistake { problem, source, operands: Vec::new() });
        }
        parameters.push((name, param));
    }
    if mistakes.is_empty() { Ok(parameters) } else { Err(Error::Model(mistakes)) }
}

/// Types of the tensors of a batch.
pub(crate) fn types(tensors: &[&TensorData]) -> SmallVec<[TensorType; 2]> {
    tensors.iter().map(|tensor| tensor.ty()).collect()
}
