//! Merges loops over the same values with the same body, where each returns other values of it: the gradient of a loop
//! asks for values of the loop forwards by a loop of its own.
//!
//! Such bodies are clones that differ in their outputs alone, so nodes are compared by their ids. That holds as long as
//! nothing has rewritten one of them: the pass must come before those that do.
//!
//! Promises: idempotent; removes what it replaces. Cost: O(loops squared + nodes of their bodies).

use crate::loop_bodies;
use crate::pass::{Changed, Pass, Rewrites};
use kiln_ir::op::Loop;
use kiln_ir::{Graph, NodeId, Op};
use std::sync::Arc;

/// The pass.
#[derive(Clone, Copy, Debug)]
pub struct MergeLoops;

impl Pass for MergeLoops {
    fn name(&self) -> &'static str {
        "merge_loops"
    }

    fn run(&self, graph: &mut Graph, budget: &mut Rewrites) -> Changed {
        let mut loops: Vec<NodeId> = graph.topological_order();
        loops.retain(|&id| matches!(graph.op(id), Op::Loop(_)));
        let mut n_merged = 0;
        let mut kept: Vec<NodeId> = Vec::new();
        for id in loops {
            let same = kept.iter().position(|&first| have_one_body(graph, first, id));
            match same {
                Some(place) if budget.take("merge") => {
                    kept[place] = merge(graph, kept[place], id);
                    n_merged += 1;
                }
                Some(_) => break,
                None => kept.push(id),
            }
        }
        Changed::if_any(n_merged)
    }
}

fn of(graph: &Graph, id: NodeId) -> &Arc<Loop> {
    match graph.op(id) {
        Op::Loop(looped) => looped,
        op => unreachable!("`{}` is no loop", op.name()),
    }
}

/// Whether two loops differ in nothing but which values of their bodies they stack.
fn have_one_body(graph: &Graph, a: NodeId, b: NodeId) -> bool {
    if graph.operands(a) != graph.operands(b) {
        return false;
    }
    let (a, b) = (of(graph, a), of(graph, b));
    let facts = |l: &Loop| (l.n_steps, l.n_stacked, l.reverse, l.n_carried(), l.body.n_nodes());
    let carried = |l: &Loop| l.body.outputs()[..l.n_carried()].to_vec();
    let same_node = |id: NodeId| {
        let is_there = b.body.contains(id);
        is_there && a.body.op(id).same_as(b.body.op(id)) && a.body.operands(id) == b.body.operands(id)
    };
    facts(a) == facts(b)
        && carried(a) == carried(b)
        && a.body.inputs() == b.body.inputs()
        && a.body.ids().all(same_node)
}

/// One loop with the results of both, in place of both.
fn merge(graph: &mut Graph, first: NodeId, second: NodeId) -> NodeId {
    let (a, b) = (of(graph, first).clone(), of(graph, second).clone());
    let mut outputs = a.body.outputs().to_vec();
    let mut positions = Vec::new();
    for (k, output) in b.body.outputs().iter().enumerate() {
        let is_carried = k < a.n_carried();
        let known = (a.n_carried()..outputs.len()).find(|&known| outputs[known].value == output.value);
        positions.push(match known {
            _ if is_carried => k,
            Some(known) => known,
            None => {
                outputs.push(*output);
                outputs.len() - 1
            }
        });
    }
    let mut body = a.body.clone();
    body.set_outputs(outputs);
    let operands = graph.operands(first).to_vec();
    let own: Vec<usize> = (0..a.n_results()).collect();
    let op = Op::Loop(Arc::new(Loop { body, ..Loop::clone(&a) }));
    loop_bodies::replace(graph, &[(first, own), (second, positions)], op, &operands)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gradient::gradient;
    use crate::testing::{check, check_graph};
    use kiln_ir::parse;

    #[test]
    fn the_loop_that_a_gradient_asks_for_becomes_that_of_the_value() {
        let mut graph = parse(
            "graph f(%h: f32[4], %x: f32[6, 4]) {
                %l: u8[0] = loop %h, %x { steps = 6, stacked = 1 } graph step(%h: f32[4], %x: f32[4]) {
                    %t: f32[4] = tanh %h
                    %next: f32[4] = mul %t, %x
                    return %next => %h
                }
                %last: f32[4] = loop_result %l { position = 0 }
                %sum: f32[] = reduce_sum %last { axes = [0] }
                return %sum
            }",
        )
        .unwrap();
        let inputs = graph.inputs().to_vec();
        let of = graph.outputs()[0].value;
        let gradients = gradient(&mut graph, of, &inputs).unwrap();
        gradients.into_iter().for_each(|gradient| graph.add_output(gradient, None));
        let n_loops = |graph: &Graph| graph.ids().filter(|&id| matches!(graph.op(id), Op::Loop(_))).count();
        assert_eq!(n_loops(&graph), 3);
        assert_eq!(n_loops(&check_graph(&MergeLoops, &graph)), 2);
    }

    #[test]
    fn loops_that_differ_stay() {
        // One runs the other way, one takes another operand, one computes something else.
        let text = "graph f(%h: f32[4], %k: f32[4], %x: f32[6, 4]) {
                %a: u8[0] = loop %h, %x { steps = 6, stacked = 1 } graph step(%h: f32[4], %x: f32[4]) {
                    %next: f32[4] = mul %h, %x
                    return %next => %h
                }
                %b: u8[0] = loop %h, %x { steps = 6, stacked = 1, reverse = true } graph step(%h: f32[4], %x: f32[4]) {
                    %next: f32[4] = mul %h, %x
                    return %next => %h
                }
                %c: u8[0] = loop %k, %x { steps = 6, stacked = 1 } graph step(%h: f32[4], %x: f32[4]) {
                    %next: f32[4] = mul %h, %x
                    return %next => %h
                }
                %d: u8[0] = loop %h, %x { steps = 6, stacked = 1 } graph step(%h: f32[4], %x: f32[4]) {
                    %next: f32[4] = add %h, %x
                    return %next => %h
                }
                %ra: f32[4] = loop_result %a { position = 0 }
                %rb: f32[4] = loop_result %b { position = 0 }
                %rc: f32[4] = loop_result %c { position = 0 }
                %rd: f32[4] = loop_result %d { position = 0 }
                return %ra, %rb, %rc, %rd
            }
            ";
        insta::assert_snapshot!(check(&MergeLoops, text), @"unchanged");
    }
}
