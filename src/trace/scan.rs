//! Loops in a trace: the ops of one step are recorded like all others, and then become the body of a loop.

use super::Tracer;
use crate::tensor::Tensor;
use kiln_ir::{Emit, Graph, NodeId, Op, TensorType};
use kiln_passes::loop_bodies::{self, Form};
use std::collections::BTreeSet;
use std::panic::Location;
use std::sync::Arc;

/// What the ops of one step are made into.
pub(crate) struct Body {
    /// What goes in and out. Values from outside of the step are found from its nodes.
    pub form: Form,
    /// Nodes with lesser ids were there before the step was recorded.
    pub first: usize,
    pub n_steps: usize,
    pub reverse: bool,
}

impl Tracer {
    /// One more than the greatest id of a node so far.
    pub(crate) fn id_bound(&self) -> usize {
        self.graph().id_bound()
    }

    /// Records the loop, and returns its results: carried values after the last step, then what is stacked.
    pub(crate) fn record_loop(&self, mut body: Body, location: &'static Location<'static>) -> Vec<Tensor> {
        let mut recorder = self.0.borrow_mut();
        body.form.invariant = captured(&recorder.graph, &body);
        let (looped, operands) = body.form.build(&recorder.graph, "step", body.n_steps, body.reverse);
        let n_results = looped.n_results();
        recorder.locate(location, "loop");
        let id = recorder.emit(Op::Loop(Arc::new(looped)), &operands);
        let needed = body.form.needed(&recorder.graph);
        recorder.orders.add_loop(id, &needed);
        let mut results = Vec::new();
        for position in 0..n_results {
            let ty: TensorType = loop_bodies::result_type(&recorder.graph, id, position);
            recorder.locate(location, "loop_result");
            results.push((recorder.emit(Op::LoopResult { position, ty: ty.clone() }, &[id]), ty));
        }
        drop(recorder);
        results.into_iter().map(|(id, ty)| Tensor::new(self, Some(id), ty)).collect()
    }
}

/// The values that a step uses and that do not vary: what was there before, and what the step computes from that alone,
/// but for views and constants, which cost nothing in a body.
fn captured(graph: &Graph, body: &Body) -> Vec<(NodeId, NodeId)> {
    let form = &body.form;
    let given = form.carried.iter().map(|carried| carried.input);
    let given: BTreeSet<NodeId> = given.chain(form.stacked.iter().map(|(input, _)| *input)).collect();
    let mut varying = given.clone();
    // Nodes are recorded after their operands, so that their ids are a topological order.
    let own = |node: &NodeId| node.index() >= body.first;
    for node in graph.ids().filter(own) {
        if graph.operands(node).iter().any(|operand| varying.contains(operand)) {
            varying.insert(node);
        }
    }
    let is_free = |node: NodeId| {
        let op = graph.op(node);
        own(&node) && (op.is_movement() || matches!(op, Op::Fill(..) | Op::Iota { .. }))
    };
    let mut captured = Vec::new();
    let mut seen = BTreeSet::new();
    let mut waiting: Vec<NodeId> = form.returned().collect();
    while let Some(node) = waiting.pop() {
        if !seen.insert(node) || given.contains(&node) {
            continue;
        }
        if varying.contains(&node) || is_free(node) {
            waiting.extend_from_slice(graph.operands(node));
        } else {
            captured.push((node, node));
        }
    }
    captured.sort_unstable();
    captured
}
