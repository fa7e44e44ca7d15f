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
    // Without free axes on one side both hold.
    let exchanged = exchanged && !free_order.is_sorted();
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

#[cfg(test)]
mod tests {
    use super::super::Simplify;
    use crate::testing::check;
    use insta::assert_snapshot;

    fn changes(text: &str) -> String {
        check(&Simplify, text)
    }

    #[test]
    fn dot_takes_its_axes_in_any_order() {
        assert_snapshot!(changes(
            "
            graph f(%x: f32[3, 2], %y: f32[3, 4]) {
                %a: f32[2, 3] = permute %x { permutation = [1, 0] }
                %b: f32[2, 4] = dot %a, %y { contract = [1:0] }
                return %b
            }
        "
        ), @"
          graph f(%x: f32[3, 2], %y: f32[3, 4]) {
        -     %a: f32[2, 3] = permute %x { permutation = [1, 0] }
        -     %b: f32[2, 4] = dot %a, %y { contract = [1:0] }
        +     %b: f32[2, 4] = dot %x, %y { contract = [0:0] }
              return %b
          }
        ");
    }

    #[test]
    fn free_axes_in_another_order_stay() {
        assert_snapshot!(changes(
            "
            graph f(%x: f32[2, 3, 4], %y: f32[4]) {
                %a: f32[3, 2, 4] = permute %x { permutation = [1, 0, 2] }
                %b: f32[3, 2] = dot %a, %y { contract = [2:0] }
                return %b
            }
        "
        ), @"unchanged");
    }

    #[test]
    fn both_operands_of_a_batched_dot() {
        assert_snapshot!(changes(
            "
            graph f(%x: f32[5, 8, 2, 3], %y: f32[5, 8, 2, 3]) {
                %a: f32[5, 2, 8, 3] = permute %x { permutation = [0, 2, 1, 3] }
                %b: f32[5, 2, 3, 8] = permute %y { permutation = [0, 2, 3, 1] }
                %c: f32[5, 2, 8, 8] = dot %a, %b { batch = [0:0, 1:1], contract = [3:2] }
                return %c
            }
        "
        ), @"
          graph f(%x: f32[5, 8, 2, 3], %y: f32[5, 8, 2, 3]) {
        -     %a: f32[5, 2, 8, 3] = permute %x { permutation = [0, 2, 1, 3] }
        -     %b: f32[5, 2, 3, 8] = permute %y { permutation = [0, 2, 3, 1] }
        -     %c: f32[5, 2, 8, 8] = dot %a, %b { batch = [0:0, 1:1], contract = [3:2] }
        +     %c: f32[5, 2, 8, 8] = dot %x, %y { batch = [0:0, 2:2], contract = [3:3] }
              return %c
          }
        ");
    }

    #[test]
    fn exchanged_operands_for_an_exchanged_result() {
        assert_snapshot!(changes(
            "
            graph f(%x: f32[5, 2, 3], %y: f32[5, 3, 4]) {
                %a: f32[5, 2, 4] = dot %x, %y { batch = [0:0], contract = [2:1] }
                %b: f32[5, 4, 2] = permute %a { permutation = [0, 2, 1] }
                return %b
            }
        "
        ), @"
          graph f(%x: f32[5, 2, 3], %y: f32[5, 3, 4]) {
        -     %a: f32[5, 2, 4] = dot %x, %y { batch = [0:0], contract = [2:1] }
        -     %b: f32[5, 4, 2] = permute %a { permutation = [0, 2, 1] }
        +     %b: f32[5, 4, 2] = dot %y, %x { batch = [0:0], contract = [1:2] }
              return %b
          }
        ");
    }

    #[test]
    fn batch_axes_in_another_order() {
        assert_snapshot!(changes(
            "
            graph f(%x: f32[5, 6, 3], %y: f32[5, 6, 3]) {
                %a: f32[5, 6] = dot %x, %y { batch = [0:0, 1:1], contract = [2:2] }
                %b: f32[6, 5] = permute %a { permutation = [1, 0] }
                return %b
            }
        "
        ), @"
          graph f(%x: f32[5, 6, 3], %y: f32[5, 6, 3]) {
        -     %a: f32[5, 6] = dot %x, %y { batch = [0:0, 1:1], contract = [2:2] }
        -     %b: f32[6, 5] = permute %a { permutation = [1, 0] }
        +     %b: f32[6, 5] = dot %x, %y { batch = [1:1, 0:0], contract = [2:2] }
              return %b
          }
        ");
    }

    #[test]
    fn a_product_used_twice_is_computed_once() {
        assert_snapshot!(changes(
            "
            graph f(%x: f32[2, 3], %y: f32[3, 4]) {
                %a: f32[2, 4] = dot %x, %y { contract = [1:0] }
                %b: f32[4, 2] = permute %a { permutation = [1, 0] }
                return %a, %b
            }
        "
        ), @"unchanged");
    }

    #[test]
    fn added_axes_of_extent_1_go_to_the_result() {
        assert_snapshot!(changes(
            "
            graph f(%x: f32[3], %y: f32[3, 4]) {
                %a: f32[1, 3] = reshape %x
                %b: f32[1, 4] = dot %a, %y { contract = [1:0] }
                return %b
            }
        "
        ), @"
          graph f(%x: f32[3], %y: f32[3, 4]) {
        -     %a: f32[1, 3] = reshape %x
        -     %b: f32[1, 4] = dot %a, %y { contract = [1:0] }
        +     %dot: f32[4] = dot %x, %y { contract = [0:0] }
        +     %b: f32[1, 4] = reshape %dot
              return %b
          }
        ");
    }

    #[test]
    fn added_batch_axes_of_extent_1_go_on_both_sides() {
        assert_snapshot!(changes(
            "
            graph f(%x: f32[2, 3], %y: f32[1, 3, 4]) {
                %a: f32[1, 2, 3] = reshape %x
                %b: f32[1, 2, 4] = dot %a, %y { batch = [0:0], contract = [2:1] }
                return %b
            }
        "
        ), @"
          graph f(%x: f32[2, 3], %y: f32[1, 3, 4]) {
        -     %a: f32[1, 2, 3] = reshape %x
        -     %b: f32[1, 2, 4] = dot %a, %y { batch = [0:0], contract = [2:1] }
        +     %reshape: f32[3, 4] = reshape %y
        +     %dot: f32[2, 4] = dot %x, %reshape { contract = [1:0] }
        +     %b: f32[1, 2, 4] = reshape %dot
              return %b
          }
        ");
    }

    #[test]
    fn a_repeated_batch_is_none() {
        assert_snapshot!(changes(
            "
            graph f(%x: f32[5, 2, 3], %y: f32[3, 4]) {
                %a: f32[5, 3, 4] = broadcast %y { axes = [1, 2] }
                %b: f32[5, 2, 4] = dot %x, %a { batch = [0:0], contract = [2:1] }
                return %b
            }
        "
        ), @"
          graph f(%x: f32[5, 2, 3], %y: f32[3, 4]) {
        -     %a: f32[5, 3, 4] = broadcast %y { axes = [1, 2] }
        -     %b: f32[5, 2, 4] = dot %x, %a { batch = [0:0], contract = [2:1] }
        +     %b: f32[5, 2, 4] = dot %x, %y { contract = [2:0] }
              return %b
          }
        ");
    }

    #[test]
    fn a_repeated_batch_whose_axis_would_move_stays() {
        assert_snapshot!(changes(
            "
            graph f(%x: f32[2, 3], %y: f32[5, 3, 4]) {
                %a: f32[5, 2, 3] = broadcast %x { axes = [1, 2] }
                %b: f32[5, 2, 4] = dot %a, %y { batch = [0:0], contract = [2:1] }
                return %b
            }
        "
        ), @"unchanged");
    }

    #[test]
    fn an_outer_product_is_elementwise() {
        assert_snapshot!(changes(
            "
            graph f(%x: f32[3, 5], %y: f32[5, 1, 4]) {
                %a: f32[3, 5, 1] = reshape %x
                %b: f32[5, 3, 4] = dot %a, %y { batch = [1:0], contract = [2:1] }
                return %b
            }
        "
        ), @"
          graph f(%x: f32[3, 5], %y: f32[5, 1, 4]) {
        -     %a: f32[3, 5, 1] = reshape %x
        -     %b: f32[5, 3, 4] = dot %a, %y { batch = [1:0], contract = [2:1] }
        +     %reshape: f32[5, 4] = reshape %y
        +     %permute: f32[5, 3] = permute %x { permutation = [1, 0] }
        +     %broadcast: f32[5, 3, 4] = broadcast %permute { axes = [0, 1] }
        +     %broadcast.2: f32[5, 3, 4] = broadcast %reshape { axes = [0, 2] }
        +     %b: f32[5, 3, 4] = mul %broadcast, %broadcast.2
              return %b
          }
        ");
    }
}
