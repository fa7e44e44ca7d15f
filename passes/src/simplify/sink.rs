//! Rows that move a view from the operands of an elementwise op to its result.
//!
//! A chain of elementwise ops then works in one shape, that of the value it starts from, and views meet where they
//! cancel or are absorbed: at a contraction, a reduction or each other. Below a repetition, the op computes each value
//! once. The one direction, towards the results, is what makes the rows end.

use super::Row;
use super::movement::{axes_after_permute, axes_after_reshape, reshaped_broadcast};
use super::regroup::inverse;
use crate::analysis::uniform;
use kiln_ir::emit::{Emit, EmitExt};
use kiln_ir::{Axes, Graph, NodeId, Op, Shape};

/// The rows; `op` is any elementwise op, and fills take any shape.
pub const ROWS: &[Row] = &[
    Row {
        name: "sink_broadcast",
        text: "op(broadcast(x), broadcast(y)) => broadcast(op(x, y)) if both repeat alike",
        apply: sink_broadcast,
    },
    Row {
        name: "sink_reshape",
        text: "op(reshape(x), reshape(y)) => reshape(op(x, y)) if x and y have one shape",
        apply: sink_reshape,
    },
    Row {
        name: "sink_permute",
        text: "op(permute(x), permute(y)) => permute(op(x, y)) if both permute alike",
        apply: sink_permute,
    },
];

fn shape(graph: &Graph, id: NodeId) -> &Shape {
    &graph.node(id).ty().shape
}

/// Emits the op of `id` on operands of another shape: those that `moved` makes, and fills.
fn emit_moved(
    graph: &mut Graph,
    id: NodeId,
    to: &Shape,
    moved: impl Fn(&mut Graph, NodeId) -> NodeId,
) -> NodeId {
    let operands: Vec<NodeId> = graph
        .operands(id)
        .to_vec()
        .into_iter()
        .map(|operand| match uniform(graph, operand) {
            Some(value) => graph.emit(Op::Fill(value, to.clone()), &[]),
            None => moved(graph, operand),
        })
        .collect();
    let op = graph.op(id).clone();
    graph.emit(op, &operands)
}

/// Whether every operand that is not a fill has this property.
fn all_operands(graph: &Graph, id: NodeId, holds: impl Fn(NodeId) -> bool) -> bool {
    graph.operands(id).iter().all(|&operand| uniform(graph, operand).is_some() || holds(operand))
}

fn sink_broadcast(graph: &mut Graph, id: NodeId) -> Option<NodeId> {
    let first = graph.operands(id).iter().copied().find(|&o| matches!(graph.op(o), Op::Broadcast { .. }))?;
    let Op::Broadcast { axes, shape: wide } = graph.op(first) else { return None };
    let (axes, wide) = (axes.clone(), wide.clone());
    let alike = |o| matches!(graph.op(o), Op::Broadcast { axes: other, .. } if *other == axes);
    all_operands(graph, id, alike).then_some(())?;
    let narrow = shape(graph, graph.operands(first)[0]).clone();
    let result = emit_moved(graph, id, &narrow, |graph, operand| graph.operands(operand)[0]);
    Some(graph.broadcast(result, wide, &axes))
}

fn sink_reshape(graph: &mut Graph, id: NodeId) -> Option<NodeId> {
    let first = graph.operands(id).iter().copied().find(|&o| matches!(graph.op(o), Op::Reshape(_)))?;
    let before = shape(graph, graph.operands(first)[0]).clone();
    let alike = |o| match graph.op(o) {
        Op::Reshape(_) => *shape(graph, graph.operands(o)[0]) == before,
        Op::Broadcast { .. } => axes_after_reshape(graph, o, &before).is_some(),
        _ => false,
    };
    all_operands(graph, id, alike).then_some(())?;
    let to = shape(graph, id).clone();
    let result = emit_moved(graph, id, &before, |graph, operand| {
        reshaped_broadcast(graph, operand, before.clone()).unwrap_or_else(|| graph.operands(operand)[0])
    });
    Some(graph.reshape(result, to))
}

fn sink_permute(graph: &mut Graph, id: NodeId) -> Option<NodeId> {
    let permutation = graph.operands(id).iter().find_map(|&o| match graph.op(o) {
        Op::Permute(permutation) => Some(permutation.clone()),
        _ => None,
    })?;
    let back = inverse(&permutation);
    // A broadcast may move its repetition elsewhere, but a permutation of its operand would only be a new one.
    let repeats = |o| -> Option<Axes> {
        let (inner, places) = axes_after_permute(graph, o, &back)?;
        inner.is_sorted().then_some(places)
    };
    let alike = |o| match graph.op(o) {
        Op::Permute(other) => *other == permutation,
        Op::Broadcast { .. } => repeats(o).is_some(),
        _ => false,
    };
    all_operands(graph, id, alike).then_some(())?;
    let before: Shape = back.iter().map(|&axis| shape(graph, id)[axis]).collect();
    let result = emit_moved(graph, id, &before, |graph, operand| {
        let x = graph.operands(operand)[0];
        match axes_after_permute(graph, operand, &back) {
            Some((_, places)) => graph.broadcast(x, before.clone(), &places),
            None => x,
        }
    });
    Some(graph.permute(result, &permutation))
}
