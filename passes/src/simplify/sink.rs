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
    let alike = |o| {
        let is_reshape = matches!(graph.op(o), Op::Reshape(_));
        let from_before = is_reshape && *shape(graph, graph.operands(o)[0]) == before;
        from_before || axes_after_reshape(graph, o, &before).is_some()
    };
    all_operands(graph, id, alike).then_some(())?;
    let to = shape(graph, id).clone();
    let result = emit_moved(graph, id, &before, |graph, operand| {
        reshaped_broadcast(graph, operand, before.clone()).unwrap_or_else(|| graph.operands(operand)[0])
    });
    Some(graph.reshape(result, to))
}

fn sink_permute(graph: &mut Graph, id: NodeId) -> Option<NodeId> {
    let permutation = graph.operands(id).iter().find_map(|&o| {
        let Op::Permute(permutation) = graph.op(o) else { return None };
        Some(permutation.clone())
    })?;
    let back = inverse(&permutation);
    // A broadcast may move its repetition elsewhere, but a permutation of its operand would only be a new one.
    let repeats = |o| -> Option<Axes> {
        let (inner, places) = axes_after_permute(graph, o, &back)?;
        inner.is_sorted().then_some(places)
    };
    let alike = |o| {
        let permutes_alike = matches!(graph.op(o), Op::Permute(other) if *other == permutation);
        permutes_alike || repeats(o).is_some()
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

#[cfg(test)]
mod tests {
    use super::super::Simplify;
    use crate::testing::check;
    use insta::assert_snapshot;

    fn changes(text: &str) -> String {
        check(&Simplify, text)
    }

    #[test]
    fn repetition_comes_after_the_op() {
        assert_snapshot!(changes(
            "
            graph f(%x: f32[3], %y: f32[3]) {
                %a: f32[3, 4] = broadcast %x { axes = [0] }
                %b: f32[3, 4] = broadcast %y { axes = [0] }
                %c: f32[3, 4] = add %a, %b
                %k: f32[3, 4] = fill { value = 2.0 }
                %d: f32[3, 4] = mul %c, %k
                return %d
            }
        "
        ), @"
          graph f(%x: f32[3], %y: f32[3]) {
        -     %a: f32[3, 4] = broadcast %x { axes = [0] }
        -     %b: f32[3, 4] = broadcast %y { axes = [0] }
        -     %c: f32[3, 4] = add %a, %b
        -     %k: f32[3, 4] = fill { value = 2.0 }
        -     %d: f32[3, 4] = mul %c, %k
        +     %add: f32[3] = add %x, %y
        +     %fill: f32[3] = fill { value = 2.0 }
        +     %mul: f32[3] = mul %add, %fill
        +     %d: f32[3, 4] = broadcast %mul { axes = [0] }
              return %d
          }
        ");
    }

    #[test]
    fn unlike_repetitions_stay() {
        assert_snapshot!(changes(
            "
            graph f(%x: f32[3], %y: f32[4]) {
                %a: f32[3, 4] = broadcast %x { axes = [0] }
                %b: f32[3, 4] = broadcast %y { axes = [1] }
                %c: f32[3, 4] = add %a, %b
                return %c
            }
        "
        ), @"unchanged");
    }

    #[test]
    fn reshape_comes_after_a_chain() {
        assert_snapshot!(changes(
            "
            graph f(%x: f32[2, 3, 4]) {
                %a: f32[2, 12] = reshape %x
                %b: f32[2, 12] = exp %a
                %zero: f32[2, 12] = fill { value = 0.0 }
                %c: bool[2, 12] = gt %a, %zero
                %d: f32[2, 12] = select %c, %b, %zero
                return %d
            }
        "
        ), @"
          graph f(%x: f32[2, 3, 4]) {
        -     %a: f32[2, 12] = reshape %x
        -     %b: f32[2, 12] = exp %a
        -     %zero: f32[2, 12] = fill { value = 0.0 }
        -     %c: bool[2, 12] = gt %a, %zero
        -     %d: f32[2, 12] = select %c, %b, %zero
        +     %exp: f32[2, 3, 4] = exp %x
        +     %fill: f32[2, 3, 4] = fill { value = 0.0 }
        +     %gt: bool[2, 3, 4] = gt %x, %fill
        +     %fill.2: f32[2, 3, 4] = fill { value = 0.0 }
        +     %select: f32[2, 3, 4] = select %gt, %exp, %fill.2
        +     %d: f32[2, 12] = reshape %select
              return %d
          }
        ");
    }

    #[test]
    fn reshape_comes_after_a_sum_with_a_repetition() {
        assert_snapshot!(changes(
            "
            graph f(%x: f32[6, 4], %y: f32[4]) {
                %a: f32[2, 3, 4] = reshape %x
                %b: f32[2, 3, 4] = broadcast %y { axes = [2] }
                %c: f32[2, 3, 4] = add %a, %b
                return %c
            }
        "
        ), @"
          graph f(%x: f32[6, 4], %y: f32[4]) {
        -     %a: f32[2, 3, 4] = reshape %x
        -     %b: f32[2, 3, 4] = broadcast %y { axes = [2] }
        -     %c: f32[2, 3, 4] = add %a, %b
        +     %broadcast: f32[6, 4] = broadcast %y { axes = [1] }
        +     %add: f32[6, 4] = add %x, %broadcast
        +     %c: f32[2, 3, 4] = reshape %add
              return %c
          }
        ");
    }

    #[test]
    fn reshape_beside_a_value_of_that_shape_stays() {
        assert_snapshot!(changes(
            "
            graph f(%x: f32[6], %y: f32[2, 3]) {
                %a: f32[2, 3] = reshape %x
                %b: f32[2, 3] = add %a, %y
                return %b
            }
        "
        ), @"unchanged");
    }

    #[test]
    fn permute_comes_after_the_op() {
        assert_snapshot!(changes(
            "
            graph f(%x: f32[2, 3], %y: f32[2]) {
                %a: f32[3, 2] = permute %x { permutation = [1, 0] }
                %b: f32[3, 2] = broadcast %y { axes = [1] }
                %c: f32[3, 2] = mul %a, %b
                return %c
            }
        "
        ), @"
          graph f(%x: f32[2, 3], %y: f32[2]) {
        -     %a: f32[3, 2] = permute %x { permutation = [1, 0] }
        -     %b: f32[3, 2] = broadcast %y { axes = [1] }
        -     %c: f32[3, 2] = mul %a, %b
        +     %broadcast: f32[2, 3] = broadcast %y { axes = [0] }
        +     %mul: f32[2, 3] = mul %x, %broadcast
        +     %c: f32[3, 2] = permute %mul { permutation = [1, 0] }
              return %c
          }
        ");
    }
}
