//! Folds constants: nodes whose value is known when the program is compiled become that value.
//!
//! A fill stays a fill of any shape. Other constants are evaluated with the reference interpreter when the result is
//! small; larger ones are left to the program, which computes them faster than it would read them. A repetition of a
//! constant is never written out.
//!
//! Promises: idempotent; removes the constants that lose their last user; a fold's value is the interpreter's.
//! Cost: O(nodes + edges), and what the interpreter takes for at most [`MAX_OPERAND_ELEMENTS`] elements a node.

use crate::analysis::{self, uniform};
use crate::pass::{Changed, Pass, Rewrites};
use kiln_ir::emit::Emit;
use kiln_ir::op::ReduceOp;
use kiln_ir::{Graph, Literal, NodeId, Op, Shape, TensorData, evaluate};
use std::sync::Arc;

/// The pass.
#[derive(Clone, Copy, Debug)]
pub struct FoldConstants;

/// The largest constant that is written into the program: a page of `f32`.
pub const MAX_ELEMENTS: usize = 1024;

/// The most elements that are read to make one: a bound on compile time.
pub const MAX_OPERAND_ELEMENTS: usize = 65536;

impl Pass for FoldConstants {
    fn name(&self) -> &'static str {
        "fold_constants"
    }

    fn run(&self, graph: &mut Graph, budget: &mut Rewrites) -> Changed {
        let live = analysis::reachable(graph);
        let mut n_folded = 0;
        for id in graph.topological_order() {
            if !live.contains(id) || matches!(graph.op(id), Op::Input(_) | Op::Fill(..) | Op::Loop(_)) {
                continue;
            }
            let Some((rule, constant)) = fold(graph, id) else { continue };
            if !budget.take(rule) {
                break;
            }
            let folded = analysis::emit_replacement(graph, id, |graph| Some(graph.emit(constant, &[])));
            graph.replace_uses(id, folded.expect("a constant was emitted"));
            n_folded += 1;
        }
        if n_folded > 0 {
            analysis::remove_unreachable(graph);
        }
        Changed::if_any(n_folded)
    }
}

/// The constant that a node is, if that is known, and the rule that knows.
fn fold(graph: &Graph, id: NodeId) -> Option<(&'static str, Op)> {
    let ty = graph.node(id).ty();
    let fill = |value| Op::Fill(value, ty.shape.clone());
    if ty.n_elements() == 0 {
        return Some(("empty", fill(Literal::zero(ty.dtype))));
    }
    if let Some(value) = uniform_result(graph, id) {
        return Some(("uniform", fill(value)));
    }
    let data = small_result(graph, id)?;
    let op = match uniform_data(&data) {
        Some(value) => fill(value),
        None => Op::Dense(Arc::new(data)),
    };
    Some(("evaluate", op))
}

/// The one value that a node has everywhere, where the values of its operands tell.
fn uniform_result(graph: &Graph, id: NodeId) -> Option<Literal> {
    let operands = graph.operands(id);
    let first = || uniform(graph, *operands.first()?);
    let dtype = graph.node(id).ty().dtype;
    match graph.op(id) {
        Op::Unary(_) | Op::Binary(_) | Op::Compare(_) | Op::Logical(_) | Op::Select | Op::Cast(_) => {
            of_fills(graph, graph.op(id), operands)
        }
        Op::Reshape(_) | Op::Permute(_) | Op::Broadcast { .. } | Op::Slice(_) | Op::Reverse(_) => first(),
        Op::Pad(pad) => first().filter(|&value| value == pad.value),
        Op::Concatenate(_) => {
            let value = first()?;
            operands.iter().all(|&o| uniform(graph, o) == Some(value)).then_some(value)
        }
        Op::Reduce(op, axes) => {
            let ty = graph.node(operands[0]).ty();
            let count: usize = axes.iter().map(|&axis| ty.shape[axis]).product();
            if count == 0 { Some(op.identity(dtype)) } else { reduce_uniform(*op, first()?, count) }
        }
        Op::ArgReduce(..) => first().map(|_| Literal::zero(dtype)),
        // An index outside the axis reads as zero too.
        Op::Cumulative(_) | Op::Gather(_) | Op::ScatterAdd { .. } => {
            first().filter(|&value| value == Literal::zero(dtype))
        }
        Op::Dot(dot) => {
            let lhs = graph.node(operands[0]).ty();
            let sums_nothing = dot.contract.iter().any(|pair| lhs.shape[pair.0] == 0);
            sums_nothing.then(|| Literal::zero(dtype))
        }
        Op::Dense(data) => uniform_data(data),
        Op::Input(_)
        | Op::Fill(..)
        | Op::Iota { .. }
        | Op::ArgSort(_)
        | Op::Conv(_)
        | Op::Window(..)
        | Op::RandomBits(_)
        | Op::Loop(_)
        | Op::LoopResult { .. } => None,
    }
}

/// The value of an elementwise op everywhere, if all its operands are fills.
pub fn of_fills(graph: &Graph, op: &Op, operands: &[NodeId]) -> Option<Literal> {
    let values: Option<Vec<Literal>> = operands.iter().map(|&o| uniform(graph, o)).collect();
    let scalars: Vec<TensorData> =
        values?.into_iter().map(|value| TensorData::filled(Shape::scalar(), value)).collect();
    Some(evaluate(op, &scalars.iter().collect::<Vec<_>>()).get(0))
}

/// The reduction of `count` equal values, at least one.
fn reduce_uniform(op: ReduceOp, value: Literal, count: usize) -> Option<Literal> {
    let dtype = value.dtype();
    match op {
        ReduceOp::Max | ReduceOp::Min => Some(value),
        // Wraps as the sum would: multiplication modulo 2^64, then modulo the width of the type.
        ReduceOp::Sum => Some(match value {
            Literal::F32(_) | Literal::F64(_) => Literal::from_f64(dtype, value.as_f64() * count as f64),
            Literal::I32(v) => Literal::from_i64(dtype, i64::from(v).wrapping_mul(count as i64)),
            Literal::I64(v) => Literal::from_i64(dtype, v.wrapping_mul(count as i64)),
            Literal::U8(v) => Literal::from_i64(dtype, i64::from(v).wrapping_mul(count as i64)),
            Literal::Bool(_) => return None,
        }),
        ReduceOp::Prod => (value == Literal::zero(dtype) || value == Literal::one(dtype)).then_some(value),
    }
}

/// The value of all elements, if there are elements and they are equal bit for bit.
fn uniform_data(data: &TensorData) -> Option<Literal> {
    let first = (data.n_elements() > 0).then(|| data.get(0))?;
    (1..data.n_elements()).all(|i| data.get(i) == first).then_some(first)
}

/// The value of a small node whose operands are constants.
fn small_result(graph: &Graph, id: NodeId) -> Option<TensorData> {
    let operands = graph.operands(id);
    let n_read: usize = operands.iter().map(|&o| graph.node(o).ty().n_elements()).sum();
    let is_repetition = matches!(graph.op(id), Op::Broadcast { .. });
    let small = graph.node(id).ty().n_elements() <= MAX_ELEMENTS && n_read <= MAX_OPERAND_ELEMENTS;
    let constant = |&o: &NodeId| matches!(graph.op(o), Op::Fill(..) | Op::Dense(_) | Op::Iota { .. });
    // A loop's results stand for the whole loop, which is left to the program.
    let is_result = matches!(graph.op(id), Op::LoopResult { .. });
    if operands.is_empty() || is_repetition || is_result || !small || !operands.iter().all(constant) {
        return None;
    }
    let values: Vec<TensorData> = operands.iter().map(|&o| evaluate(graph.op(o), &[])).collect();
    Some(evaluate(graph.op(id), &values.iter().collect::<Vec<_>>()))
}

#[cfg(test)]
mod tests {
    use super::FoldConstants;
    use crate::testing::check;
    use insta::assert_snapshot;

    fn changes(text: &str) -> String {
        check(&FoldConstants, text)
    }

    #[test]
    fn fills_stay_fills() {
        assert_snapshot!(changes(
            "
            graph f() {
                %a: f32[1000, 1000] = fill { value = 2.0 }
                %b: f32[1000, 1000] = exp %a
                %c: f32[1000000] = reshape %b
                %d: f32[] = reduce_max %c { axes = [0] }
                return %c, %d
            }
        "
        ), @"
          graph f() {
        -     %a: f32[1000, 1000] = fill { value = 2.0 }
        -     %b: f32[1000, 1000] = exp %a
        -     %c: f32[1000000] = reshape %b
        -     %d: f32[] = reduce_max %c { axes = [0] }
        +     %c: f32[1000000] = fill { value = 7.389056 }
        +     %d: f32[] = fill { value = 7.389056 }
              return %c, %d
          }
        ");
    }

    #[test]
    fn sums_of_fills_wrap() {
        assert_snapshot!(changes(
            "
            graph f() {
                %a: u8[300] = fill { value = 2 }
                %b: u8[] = reduce_sum %a { axes = [0] }
                %c: f64[3, 500] = fill { value = 0.5 }
                %d: f64[3] = reduce_sum %c { axes = [1] }
                return %b, %d
            }
        "
        ), @"
          graph f() {
        -     %a: u8[300] = fill { value = 2 }
        -     %b: u8[] = reduce_sum %a { axes = [0] }
        -     %c: f64[3, 500] = fill { value = 0.5 }
        -     %d: f64[3] = reduce_sum %c { axes = [1] }
        +     %b: u8[] = fill { value = 88 }
        +     %d: f64[3] = fill { value = 250.0 }
              return %b, %d
          }
        ");
    }

    #[test]
    fn small_constants_are_evaluated() {
        assert_snapshot!(changes(
            "
            graph f() {
                %a: i64[5] = iota { axis = 0 }
                %b: i64[5] = mul %a, %a
                return %b
            }
        "
        ), @"
          graph f() {
        -     %a: i64[5] = iota { axis = 0 }
        -     %b: i64[5] = mul %a, %a
        +     %b: i64[5] = dense { data = [0, 1, 4, 9, 16] }
              return %b
          }
        ");
    }

    #[test]
    fn large_ones_are_left_to_the_program() {
        assert_snapshot!(changes(
            "
            graph f() {
                %a: i64[5000] = iota { axis = 0 }
                %b: i64[5000] = mul %a, %a
                return %b
            }
        "
        ), @"unchanged");
    }

    #[test]
    fn equal_elements_are_a_fill() {
        assert_snapshot!(changes(
            "
            graph f() {
                %a: i64[5] = iota { axis = 0 }
                %b: i64[5] = sub %a, %a
                return %b
            }
        "
        ), @"
          graph f() {
        -     %a: i64[5] = iota { axis = 0 }
        -     %b: i64[5] = sub %a, %a
        +     %b: i64[5] = fill { value = 0 }
              return %b
          }
        ");
    }

    #[test]
    fn repetitions_are_not_written_out() {
        assert_snapshot!(changes(
            "
            graph f() {
                %a: i64[5] = iota { axis = 0 }
                %b: i64[2, 5] = broadcast %a { axes = [1] }
                return %b
            }
        "
        ), @"unchanged");
    }

    #[test]
    fn nothing_has_a_known_value() {
        assert_snapshot!(changes(
            "
            graph f(%x: f32[3, 0]) {
                %a: f32[3, 0] = exp %x
                %b: f32[3] = reduce_max %x { axes = [1] }
                %c: f32[3, 3] = dot %x, %x { contract = [1:1] }
                return %a, %b, %c
            }
        "
        ), @"
          graph f(%x: f32[3, 0]) {
        -     %a: f32[3, 0] = exp %x
        -     %b: f32[3] = reduce_max %x { axes = [1] }
        -     %c: f32[3, 3] = dot %x, %x { contract = [1:1] }
        +     %a: f32[3, 0] = fill { value = 0.0 }
        +     %b: f32[3] = fill { value = -inf }
        +     %c: f32[3, 3] = fill { value = 0.0 }
              return %a, %b, %c
          }
        ");
    }

    #[test]
    fn what_depends_on_inputs_stays() {
        assert_snapshot!(changes(
            "
            graph f(%x: f32[3]) {
                %k: f32[3] = fill { value = 0.0 }
                %a: f32[3] = mul %x, %k
                return %a
            }
        "
        ), @"unchanged");
    }
}
