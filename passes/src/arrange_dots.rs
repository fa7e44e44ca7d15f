//! Arranges the operands of large dots so that the tiles can walk them: batch axes, then rows, then columns.
//!
//! The tiles take a matrix with one stride for its rows and one for its columns. A contiguous operand has these when its
//! batch axes, its free axes and its contracted axes each stand together, in one order. Where they do not, the operand is
//! permuted first; fusion writes that permutation to memory, which is a copy of the operand against a product that reads
//! it many times.
//!
//! Promises: idempotent. It must come after the last run of `simplify`, which moves permutations into dots. Cost: O(nodes).

use crate::analysis;
use crate::contraction;
use crate::pass::{Changed, Pass, Rewrites};
use kiln_ir::emit::{Emit, EmitExt};
use kiln_ir::op::Dot;
use kiln_ir::{Axes, Graph, NodeId, Op};

/// The pass.
#[derive(Clone, Copy, Debug)]
pub struct ArrangeDots;

impl Pass for ArrangeDots {
    fn name(&self) -> &'static str {
        "arrange_dots"
    }

    fn run(&self, graph: &mut Graph, budget: &mut Rewrites) -> Changed {
        let mut n_arranged = 0;
        for id in graph.topological_order() {
            let Op::Dot(dot) = graph.op(id).clone() else { continue };
            if !contraction::is_large(graph, id) || walkable(graph, id) {
                continue;
            }
            if !budget.take("arrange") {
                break;
            }
            let arranged = analysis::emit_replacement(graph, id, |graph| Some(emit(graph, id, &dot)));
            graph.replace_uses(id, arranged.expect("a dot was emitted"));
            n_arranged += 1;
        }
        if n_arranged > 0 {
            analysis::remove_unreachable(graph);
        }
        Changed::if_any(n_arranged)
    }
}

/// Whether the tiles could walk both operands if they were contiguous.
fn walkable(graph: &Graph, id: NodeId) -> bool {
    let operands = graph.operands(id);
    contraction::matrices(graph, id, &|node| operands.contains(&node)).is_ok()
}

/// The same dot of permuted operands: `[batch, free, contracted]` and `[batch, contracted, free]`.
fn emit(graph: &mut Graph, id: NodeId, dot: &Dot) -> NodeId {
    let [lhs, rhs] = [0, 1].map(|operand| graph.operands(id)[operand]);
    let [lhs_rank, rhs_rank] = [lhs, rhs].map(|operand| graph.node(operand).ty().rank());
    let lhs_batch = dot.batch.iter().map(|pair| pair.0);
    let lhs_contract = dot.contract.iter().map(|pair| pair.0);
    let lhs_order: Axes = lhs_batch.chain(dot.lhs_free(lhs_rank)).chain(lhs_contract).collect();
    let rhs_batch = dot.batch.iter().map(|pair| pair.1);
    let rhs_contract = dot.contract.iter().map(|pair| pair.1);
    let rhs_order: Axes = rhs_batch.chain(rhs_contract).chain(dot.rhs_free(rhs_rank)).collect();
    let (n_batch, n_contract) = (dot.batch.len(), dot.contract.len());
    let arranged = Dot {
        batch: (0..n_batch).map(|axis| (axis, axis)).collect(),
        contract: (0..n_contract).map(|i| (lhs_rank - n_contract + i, n_batch + i)).collect(),
    };
    let lhs = graph.permute(lhs, &lhs_order);
    let rhs = graph.permute(rhs, &rhs_order);
    Emit::emit(graph, Op::Dot(arranged), &[lhs, rhs])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::check;
    use insta::assert_snapshot;

    #[test]
    fn mixed_axes_are_put_in_order() {
        assert_snapshot!(check(&ArrangeDots, "
            graph f(%x: f32[8, 16, 9], %y: f32[16, 20]) {
                %d: f32[8, 9, 20] = dot %x, %y { contract = [1:0] }
                return %d
            }
        "), @"
          graph f(%x: f32[8, 16, 9], %y: f32[16, 20]) {
        -     %d: f32[8, 9, 20] = dot %x, %y { contract = [1:0] }
        +     %permute: f32[8, 9, 16] = permute %x { permutation = [0, 2, 1] }
        +     %d: f32[8, 9, 20] = dot %permute, %y { contract = [2:0] }
              return %d
          }
        ");
    }

    #[test]
    fn operands_in_any_order_that_strides_describe_stay() {
        assert_snapshot!(check(&ArrangeDots, "
            graph f(%x: f32[16, 40], %y: f32[50, 16]) {
                %d: f32[40, 50] = dot %x, %y { contract = [0:1] }
                return %d
            }
        "), @"unchanged");
    }
}
