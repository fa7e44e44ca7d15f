//! Rows about the gradient of a maximum over windows, which is zero wherever an element was not the greatest.
//!
//! What is done to all of its elements can be done to the few that are put there: the mask of the rectifier before a
//! pooling layer, and the sum that is the gradient of a bias.

use super::Row;
use crate::analysis::uniform;
use kiln_ir::emit::{Emit, EmitExt};
use kiln_ir::op::{CompareOp, ReduceOp, Window, WindowOp};
use kiln_ir::{Graph, Literal, NodeId, Op};

/// Rows about `select`.
pub const SELECT: &[Row] = &[Row {
    name: "select_of_window_put",
    text: "select(gt(x, k), window_put(x, u), 0) => window_put(x, select(gt(window_max(x), k), u, 0)), and with any comparison",
    apply: select_of_window_put,
}];

/// Rows about `reduce_sum`.
pub const REDUCE: &[Row] = &[Row {
    name: "sum_of_window_put",
    text: "reduce_sum(window_put(x, u)) => reduce_sum(u) if it is over all axes of the windows, none of which is padded",
    apply: sum_of_window_put,
}];

/// A `window_put`: its window, `x` and `u`.
fn window_put(graph: &Graph, id: NodeId) -> Option<(&Window, [NodeId; 2])> {
    match (graph.op(id), graph.operands(id)) {
        (Op::Window(WindowOp::Put, window), &[x, updates]) => Some((window, [x, updates])),
        _ => None,
    }
}

/// Whether all elements are `0`, and not `-0`.
fn is_zero(graph: &Graph, id: NodeId) -> bool {
    uniform(graph, id).is_some_and(|value| value.as_f64().to_bits() == 0)
}

/// Each window puts its update where `x` is its maximum, so that comparing the maximum is comparing `x` there.
fn select_of_window_put(graph: &mut Graph, id: NodeId) -> Option<NodeId> {
    let &[condition, on_true, on_false] = graph.operands(id) else { return None };
    let put = [on_true, on_false].into_iter().find(|&node| window_put(graph, node).is_some())?;
    let other = if put == on_true { on_false } else { on_true };
    let (window, [x, updates]) = window_put(graph, put)?;
    let (window, (op, x_is_left, bound)) = (window.clone(), comparison(graph, condition, x)?);
    if !is_zero(graph, other) || graph.n_uses(put) != 1 {
        return None;
    }
    let greatest = graph.emit(Op::Window(WindowOp::Max, window.clone()), &[x]);
    let shape = graph.node(updates).ty().shape.clone();
    let mut fill = |value: Literal| graph.emit(Op::Fill(value, shape.clone()), &[]);
    let (bound, zero) = (fill(bound), fill(Literal::zero(bound.dtype())));
    let sides = if x_is_left { [greatest, bound] } else { [bound, greatest] };
    let condition = graph.compare(op, sides[0], sides[1]);
    let [on_true, on_false] = if put == on_true { [updates, zero] } else { [zero, updates] };
    let updates = graph.select(condition, on_true, on_false);
    Some(graph.emit(Op::Window(WindowOp::Put, window), &[x, updates]))
}

/// A comparison of `x` with one value: the op, whether `x` is its left operand, and the value.
fn comparison(graph: &Graph, id: NodeId, x: NodeId) -> Option<(CompareOp, bool, Literal)> {
    let Op::Compare(op) = *graph.op(id) else { return None };
    let (lhs, rhs) = (graph.operands(id)[0], graph.operands(id)[1]);
    if lhs == x {
        Some((op, true, uniform(graph, rhs)?))
    } else {
        Some((op, false, uniform(graph, lhs).filter(|_| rhs == x)?))
    }
}

/// Each update is put in one place, whichever it is.
fn sum_of_window_put(graph: &mut Graph, id: NodeId) -> Option<NodeId> {
    let Op::Reduce(ReduceOp::Sum, axes) = graph.op(id) else { return None };
    let (window, [_, updates]) = window_put(graph, graph.operands(id)[0])?;
    // A window all of whose elements are padding puts its update nowhere.
    let is_padded = window.padding.iter().any(|&amounts| amounts != (0, 0));
    let rank = graph.node(updates).ty().rank();
    let all = (rank - window.sizes.len()..rank).all(|axis| axes.contains(&axis));
    let axes = axes.clone();
    (all && !is_padded).then(|| graph.reduce(ReduceOp::Sum, updates, &axes))
}

#[cfg(test)]
mod tests {
    use super::super::Simplify;
    use crate::testing::check;
    use insta::assert_snapshot;

    #[test]
    fn the_mask_of_a_rectifier_is_that_of_the_maximum() {
        assert_snapshot!(check(&Simplify, "
            graph f(%x: f32[1, 2, 6, 6], %u: f32[1, 2, 3, 3]) {
                %put: f32[1, 2, 6, 6] = window_put %x, %u { sizes = [2, 2], strides = [2, 2] }
                %k: f32[1, 2, 6, 6] = fill { value = 0.0 }
                %off: bool[1, 2, 6, 6] = le %x, %k
                %y: f32[1, 2, 6, 6] = select %off, %k, %put
                %sum: f32[2] = reduce_sum %y { axes = [0, 2, 3] }
                %rows: f32[1, 2, 6] = reduce_sum %y { axes = [3] }
                return %y, %sum, %rows
            }
        "), @"
          graph f(%x: f32[1, 2, 6, 6], %u: f32[1, 2, 3, 3]) {
        -     %put: f32[1, 2, 6, 6] = window_put %x, %u { sizes = [2, 2], strides = [2, 2] }
        -     %k: f32[1, 2, 6, 6] = fill { value = 0.0 }
        -     %off: bool[1, 2, 6, 6] = le %x, %k
        -     %y: f32[1, 2, 6, 6] = select %off, %k, %put
        -     %sum: f32[2] = reduce_sum %y { axes = [0, 2, 3] }
        +     %window_max: f32[1, 2, 3, 3] = window_max %x { sizes = [2, 2], strides = [2, 2] }
        +     %fill: f32[1, 2, 3, 3] = fill { value = 0.0 }
        +     %fill.2: f32[1, 2, 3, 3] = fill { value = 0.0 }
        +     %le: bool[1, 2, 3, 3] = le %window_max, %fill
        +     %select: f32[1, 2, 3, 3] = select %le, %fill.2, %u
        +     %y: f32[1, 2, 6, 6] = window_put %x, %select { sizes = [2, 2], strides = [2, 2] }
              %rows: f32[1, 2, 6] = reduce_sum %y { axes = [3] }
        +     %sum: f32[2] = reduce_sum %select { axes = [0, 2, 3] }
              return %y, %sum, %rows
          }
        ");
    }

    #[test]
    fn what_windows_put_stays_where_elements_differ_or_are_padding() {
        assert_snapshot!(check(&Simplify, "
            graph f(%x: f32[1, 2, 6, 6], %u: f32[1, 2, 3, 3], %bounds: f32[1, 2, 6, 6], %v: f32[1, 2, 4, 4]) {
                %put: f32[1, 2, 6, 6] = window_put %x, %u { sizes = [2, 2], strides = [2, 2] }
                %on: bool[1, 2, 6, 6] = gt %x, %bounds
                %zero: f32[1, 2, 6, 6] = fill { value = 0.0 }
                %other_bounds: f32[1, 2, 6, 6] = select %on, %put, %zero
                %other: f32[1, 2, 6, 6] = window_put %bounds, %u { sizes = [2, 2], strides = [2, 2] }
                %k: f32[1, 2, 6, 6] = fill { value = 1.0 }
                %above: bool[1, 2, 6, 6] = gt %bounds, %k
                %other_fill: f32[1, 2, 6, 6] = select %above, %other, %k
                %padded: f32[1, 2, 6, 6] = window_put %x, %v { sizes = [2, 2], strides = [2, 2], padding = [1:1, 1:1] }
                %of_padding: f32[2] = reduce_sum %padded { axes = [0, 2, 3] }
                return %other_bounds, %other_fill, %of_padding
            }
        "), @"unchanged");
    }

    #[test]
    fn what_windows_put_stays_where_it_is_used_twice_or_summed_in_part() {
        assert_snapshot!(check(&Simplify, "
            graph f(%x: f32[1, 2, 6, 6], %u: f32[1, 2, 3, 3]) {
                %put: f32[1, 2, 6, 6] = window_put %x, %u { sizes = [2, 2], strides = [2, 2] }
                %zero: f32[1, 2, 6, 6] = fill { value = 0.0 }
                %on: bool[1, 2, 6, 6] = gt %x, %zero
                %y: f32[1, 2, 6, 6] = select %on, %put, %zero
                %rows: f32[1, 2, 6] = reduce_sum %put { axes = [3] }
                return %y, %rows
            }
        "), @"unchanged");
    }
}
