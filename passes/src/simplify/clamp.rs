//! Rows about rectifiers: the gradient asks on which side of the bound an element was, and the clamped value tells that
//! as well as the original one. The next layer reads the clamped value anyway, so that the original, or a mask, need not
//! be kept for the backward pass.

use super::Row;
use crate::analysis::uniform;
use kiln_ir::emit::EmitExt;
use kiln_ir::op::{BinaryOp, CompareOp};
use kiln_ir::{Graph, Literal, NodeId, Op};

/// Rows about comparisons.
pub const COMPARE: &[Row] = &[Row {
    name: "compare_clamped",
    text: "gt(x, k) => gt(y, k) if y = max(x, k) is in the graph",
    apply: compare_clamped,
}];

/// Rows about selections.
pub const SELECT: &[Row] = &[Row {
    name: "select_by_clamped",
    text: "select(c = le(x, k), a, b) => select(le(y, k), a, b) if y = select(c, k, x) is in the graph and kept",
    apply: select_by_clamped,
}];

/// `x > k` exactly when `max(x, k) > k`, NaN included; likewise for `<=`, and for `<` and `>=` with `min`.
fn compare_clamped(graph: &mut Graph, id: NodeId) -> Option<NodeId> {
    let (op, x, k) = comparison(graph, id)?;
    let clamp = match op {
        CompareOp::Gt | CompareOp::Le => BinaryOp::Max,
        CompareOp::Lt | CompareOp::Ge => BinaryOp::Min,
        CompareOp::Eq | CompareOp::Ne => return None,
    };
    let bound = uniform(graph, k)?;
    let is_bound = |&o: &NodeId| o != x && uniform(graph, o) == Some(bound);
    let clamped = graph.users(x).into_iter().find(|&user| {
        let operands = graph.operands(user);
        *graph.op(user) == Op::Binary(clamp) && operands.contains(&x) && operands.iter().any(is_bound)
    })?;
    Some(graph.compare(op, clamped, k))
}

/// Of `y = select(x <= k, k, x)`: `y <= k` exactly when `x <= k`, since `k <= k`. Of `y = select(x > k, x, k)`: `y > k`
/// exactly when `x > k`, since not `k > k`. NaN included, on either side.
fn select_by_clamped(graph: &mut Graph, id: NodeId) -> Option<NodeId> {
    let &[condition, on_true, on_false] = graph.operands(id) else { return None };
    let (op, x, k) = comparison(graph, condition)?;
    let bound = uniform(graph, k)?;
    let clamped = graph
        .users(condition)
        .into_iter()
        .find(|&user| user != id && is_clamp(graph, user, condition, op, x, bound) && is_kept(graph, user))?;
    let condition = graph.compare(op, clamped, k);
    Some(graph.select(condition, on_true, on_false))
}

fn comparison(graph: &Graph, id: NodeId) -> Option<(CompareOp, NodeId, NodeId)> {
    let Op::Compare(op) = *graph.op(id) else { return None };
    Some((op, graph.operands(id)[0], graph.operands(id)[1]))
}

/// Whether a node is `x` where the comparison of `x` with the bound says so, and the bound elsewhere, such that the bound
/// itself compares as the elements it stands for.
fn is_clamp(graph: &Graph, id: NodeId, condition: NodeId, op: CompareOp, x: NodeId, bound: Literal) -> bool {
    let &[c, on_true, on_false] = graph.operands(id) else { return false };
    let (bounded, original) = match op {
        CompareOp::Eq | CompareOp::Le | CompareOp::Ge => (on_true, on_false),
        CompareOp::Ne | CompareOp::Lt | CompareOp::Gt => (on_false, on_true),
    };
    *graph.op(id) == Op::Select && c == condition && original == x && uniform(graph, bounded) == Some(bound)
}

/// Whether a value will be in memory anyway: something reads it that no loop over its elements can hold.
fn is_kept(graph: &Graph, id: NodeId) -> bool {
    graph.outputs().iter().any(|output| output.value == id)
        || graph.users(id).iter().any(|&user| !graph.op(user).is_elementwise())
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
    fn a_maximum_tells_its_own_gradient() {
        assert_snapshot!(changes(
            "
            graph f(%x: f32[3], %dy: f32[3]) {
                %zero: f32[3] = fill { value = 0.0 }
                %y: f32[3] = max %x, %zero
                %c: bool[3] = gt %x, %zero
                %dx: f32[3] = select %c, %dy, %zero
                return %y, %dx
            }
        "
        ), @"
          graph f(%x: f32[3], %dy: f32[3]) {
              %zero: f32[3] = fill { value = 0.0 }
              %y: f32[3] = max %x, %zero
        -     %c: bool[3] = gt %x, %zero
        +     %c: bool[3] = gt %y, %zero
              %dx: f32[3] = select %c, %dy, %zero
              return %y, %dx
          }
        ");
    }

    #[test]
    fn a_selection_tells_its_own_gradient() {
        assert_snapshot!(changes(
            "
            graph f(%x: f32[2, 3], %w: f32[3, 4], %dy: f32[2, 3]) {
                %zero: f32[2, 3] = fill { value = 0.0 }
                %c: bool[2, 3] = le %x, %zero
                %y: f32[2, 3] = select %c, %zero, %x
                %z: f32[2, 4] = dot %y, %w { contract = [1:0] }
                %dx: f32[2, 3] = select %c, %zero, %dy
                return %z, %dx
            }
        "
        ), @"
          graph f(%x: f32[2, 3], %w: f32[3, 4], %dy: f32[2, 3]) {
              %zero: f32[2, 3] = fill { value = 0.0 }
              %c: bool[2, 3] = le %x, %zero
              %y: f32[2, 3] = select %c, %zero, %x
              %z: f32[2, 4] = dot %y, %w { contract = [1:0] }
        -     %dx: f32[2, 3] = select %c, %zero, %dy
        +     %le: bool[2, 3] = le %y, %zero
        +     %dx: f32[2, 3] = select %le, %zero, %dy
              return %z, %dx
          }
        ");
    }

    #[test]
    fn a_mask_stays_where_the_clamped_value_is_not_kept_or_compares_otherwise() {
        assert_snapshot!(changes(
            "
            graph f(%x: f32[3], %dy: f32[3]) {
                %zero: f32[3] = fill { value = 0.0 }
                %c: bool[3] = le %x, %zero
                %y: f32[3] = select %c, %zero, %x
                %z: f32[3] = exp %y
                %dx: f32[3] = select %c, %zero, %dy
                %d: bool[3] = lt %x, %zero
                %u: f32[3] = select %d, %zero, %x
                %v: f32[] = reduce_sum %u { axes = [0] }
                %du: f32[3] = select %d, %zero, %dy
                return %z, %dx, %v, %du
            }
        "
        ), @"unchanged");
    }
}
