//! Rows about axes and views: reshape, permute, broadcast and reverse.
//!
//! Directions: repetition goes below the other views (they then move fewer elements), reshapes go towards the results.

use super::Row;
use super::regroup::{groups, inverse, same_but_for_units};
use kiln_ir::emit::EmitExt;
use kiln_ir::{Axes, Graph, NodeId, Op, Shape};

/// Rows about `reshape`.
pub const RESHAPE: &[Row] = &[
    Row { name: "reshape_to_same", text: "reshape(x) => x if x has that shape", apply: reshape_to_same },
    Row { name: "reshape_of_reshape", text: "reshape(reshape(x)) => reshape(x)", apply: reshape_of_reshape },
    Row {
        name: "reshape_of_broadcast",
        text: "reshape(broadcast(x)) => broadcast(reshape(x)) if it joins no new axis with an old one",
        apply: reshape_of_broadcast,
    },
];

/// Rows about `permute`.
pub const PERMUTE: &[Row] = &[
    Row { name: "permute_nothing", text: "permute(x) => x if the order is the same", apply: permute_nothing },
    Row { name: "permute_of_permute", text: "permute(permute(x)) => permute(x)", apply: permute_of_permute },
    Row {
        name: "permute_units",
        text: "permute(x) => reshape(x) if only axes of extent 1 move",
        apply: permute_units,
    },
    Row {
        name: "permute_of_broadcast",
        text: "permute(broadcast(x)) => broadcast(permute(x))",
        apply: permute_of_broadcast,
    },
    Row {
        name: "permute_of_reshape",
        text: "permute(reshape(x)) => reshape(permute(x)) if it moves whole groups of axes",
        apply: permute_of_reshape,
    },
];

/// Rows about `broadcast`.
pub const BROADCAST: &[Row] = &[
    Row { name: "broadcast_nothing", text: "broadcast(x) => x if no axis is new", apply: broadcast_nothing },
    Row {
        name: "broadcast_of_broadcast",
        text: "broadcast(broadcast(x)) => broadcast(x)",
        apply: broadcast_of_broadcast,
    },
    Row {
        name: "broadcast_units",
        text: "broadcast(x) => reshape(x) if all new axes have extent 1",
        apply: broadcast_units,
    },
    Row {
        name: "broadcast_of_unit_reshape",
        text: "broadcast(reshape(x)) => broadcast(x) if the reshape adds axes of extent 1",
        apply: broadcast_of_unit_reshape,
    },
];

/// Rows about `reverse`.
pub const REVERSE: &[Row] = &[
    Row {
        name: "reverse_units",
        text: "reverse(x) => reverse(x) without axes of extent 1",
        apply: reverse_units,
    },
    Row { name: "reverse_of_reverse", text: "reverse(reverse(x)) => reverse(x)", apply: reverse_of_reverse },
    Row {
        name: "reverse_of_broadcast",
        text: "reverse(broadcast(x)) => broadcast(reverse(x))",
        apply: reverse_of_broadcast,
    },
];

fn operand(graph: &Graph, id: NodeId) -> NodeId {
    graph.operands(id)[0]
}

fn shape(graph: &Graph, id: NodeId) -> &Shape {
    &graph.node(id).ty().shape
}

fn reshape_to_same(graph: &mut Graph, id: NodeId) -> Option<NodeId> {
    let x = operand(graph, id);
    (shape(graph, x) == shape(graph, id)).then_some(x)
}

fn reshape_of_reshape(graph: &mut Graph, id: NodeId) -> Option<NodeId> {
    let inner = operand(graph, id);
    let Op::Reshape(_) = graph.op(inner) else { return None };
    let (x, to) = (operand(graph, inner), shape(graph, id).clone());
    Some(graph.reshape(x, to))
}

fn reshape_of_broadcast(graph: &mut Graph, id: NodeId) -> Option<NodeId> {
    let to = shape(graph, id).clone();
    reshaped_broadcast(graph, operand(graph, id), to)
}

/// `reshape(value)` as a broadcast, if `value` is one and no group of axes holds both new and old ones.
pub fn reshaped_broadcast(graph: &mut Graph, value: NodeId, to: Shape) -> Option<NodeId> {
    let kept = axes_after_reshape(graph, value, &to)?;
    let inner: Shape = kept.iter().map(|&axis| to[axis]).collect();
    let x = operand(graph, value);
    let x = graph.reshape(x, inner);
    Some(graph.broadcast(x, to, &kept))
}

/// The axes that are not new after a broadcast takes another shape; `None` where [`reshaped_broadcast`] says so.
pub fn axes_after_reshape(graph: &Graph, value: NodeId, to: &[usize]) -> Option<Axes> {
    let Op::Broadcast { axes, .. } = graph.op(value) else { return None };
    let mut kept = Axes::new();
    for group in groups(shape(graph, value), to)? {
        // An axis of extent 1 that goes or comes is a new one, whichever it was.
        if group.from.is_empty() || group.to.is_empty() {
            continue;
        }
        let n_old = group.from.clone().filter(|axis| axes.contains(axis)).count();
        if n_old == group.from.len() {
            kept.extend(group.to);
        } else if n_old > 0 {
            return None;
        }
    }
    Some(kept)
}

fn permute_nothing(graph: &mut Graph, id: NodeId) -> Option<NodeId> {
    let Op::Permute(permutation) = graph.op(id) else { return None };
    permutation.iter().copied().eq(0..permutation.len()).then(|| operand(graph, id))
}

fn permute_of_permute(graph: &mut Graph, id: NodeId) -> Option<NodeId> {
    let Op::Permute(outer) = graph.op(id) else { return None };
    let Op::Permute(inner) = graph.op(operand(graph, id)) else { return None };
    let both: Axes = outer.iter().map(|&axis| inner[axis]).collect();
    let x = operand(graph, operand(graph, id));
    Some(graph.permute(x, &both))
}

fn permute_units(graph: &mut Graph, id: NodeId) -> Option<NodeId> {
    let Op::Permute(permutation) = graph.op(id) else { return None };
    let x = operand(graph, id);
    let moving = permutation.iter().filter(|&&axis| shape(graph, x)[axis] != 1);
    moving.is_sorted().then_some(())?;
    let to = shape(graph, id).clone();
    Some(graph.reshape(x, to))
}

fn permute_of_broadcast(graph: &mut Graph, id: NodeId) -> Option<NodeId> {
    let Op::Permute(permutation) = graph.op(id) else { return None };
    permuted_broadcast(graph, operand(graph, id), &permutation.clone())
}

/// `permute(value)` as a broadcast of a permuted operand, if `value` is one.
fn permuted_broadcast(graph: &mut Graph, value: NodeId, permutation: &[usize]) -> Option<NodeId> {
    let (inner, axes) = axes_after_permute(graph, value, permutation)?;
    let to: Shape = permutation.iter().map(|&axis| shape(graph, value)[axis]).collect();
    let x = operand(graph, value);
    let x = graph.permute(x, &inner);
    Some(graph.broadcast(x, to, &axes))
}

/// How a broadcast's operand must be permuted, and where its axes then go, when the broadcast is permuted.
pub fn axes_after_permute(graph: &Graph, value: NodeId, permutation: &[usize]) -> Option<(Axes, Axes)> {
    let Op::Broadcast { axes, .. } = graph.op(value) else { return None };
    let place = inverse(permutation);
    let mut inner: Axes = (0..axes.len()).collect();
    inner.sort_unstable_by_key(|&axis| place[axes[axis]]);
    let places = inner.iter().map(|&axis| place[axes[axis]]).collect();
    Some((inner, places))
}

fn permute_of_reshape(graph: &mut Graph, id: NodeId) -> Option<NodeId> {
    let Op::Permute(permutation) = graph.op(id) else { return None };
    let inner = operand(graph, id);
    let Op::Reshape(_) = graph.op(inner) else { return None };
    let x = operand(graph, inner);
    let mut before = Axes::new();
    let mut next = 0;
    let groups = groups(shape(graph, x), shape(graph, inner))?;
    while next < permutation.len() {
        let group =
            groups.iter().find(|group| group.to.start == permutation[next] && !group.to.is_empty())?;
        let run = permutation.get(next..next + group.to.len())?;
        run.iter().copied().eq(group.to.clone()).then_some(())?;
        before.extend(group.from.clone());
        next += group.to.len();
    }
    // Axes of extent 1 that the reshape drops can stand anywhere.
    let dropped = groups.iter().filter(|group| group.to.is_empty());
    before.extend(dropped.flat_map(|group| group.from.clone()));
    let to = shape(graph, id).clone();
    let x = graph.permute(x, &before);
    Some(graph.reshape(x, to))
}

fn broadcast_nothing(graph: &mut Graph, id: NodeId) -> Option<NodeId> {
    let x = operand(graph, id);
    (shape(graph, x) == shape(graph, id)).then_some(x)
}

fn broadcast_of_broadcast(graph: &mut Graph, id: NodeId) -> Option<NodeId> {
    let Op::Broadcast { axes: outer, shape } = graph.op(id) else { return None };
    let Op::Broadcast { axes: inner, .. } = graph.op(operand(graph, id)) else { return None };
    let both: Axes = inner.iter().map(|&axis| outer[axis]).collect();
    let (x, to) = (operand(graph, operand(graph, id)), shape.clone());
    Some(graph.broadcast(x, to, &both))
}

fn broadcast_units(graph: &mut Graph, id: NodeId) -> Option<NodeId> {
    let x = operand(graph, id);
    same_but_for_units(shape(graph, x), shape(graph, id)).then_some(())?;
    let to = shape(graph, id).clone();
    Some(graph.reshape(x, to))
}

fn broadcast_of_unit_reshape(graph: &mut Graph, id: NodeId) -> Option<NodeId> {
    let Op::Broadcast { axes, shape: to } = graph.op(id) else { return None };
    let inner = operand(graph, id);
    let Op::Reshape(_) = graph.op(inner) else { return None };
    let x = operand(graph, inner);
    let mut kept = Axes::new();
    for group in groups(shape(graph, x), shape(graph, inner))? {
        match (group.from.len(), group.to.len()) {
            (0, _) => {}
            (1, 1) => kept.push(axes[group.to.start]),
            (_, _) => return None,
        }
    }
    let to = to.clone();
    Some(graph.broadcast(x, to, &kept))
}

fn reverse_units(graph: &mut Graph, id: NodeId) -> Option<NodeId> {
    let Op::Reverse(axes) = graph.op(id) else { return None };
    let turning: Axes = axes.iter().copied().filter(|&axis| shape(graph, id)[axis] > 1).collect();
    let x = operand(graph, id);
    (turning.len() < axes.len()).then(|| graph.reverse(x, &turning))
}

fn reverse_of_reverse(graph: &mut Graph, id: NodeId) -> Option<NodeId> {
    let Op::Reverse(outer) = graph.op(id) else { return None };
    let Op::Reverse(inner) = graph.op(operand(graph, id)) else { return None };
    let once = |axis: &usize| outer.contains(axis) != inner.contains(axis);
    let axes: Axes = (0..shape(graph, id).rank()).filter(once).collect();
    let x = operand(graph, operand(graph, id));
    Some(graph.reverse(x, &axes))
}

fn reverse_of_broadcast(graph: &mut Graph, id: NodeId) -> Option<NodeId> {
    let Op::Reverse(turned) = graph.op(id) else { return None };
    let inner = operand(graph, id);
    let Op::Broadcast { axes, shape } = graph.op(inner) else { return None };
    let (axes, to) = (axes.clone(), shape.clone());
    let turned: Axes = (0..axes.len()).filter(|&axis| turned.contains(&axes[axis])).collect();
    let x = operand(graph, inner);
    let x = graph.reverse(x, &turned);
    Some(graph.broadcast(x, to, &axes))
}

#[cfg(test)]
mod tests;
