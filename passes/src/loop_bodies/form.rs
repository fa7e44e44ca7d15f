//! A loop while it is put together: which nodes of a graph are its body's inputs and results.

use kiln_ir::op::Loop;
use kiln_ir::{Graph, NodeId, Output};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// A value that goes from step to step.
#[derive(Clone, Copy, Debug)]
pub struct Carried {
    /// The node that holds it in a step.
    pub input: NodeId,
    /// The node that holds it in the next step.
    pub next: NodeId,
    /// Its value before the first step: a node around the loop.
    pub first: NodeId,
}

/// The inputs and results of a body, as nodes of a graph that holds more than the body. What is not needed for a result
/// is left out.
#[derive(Clone, Debug, Default)]
pub struct Form {
    /// Values that go from step to step.
    pub carried: Vec<Carried>,
    /// Values of which each step gets its part: nodes of the body, and the stacks around the loop.
    pub stacked: Vec<(NodeId, NodeId)>,
    /// Values that do not vary, as above.
    pub invariant: Vec<(NodeId, NodeId)>,
    /// What is stacked, in order.
    pub results: Vec<NodeId>,
}

impl Form {
    /// The nodes whose values a step returns.
    pub fn returned(&self) -> impl Iterator<Item = NodeId> {
        self.carried.iter().map(|carried| carried.next).chain(self.results.iter().copied())
    }

    /// The nodes that a step computes or is given.
    pub fn needed(&self, graph: &Graph) -> BTreeSet<NodeId> {
        let given = self.stacked.iter().chain(&self.invariant).map(|(input, _)| *input);
        let given: BTreeSet<NodeId> = given.chain(self.carried.iter().map(|carried| carried.input)).collect();
        let mut needed = BTreeSet::new();
        let mut waiting: Vec<NodeId> = self.returned().collect();
        while let Some(node) = waiting.pop() {
            if needed.insert(node) && !given.contains(&node) {
                waiting.extend_from_slice(graph.operands(node));
            }
        }
        needed
    }

    /// The loop, whose body gets this name, and its operands.
    pub fn build(&self, graph: &Graph, name: &str, n_steps: usize, reverse: bool) -> (Loop, Vec<NodeId>) {
        let needed = self.needed(graph);
        let is_needed = |(input, _): &(NodeId, NodeId)| needed.contains(input);
        let carried = self.carried.iter().map(|carried| (carried.input, carried.first));
        let stacked = self.stacked.iter().copied().filter(is_needed);
        let invariant = self.invariant.iter().copied().filter(is_needed);
        let n_stacked = stacked.clone().count();

        let mut body = Graph::new(name);
        let mut copies: BTreeMap<NodeId, NodeId> = BTreeMap::new();
        let mut operands = Vec::new();
        for (value, operand) in carried.chain(stacked).chain(invariant) {
            let node = graph.node(value);
            let name = node.name.clone().unwrap_or_else(|| Arc::from(node.op().name()));
            copies.insert(value, body.add_input(&name, node.ty().clone()));
            operands.push(operand);
        }
        for node in graph.topological_order().into_iter().filter(|node| needed.contains(node)) {
            if copies.contains_key(&node) {
                continue;
            }
            let of = graph.node(node);
            let inputs: Vec<NodeId> = of.operands().iter().map(|operand| copies[operand]).collect();
            let copy = body.add(of.op().clone(), &inputs).expect("a copy of a well-typed node");
            let copied = body.node_mut(copy);
            (copied.name, copied.source) = (of.name.clone(), of.source.clone());
            copied.is_detached = of.is_detached;
            copies.insert(node, copy);
        }
        let next = self.carried.iter().map(|carried| copies[&carried.next]);
        let next = next.enumerate().map(|(k, value)| Output { value, updates: Some(k) });
        let results = self.results.iter().map(|value| Output { value: copies[value], updates: None });
        body.set_outputs(next.chain(results).collect());
        (Loop { body, n_steps, n_stacked, reverse }, operands)
    }
}
