//! Bodies of loops on their way to kernels.
//!
//! A body is lowered like a program whose carried values are its state: an input paired with the output that is its
//! next value, written in place where the order of kernels allows that, and copied at the end of a step where it does
//! not. Each value that is stacked gets a further input, the *slot*: the part of the stack that the step writes.

mod form;

pub use form::{Carried, Form};

use crate::analysis;
use crate::loops::view;
use crate::lower::{self, Lowered};
use kiln_ir::op::Loop;
use kiln_ir::op::iteration::Role;
use kiln_ir::{Graph, NodeId, Op, TensorType};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The body of a loop as kernels.
#[derive(Clone, Debug)]
pub struct LoweredLoop {
    /// The body as it was lowered: its inputs are those of the loop's body, and then a slot for each stacked result, in
    /// order; each output updates a carried input or a slot.
    pub body: Graph,
    /// Its kernels; offsets in the arena count from where the loop's own arena begins.
    pub lowered: Lowered,
}

/// Lowers the bodies of all loops of a graph, which was [prepared](prepare).
pub fn lower(graph: &Graph) -> BTreeMap<NodeId, LoweredLoop> {
    let loops = graph.ids().filter_map(|id| match graph.op(id) {
        Op::Loop(looped) => Some((id, looped)),
        _ => None,
    });
    loops.map(|(id, looped)| (id, lower_body(looped))).collect()
}

fn lower_body(looped: &Loop) -> LoweredLoop {
    let mut body = looped.body.clone();
    let mut outputs = body.outputs().to_vec();
    for (k, output) in outputs.iter_mut().enumerate().filter(|(_, output)| output.updates.is_none()) {
        let ty = body.node(output.value).ty().clone();
        body.add_input(&format!("slot{k}"), ty);
        output.updates = Some(body.inputs().len() - 1);
    }
    body.set_outputs(outputs);
    lower::separate_outputs(&mut body);
    let lowered = lower::lower(&body);
    LoweredLoop { body, lowered }
}

/// Whether the memory of `old`, which a loop reads, may become that of its result `new`: the value before the first step
/// of what the result is after the last, when the loop reads it as nothing else.
pub fn may_carry_over(graph: &Graph, looped: NodeId, old: NodeId, new: NodeId) -> bool {
    let (Op::Loop(of), &Op::LoopResult { position, .. }) = (graph.op(looped), graph.op(new)) else {
        return false;
    };
    let stored = |&operand: &NodeId| view::stored(graph, operand, &|node| node == old);
    of.result_role(position) == Role::Carried
        && graph
            .operands(looped)
            .iter()
            .enumerate()
            .all(|(i, operand)| (stored(operand) == old) == (i == position))
}

/// Gives every loop one node for each of its results, since the body writes them all, and moves constants out of bodies,
/// where kernels find them.
pub fn prepare(graph: &mut Graph) {
    let loops = graph.topological_order().into_iter().filter(|&id| matches!(graph.op(id), Op::Loop(_)));
    for id in loops.collect::<Vec<_>>() {
        let Op::Loop(looped) = graph.op(id).clone() else { continue };
        let looped = without_constants(graph, id, &looped);
        if looped != id {
            graph.retain(|node, _| node != id);
        }
        let n_results = match graph.op(looped) {
            Op::Loop(of) => of.n_results(),
            _ => unreachable!("a loop stays a loop"),
        };
        let mut results: Vec<Option<NodeId>> = vec![None; n_results];
        let mut twice = Vec::new();
        for user in graph.users(looped) {
            let Op::LoopResult { position, .. } = *graph.op(user) else { continue };
            match results[position] {
                Some(first) => {
                    graph.replace_uses(user, first);
                    twice.push(user);
                }
                None => results[position] = Some(user),
            }
        }
        graph.retain(|node, _| !twice.contains(&node));
        for position in (0..n_results).filter(|&position| results[position].is_none()) {
            add_result(graph, looped, position);
        }
    }
}

/// Adds a node for a result of a loop.
pub fn add_result(graph: &mut Graph, looped: NodeId, position: usize) -> NodeId {
    let ty = result_type(graph, looped, position);
    graph.add(Op::LoopResult { position, ty }, &[looped]).expect("the type is that of the result")
}

/// Puts one loop in place of some: of each is given where its results are among those of the new one. Returns that one.
pub fn replace(graph: &mut Graph, old: &[(NodeId, Vec<usize>)], op: Op, operands: &[NodeId]) -> NodeId {
    let origin = old[0].0;
    let new = analysis::emit_replacement(graph, origin, |graph| {
        Some(graph.add(op, operands).expect("the new loop takes what the old one took"))
    });
    let new = new.expect("a loop was added");
    let mut gone = Vec::new();
    for (id, positions) in old {
        gone.push(*id);
        for user in graph.users(*id) {
            let Op::LoopResult { position, .. } = *graph.op(user) else { continue };
            let result = analysis::emit_replacement(graph, user, |graph| {
                Some(add_result(graph, new, positions[position]))
            });
            graph.replace_uses(user, result.expect("a result was added"));
            gone.push(user);
        }
    }
    for (id, _) in old {
        // A token that the graph returns.
        graph.replace_uses(*id, new);
    }
    graph.retain(|node, _| !gone.contains(&node));
    new
}

/// The type of a result of a loop.
pub fn result_type(graph: &Graph, looped: NodeId, position: usize) -> TensorType {
    let Op::Loop(of) = graph.op(looped) else { unreachable!("a result is one of a loop") };
    of.result_type(position).expect("a result that the loop has")
}

/// The loop with the constants of its body as invariant operands.
fn without_constants(graph: &mut Graph, id: NodeId, looped: &Arc<Loop>) -> NodeId {
    let mut body = looped.body.clone();
    // Those of loops within come out of these first.
    prepare(&mut body);
    let constants: Vec<NodeId> = body.ids().filter(|&id| matches!(body.op(id), Op::Dense(_))).collect();
    if constants.is_empty() && body.same_as(&looped.body) {
        return id;
    }
    let mut operands = graph.operands(id).to_vec();
    for constant in constants {
        let (op, ty) = (body.op(constant).clone(), body.node(constant).ty().clone());
        operands.push(graph.add(op, &[]).expect("a constant is well typed"));
        let input = body.add_input("constant", ty);
        body.replace_uses(constant, input);
    }
    analysis::remove_unreachable(&mut body);
    let op = Op::Loop(Arc::new(Loop { body, ..Loop::clone(looped) }));
    let replacement = analysis::emit_replacement(graph, id, |graph| {
        Some(graph.add(op, &operands).expect("the constants are new operands of their types"))
    });
    let replacement = replacement.expect("a loop was added");
    graph.replace_uses(id, replacement);
    replacement
}
