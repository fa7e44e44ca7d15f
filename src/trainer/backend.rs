//! What carries out a trainer's programs: one backend, chosen when the trainer is compiled.
//!
//! A backend owns the state. It makes a program for each task and batch type the first time it is asked for.

use super::plan::{Plan, StateValue, Task, types};
use crate::eager::{SharedEvaluator, Value};
use crate::error::Error;
use crate::executable::Executable;
use crate::trace::Tracer;
use kiln_ir::interpret::interpret;
use kiln_ir::{Graph, TensorData, TensorType};
use std::collections::HashMap;
use std::sync::Arc;

/// A batch: inputs, targets.
pub(crate) type Sides<'a> = [&'a [&'a TensorData]; 2];

/// Carries out a trainer's programs.
pub(crate) trait Backend {
    /// Makes the program for batches of these types, so that the first run need not.
    fn prepare(&mut self, plan: &Plan<'_>, task: Task, types: [&[TensorType]; 2]) -> Result<(), Error>;

    /// Runs a program whose first result is a number, updates the state and returns the number. The call that is made
    /// most often, for a step of training: a compiled backend allocates nothing in it.
    fn step(&mut self, plan: &Plan<'_>, task: Task, batch: Sides<'_>) -> Result<f64, Error>;

    /// Runs a program: returns its results, and updates the state.
    fn run(&mut self, plan: &Plan<'_>, task: Task, batch: Sides<'_>) -> Result<Vec<TensorData>, Error>;

    /// A piece of the state.
    fn state(&self, index: usize) -> TensorData;

    /// Replaces a piece of the state by a value of the same type.
    fn set_state(&mut self, index: usize, value: TensorData);

    /// A piece of the state that is one `f64`: what a step may have to know before it runs. A compiled backend allocates
    /// nothing here and in [`set_scalar`](Backend::set_scalar).
    fn scalar(&self, index: usize) -> f64 {
        self.state(index).get(0).as_f64()
    }

    /// Replaces a piece of the state that is one `f64`.
    fn set_scalar(&mut self, index: usize, value: f64) {
        self.set_state(index, TensorData::scalar(value));
    }

    /// The compiled program of a task, if this backend compiles and has one.
    fn executable(&self, _: Task) -> Option<&Executable> {
        None
    }
}

/// Runs the traced graphs on the reference interpreter: slow, and right. What compiled programs are compared with.
pub(crate) struct Interpreter {
    state: Vec<TensorData>,
    graphs: HashMap<(Task, Vec<TensorType>), Graph>,
}

impl Interpreter {
    pub fn new(plan: &Plan<'_>) -> Interpreter {
        let state = plan.state.iter().map(StateValue::first).collect();
        Interpreter { state, graphs: HashMap::new() }
    }

    fn graph(&mut self, plan: &Plan<'_>, task: Task, types: [&[TensorType]; 2]) -> Result<&Graph, Error> {
        use std::collections::hash_map::Entry;
        Ok(match self.graphs.entry((task, types.concat())) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => entry.insert(plan.graph(task, types[0], types[1])?),
        })
    }
}

impl Backend for Interpreter {
    fn step(&mut self, plan: &Plan<'_>, task: Task, batch: Sides<'_>) -> Result<f64, Error> {
        Ok(self.run(plan, task, batch)?[0].get(0).as_f64())
    }

    fn prepare(&mut self, plan: &Plan<'_>, task: Task, types: [&[TensorType]; 2]) -> Result<(), Error> {
        self.graph(plan, task, types).map(|_| ())
    }

    fn run(&mut self, plan: &Plan<'_>, task: Task, batch: Sides<'_>) -> Result<Vec<TensorData>, Error> {
        let [inputs, targets] = batch;
        let mut values = self.state.clone();
        values.extend(inputs.iter().chain(targets).map(|&tensor| tensor.clone()));
        let graph = self.graph(plan, task, [&types(inputs), &types(targets)])?;
        let outputs = interpret(graph, &values).unwrap_or_else(|error| {
            panic!("internal error: a checked batch does not fit: {error}; please report this")
        });
        let mut results = Vec::new();
        let places: Vec<Option<usize>> = graph.outputs().iter().map(|output| output.updates).collect();
        for (place, value) in places.into_iter().zip(outputs) {
            match place {
                Some(index) => self.state[index] = value,
                None => results.push(value),
            }
        }
        Ok(results)
    }

    fn state(&self, index: usize) -> TensorData {
        self.state[index].clone()
    }

    fn set_state(&mut self, index: usize, value: TensorData) {
        self.state[index] = value;
    }
}

/// Traces the model again at each step and computes each op when it is recorded.
pub(crate) struct Eager {
    state: Vec<Value>,
    evaluator: SharedEvaluator,
}

impl Eager {
    pub fn new(plan: &Plan<'_>, evaluator: SharedEvaluator) -> Eager {
        let state = plan.state.iter().map(|value| Arc::new(value.first())).collect();
        Eager { state, evaluator }
    }
}

impl Backend for Eager {
    fn step(&mut self, plan: &Plan<'_>, task: Task, batch: Sides<'_>) -> Result<f64, Error> {
        Ok(self.run(plan, task, batch)?[0].get(0).as_f64())
    }

    fn prepare(&mut self, plan: &Plan<'_>, task: Task, types: [&[TensorType]; 2]) -> Result<(), Error> {
        // Nothing is kept; the trace reports mistakes when the trainer is made, not at the first step.
        plan.graph(task, types[0], types[1]).map(|_| ())
    }

    fn run(&mut self, plan: &Plan<'_>, task: Task, batch: Sides<'_>) -> Result<Vec<TensorData>, Error> {
        let tracer = Tracer::eager("eager", self.evaluator.clone());
        let [inputs, targets] =
            batch.map(|side| -> Vec<Value> { side.iter().map(|&t| Arc::new(t.clone())).collect() });
        let traced = plan.run(&tracer, task, &self.state, [&inputs, &targets])?;
        for (index, next) in traced.updates {
            self.state[index] = next.value().expect("an eager tensor has a value");
        }
        let value = |tensor: &crate::tensor::Tensor| tensor.value().expect("an eager tensor has a value");
        Ok(traced.results.iter().map(|tensor| TensorData::clone(&value(tensor))).collect())
    }

    fn state(&self, index: usize) -> TensorData {
        TensorData::clone(&self.state[index])
    }

    fn set_state(&mut self, index: usize, value: TensorData) {
        self.state[index] = Arc::new(value);
    }
}
