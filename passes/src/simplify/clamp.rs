//! Rows about rectifiers: the gradient asks on which side of the bound an element was, and the clamped value tells that
//! as well as the original one. The next layer reads the clamped value anyway, so that the original, or a mask, need not
//! be kept for the backward pass.

use super::Row;
use crate::analysis::uniform;
use kiln_ir::emit::EmitExt;
use kiln_ir::op::{BinaryOp, CompareOp};
use kiln_ir::{Graph, NodeId, Op};

/// Rows about comparisons.
pub const COMPARE: &[Row] = &[Row {
    name: "compare_clamped",
    text: "gt(x, k) => gt(y, k) if y = max(x, k) is in the graph",
    apply: compare_clamped,
}];

/// `x > k` exactly when `max(x, k) > k`, NaN included; likewise for `<=`, and for `<` and `>=` with `min`.
fn compare_clamped(graph: &mut Graph, id: NodeId) -> Option<NodeId> {
    let Op::Compare(op) = *graph.op(id) else { return None };
    let (x, k) = (graph.operands(id)[0], graph.operands(id)[1]);
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
    fn other_comparisons_stay() {
        assert_snapshot!(changes("
            graph f(%x: f32[3]) {
                %zero: f32[3] = fill { value = 0.0 }
                %one: f32[3] = fill { value = 1.0 }
                %y: f32[3] = max %x, %zero
                %a: bool[3] = ge %x, %zero
                %b: bool[3] = gt %x, %one
                return %y, %a, %b
            }
        "), @"unchanged");
    }
}
