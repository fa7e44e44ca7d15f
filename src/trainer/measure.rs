//! The norms that a step with health computes beside the loss.

use super::Trainer;
use super::backend::Sides;
use super::batch::Batch;
use super::plan::Task;
use super::program::{Gradients, Step};
use crate::error::Error;
use crate::health::{ActivationNorm, GradientNorm, Health};
use crate::tensor::Tensor;
use kiln_ir::{DType, Graph, NodeId, TensorData};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::panic::Location;

/// What the numbers are of that a step with health returns after the loss: for each parameter the norm of its gradient and
/// its own, then the norm of each activation.
#[derive(Clone, Debug, Default)]
pub(crate) struct Measured {
    /// Names and numbers of elements of the trained parameters, as the model uses them.
    parameters: Vec<(String, usize)>,
    /// Names and numbers of elements of the activations.
    activations: Vec<(String, usize)>,
}

/// What a forward pass consists of: the nodes of the trace up to its prediction.
pub(super) struct Forward<'a> {
    pub prediction: &'a Tensor,
    /// One more than the greatest index of its nodes.
    pub bound: usize,
}

/// The norms, and what they are of.
pub(super) fn measure(
    step: &Step<'_>,
    gradients: &Gradients<'_>,
    forward: &Forward<'_>,
) -> (Vec<Tensor>, Measured) {
    let tracer = forward.prediction.tracer();
    // After a mistake there is nothing to measure, and it will be reported.
    let Some(prediction) = forward.prediction.id().filter(|_| tracer.check().is_ok()) else {
        return (Vec::new(), Measured::default());
    };
    let (first_uses, activations) = {
        let graph = tracer.graph();
        (first_uses(&graph, forward.bound), activations(&graph, tracer.watched(), prediction, forward.bound))
    };
    let mut parameters: Vec<(NodeId, &str, Tensor, &Tensor)> = Vec::new();
    for (name, value, gradient) in step.with_values(gradients) {
        parameters.push((value.expect_id(), name, value, gradient));
    }
    // What the forward pass does not use stands last: only the loss does.
    parameters.sort_by_key(|(id, ..)| first_uses.get(id).copied().unwrap_or(usize::MAX));
    let (mut norms, mut measured) = (Vec::new(), Measured::default());
    for (_, name, value, gradient) in parameters {
        norms.extend([norm(gradient), norm(&value)]);
        measured.parameters.push((name.to_string(), value.n_elements()));
    }
    for (name, id) in activations {
        let value = tracer.tensor(id);
        norms.push(norm(&value));
        measured.activations.push((name, value.n_elements()));
    }
    (norms, measured)
}

/// The Euclidean norm, in `f64`: the square of a large `f32` is infinite.
fn norm(tensor: &Tensor) -> Tensor {
    tensor.cast(DType::F64).square().sum(..).sqrt()
}

/// By node, the index of the first node that uses it.
fn first_uses(graph: &Graph, bound: usize) -> HashMap<NodeId, usize> {
    let mut uses = HashMap::new();
    for id in graph.ids().filter(|id| id.index() < bound) {
        for &operand in graph.operands(id) {
            uses.entry(operand).or_insert(id.index());
        }
    }
    uses
}

/// What each layer gives out, and what is watched, in the order of the trace.
///
/// The ops of a layer have its name as their scope. What it gives out is the last of them on which the prediction depends:
/// updates of running statistics may follow it.
fn activations(
    graph: &Graph,
    watched: Vec<(String, NodeId)>,
    prediction: NodeId,
    bound: usize,
) -> Vec<(String, NodeId)> {
    let mut live = BTreeSet::from([prediction]);
    let mut waiting = vec![prediction];
    while let Some(id) = waiting.pop() {
        waiting.extend(graph.operands(id).iter().filter(|&&operand| live.insert(operand)));
    }
    let mut last: BTreeMap<&str, NodeId> = BTreeMap::new();
    for &id in live.iter().filter(|id| id.index() < bound) {
        let node = graph.node(id);
        let scope = node.source.as_ref().map_or("", |source| &source.scope);
        if !scope.is_empty() && node.ty().dtype.is_float() && !node.op().is_input() {
            last.insert(scope, id);
        }
    }
    let mut found: Vec<(String, NodeId)> =
        last.into_iter().map(|(scope, id)| (scope.to_string(), id)).chain(watched).collect();
    found.sort_by_key(|(_, id)| *id);
    found
}

impl Trainer<'_> {
    /// As [`step`](Trainer::step), by a program that also computes how large gradients and activations are: the loss, and
    /// the norms. The program is compiled at the first call; ordinary steps are not slower for it. What it fuses is not the
    /// same, so that the last bits of its step may differ from those of an ordinary one.
    ///
    /// Of a step of which [several batches](super::TrainerBuilder::accumulate) are part, the gradients are those of this
    /// batch. Errors: as [`step`](Trainer::step).
    #[track_caller]
    pub fn step_with_health(
        &mut self,
        inputs: &impl Batch,
        targets: &impl Batch,
    ) -> Result<(f32, Health), Error> {
        let (inputs, targets) = (inputs.tensors(), targets.tensors());
        self.check(&inputs, &targets, Location::caller())?;
        self.follow_schedule();
        let task = match self.task_of_step() {
            Task::Accumulate => Task::AccumulateWithHealth,
            Task::Train
            | Task::TrainWithHealth
            | Task::AccumulateWithHealth
            | Task::Evaluate
            | Task::Predict
            | Task::Gradients
            | Task::Program(_) => Task::TrainWithHealth,
        };
        let batch: Sides<'_> = [&inputs, &targets];
        let results = self.backend.run(&self.plan, task, batch)?;
        let key = batch.map(|side| side.iter().map(|tensor| tensor.ty()).collect::<Vec<_>>());
        let measured = self.plan.measured.borrow();
        let measured = measured.get(&key).expect("a program that measures was traced before it ran");
        Ok((results[0].get(0).as_f64() as f32, health(measured, &results[1..])))
    }
}

/// The norms with their names.
fn health(measured: &Measured, norms: &[TensorData]) -> Health {
    let mut norms = norms.iter().map(|norm| norm.get(0).as_f64());
    let mut next = || norms.next().expect("the program returns every norm");
    let mut gradients = Vec::new();
    for (name, n_elements) in &measured.parameters {
        let (norm, parameter_norm) = (next(), next());
        gradients.push(GradientNorm { name: name.clone(), norm, parameter_norm, n_elements: *n_elements });
    }
    let mut activations = Vec::new();
    for (name, n_elements) in &measured.activations {
        activations.push(ActivationNorm { name: name.clone(), norm: next(), n_elements: *n_elements });
    }
    Health { gradients, activations }
}
