//! Optimizes the bodies of loops, and moves work out of them.
//!
//! - The passes for graphs run on each body.
//! - Results that nobody uses go, and carried values that only they need; so do results that are known without the loop.
//! - What does not vary is computed once, before the loop. Views and constants stay in the body, where they cost nothing.
//! - A dot of a stacked value with an invariant one becomes one large dot before the loop: the input projections of a
//!   recurrent layer. A dot with an invariant value that is only stacked becomes one after the loop.
//!
//! Promises: removes the loops that it replaces. Cost: that of the passes on the bodies.

mod move_out;
pub mod panels;

use crate::loop_bodies;
use crate::pass::{Changed, Pass, Rewrites};
use kiln_ir::op::Loop;
use kiln_ir::{Graph, NodeId, Op};
use move_out::move_out;
use std::sync::Arc;

/// The pass: the passes for the bodies, in order.
pub struct OptimizeBodies {
    passes: Vec<Box<dyn Pass>>,
    /// Whether work is moved out of the bodies too.
    moves: bool,
}

impl OptimizeBodies {
    /// The pass that runs these on each body, and moves out of it what need not be there.
    pub fn new(passes: Vec<Box<dyn Pass>>) -> OptimizeBodies {
        OptimizeBodies { passes, moves: true }
    }

    /// The pass that runs these on each body, and nothing else.
    pub fn only(passes: Vec<Box<dyn Pass>>) -> OptimizeBodies {
        OptimizeBodies { passes, moves: false }
    }
}

impl Pass for OptimizeBodies {
    fn name(&self) -> &'static str {
        if self.moves { "optimize_bodies" } else { "arrange_bodies" }
    }

    fn run(&self, graph: &mut Graph, budget: &mut Rewrites) -> Changed {
        let mut changed = Changed::No;
        for id in graph.topological_order() {
            if graph.contains(id)
                && let Op::Loop(looped) = graph.op(id)
            {
                let looped = looped.clone();
                changed = changed.or(self.optimize(graph, id, &looped, budget));
            }
        }
        changed
    }
}

impl OptimizeBodies {
    fn optimize(&self, graph: &mut Graph, id: NodeId, looped: &Loop, budget: &mut Rewrites) -> Changed {
        let mut body = looped.body.clone();
        let mut changed = self.run(&mut body, budget);
        for pass in &self.passes {
            changed = changed.or(pass.run(&mut body, budget));
        }
        let mut id = id;
        if changed == Changed::Yes {
            let op = Op::Loop(Arc::new(Loop { body, ..looped.clone() }));
            let operands = graph.operands(id).to_vec();
            let positions = (0..looped.n_results()).collect();
            id = loop_bodies::replace(graph, &[(id, positions)], op, &operands);
        }
        if self.moves {
            changed = changed.or(move_out(graph, id, budget));
        }
        changed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::{Options, Pipeline};
    use crate::testing::{check, same_results};
    use insta::assert_snapshot;
    use kiln_ir::parse;

    /// The graph after all passes, which computes the same.
    fn optimized(text: &str) -> Graph {
        let before = parse(text).unwrap();
        let mut after = before.clone();
        Pipeline::standard().run(&mut after, &Options::default());
        same_results(&before, &after).unwrap_or_else(|difference| panic!("{difference}\n{after}"));
        after
    }

    fn bodies(graph: &Graph) -> Vec<Graph> {
        let body = |id| match graph.op(id) {
            Op::Loop(looped) => Some(looped.body.clone()),
            _ => None,
        };
        graph.topological_order().into_iter().filter_map(body).collect()
    }

    fn count(graph: &Graph, name: &str) -> usize {
        graph.ids().filter(|&id| graph.op(id).name() == name).count()
    }

    #[test]
    fn work_moves_out_of_the_body() {
        assert_snapshot!(check(
            &OptimizeBodies::new(vec![]),
            "
            graph f(%h: f32[2, 4], %x: f32[6, 2, 3], %w: f32[4, 3], %k: f32[4]) {
                %l: u8[0] = loop %h, %x, %w, %k { steps = 6, stacked = 1 } graph step(%h: f32[2, 4], %x: f32[2, 3], %w: f32[4, 3], %k: f32[4]) {
                    %xw: f32[2, 4] = dot %x, %w { contract = [1:1] }
                    %e: f32[4] = exp %k
                    %b: f32[2, 4] = broadcast %e { axes = [1] }
                    %z: f32[2, 4] = mul %xw, %b
                    %next: f32[2, 4] = add %h, %z
                    return %next => %h
                }
                %last: f32[2, 4] = loop_result %l { position = 0 }
                return %last
            }
        "
        ), @"
          graph f(%h: f32[2, 4], %x: f32[6, 2, 3], %w: f32[4, 3], %k: f32[4]) {
        -     %l: u8[0] = loop %h, %x, %w, %k { steps = 6, stacked = 1 } graph step(%h: f32[2, 4], %x: f32[2, 3], %w: f32[4, 3], %k: f32[4]) {
        -         %xw: f32[2, 4] = dot %x, %w { contract = [1:1] }
        -         %e: f32[4] = exp %k
        +     %dot: f32[6, 2, 4] = dot %x, %w { contract = [2:1] }
        +     %e: f32[4] = exp %k
        +     %l: u8[0] = loop %h, %dot, %e { steps = 6, stacked = 1 } graph step(%h: f32[2, 4], %projected: f32[2, 4], %e: f32[4]) {
                  %b: f32[2, 4] = broadcast %e { axes = [1] }
        -         %z: f32[2, 4] = mul %xw, %b
        +         %z: f32[2, 4] = mul %projected, %b
                  %next: f32[2, 4] = add %h, %z
                  return %next => %h
              }
              %last: f32[2, 4] = loop_result %l { position = 0 }
              return %last
          }
        ");
    }

    #[test]
    fn a_body_in_which_everything_varies_stays() {
        assert_snapshot!(check(
            &OptimizeBodies::new(vec![]),
            "
            graph f(%h: f32[4], %x: f32[6, 4]) {
                %l: u8[0] = loop %h, %x { steps = 6, stacked = 1 } graph step(%h: f32[4], %x: f32[4]) {
                    %next: f32[4] = mul %h, %x
                    return %next => %h
                }
                %last: f32[4] = loop_result %l { position = 0 }
                return %last
            }
        "
        ), @"unchanged");
    }

    #[test]
    fn products_with_invariant_values_are_done_for_all_steps_at_once() {
        let graph = optimized(
            "graph f(%h: f32[2, 4], %x: f32[6, 2, 3], %w: f32[4, 3], %u: f32[4, 4], %v: f32[4, 5]) {
                %l: u8[0] = loop %h, %x, %w, %u, %v { steps = 6, stacked = 1 } graph step(%h: f32[2, 4], %x: f32[2, 3], %w: f32[4, 3], %u: f32[4, 4], %v: f32[4, 5]) {
                    %xw: f32[2, 4] = dot %x, %w { contract = [1:1] }
                    %e: f32[4, 4] = exp %u
                    %hu: f32[2, 4] = dot %h, %e { contract = [1:0] }
                    %z: f32[2, 4] = add %xw, %hu
                    %next: f32[2, 4] = tanh %z
                    %y: f32[2, 5] = dot %next, %v { contract = [1:0] }
                    return %next => %h, %y
                }
                %y: f32[6, 2, 5] = loop_result %l { position = 1 }
                return %y
            }",
        );
        let [body] = &bodies(&graph)[..] else { panic!("one loop\n{graph}") };
        // The product with the state is left; that with the input comes before, the last one after the loop.
        assert_eq!(
            [count(body, "dot"), count(body, "exp"), count(&graph, "dot"), count(&graph, "exp")],
            [1, 0, 2, 1]
        );
    }

    #[test]
    fn what_no_used_result_needs_goes() {
        let graph = optimized(
            "graph f(%h: f32[4], %c: f32[4], %k: f32[4], %x: f32[6, 4]) {
                %l: u8[0] = loop %h, %c, %k, %x { steps = 6, stacked = 1 } graph step(%h: f32[4], %c: f32[4], %k: f32[4], %x: f32[4]) {
                    %h.next: f32[4] = mul %h, %k
                    %c.next: f32[4] = mul %c, %x
                    %e: f32[4] = exp %c
                    return %h.next => %h, %c.next => %c, %k => %k, %e, %x
                }
                %last: f32[4] = loop_result %l { position = 0 }
                %kept: f32[4] = loop_result %l { position = 2 }
                %same: f32[6, 4] = loop_result %l { position = 4 }
                return %last, %kept, %same
            }",
        );
        let [body] = &bodies(&graph)[..] else { panic!("one loop\n{graph}") };
        // `c` and `x` are gone, `k` does not vary, and what is stacked is an operand.
        assert_eq!([body.inputs().len(), body.outputs().len(), count(body, "mul")], [2, 1, 1]);
        assert_eq!(
            [graph.outputs()[1].value, graph.outputs()[2].value],
            [graph.inputs()[2], graph.inputs()[3]]
        );
    }
}
