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
