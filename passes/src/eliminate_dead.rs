//! Eliminates dead code: nodes from which no output can be reached.
//!
//! Promises: idempotent; keeps every graph input, used or not, since inputs are the caller's signature.
//! Cost: O(nodes + edges).

use crate::analysis;
use crate::pass::{Changed, Pass, Rewrites};
use kiln_ir::Graph;

/// The pass.
#[derive(Clone, Copy, Debug)]
pub struct EliminateDead;

impl Pass for EliminateDead {
    fn name(&self) -> &'static str {
        "eliminate_dead"
    }

    fn run(&self, graph: &mut Graph, budget: &mut Rewrites) -> Changed {
        let live = analysis::reachable(graph);
        // Users before operands: when the budget ends in the middle, what stays still has all its operands.
        let mut gone = analysis::NodeSet::of(graph);
        let mut n_gone = 0;
        for id in graph.topological_order().into_iter().rev() {
            if live.contains(id) || graph.op(id).is_input() {
                continue;
            }
            if !budget.take("remove") {
                break;
            }
            gone.insert(id);
            n_gone += 1;
        }
        graph.retain(|id, _| !gone.contains(id));
        Changed::if_any(n_gone)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::check;
    use insta::assert_snapshot;

    #[test]
    fn what_no_output_needs_goes() {
        assert_snapshot!(check(
            &EliminateDead,
            "
            graph f(%x: f32[4]) {
                %a: f32[4] = exp %x
                %b: f32[4] = log %x
                %c: f32[4] = neg %b
                return %a
            }
        "
        ), @"
          graph f(%x: f32[4]) {
              %a: f32[4] = exp %x
        -     %b: f32[4] = log %x
        -     %c: f32[4] = neg %b
              return %a
          }
        ");
    }

    #[test]
    fn inputs_stay() {
        assert_snapshot!(check(
            &EliminateDead,
            "
            graph f(%x: f32[4], %unused: f32[2]) {
                return %x
            }
        "
        ), @"unchanged");
    }
}
