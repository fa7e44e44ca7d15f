//! Rows about `dot`: it takes its axes in any order, so that views around it can go.

use super::Row;
use super::regroup::groups;
use kiln_ir::emit::{Emit, EmitExt};
use kiln_ir::op::Dot;
use kiln_ir::{Axes, Graph, NodeId, Op, Shape};

/// Rows about `dot`.
pub const DOT: &[Row] = &[
    Row {
        name: "dot_of_permute",
        text: "dot(permute(x), y) => dot(x, y) with other axes if the free axes stay in order",
        apply: dot_of_permute,
    },
    Row {
        name: "dot_of_unit_reshape",
        text: "dot(reshape(x), y) => reshape(dot(x, y)) if the reshape only adds axes of extent 1",
        apply: dot_of_unit_reshape,
    },
    Row {
        name: "dot_of_broadcast",
        text: "dot(x, broadcast(y)) => dot(x, y) if y is repeated along a batch axis, which is then a free one",
        apply: dot_of_broadcast,
    },
    Row {
        name: "dot_of_one_term",
        text: "dot(x, y) => mul(broadcast(x), broadcast(y)) if sums have one term",
        apply: dot_of_one_term,
    },
];

/// Rows about `permute`, besides those of [`super::movement`].
pub const PERMUTE: &[Row] = &[Row {
    name: "permute_of_dot",
    text: "permute(d = dot(x, y)) => dot(y, x) if the free axes change sides, and once(d)",
    apply: permute_of_dot,
}];

/// An operand of a `dot`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Lhs,
    Rhs,
}

const SIDES: [Side; 2] = [Side::Lhs, Side::Rhs];

impl Side {
    fn of<T>(self, (lhs, rhs): (T, T)) -> T {
        match self {
            Side::Lhs => lhs,
            Side::Rhs => rhs,
        }
    }

    fn other(self) -> Side {
        match self {
            Side::Lhs => Side::Rhs,
            Side::Rhs => Side::Lhs,
        }
    }
}

/// A pair of axes with the one on `side` changed.
fn with_axis(side: Side, pair: (usize, usize), axis: usize) -> (usize, usize) {
    match side {
        Side::Lhs => (axis, pair.1),
        Side::Rhs => (pair.0, axis),
    }
}

fn shape(graph: &Graph, id: NodeId) -> &Shape {
    &graph.node(id).ty().shape
}

fn dot_of(graph: &Graph, id: NodeId) -> Option<(Dot, NodeId, NodeId)> {
    let Op::Dot(dot) = graph.op(id) else { return None };
    Some((dot.clone(), graph.operands(id)[0], graph.operands(id)[1]))
}

/// `dot` with the axes of one operand renumbered.
fn renumbered(dot: &Dot, side: Side, axis: impl Fn(usize) -> usize) -> Dot {
    let renumber = |&pair: &(usize, usize)| with_axis(side, pair, axis(side.of(pair)));
    Dot {
        batch: dot.batch.iter().map(renumber).collect(),
        contract: dot.contract.iter().map(renumber).collect(),
    }
}

/// Emits `dot` with `value` as the operand on one side.
fn emit_with(graph: &mut Graph, dot: Dot, side: Side, value: NodeId, other: NodeId) -> NodeId {
    let operands = match side {
        Side::Lhs => [value, other],
        Side::Rhs => [other, value],
    };
    graph.emit(Op::Dot(dot), &operands)
}

fn free(dot: &Dot, side: Side, rank: usize) -> Axes {
    match side {
        Side::Lhs => dot.lhs_free(rank),
        Side::Rhs => dot.rhs_free(rank),
    }
}

fn dot_of_permute(graph: &mut Graph, id: NodeId) -> Option<NodeId> {
    let (dot, lhs, rhs) = dot_of(graph, id)?;
    SIDES.into_iter().find_map(|side| {
        let value = side.of((lhs, rhs));
        let Op::Permute(permutation) = graph.op(value) else { return None };
        let stays_in_order = free(&dot, side, permutation.len()).iter().map(|&a| permutation[a]).is_sorted();
        stays_in_order.then_some(())?;
        let dot = renumbered(&dot, side, |axis| permutation[axis]);
        let x = graph.operands(value)[0];
        Some(emit_with(graph, dot, side, x, side.other().of((lhs, rhs))))
    })
}

fn dot_of_unit_reshape(graph: &mut Graph, id: NodeId) -> Option<NodeId> {
    let (dot, lhs, rhs) = dot_of(graph, id)?;
    SIDES.into_iter().find_map(|side| {
        let (value, other) = (side.of((lhs, rhs)), side.other().of((lhs, rhs)));
        let added = added_units(graph, value)?;
        let paired: Axes = dot
            .batch
            .iter()
            .chain(&dot.contract)
            .filter(|&&pair| added.contains(&side.of(pair)))
            .map(|&pair| side.other().of(pair))
            .collect();
        let mut left = dot.clone();
        left.batch.retain(|pair| !added.contains(&side.of(*pair)));
        left.contract.retain(|pair| !added.contains(&side.of(*pair)));
        let left = renumbered(&left, side, |axis| axis - added.iter().filter(|&&a| a < axis).count());
        let left =
            renumbered(&left, side.other(), |axis| axis - paired.iter().filter(|&&a| a < axis).count());
        let to = shape(graph, id).clone();
        let narrow = shape(graph, other).without(&paired);
        let other = graph.reshape(other, narrow);
        let x = graph.operands(value)[0];
        let result = emit_with(graph, left, side, x, other);
        Some(graph.reshape(result, to))
    })
}

/// The axes that a reshape adds, if adding axes of extent 1 is all that it does.
fn added_units(graph: &Graph, value: NodeId) -> Option<Axes> {
    let Op::Reshape(_) = graph.op(value) else { return None };
    let mut added = Axes::new();
    for group in groups(shape(graph, graph.operands(value)[0]), shape(graph, value))? {
        match (group.from.len(), group.to.len()) {
            (0, _) => added.extend(group.to),
            (1, 1) => {}
            (_, _) => return None,
        }
    }
    Some(added)
}

fn dot_of_broadcast(graph: &mut Graph, id: NodeId) -> Option<NodeId> {
    let (dot, lhs, rhs) = dot_of(graph, id)?;
    SIDES.into_iter().find_map(|side| {
        let value = side.of((lhs, rhs));
        let Op::Broadcast { axes: old, shape: wide } = graph.op(value) else { return None };
        let new: Axes =
            dot.batch.iter().map(|&pair| side.of(pair)).filter(|axis| !old.contains(axis)).collect();
        let mut left = dot.clone();
        left.batch.retain(|pair| !new.contains(&side.of(*pair)));
        // The other operand's axes keep their numbers, so that they tell where the batch axes went.
        let other_side = side.other();
        let origin = |dot: &Dot| -> Vec<(Side, usize)> {
            let batch = dot.batch.iter().map(|&pair| (other_side, other_side.of(pair)));
            let free = |s: Side, rank| free(dot, s, rank).into_iter().map(move |axis| (s, axis));
            let (lhs_rank, rhs_rank) = (shape(graph, lhs).rank(), shape(graph, rhs).rank());
            batch.chain(free(Side::Lhs, lhs_rank)).chain(free(Side::Rhs, rhs_rank)).collect()
        };
        let after: Vec<_> =
            origin(&left).into_iter().filter(|&(s, axis)| s != side || !new.contains(&axis)).collect();
        if new.is_empty() || origin(&dot) != after {
            return None;
        }
        let below = |axis: usize| axis - new.iter().filter(|&&n| n < axis).count();
        let left = renumbered(&left, side, below);
        let places: Axes = old.iter().map(|&axis| below(axis)).collect();
        let narrow = wide.without(&new);
        let x = graph.operands(value)[0];
        let x = graph.broadcast(x, narrow, &places);
        Some(emit_with(graph, left, side, x, other_side.of((lhs, rhs))))
    })
}

fn dot_of_one_term(graph: &mut Graph, id: NodeId) -> Option<NodeId> {
    let (dot, lhs, rhs) = dot_of(graph, id)?;
    dot.contract.iter().all(|pair| shape(graph, lhs)[pair.0] == 1).then_some(())?;
    let to = shape(graph, id).clone();
    let n_batch = dot.batch.len();
    let n_lhs_free = dot.lhs_free(shape(graph, lhs).rank()).len();
    let [lhs, rhs] = SIDES.map(|side| {
        let value = side.of((lhs, rhs));
        let rank = shape(graph, value).rank();
        let first_free = n_batch + side.of((0, n_lhs_free));
        let batch = dot.batch.iter().enumerate().map(|(place, &pair)| (side.of(pair), place));
        let free = free(&dot, side, rank).into_iter().enumerate().map(|(i, axis)| (axis, first_free + i));
        // Axes of the operand, in the order in which they stand in the result, and where they stand there.
        let placed: Vec<(usize, usize)> = batch.chain(free).collect();
        let gone = dot.contract.iter().map(|&pair| side.of(pair));
        let order: Axes = placed.iter().map(|&(axis, _)| axis).chain(gone).collect();
        let places: Axes = placed.iter().map(|&(_, place)| place).collect();
        let narrow: Shape = places.iter().map(|&place| to[place]).collect();
        let value = graph.permute(value, &order);
        let value = graph.reshape(value, narrow);
        graph.broadcast(value, to.clone(), &places)
    });
    Some(graph.mul(lhs, rhs))
}

fn permute_of_dot(graph: &mut Graph, id: NodeId) -> Option<NodeId> {
    let Op::Permute(permutation) = graph.op(id) else { return None };
    let permutation = permutation.clone();
    let inner = graph.operands(id)[0];
    let (dot, lhs, rhs) = dot_of(graph, inner)?;
    // With another user the product would be computed twice.
    (graph.n_uses(inner) == 1).then_some(())?;
    let n_batch = dot.batch.len();
    let n_lhs = dot.lhs_free(shape(graph, lhs).rank()).len();
    let (batch_order, free_order) = permutation.split_at(n_batch);
    batch_order.iter().all(|&axis| axis < n_batch).then_some(())?;
    let (first_lhs, first_rhs, end) = (n_batch, n_batch + n_lhs, permutation.len());
    let exchanged = free_order.iter().copied().eq((first_rhs..end).chain(first_lhs..first_rhs));
    if !exchanged && !free_order.is_sorted() {
        return None;
    }
    let batch = batch_order.iter().map(|&axis| dot.batch[axis]).collect();
    let dot = Dot { batch, contract: dot.contract };
    if !exchanged {
        return Some(graph.emit(Op::Dot(dot), &[lhs, rhs]));
    }
    let swap = |&(l, r): &(usize, usize)| (r, l);
    let dot = Dot {
        batch: dot.batch.iter().map(swap).collect(),
        contract: dot.contract.iter().map(swap).collect(),
    };
    Some(graph.emit(Op::Dot(dot), &[rhs, lhs]))
}
