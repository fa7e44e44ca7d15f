//! Loops with random bodies.

use super::{Generator, MAX_MAGNITUDE, RandomConfig, Value};
use crate::op::Loop;
use crate::{Graph, Literal, NodeId, Op, Output, TensorType};
use std::sync::Arc;

/// As many loops stand in each other.
const MAX_DEPTH: usize = 2;

/// Most steps of a loop: what a body does to rounding, it does so often.
const N_STEPS: [usize; 5] = [2, 3, 1, 3, 0];

/// Most ops of a body.
const MAX_BODY: usize = 5;

impl Generator<'_, '_> {
    /// A loop over some of the values, all of whose results become values.
    pub(super) fn repeat(&mut self) -> Option<Value> {
        if self.depth == MAX_DEPTH {
            return None;
        }
        let n_steps = *self.one_of(&N_STEPS);
        let max_elements = self.config.max_elements / 4;
        let is_small = |ty: &TensorType| ty.n_elements() <= max_elements;
        let carried: Vec<Value> = (0..self.below(3)).filter_map(|_| self.pick(is_small)).collect();
        let stacked: Vec<Value> = (0..self.below(3)).filter_map(|_| self.stack(n_steps)).collect();
        let invariant: Vec<Value> = (0..self.below(2)).filter_map(|_| self.pick(is_small)).collect();

        let config =
            RandomConfig { max_elements, max_products: self.config.max_products / 4, ..self.config.clone() };
        let mut body = Generator {
            graph: Graph::new("body"),
            config: &config,
            choose: &mut *self.choose,
            values: Vec::new(),
            depth: self.depth + 1,
        };
        for &of in &carried {
            let ty = self.graph.node(of.id).ty().clone();
            // What comes out of a step is as large as its type allows, or scaled down to this.
            let bound = if ty.dtype.is_float() { MAX_MAGNITUDE } else { highest(&ty) };
            let exact = !ty.dtype.is_float();
            body.parameter(ty, Value { exact, bound, ..of });
        }
        for &of in &stacked {
            let ty = self.graph.node(of.id).ty();
            body.parameter(TensorType::new(ty.dtype, &ty.shape[1..]), of);
        }
        for &of in &invariant {
            body.parameter(self.graph.node(of.id).ty().clone(), of);
        }
        if body.values.is_empty() {
            return None;
        }
        let n_own = body.values.len();
        for _ in 0..1 + body.below(MAX_BODY) {
            body.step();
        }
        let outputs = body.body_outputs(carried.len());
        let graph = body.finish(&outputs, carried.len());

        let mut operands: Vec<Value> =
            carried.into_iter().chain(stacked.iter().copied()).chain(invariant).collect();
        // Inputs that steps of the body asked for.
        let further: Vec<TensorType> =
            graph.inputs()[n_own..].iter().map(|&input| graph.node(input).ty().clone()).collect();
        operands.extend(further.iter().map(|ty| self.constant_of(ty)));
        let reverse = self.below(2) == 1;
        let looped = Loop { body: graph, n_steps, n_stacked: stacked.len(), reverse };
        self.results(looped, &operands, &outputs)
    }

    /// A value with a part for each step.
    fn stack(&mut self, n_steps: usize) -> Option<Value> {
        if let Some(value) = self.pick(|ty| ty.rank() > 0 && ty.shape[0] == n_steps) {
            return Some(value);
        }
        let part = self.random_shape(0, 2);
        let extents: Vec<usize> = std::iter::once(n_steps).chain(part.iter().copied()).collect();
        let dtype = *self.one_of(&self.config.dtypes);
        let ty = TensorType::new(dtype, extents.as_slice());
        (ty.n_elements() <= self.config.max_elements).then(|| self.value_of(&ty))
    }

    /// An input of a body, of which is known what is known of its operand.
    fn parameter(&mut self, ty: TensorType, of: Value) {
        let name = format!("p{}", self.values.len());
        let id = self.graph.add_input(&name, ty);
        self.values.push(Value { id, ..of });
    }

    /// The next values of the carried inputs, and up to two values to stack.
    fn body_outputs(&mut self, n_carried: usize) -> Vec<Value> {
        let mut outputs = Vec::new();
        for k in 0..n_carried {
            let ty = self.ty(self.graph.inputs()[k]).clone();
            let next = self.pick(|other| *other == ty).expect("the input itself is of this type");
            outputs.push(self.scaled_down(next));
        }
        let n_stacked = self.below(3).max(usize::from(n_carried == 0));
        outputs.extend((0..n_stacked).filter_map(|_| self.pick(|_| true)));
        outputs
    }

    /// The graph, with these outputs, the first of which are carried.
    fn finish(self, outputs: &[Value], n_carried: usize) -> Graph {
        let mut graph = self.graph;
        let output =
            |(k, value): (usize, &Value)| Output { value: value.id, updates: (k < n_carried).then_some(k) };
        graph.set_outputs(outputs.iter().enumerate().map(output).collect());
        graph
    }

    /// Adds a loop and its results; the last one is returned.
    fn results(&mut self, looped: Loop, operands: &[Value], outputs: &[Value]) -> Option<Value> {
        let types: Vec<TensorType> = (0..looped.n_results()).filter_map(|k| looped.result_type(k)).collect();
        if types.iter().any(|ty| ty.n_elements() > self.config.max_elements) {
            return None;
        }
        let ids: Vec<NodeId> = operands.iter().map(|operand| operand.id).collect();
        let n_carried = looped.n_carried();
        let id = self.graph.add(Op::Loop(Arc::new(looped)), &ids).ok()?;
        let mut results = Vec::new();
        for (position, (ty, output)) in types.into_iter().zip(outputs).enumerate() {
            let exact = output.exact || !ty.dtype.is_float();
            // Without a step, a carried value stays what it was.
            let before = if position < n_carried { operands[position].bound } else { 0.0 };
            let bound = output.bound.max(before);
            let id = self.graph.add(Op::LoopResult { position, ty }, &[id]).ok()?;
            results.push(Value { id, exact, bound });
        }
        let last = results.pop();
        self.values.extend(results);
        last
    }
}

/// More than the greatest magnitude of an integer type.
fn highest(ty: &TensorType) -> f64 {
    Literal::highest(ty.dtype).as_f64() + 1.0
}
