//! The tracer: what tensors write on.
//!
//! All tensors of one trace share a [`Tracer`], which owns the graph. In a traced run an op is recorded and nothing
//! else; in an eager run its value is computed at once, and the graph is the tape for the gradient. A bad op is
//! recorded as a mistake with the user's line and yields a *poisoned* tensor; whatever uses that is poisoned too and
//! says nothing more, so that one trace reports every independent mistake.
//!
//! Source lines come from `#[track_caller]`: every public method that records carries it. A composed function pins
//! the line of its caller for the ops it consists of, see [`Tracer::within`].

mod orders;
mod recorder;
mod scan;

pub(crate) use scan::Body;

use crate::eager::{SharedEvaluator, Value};
use crate::error::{Cut, Error, Mistake, OperandNote, Problem};
use crate::nn::{Module, ParamId, parameters_of};
use crate::tensor::Tensor;
use kiln_ir::{Emit, Graph, NodeId, Op, Source, TensorData, TensorType};
use kiln_passes::gradient::{self, scalar_gradient};
use orders::TOO_DEEP;
use recorder::{Bound, Frame, Random, Recorder, Tape, roles};
use smallvec::SmallVec;
use std::cell::{Ref, RefCell};
use std::panic::Location;
use std::rc::Rc;
use std::sync::Arc;

/// A trace in progress. Clones are the same trace.
///
/// ```
/// use kiln::prelude::*;
///
/// let tracer = Tracer::new("double");
/// let x = tracer.input("x", f32(&[2, 3]));
/// let graph = tracer.finish(&[&(&x * 2.0)])?;
/// assert_eq!(graph.outputs().len(), 1);
/// # Ok::<(), kiln::Error>(())
/// ```
#[derive(Clone)]
pub struct Tracer(Rc<RefCell<Recorder>>);

impl Tracer {
    /// A trace that records only; `name` becomes the graph's.
    pub fn new(name: &str) -> Tracer {
        Tracer::with(name, None)
    }

    /// A trace that computes each op at once.
    pub fn eager(name: &str, evaluator: SharedEvaluator) -> Tracer {
        Tracer::with(name, Some(Tape::new(evaluator)))
    }

    fn with(name: &str, eager: Option<Tape>) -> Tracer {
        Tracer(Rc::new(RefCell::new(Recorder::new(name, eager))))
    }

    /// Whether ops are computed at once.
    pub fn is_eager(&self) -> bool {
        self.0.borrow().eager.is_some()
    }

    /// Whether layers behave as in training: dropout drops.
    pub fn is_training(&self) -> bool {
        self.0.borrow().training
    }

    /// Sets whether layers behave as in training; they do not in a new trace.
    pub fn set_training(&self, training: bool) {
        self.0.borrow_mut().training = training;
    }

    /// An input of the graph.
    ///
    /// # Panics
    /// In an eager trace, where an input needs a value: see [`input_value`](Tracer::input_value).
    #[track_caller]
    pub fn input(&self, name: &str, ty: TensorType) -> Tensor {
        assert!(!self.is_eager(), "an input of an eager trace needs a value: call `input_value`");
        self.add_input(name, ty)
    }

    /// An input with its value. A traced run uses the type only.
    #[track_caller]
    pub fn input_value(&self, name: &str, value: Value) -> Tensor {
        let input = self.add_input(name, value.ty());
        if let (Some(id), Some(tape)) = (input.id(), &mut self.0.borrow_mut().eager) {
            tape.set(id, value);
        }
        input
    }

    #[track_caller]
    fn add_input(&self, name: &str, ty: TensorType) -> Tensor {
        let mut recorder = self.0.borrow_mut();
        recorder.graph.current_source = Some(Source::here());
        let id = recorder.graph.add_input(name, ty.clone());
        drop(recorder);
        Tensor::new(self, Some(id), ty)
    }

    /// A constant tensor.
    #[track_caller]
    pub fn constant(&self, data: TensorData) -> Tensor {
        self.record(Op::Dense(Arc::new(data)), &[])
    }

    /// The graph of the trace, with these results, or every mistake that was made.
    ///
    /// The graph is taken out: a tensor of the trace that is used afterwards panics.
    pub fn finish(&self, outputs: &[&Tensor]) -> Result<Graph, Error> {
        self.check()?;
        let mut recorder = self.0.borrow_mut();
        let mut graph = std::mem::replace(&mut recorder.graph, Graph::new("finished"));
        graph.current_source = None;
        graph.current_name = None;
        for output in outputs {
            graph.add_output(output.expect_id(), None);
        }
        Ok(graph)
    }

    /// The mistakes made so far, as an error.
    pub fn check(&self) -> Result<(), Error> {
        let recorder = self.0.borrow();
        if recorder.mistakes.is_empty() { Ok(()) } else { Err(Error::Model(recorder.mistakes.clone())) }
    }

    /// Whether both are the same trace.
    pub(crate) fn is(&self, other: &Tracer) -> bool {
        Rc::ptr_eq(&self.0, &other.0)
    }

    /// Records one op at the caller's line. Operands must already have the types the op asks for.
    #[track_caller]
    pub(crate) fn record(&self, op: Op, operands: &[&Tensor]) -> Tensor {
        let location = Location::caller();
        if let Some(poisoned) = operands.iter().find(|t| t.id().is_none()) {
            return Tensor::new(self, None, poisoned.ty().clone());
        }
        if operands.iter().any(|t| !self.is(t.tracer())) {
            return self.refuse_at(location, Problem::OtherTrace { op: op.name() }, &roles(&op, operands));
        }
        let ids: SmallVec<[NodeId; 3]> = operands.iter().map(|t| t.expect_id()).collect();
        let types: SmallVec<[&TensorType; 3]> = operands.iter().map(|t| t.ty()).collect();
        // Checked before the graph is asked, because a mistake needs the op, which the graph consumes.
        match op.infer(&types) {
            Err(problem) => self.refuse_at(location, problem.into(), &roles(&op, operands)),
            Ok(ty) => {
                let mut recorder = self.0.borrow_mut();
                recorder.locate(location, op.name());
                let id = recorder.emit(op, &ids);
                drop(recorder);
                Tensor::new(self, Some(id), ty)
            }
        }
    }

    /// Records a mistake at the caller's line and returns a poisoned tensor in its place.
    #[track_caller]
    pub(crate) fn refuse(&self, problem: Problem, operands: &[(&'static str, &Tensor)]) -> Tensor {
        self.refuse_at(Location::caller(), problem, operands)
    }

    fn refuse_at(
        &self,
        location: &'static Location<'static>,
        problem: Problem,
        operands: &[(&'static str, &Tensor)],
    ) -> Tensor {
        // The type of the first operand is a guess that keeps `shape()` of the poisoned tensor useful.
        let guess = operands.first().map_or(TensorType::scalar(kiln_ir::DType::F32), |(_, t)| t.ty().clone());
        if operands.iter().all(|(_, t)| t.id().is_some()) {
            let operands = operands
                .iter()
                .map(|(role, t)| OperandNote { role, ty: t.ty().clone(), origin: t.origin() })
                .collect();
            let mut recorder = self.0.borrow_mut();
            let source = recorder.source(location);
            // What a function that calls others finds wrong a second time follows from the first.
            let told = recorder.frame.called.map(|function| (source.clone(), function));
            if told.is_none() || recorder.told != told {
                let problem = match recorder.frame.called {
                    Some(function) => problem.of(function),
                    None => problem,
                };
                recorder.mistakes.push(Mistake { problem, source, operands });
            }
            recorder.told = told;
        }
        Tensor::new(self, None, guess)
    }

    /// Traces a composed function: its ops get the caller's line, and names that start with the function's.
    #[track_caller]
    pub(crate) fn within<R>(&self, function: &'static str, body: impl FnOnce() -> R) -> R {
        let mut frame = self.0.borrow().frame.clone();
        frame.pinned.get_or_insert(Location::caller());
        frame.function.get_or_insert(function);
        frame.called.get_or_insert(function);
        self.in_frame(frame, body)
    }

    /// Traces a function that is another one with other arguments: errors name it, ops are named as in the other one.
    #[track_caller]
    pub(crate) fn called<R>(&self, function: &'static str, body: impl FnOnce() -> R) -> R {
        let mut frame = self.0.borrow().frame.clone();
        frame.pinned.get_or_insert(Location::caller());
        frame.called.get_or_insert(function);
        self.in_frame(frame, body)
    }

    /// Traces a layer: its ops get the caller's line, and `scope` as theirs.
    #[track_caller]
    pub(crate) fn in_layer<R>(&self, scope: Option<&str>, body: impl FnOnce() -> R) -> R {
        let mut frame = self.0.borrow().frame.clone();
        frame.pinned.get_or_insert(Location::caller());
        if let Some(scope) = scope {
            frame.scope = Arc::from(scope);
        }
        self.in_frame(frame, body)
    }

    /// Traces what no line of the user's stands for: its ops get this line.
    pub(crate) fn at<R>(&self, location: &'static Location<'static>, body: impl FnOnce() -> R) -> R {
        let mut frame = self.0.borrow().frame.clone();
        frame.pinned = Some(location);
        self.in_frame(frame, body)
    }

    /// Traces a function that was given at this line of the user's.
    pub(crate) fn given_at<R>(&self, location: &'static Location<'static>, body: impl FnOnce() -> R) -> R {
        let mut frame = self.0.borrow().frame.clone();
        frame.given = Some(location);
        self.in_frame(frame, body)
    }

    /// Traces in a scope below the current one: it shows in names, errors and dumps.
    ///
    /// ```
    /// # use kiln::prelude::*;
    /// # let tracer = Tracer::new("scoped");
    /// # let x = tracer.input("x", f32(&[2]));
    /// let y = tracer.scope("encoder", || x.exp());
    /// ```
    pub fn scope<R>(&self, name: &str, body: impl FnOnce() -> R) -> R {
        let mut frame = self.0.borrow().frame.clone();
        frame.scope = if frame.scope.is_empty() {
            Arc::from(name)
        } else {
            Arc::from(format!("{}.{name}", frame.scope))
        };
        self.in_frame(frame, body)
    }

    fn in_frame<R>(&self, frame: Frame, body: impl FnOnce() -> R) -> R {
        /// Puts the outer frame back, also when the body panics.
        struct Restore<'a>(&'a Tracer, Option<Frame>);
        impl Drop for Restore<'_> {
            fn drop(&mut self) {
                if let Some(outer) = self.1.take() {
                    self.0.0.borrow_mut().frame = outer;
                }
            }
        }
        let outer = std::mem::replace(&mut self.0.borrow_mut().frame, frame);
        let _restore = Restore(self, Some(outer));
        body()
    }

    /// Makes an input the value of a parameter for the layers of the model.
    pub(crate) fn bind_parameter(&self, parameter: ParamId, input: &Tensor) {
        let mut recorder = self.0.borrow_mut();
        let value = input.expect_id();
        let name = recorder.graph.node(value).name.clone().expect("an input has a name");
        recorder.parameters.insert(parameter, Bound { name, value });
    }

    /// Makes tensors of this trace the parameters and buffers of a model, by their names: what PyTorch calls
    /// `torch.func.functional_call`. For weights that are computed: those of a network that another one writes, or those after
    /// a step of gradient descent that is itself differentiated.
    ///
    /// ```
    /// use kiln::prelude::*;
    ///
    /// let layer = Linear::new(3, 2);
    /// let tracer = Tracer::new("call");
    /// let (x, w, b) = (tracer.input("x", f32(&[5, 3])), tracer.input("w", f32(&[2, 3])), tracer.input("b", f32(&[2])));
    /// tracer.call_with(&layer, |name| if name == "weight" { Some(&w) } else { Some(&b) });
    /// assert_eq!(layer.forward(&x).extents(), [5, 2]);
    /// ```
    ///
    /// Errors: a parameter without a tensor, or with one of another type.
    #[track_caller]
    pub fn call_with<'t>(&self, model: &(impl Module + ?Sized), value: impl Fn(&str) -> Option<&'t Tensor>) {
        for (name, param) in parameters_of(model) {
            // Without a value the parameter is told to be missing where it is used.
            let Some(value) = value(&name) else { continue };
            if value.ty() == param.ty() {
                let Some(id) = value.id() else { continue };
                let bound = Bound { name: Arc::from(name), value: id };
                self.0.borrow_mut().parameters.insert(param.id(), bound);
            } else {
                value.refuse("call_with", format!("`{name}` is of type {}", param.ty()));
            }
        }
    }

    /// Gives a bound parameter another value for the rest of the trace.
    pub(crate) fn rebind_parameter(&self, parameter: ParamId, value: &Tensor) {
        // A poisoned value is a mistake already, and the trace goes on with the old one.
        if let (Some(value), Some(bound)) = (value.id(), self.0.borrow_mut().parameters.get_mut(&parameter)) {
            bound.value = value;
        }
    }

    /// The value bound to a parameter, and its name.
    pub(crate) fn parameter(&self, parameter: ParamId) -> Option<(Tensor, Arc<str>)> {
        let recorder = self.0.borrow();
        let Bound { name, value } = recorder.parameters.get(&parameter)?;
        let (name, value) = (name.clone(), *value);
        drop(recorder);
        Some((self.tensor(value), name))
    }

    /// Adds a number to the loss of the program, if it is one of training.
    pub(crate) fn add_penalty(&self, penalty: &Tensor) {
        if self.is_training() {
            self.0.borrow_mut().penalties.extend(penalty.id());
        }
    }

    /// A loss with the penalties that were added so far, which are no longer kept.
    #[track_caller]
    pub(crate) fn with_penalties(&self, loss: Tensor) -> Tensor {
        let penalties = std::mem::take(&mut self.0.borrow_mut().penalties);
        penalties.into_iter().fold(loss, |loss, penalty| loss + self.tensor(penalty))
    }

    /// Names a value whose norm a step with health computes.
    pub(crate) fn watch(&self, name: &str, value: &Tensor) {
        let mut recorder = self.0.borrow_mut();
        let scope = &recorder.frame.scope;
        let name = if scope.is_empty() { name.to_string() } else { format!("{scope}.{name}") };
        recorder.watched.extend(value.id().map(|id| (name, id)));
    }

    /// The values that were named to be watched, in the order of the trace.
    pub(crate) fn watched(&self) -> Vec<(String, NodeId)> {
        self.0.borrow().watched.clone()
    }

    /// Makes an input (`i64[2]`: key and counter) the random state that [`draw`](Tracer::draw) draws from.
    pub(crate) fn bind_random(&self, state: &Tensor) {
        self.0.borrow_mut().random = Some(Random { state: state.expect_id(), n_blocks: 0 });
    }

    /// The random state where the next `n` words begin, and counts them as drawn; nothing without a random state.
    #[track_caller]
    pub(crate) fn draw(&self, n_words: usize) -> Option<Tensor> {
        let mut recorder = self.0.borrow_mut();
        let random = recorder.random.as_mut()?;
        let (id, offset) = (random.state, random.n_blocks);
        // One Philox block is four words; each draw starts a new block, so that draws do not overlap.
        random.n_blocks += n_words.div_ceil(4) as i64;
        drop(recorder);
        Some(self.advanced(id, offset))
    }

    /// The random state after everything that was drawn; nothing when nothing was.
    #[track_caller]
    pub(crate) fn next_random_state(&self) -> Option<Tensor> {
        let (id, drawn) = self.0.borrow().random.as_ref().map(|r| (r.state, r.n_blocks))?;
        (drawn > 0).then(|| self.advanced(id, drawn))
    }

    #[track_caller]
    fn advanced(&self, state: NodeId, n_blocks: i64) -> Tensor {
        let state = self.tensor(state);
        if n_blocks == 0 {
            return state;
        }
        let offset = self.constant(TensorData::new([2], vec![0, n_blocks]));
        self.record(Op::Binary(kiln_ir::op::BinaryOp::Add), &[&state, &offset])
    }

    /// Says whether a node is one through which no gradient flows.
    pub(crate) fn set_detached(&self, tensor: &Tensor, is_detached: bool) {
        if let Some(id) = tensor.id() {
            self.0.borrow_mut().graph.node_mut(id).is_detached = is_detached;
        }
    }

    /// The tensor of a node that a rule emitted.
    pub(crate) fn tensor(&self, id: NodeId) -> Tensor {
        let ty = self.0.borrow().graph.node(id).ty().clone();
        Tensor::new(self, Some(id), ty)
    }

    /// The value of a node in an eager trace.
    pub(crate) fn value(&self, id: NodeId) -> Option<Value> {
        self.0.borrow().eager.as_ref()?.value(id).cloned()
    }

    /// The graph as far as it was traced.
    pub fn graph(&self) -> Ref<'_, Graph> {
        Ref::map(self.0.borrow(), |recorder| &recorder.graph)
    }

    /// The gradients of a scalar with respect to values of the trace; they can be differentiated again.
    ///
    /// Errors, as mistakes of the trace: `of` is not one floating-point number; no gradient reaches a value.
    ///
    /// ```
    /// # use kiln::prelude::*;
    /// let tracer = Tracer::new("slope");
    /// let x = tracer.input("x", f32(&[3]));
    /// let slope = &tracer.gradient(&x.square().sum(..), &[&x])[0];
    /// assert_eq!(slope.extents(), [3]);
    /// ```
    #[track_caller]
    pub fn gradient(&self, of: &Tensor, with_respect_to: &[&Tensor]) -> Vec<Tensor> {
        let poisoned = |t: &&Tensor| Tensor::new(self, None, t.ty().clone());
        if of.id().is_none() || with_respect_to.iter().any(|t| t.id().is_none()) {
            return with_respect_to.iter().map(poisoned).collect();
        }
        if of.rank() != 0 || !of.dtype().is_float() {
            self.refuse(
                Problem::NotScalar { what: "what a gradient is taken of", ty: of.ty().clone() },
                &[("of", of)],
            );
            return with_respect_to.iter().map(poisoned).collect();
        }
        let mut gradients = Vec::new();
        for (gradient, tensor) in self.derive(of, with_respect_to).into_iter().zip(with_respect_to) {
            gradients.push(match gradient {
                Ok(gradient) => gradient,
                Err(cuts) => self.refuse(Problem::NoGradient { cuts }, &[("value", tensor)]),
            });
        }
        gradients
    }

    /// The gradients of one floating-point number, or for each value the ops that cut its paths.
    pub(crate) fn derive(&self, of: &Tensor, with_respect_to: &[&Tensor]) -> Vec<Result<Tensor, Vec<Cut>>> {
        let ids: Vec<NodeId> = with_respect_to.iter().map(|t| t.expect_id()).collect();
        let mut recorder = self.0.borrow_mut();
        let passed = recorder.orders.passed(&recorder.graph, of.expect_id(), &ids);
        let too_deep = |&expansion: &Option<usize>| {
            let expansion = recorder.orders.expansion(expansion?);
            Some(Cut { op: expansion.function, reason: TOO_DEEP, source: expansion.source.clone() })
        };
        let refused: Vec<Option<Cut>> = passed.refused.iter().map(too_deep).collect();
        let first = recorder.graph.id_bound();
        let derived = scalar_gradient(&mut *recorder, of.expect_id(), &ids)
            .unwrap_or_else(|error| panic!("internal error: of {} {error}; please report this", of.ty()));
        let nodes = first..recorder.graph.id_bound();
        recorder.orders.add_gradient(nodes, passed);
        drop(recorder);
        let cut = |cut: &gradient::Cut| Cut {
            op: cut.op,
            reason: cut.reason,
            source: self.graph().node(cut.node).source.clone(),
        };
        let result =
            |(result, refused): (Result<NodeId, gradient::Unreached>, Option<Cut>)| match (result, refused) {
                (_, Some(cut)) => Err(vec![cut]),
                (Ok(id), None) => Ok(self.tensor(id)),
                (Err(unreached), None) => Err(unreached.cuts.iter().map(cut).collect()),
            };
        derived.into_iter().zip(refused).map(result).collect()
    }

    /// Remembers that the nodes from the index `first` on are a function of `entry` that is known to second order.
    pub(crate) fn remember_expansion(&self, function: &'static str, entry: NodeId, first: usize) {
        let recorder = &mut *self.0.borrow_mut();
        let nodes = first..recorder.graph.id_bound();
        recorder.orders.add(&recorder.graph, function, entry, nodes);
    }

    /// Whether a node is the value of a parameter.
    pub(crate) fn is_parameter(&self, id: NodeId) -> bool {
        self.0.borrow().parameters.values().any(|bound| bound.value == id)
    }
}
