//! What a trainer traces: the training program and the programs that share its state.
//!
//! All programs have the same inputs first, the state in the order of [`Plan::state`]: parameters, the optimizer's
//! slots, then the learning rate, the number of the step and the random state; after these the batch. The training
//! program returns the loss, then each changed piece of state as the next value of its input.

use crate::eager::Value;
use crate::error::{Error, Mistake, Problem, Unreached};
use crate::nn::{Init, Module, Param, ParamId, parameters_of};
use crate::optim::Optimizer;
use crate::state::write_bytes;
use crate::tensor::Tensor;
use crate::trace::Tracer;
use kiln_ir::{DType, Graph, Source, TensorData, TensorType};
use smallvec::SmallVec;
use std::collections::{BTreeMap, HashSet};
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
    /// The loss and the prediction, as outside of training.
    Evaluate,
    /// The prediction, as outside of training. Takes no targets.
    Predict,
    /// The loss and the gradient of each trained parameter, as in training.
    Gradients,
}

/// One value that stays from step to step.
pub(crate) struct StateValue {
    pub name: String,
    pub ty: TensorType,
    pub initial: Initial,
}

/// What a value of the state begins with. It is drawn or filled in where it is kept: nothing is made only to be copied.
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

/// A parameter of the model; its index is that of its state.
pub(crate) struct Parameter {
    pub name: String,
    pub id: ParamId,
    /// Where its slots begin in the state; nothing when it is frozen.
    pub slots: Option<usize>,
}

/// Everything that is decided before the first trace.
pub(crate) struct Plan<'m> {
    pub forward: Forward<'m>,
    pub loss: Loss<'m>,
    pub optimizer: Box<dyn Optimizer + 'm>,
    pub parameters: Vec<Parameter>,
    pub state: Vec<StateValue>,
    /// The user's call of `compile`: the line of what no line of the model stands for.
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
    pub fn new(
        module: &'m dyn Module,
        forward: Forward<'m>,
        loss: Loss<'m>,
        optimizer: Box<dyn Optimizer + 'm>,
        is_frozen: impl Fn(&str) -> bool,
        seed: u64,
        location: &'static Location<'static>,
    ) -> Result<Plan<'m>, Error> {
        let found = distinct(parameters_of(module), location)?;
        let mut state: Vec<StateValue> = Vec::new();
        for (index, (name, param)) in found.iter().enumerate() {
            let initial = Initial::Drawn { init: param.init().clone(), seed, index: index as u64 };
            state.push(StateValue { name: name.clone(), ty: param.ty().clone(), initial });
        }
        let mut parameters = Vec::new();
        for (name, param) in found {
            let is_trained = !param.is_frozen() && !is_frozen(&name);
            let slots = is_trained.then_some(state.len());
            if is_trained {
                state.extend(optimizer.slots().into_iter().map(|slot| {
                    StateValue::filled(format!("{name}.{}", slot.name), param.ty().clone(), slot.initial)
                }));
            }
            parameters.push(Parameter { name, id: param.id(), slots });
        }
        let scalar =
            |name: &str, value| StateValue::filled(name.to_string(), TensorType::scalar(DType::F64), value);
        state.push(scalar("learning_rate", optimizer.learning_rate()));
        state.push(scalar("step", 0.0));
        let random = TensorData::new([2], vec![seed as i64, 0]);
        state.push(StateValue {
            name: "random".to_string(),
            ty: random.ty(),
            initial: Initial::Given(random),
        });
        Ok(Plan { forward, loss, optimizer, parameters, state, location })
    }

    pub fn learning_rate(&self) -> usize {
        self.state.len() - 3
    }

    pub fn step(&self) -> usize {
        self.state.len() - 2
    }

    pub fn random(&self) -> usize {
        self.state.len() - 1
    }

    /// The graph of a program for a batch of these types.
    pub fn graph(&self, task: Task, inputs: &[TensorType], targets: &[TensorType]) -> Result<Graph, Error> {
        let tracer = Tracer::new(task.name());
        let state = self.state.iter().map(|value| tracer.input(&value.name, value.ty.clone())).collect();
        let side = |name: &str, types: &[TensorType]| -> Vec<Tensor> {
            let named =
                |(i, ty): (usize, &TensorType)| tracer.input(&numbered(name, i, types.len()), ty.clone());
            types.iter().enumerate().map(named).collect()
        };
        let inputs = Inputs { state, inputs: side("input", inputs), targets: side("target", targets) };
        let traced = self.trace(&tracer, task, &inputs)?;
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
        self.trace(tracer, task, &inputs)
    }

    fn trace(&self, tracer: &Tracer, task: Task, inputs: &Inputs) -> Result<Traced, Error> {
        for (parameter, value) in self.parameters.iter().zip(&inputs.state) {
            tracer.bind_parameter(parameter.id, value);
        }
        tracer.bind_random(&inputs.state[self.random()]);
        tracer.set_training(matches!(task, Task::Train | Task::Gradients));
        let prediction = (self.forward)(&inputs.inputs);
        if task == Task::Predict {
            tracer.check()?;
            return Ok(Traced { results: vec![prediction], updates: Vec::new() });
        }
        let loss = (self.loss)(&prediction, &inputs.targets);
        if loss.rank() != 0 || !loss.dtype().is_float() {
            let problem = Problem::NotScalar { what: "the loss", ty: loss.ty().clone() };
            tracer.at(self.location, || tracer.refuse(problem, &[("loss", &loss)]));
        }
        tracer.check()?;
        match task {
            Task::Predict | Task::Evaluate => {
                Ok(Traced { results: vec![loss, prediction], updates: Vec::new() })
            }
            Task::Gradients => {
                let gradients = self.gradients(tracer, &loss, &inputs.state)?;
                let results = std::iter::once(loss).chain(gradients.into_iter().map(|(_, g)| g)).collect();
                Ok(Traced { results, updates: Vec::new() })
            }
            Task::Train => {
                let gradients = self.gradients(tracer, &loss, &inputs.state)?;
                let update = || self.update(tracer, &inputs.state, &gradients);
                let updates = tracer.at(self.location, || tracer.within(self.optimizer.name(), update));
                tracer.check()?;
                Ok(Traced { results: vec![loss], updates })
            }
        }
    }

    /// The gradient of each trained parameter, by its index; an error names those that get none.
    fn gradients(
        &self,
        tracer: &Tracer,
        loss: &Tensor,
        state: &[Tensor],
    ) -> Result<Vec<(usize, Tensor)>, Error> {
        let trained: Vec<usize> =
            (0..self.parameters.len()).filter(|&i| self.parameters[i].slots.is_some()).collect();
        let values: Vec<&Tensor> = trained.iter().map(|&i| &state[i]).collect();
        let (mut gradients, mut unreached) = (Vec::new(), Vec::new());
        for (&index, gradient) in trained.iter().zip(tracer.derive(loss, &values)) {
            match gradient {
                Ok(gradient) => gradients.push((index, gradient)),
                Err(cuts) => {
                    let StateValue { name, ty, .. } = &self.state[index];
                    unreached.push(Unreached { name: name.clone(), ty: ty.clone(), cuts });
                }
            }
        }
        if unreached.is_empty() { Ok(gradients) } else { Err(Error::NoGradient(unreached)) }
    }

    /// The next values of the state.
    fn update(
        &self,
        tracer: &Tracer,
        state: &[Tensor],
        gradients: &[(usize, Tensor)],
    ) -> Vec<(usize, Tensor)> {
        let (rate, step) = (&state[self.learning_rate()], &state[self.step()] + 1.0);
        let mut shared: BTreeMap<DType, Vec<Tensor>> = BTreeMap::new();
        let mut updates = Vec::new();
        for (index, gradient) in gradients {
            let parameter = &self.parameters[*index];
            let first = parameter.slots.expect("a parameter with a gradient is trained");
            let shared = shared
                .entry(gradient.dtype())
                .or_insert_with(|| self.optimizer.prepare(rate, &step, gradient.dtype()));
            let slots = &state[first..first + self.optimizer.slots().len()];
            let updated = tracer.in_layer(Some(&parameter.name), || {
                self.optimizer.update(shared, &state[*index], gradient, slots)
            });
            updates.push((*index, updated.parameter));
            updates.extend((first..).zip(updated.slots));
        }
        updates.push((self.step(), step));
        updates.extend(tracer.next_random_state().map(|next| (self.random(), next)));
        // Inputs and their next values in one order, which makes dumps readable.
        updates.sort_by_key(|(index, _)| *index);
        updates
    }
}

impl Task {
    /// The name of the program's graph.
    fn name(self) -> &'static str {
        match self {
            Task::Train => "train",
            Task::Evaluate => "evaluate",
            Task::Predict => "predict",
            Task::Gradients => "gradients",
        }
    }
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
