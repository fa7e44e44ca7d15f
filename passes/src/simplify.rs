//! Simplifies: replaces small patterns by smaller ones, row by row of a table `name: pattern => replacement if condition`.
//!
//! The rows stand in one file per family: [`algebra`] (values, elementwise), [`clamp`] (rectifiers), [`movement`] (axes and views), [`border`]
//! (parts and borders), [`sink`] (movement ops through elementwise ops, towards the results), [`contraction`], [`reduce`] and
//! [`window`].
//!
//! Promises: idempotent; terminates, since each row makes nodes fewer, cheaper or moves a view in its one direction
//! (reshapes and permutations towards the results, repetition towards the results through elementwise ops and below
//! every other movement op); NaN, infinities and the sign of zero come out as before, and so does every rounding but
//! those of powers, of `1 / sqrt(x)` and of sums of repetitions. The order of sums may change, which an op does not promise,
//! and with it the sign of a sum of zeros.
//! Nodes that lose their last user are removed. Cost: O(nodes x rows of the node's family) a sweep, a few sweeps.

pub mod algebra;
pub mod border;
pub mod clamp;
pub mod contraction;
mod facts;
pub mod movement;
pub mod pattern;
pub mod reduce;
mod regroup;
pub mod sink;
pub mod window;

use crate::analysis;
use crate::pass::{Changed, Pass, Rewrites};
use kiln_ir::op::BinaryOp;
use kiln_ir::{Graph, NodeId, Op};

/// The pass.
#[derive(Clone, Copy, Debug)]
pub struct Simplify;

/// One row of the table.
pub struct Row {
    /// The name in statistics.
    pub name: &'static str,
    /// What it does, in the words of the text form: for people.
    pub text: &'static str,
    /// What it does: the value that a node can be replaced by, emitted only when the row applies.
    pub apply: fn(&mut Graph, NodeId) -> Option<NodeId>,
}

/// Sweeps after which a graph that still changes means that two rows undo each other. A sweep follows the operands, so that
/// a view goes through a chain of any length in one; real graphs need two to four.
const MAX_SWEEPS: usize = 100;

/// Replacements of one node in one sweep; more wait for the next.
const MAX_STEPS: usize = 16;

impl Pass for Simplify {
    fn name(&self) -> &'static str {
        "simplify"
    }

    fn run(&self, graph: &mut Graph, budget: &mut Rewrites) -> Changed {
        let mut changed = Changed::No;
        for _ in 0..MAX_SWEEPS {
            if sweep(graph, budget) == 0 {
                return changed;
            }
            changed = Changed::Yes;
        }
        debug_assert!(false, "internal error: the rows of `simplify` undo each other in\n{graph}");
        changed
    }
}

/// Tries the rows on every node that matters, operands first. Returns how many nodes were replaced.
fn sweep(graph: &mut Graph, budget: &mut Rewrites) -> usize {
    let live = analysis::reachable(graph);
    let mut n_replaced = 0;
    for id in graph.topological_order() {
        // A rewrite in this sweep may have left a node behind.
        if !live.contains(id) || graph.n_uses(id) == 0 {
            continue;
        }
        let mut current = id;
        for _ in 0..MAX_STEPS {
            let Some(replacement) = rewrite(graph, current, budget) else { break };
            graph.replace_uses(current, replacement);
            current = replacement;
            n_replaced += 1;
        }
    }
    if n_replaced > 0 {
        analysis::remove_unreachable(graph);
    }
    n_replaced
}

/// The first row that applies to a node.
fn rewrite(graph: &mut Graph, id: NodeId, budget: &mut Rewrites) -> Option<NodeId> {
    if budget.is_spent() {
        return None;
    }
    analysis::emit_replacement(graph, id, |graph| {
        // What depends on nothing is for `fold_constants`: rules that move constants would move these for ever.
        let is_constant =
            graph.operands(id).iter().all(|&operand| analysis::uniform(graph, operand).is_some());
        if graph.op(id).is_elementwise()
            && !is_constant
            && let Some((name, replacement)) = algebra::rewrite(graph, id)
        {
            return budget.take(name).then_some(replacement);
        }
        for row in rows(graph.op(id)).into_iter().flatten() {
            if let Some(replacement) = (row.apply)(graph, id) {
                return budget.take(row.name).then_some(replacement);
            }
        }
        None
    })
}

/// The rows that can apply to a node with this op, besides the rules of [`algebra`].
fn rows(op: &Op) -> [&'static [Row]; 2] {
    match op {
        Op::Binary(BinaryOp::Add) => [border::ADD, sink::ROWS],
        Op::Select => [window::SELECT, sink::ROWS],
        Op::Unary(_) | Op::Binary(_) | Op::Logical(_) => [sink::ROWS, &[]],
        Op::Compare(_) => [clamp::COMPARE, sink::ROWS],
        Op::Cast(_) => [algebra::CAST, sink::ROWS],
        Op::Reshape(_) => [movement::RESHAPE, &[]],
        Op::Permute(_) => [movement::PERMUTE, contraction::PERMUTE],
        Op::Broadcast { .. } => [movement::BROADCAST, &[]],
        Op::Slice(_) => [border::SLICE, &[]],
        Op::Pad(_) => [border::PAD, &[]],
        Op::Concatenate(_) => [border::CONCATENATE, &[]],
        Op::Reverse(_) => [movement::REVERSE, &[]],
        Op::Reduce(..) => [reduce::REDUCE, window::REDUCE],
        Op::ArgReduce(..) => [reduce::ARG_REDUCE, &[]],
        Op::Cumulative(_) => [reduce::CUMULATIVE, &[]],
        Op::Dot(_) => [contraction::DOT, &[]],
        Op::Input(_)
        | Op::Fill(..)
        | Op::Dense(_)
        | Op::Iota { .. }
        | Op::Conv(_)
        | Op::Window(..)
        | Op::ArgSort(_)
        | Op::Gather(_)
        | Op::ScatterAdd { .. }
        | Op::RandomBits(_)
        | Op::Loop(_)
        | Op::LoopResult { .. } => [&[], &[]],
    }
}
