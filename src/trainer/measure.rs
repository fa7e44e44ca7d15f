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
use std::ops::Range;
use std::panic::Location;

/// What the numbers are of that a program with health returns after its results: for each parameter the norm of its gradient and
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
    /// What it computes: a prediction, or a loss.
    pub prediction: &'a Tensor,
    /// One more than the greatest index of its nodes.
    pub bound: usize,
    /// Indices below of nodes that are gradients and updates of earlier losses.
    pub skipped: &'a [Range<usize>],
}

impl Forward<'_> {
    fn has(&self, id: NodeId) -> bool {
        id.index() < self.bound && !self.skipped.iter().any(|range| range.contains(&id.index()))
    }
}

impl Measured {
    /// How many norms there are.
    fn n_norms(&self) -> usize {
        2 * self.parameters.len() + self.activations.len()
    }
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
        (first_uses(&graph, forward), activations(&graph, tracer.watched(), prediction, forward))
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
fn first_uses(graph: &Graph, forward: &Forward<'_>) -> HashMap<NodeId, usize> {
    let mut uses = HashMap::new();
    for id in graph.ids().filter(|id| forward.has(*id)) {
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
    forward: &Forward<'_>,
) -> Vec<(String, NodeId)> {
    let mut live = BTreeSet::from([prediction]);
    let mut waiting = vec![prediction];
    while let Some(id) = waiting.pop() {
        let operands = graph.operands(id).iter();
        waiting.extend(operands.filter(|&&operand| forward.has(operand) && live.insert(operand)));
    }
    let mut last: BTreeMap<&str, NodeId> = BTreeMap::new();
    for &id in live.iter().filter(|id| forward.has(**id)) {
        let node = graph.node(id);
        let scope = node.source.as_ref().map_or("", |source| &source.scope);
        if !scope.is_empty() && node.ty().dtype.is_float() && !node.op().is_input() {
            last.insert(scope, id);
        }
    }
    let watched = watched.into_iter().filter(|(_, id)| forward.has(*id));
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
            | Task::Program(_)
            | Task::ProgramWithHealth(_) => Task::TrainWithHealth,
        };
        let batch: Sides<'_> = [&inputs, &targets];
        let results = self.backend.run(&self.plan, task, batch)?;
        let (results, mut health) = self.with_health(None, batch, results);
        Ok((results[0].get(0).as_f64() as f32, health.remove(0)))
    }

    /// As [`run`](Trainer::run), by a program that also computes the norms for each loss whose gradients it takes: what the
    /// program returns, and the norms in the order of the calls of [`minimize`](Step::minimize) and
    /// [`gradients`](Step::gradients). With [two optimizers](super::TrainerBuilder::optimizer_of), each loss has its own.
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
    ///     .training_program("generate", |step, x| {
    ///         let loss = (1.0 - gan.d.forward(&gan.g.forward(&x[0]))).square().mean(..);
    ///         step.minimize("g", &loss);
    ///         vec![loss]
    ///     })
    ///     .build()?;
    /// let noise = TensorData::new([8, 4], vec![0.5f32; 32]);
    /// let (loss, health) = trainer.run_with_health("generate", &noise)?;
    /// assert_eq!((loss.len(), health.len()), (1, 1));
    /// assert_eq!(health[0].layers()[0].name, "g");
    /// # Ok::<(), kiln::Error>(())
    /// ```
    ///
    /// Errors: as [`run`](Trainer::run).
    #[track_caller]
    pub fn run_with_health(
        &mut self,
        program: &str,
        batch: &impl Batch,
    ) -> Result<(Vec<TensorData>, Vec<Health>), Error> {
        let index = self.program(program, Location::caller())?;
        self.follow_schedule();
        let batch: Sides<'_> = [&batch.tensors(), &[]];
        let results = self.backend.run(&self.plan, Task::ProgramWithHealth(index), batch)?;
        Ok(self.with_health(Some(index), batch, results))
    }

    /// The results of a program with health, and the norms with their names.
    fn with_health(
        &self,
        program: Option<usize>,
        batch: Sides<'_>,
        mut results: Vec<TensorData>,
    ) -> (Vec<TensorData>, Vec<Health>) {
        let types = batch.map(|side| side.iter().map(|tensor| tensor.ty()).collect::<Vec<_>>());
        let measured = self.plan.measured.borrow();
        let measured =
            measured.get(&(program, types)).expect("a program that measures was traced before it ran");
        let n_norms: usize = measured.iter().map(Measured::n_norms).sum();
        let norms = results.split_off(results.len() - n_norms);
        let mut norms = norms.iter().map(|norm| norm.get(0).as_f64());
        (results, measured.iter().map(|measured| health(measured, &mut norms)).collect())
    }
}

/// The norms with their names.
fn health(measured: &Measured, norms: &mut dyn Iterator<Item = f64>) -> Health {
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
