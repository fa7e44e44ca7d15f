//! Eliminates common subexpressions: of nodes that compute the same from the same operands, the first one stays.
//!
//! One visit in topological order with a table of the nodes seen (hash-consing), so that equal operands are one node
//! before their users are compared. The operands of a commutative op are compared in the order of their ids; the node
//! itself is left as it is.
//!
//! Promises: idempotent; what it replaces it removes; inputs are never merged. Floating-point constants are equal when
//! their bits are. Cost: O(nodes + edges) expected.

use crate::analysis;
use crate::pass::{Changed, Pass, Rewrites};
use kiln_ir::graph::Operands;
use kiln_ir::op::{BinaryOp, CompareOp, LogicalOp};
use kiln_ir::{Graph, NodeId, Op};
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};

/// The pass.
#[derive(Clone, Copy, Debug)]
pub struct EliminateCommon;

impl Pass for EliminateCommon {
    fn name(&self) -> &'static str {
        "eliminate_common"
    }

    fn run(&self, graph: &mut Graph, budget: &mut Rewrites) -> Changed {
        // Looked up by hash only, never walked: its order cannot reach the result.
        let mut seen: HashMap<u64, Vec<NodeId>> = HashMap::new();
        let mut duplicates = analysis::NodeSet::of(graph);
        let mut n_replaced = 0;
        for id in graph.topological_order() {
            if graph.op(id).is_input() {
                continue;
            }
            let bucket = seen.entry(hash(graph, id)).or_default();
            match bucket.iter().copied().find(|&first| computes_the_same(graph, first, id)) {
                Some(first) if budget.take("merge") => {
                    graph.replace_uses(id, first);
                    duplicates.insert(id);
                    n_replaced += 1;
                }
                Some(_) => break,
                None => bucket.push(id),
            }
        }
        graph.retain(|id, _| !duplicates.contains(id));
        Changed::if_any(n_replaced)
    }
}

/// Equal for nodes that compute the same; attributes that are long to hash are left to the comparison.
fn hash(graph: &Graph, id: NodeId) -> u64 {
    let mut hasher = DefaultHasher::new();
    graph.op(id).name().hash(&mut hasher);
    graph.node(id).ty().hash(&mut hasher);
    ordered_operands(graph, id).hash(&mut hasher);
    analysis::uniform(graph, id).hash(&mut hasher);
    hasher.finish()
}

fn computes_the_same(graph: &Graph, a: NodeId, b: NodeId) -> bool {
    graph.op(a).same_as(graph.op(b)) && ordered_operands(graph, a) == ordered_operands(graph, b)
}

fn ordered_operands(graph: &Graph, id: NodeId) -> Operands {
    let mut operands = Operands::from_slice(graph.operands(id));
    if is_commutative(graph.op(id)) {
        operands.sort_unstable();
    }
    operands
}

/// Whether exchanging the two operands gives the same value.
pub fn is_commutative(op: &Op) -> bool {
    match op {
        Op::Binary(BinaryOp::Add | BinaryOp::Mul | BinaryOp::Max | BinaryOp::Min)
        | Op::Compare(CompareOp::Eq | CompareOp::Ne)
        | Op::Logical(LogicalOp::And | LogicalOp::Or | LogicalOp::Xor) => true,
        Op::Binary(BinaryOp::Sub | BinaryOp::Div | BinaryOp::Rem | BinaryOp::Pow | BinaryOp::Atan2)
        | Op::Compare(CompareOp::Lt | CompareOp::Le | CompareOp::Gt | CompareOp::Ge)
        | Op::Logical(LogicalOp::Not | LogicalOp::ShiftLeft | LogicalOp::ShiftRight)
        | Op::Input(_)
        | Op::Fill(..)
        | Op::Dense(_)
        | Op::Iota { .. }
        | Op::Unary(_)
        | Op::Select
        | Op::Cast(_)
        | Op::Reduce(..)
        | Op::ArgReduce(..)
        | Op::Cumulative(_)
        | Op::ArgSort(_)
        | Op::Reshape(_)
        | Op::Permute(_)
        | Op::Broadcast { .. }
        | Op::Slice(_)
        | Op::Pad(_)
        | Op::Concatenate(_)
        | Op::Reverse(_)
        | Op::Dot(_)
        | Op::Conv(_)
        | Op::Window(..)
        | Op::Gather(_)
        | Op::ScatterAdd { .. }
        | Op::RandomBits(_)
        | Op::Loop(_)
        | Op::LoopResult { .. } => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::check;
    use insta::assert_snapshot;

    #[test]
    fn equal_nodes_become_one() {
        assert_snapshot!(check(
            &EliminateCommon,
            "
            graph f(%x: f32[4]) {
                %a: f32[4] = exp %x
                %b: f32[4] = exp %x
                %c: f32[4] = mul %a, %b
                return %c
            }
        "
        ), @"
          graph f(%x: f32[4]) {
              %a: f32[4] = exp %x
        -     %b: f32[4] = exp %x
        -     %c: f32[4] = mul %a, %b
        +     %c: f32[4] = mul %a, %a
              return %c
          }
        ");
    }

    #[test]
    fn users_of_equal_nodes_become_equal() {
        assert_snapshot!(check(
            &EliminateCommon,
            "
            graph f(%x: f32[4]) {
                %a: f32[4] = exp %x
                %b: f32[4] = exp %x
                %c: f32[4] = neg %a
                %d: f32[4] = neg %b
                return %c, %d
            }
        "
        ), @"
          graph f(%x: f32[4]) {
              %a: f32[4] = exp %x
        -     %b: f32[4] = exp %x
              %c: f32[4] = neg %a
        -     %d: f32[4] = neg %b
        -     return %c, %d
        +     return %c, %c
          }
        ");
    }

    #[test]
    fn commutative_operands_come_in_any_order() {
        assert_snapshot!(check(
            &EliminateCommon,
            "
            graph f(%x: f32[4], %y: f32[4]) {
                %a: f32[4] = mul %x, %y
                %b: f32[4] = mul %y, %x
                %c: f32[4] = sub %a, %b
                return %c
            }
        "
        ), @"
          graph f(%x: f32[4], %y: f32[4]) {
              %a: f32[4] = mul %x, %y
        -     %b: f32[4] = mul %y, %x
        -     %c: f32[4] = sub %a, %b
        +     %c: f32[4] = sub %a, %a
              return %c
          }
        ");
    }

    #[test]
    fn what_differs_stays() {
        assert_snapshot!(check(
            &EliminateCommon,
            "
            graph f(%x: f32[4], %y: f32[4]) {
                %a: f32[4] = sub %x, %y
                %b: f32[4] = sub %y, %x
                %c: f32[4] = fill { value = 0.0 }
                %d: f32[4] = fill { value = -0.0 }
                %e: f32[] = reduce_sum %x { axes = [0] }
                %f: f32[] = reduce_max %x { axes = [0] }
                return %a, %b, %c, %d, %e, %f
            }
        "
        ), @"unchanged");
    }
}
