//! Rows about reductions: over what only repeats, only moves, or was reduced before.

use super::Row;
use super::regroup::groups;
use kiln_ir::emit::{Emit, EmitExt};
use kiln_ir::op::ReduceOp;
use kiln_ir::{Axes, DType, Graph, Literal, NodeId, Op, Shape};

/// Rows about reductions.
pub const REDUCE: &[Row] = &[
    Row {
        name: "reduce_units",
        text: "reduce(x) => reshape(x) if the axes have extent 1",
        apply: reduce_units,
    },
    Row {
        name: "reduce_of_reduce",
        text: "reduce(r = reduce(x)) => reduce(x) if both are the same reduction and once(r)",
        apply: reduce_of_reduce,
    },
    Row {
        name: "reduce_of_broadcast",
        text: "reduce(broadcast(x)) => broadcast(reduce(x)), times the number of repetitions if it is a sum",
        apply: reduce_of_broadcast,
    },
    Row {
        name: "reduce_of_permute",
        text: "reduce(permute(x)) => permute(reduce(x))",
        apply: reduce_of_permute,
    },
    Row {
        name: "reduce_of_reshape",
        text: "reduce(reshape(x)) => reshape(reduce(x)) if each group of axes is kept or goes as a whole",
        apply: reduce_of_reshape,
    },
];

/// Rows about `argmax` and `argmin`.
pub const ARG_REDUCE: &[Row] = &[Row {
    name: "arg_reduce_unit",
    text: "argmax(x) => 0 if the axis has extent 1",
    apply: arg_reduce_unit,
}];

/// Rows about `cumulative_sum`.
pub const CUMULATIVE: &[Row] = &[Row {
    name: "cumulative_unit",
    text: "cumulative_sum(x) => x if the axis has extent 1",
    apply: cumulative_unit,
}];

fn operand(graph: &Graph, id: NodeId) -> NodeId {
    graph.operands(id)[0]
}

fn shape(graph: &Graph, id: NodeId) -> &Shape {
    &graph.node(id).ty().shape
}

fn reduction(graph: &Graph, id: NodeId) -> Option<(ReduceOp, Axes)> {
    if let Op::Reduce(op, axes) = graph.op(id) { Some((*op, axes.clone())) } else { None }
}

/// The axes of `rank` that are not among `axes`.
fn others(rank: usize, axes: &[usize]) -> Axes {
    (0..rank).filter(|axis| !axes.contains(axis)).collect()
}

fn reduce_units(graph: &mut Graph, id: NodeId) -> Option<NodeId> {
    let (_, axes) = reduction(graph, id)?;
    let x = operand(graph, id);
    let to = shape(graph, id).clone();
    axes.iter().all(|&axis| shape(graph, x)[axis] == 1).then(|| graph.reshape(x, to))
}

fn reduce_of_reduce(graph: &mut Graph, id: NodeId) -> Option<NodeId> {
    let (op, outer) = reduction(graph, id)?;
    let inner_id = operand(graph, id);
    let (inner_op, inner) = reduction(graph, inner_id)?;
    // With another user the inner reduction stays, and the outer one would read all of `x` instead of its result.
    if op != inner_op || graph.n_uses(inner_id) != 1 {
        return None;
    }
    let x = operand(graph, inner_id);
    let left = others(shape(graph, x).rank(), &inner);
    let mut axes: Axes = outer.iter().map(|&axis| left[axis]).chain(inner.iter().copied()).collect();
    axes.sort_unstable();
    Some(graph.reduce(op, x, &axes))
}

fn reduce_of_broadcast(graph: &mut Graph, id: NodeId) -> Option<NodeId> {
    let (op, axes) = reduction(graph, id)?;
    let inner = operand(graph, id);
    let Op::Broadcast { axes: places, shape: wide } = graph.op(inner) else { return None };
    let count: usize = axes.iter().filter(|axis| !places.contains(axis)).map(|&axis| wide[axis]).product();
    let no_new = axes.iter().all(|axis| places.contains(axis));
    // A product of equal factors would be a power, which rounds otherwise.
    if count == 0 || (op == ReduceOp::Prod && !no_new) {
        return None;
    }
    let places = places.clone();
    let gone: Axes = (0..places.len()).filter(|&axis| axes.contains(&places[axis])).collect();
    let left = others(wide.rank(), &axes);
    let kept_places: Axes = left
        .iter()
        .enumerate()
        .filter(|(_, axis)| places.contains(axis))
        .map(|(position, _)| position)
        .collect();
    let to = shape(graph, id).clone();
    let x = operand(graph, inner);
    let mut value = graph.reduce(op, x, &gone);
    if op == ReduceOp::Sum && count != 1 {
        let ty = graph.ty(value).clone();
        let count = Literal::from_i64(ty.dtype, count as i64);
        let count = graph.emit(Op::Fill(count, ty.shape), &[]);
        value = graph.mul(value, count);
    }
    Some(graph.broadcast(value, to, &kept_places))
}

fn reduce_of_permute(graph: &mut Graph, id: NodeId) -> Option<NodeId> {
    let (op, axes) = reduction(graph, id)?;
    let inner = operand(graph, id);
    let Op::Permute(permutation) = graph.op(inner) else { return None };
    let mut gone: Axes = axes.iter().map(|&axis| permutation[axis]).collect();
    gone.sort_unstable();
    let left = others(permutation.len(), &gone);
    // What is left of the permutation, in numbers of the axes that are left.
    let order: Axes = permutation.iter().filter_map(|axis| left.iter().position(|l| l == axis)).collect();
    let x = operand(graph, inner);
    let reduced = graph.reduce(op, x, &gone);
    Some(graph.permute(reduced, &order))
}

fn reduce_of_reshape(graph: &mut Graph, id: NodeId) -> Option<NodeId> {
    let (op, axes) = reduction(graph, id)?;
    let inner = operand(graph, id);
    let Op::Reshape(_) = graph.op(inner) else { return None };
    let x = operand(graph, inner);
    let mut gone = Axes::new();
    for group in groups(shape(graph, x), shape(graph, inner))? {
        let n_gone = group.to.clone().filter(|axis| axes.contains(axis)).count();
        if n_gone == group.to.len() && n_gone > 0 {
            gone.extend(group.from);
        } else if n_gone > 0 {
            return None;
        }
    }
    let to = shape(graph, id).clone();
    let reduced = graph.reduce(op, x, &gone);
    Some(graph.reshape(reduced, to))
}

fn arg_reduce_unit(graph: &mut Graph, id: NodeId) -> Option<NodeId> {
    let Op::ArgReduce(_, axis) = *graph.op(id) else { return None };
    let to = shape(graph, id).clone();
    let zero = Literal::zero(DType::I64);
    (shape(graph, operand(graph, id))[axis] == 1).then(|| graph.emit(Op::Fill(zero, to), &[]))
}

fn cumulative_unit(graph: &mut Graph, id: NodeId) -> Option<NodeId> {
    let Op::Cumulative(cumulative) = *graph.op(id) else { return None };
    let x = operand(graph, id);
    (shape(graph, x)[cumulative.axis] == 1).then_some(x)
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
    fn reducing_axes_of_extent_1_is_a_reshape() {
        assert_snapshot!(changes(
            "
            graph f(%x: f32[2, 1, 3, 1]) {
                %a: f32[2, 3] = reduce_max %x { axes = [1, 3] }
                return %a
            }
        "
        ), @"
          graph f(%x: f32[2, 1, 3, 1]) {
        -     %a: f32[2, 3] = reduce_max %x { axes = [1, 3] }
        +     %a: f32[2, 3] = reshape %x
              return %a
          }
        ");
    }

    #[test]
    fn reductions_meet() {
        assert_snapshot!(changes(
            "
            graph f(%x: f32[2, 3, 4]) {
                %a: f32[2, 4] = reduce_sum %x { axes = [1] }
                %b: f32[4] = reduce_sum %a { axes = [0] }
                return %b
            }
        "
        ), @"
          graph f(%x: f32[2, 3, 4]) {
        -     %a: f32[2, 4] = reduce_sum %x { axes = [1] }
        -     %b: f32[4] = reduce_sum %a { axes = [0] }
        +     %b: f32[4] = reduce_sum %x { axes = [0, 1] }
              return %b
          }
        ");
    }

    #[test]
    fn reductions_of_two_kinds_or_uses_stay() {
        assert_snapshot!(changes(
            "
            graph f(%x: f32[2, 3, 4]) {
                %a: f32[2, 4] = reduce_sum %x { axes = [1] }
                %b: f32[4] = reduce_max %a { axes = [0] }
                %c: f32[2] = reduce_sum %a { axes = [1] }
                return %b, %c
            }
        "
        ), @"unchanged");
    }

    #[test]
    fn sum_of_repetition_is_a_product() {
        assert_snapshot!(changes(
            "
            graph f(%x: f32[3, 2]) {
                %a: f32[3, 4, 2] = broadcast %x { axes = [0, 2] }
                %b: f32[3] = reduce_sum %a { axes = [1, 2] }
                return %b
            }
        "
        ), @"
          graph f(%x: f32[3, 2]) {
        -     %a: f32[3, 4, 2] = broadcast %x { axes = [0, 2] }
        -     %b: f32[3] = reduce_sum %a { axes = [1, 2] }
        +     %reduce_sum: f32[3] = reduce_sum %x { axes = [1] }
        +     %fill: f32[3] = fill { value = 4.0 }
        +     %b: f32[3] = mul %reduce_sum, %fill
              return %b
          }
        ");
    }

    #[test]
    fn maximum_of_repetition_is_that_of_one() {
        assert_snapshot!(changes(
            "
            graph f(%x: f32[3]) {
                %a: f32[3, 4] = broadcast %x { axes = [0] }
                %b: f32[3] = reduce_max %a { axes = [1] }
                return %b
            }
        "
        ), @"
          graph f(%x: f32[3]) {
        -     %a: f32[3, 4] = broadcast %x { axes = [0] }
        -     %b: f32[3] = reduce_max %a { axes = [1] }
        -     return %b
        +     return %x
          }
        ");
    }

    #[test]
    fn reduction_goes_above_a_repetition() {
        assert_snapshot!(changes(
            "
            graph f(%x: f32[3]) {
                %a: f32[3, 4] = broadcast %x { axes = [0] }
                %b: f32[4] = reduce_prod %a { axes = [0] }
                %c: f32[3] = reduce_prod %a { axes = [1] }
                return %b, %c
            }
        "
        ), @"
          graph f(%x: f32[3]) {
              %a: f32[3, 4] = broadcast %x { axes = [0] }
        -     %b: f32[4] = reduce_prod %a { axes = [0] }
              %c: f32[3] = reduce_prod %a { axes = [1] }
        +     %reduce_prod: f32[] = reduce_prod %x { axes = [0] }
        +     %b: f32[4] = broadcast %reduce_prod { axes = [] }
              return %b, %c
          }
        ");
    }

    #[test]
    fn reduction_goes_above_a_permutation() {
        assert_snapshot!(changes(
            "
            graph f(%x: f32[2, 3, 4]) {
                %a: f32[4, 3, 2] = permute %x { permutation = [2, 1, 0] }
                %b: f32[4, 2] = reduce_sum %a { axes = [1] }
                %c: f32[] = reduce_sum %a { axes = [0, 1, 2] }
                return %b, %c
            }
        "
        ), @"
          graph f(%x: f32[2, 3, 4]) {
        -     %a: f32[4, 3, 2] = permute %x { permutation = [2, 1, 0] }
        -     %b: f32[4, 2] = reduce_sum %a { axes = [1] }
        -     %c: f32[] = reduce_sum %a { axes = [0, 1, 2] }
        +     %reduce_sum: f32[2, 4] = reduce_sum %x { axes = [1] }
        +     %b: f32[4, 2] = permute %reduce_sum { permutation = [1, 0] }
        +     %c: f32[] = reduce_sum %x { axes = [0, 1, 2] }
              return %b, %c
          }
        ");
    }

    #[test]
    fn reduction_of_whole_groups_goes_above_a_reshape() {
        assert_snapshot!(changes(
            "
            graph f(%x: f32[6, 4, 5]) {
                %a: f32[2, 3, 20] = reshape %x
                %b: f32[2, 3] = reduce_sum %a { axes = [2] }
                %c: f32[2, 20] = reduce_sum %a { axes = [1] }
                return %b, %c
            }
        "
        ), @"
          graph f(%x: f32[6, 4, 5]) {
              %a: f32[2, 3, 20] = reshape %x
        -     %b: f32[2, 3] = reduce_sum %a { axes = [2] }
              %c: f32[2, 20] = reduce_sum %a { axes = [1] }
        +     %reduce_sum: f32[6] = reduce_sum %x { axes = [1, 2] }
        +     %b: f32[2, 3] = reshape %reduce_sum
              return %b, %c
          }
        ");
    }

    #[test]
    fn search_along_one_element_finds_it() {
        assert_snapshot!(changes(
            "
            graph f(%x: f32[3, 1]) {
                %a: i64[3] = argmax %x { axis = 1 }
                return %a
            }
        "
        ), @"
          graph f(%x: f32[3, 1]) {
        -     %a: i64[3] = argmax %x { axis = 1 }
        +     %a: i64[3] = fill { value = 0 }
              return %a
          }
        ");
    }

    #[test]
    fn sum_along_one_element_is_that() {
        assert_snapshot!(changes(
            "
            graph f(%x: f32[3, 1]) {
                %a: f32[3, 1] = cumulative_sum %x { axis = 1 }
                return %a
            }
        "
        ), @"
          graph f(%x: f32[3, 1]) {
        -     %a: f32[3, 1] = cumulative_sum %x { axis = 1 }
        -     return %a
        +     return %x
          }
        ");
    }
}
