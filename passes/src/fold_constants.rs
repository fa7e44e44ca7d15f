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
            if !live.contains(id) || matches!(graph.op(id), Op::Input(_) | Op::Fill(..)) {
                continue;
            }
            let Some((rule, constant)) = fold(graph, id) else { continue };
            if !budget.take(rule) {
                break;
            }
            let folded = analysis::on_behalf_of(graph, id, |graph| graph.emit(constant, &[]));
            graph.replace_uses(id, folded);
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
            let values: Option<Vec<Literal>> = operands.iter().map(|&o| uniform(graph, o)).collect();
            let scalars: Vec<TensorData> =
                values?.into_iter().map(|value| TensorData::filled(Shape::scalar(), value)).collect();
            Some(evaluate(graph.op(id), &scalars.iter().collect::<Vec<_>>()).get(0))
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
        Op::Input(_) | Op::Fill(..) | Op::Iota { .. } | Op::Conv(_) | Op::Window(..) | Op::RandomBits(_) => {
            None
        }
    }
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
    if operands.is_empty() || is_repetition || !small || !operands.iter().all(constant) {
        return None;
    }
    let values: Vec<TensorData> = operands.iter().map(|&o| evaluate(graph.op(o), &[])).collect();
    Some(evaluate(graph.op(id), &values.iter().collect::<Vec<_>>()))
}
