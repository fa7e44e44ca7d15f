//! Facts about values that conditions of rows ask for. Each answers "certainly"; `false` means "not known".

use crate::analysis::uniform;
use kiln_ir::op::{BinaryOp, ReduceOp, UnaryOp};
use kiln_ir::{DType, Graph, Literal, NodeId, Op};

/// A question about a value.
pub type Predicate = fn(&Graph, NodeId) -> bool;

/// The predicates by their names in the text of rules.
pub const PREDICATES: &[(&str, Predicate)] = &[
    ("integer", |graph, id| graph.node(id).ty().dtype.is_int()),
    ("exact", |graph, id| !graph.node(id).ty().dtype.is_float()),
    ("signed", |graph, id| graph.node(id).ty().dtype.is_number() && graph.node(id).ty().dtype != DType::U8),
    ("float", |graph, id| graph.node(id).ty().dtype.is_float()),
    ("boolean", |graph, id| graph.node(id).ty().dtype == DType::Bool),
    ("once", |graph, id| graph.n_uses(id) == 1),
    ("power_of_two", is_power_of_two),
    ("positive", |graph, id| uniform(graph, id).is_some_and(|value| value.as_f64() > 0.0)),
    ("never_negative", |graph, id| never_negative(graph, id, MAX_DEPTH)),
    ("never_minus_zero", |graph, id| never_minus_zero(graph, id, MAX_DEPTH)),
];

/// How far back a fact is looked for: deep enough for real chains, and a bound on the cost of asking.
const MAX_DEPTH: usize = 6;

/// Whether dividing by the fill is the same as multiplying by its reciprocal, bit for bit: a power of two whose
/// reciprocal is a normal number too.
fn is_power_of_two(graph: &Graph, id: NodeId) -> bool {
    match uniform(graph, id) {
        Some(Literal::F32(k)) => k.is_normal() && k.to_bits() << 9 == 0 && k.recip().is_normal(),
        Some(Literal::F64(k)) => k.is_normal() && k.to_bits() << 12 == 0 && k.recip().is_normal(),
        Some(Literal::I32(_) | Literal::I64(_) | Literal::U8(_) | Literal::Bool(_)) | None => false,
    }
}

/// Whether each element is NaN, or at least zero and not `-0.0`.
fn never_negative(graph: &Graph, id: NodeId, depth: usize) -> bool {
    let Some(depth) = depth.checked_sub(1) else { return false };
    let holds = |id| never_negative(graph, id, depth);
    let operands = graph.operands(id);
    match graph.op(id) {
        Op::Fill(value, _) => value.as_f64() > 0.0 || *value == Literal::zero(value.dtype()),
        Op::Unary(UnaryOp::Abs | UnaryOp::Exp | UnaryOp::Sigmoid | UnaryOp::Cosh) => true,
        Op::Unary(UnaryOp::Sqrt | UnaryOp::Rsqrt) => holds(operands[0]),
        Op::Binary(BinaryOp::Mul) => operands[0] == operands[1] || operands.iter().all(|&o| holds(o)),
        Op::Binary(BinaryOp::Add | BinaryOp::Div | BinaryOp::Min) => operands.iter().all(|&o| holds(o)),
        // Beside a zero, the sign of the zero that comes out is not fixed.
        Op::Binary(BinaryOp::Max) => {
            operands.iter().all(|&o| holds(o))
                || operands.iter().any(|&o| uniform(graph, o).is_some_and(|value| value.as_f64() > 0.0))
        }
        Op::Select => holds(operands[1]) && holds(operands[2]),
        Op::Cast(_) => matches!(graph.node(operands[0]).ty().dtype, DType::U8 | DType::Bool),
        Op::Reduce(ReduceOp::Sum, _) => holds(operands[0]),
        Op::Reshape(_) | Op::Permute(_) | Op::Broadcast { .. } | Op::Slice(_) | Op::Reverse(_) => {
            holds(operands[0])
        }
        Op::Input(_)
        | Op::Dense(_)
        | Op::Iota { .. }
        | Op::Unary(_)
        | Op::Binary(_)
        | Op::Compare(_)
        | Op::Logical(_)
        | Op::Reduce(..)
        | Op::ArgReduce(..)
        | Op::Cumulative(_)
        | Op::ArgSort(_)
        | Op::Pad(_)
        | Op::Concatenate(_)
        | Op::Dot(_)
        | Op::Conv(_)
        | Op::Window(..)
        | Op::Gather(_)
        | Op::ScatterAdd { .. }
        | Op::RandomBits(_)
        | Op::Loop(_)
        | Op::LoopResult { .. } => false,
    }
}

/// Whether no element is `-0.0`.
fn never_minus_zero(graph: &Graph, id: NodeId, depth: usize) -> bool {
    if !graph.node(id).ty().dtype.is_float() || never_negative(graph, id, depth) {
        return true;
    }
    let Some(depth) = depth.checked_sub(1) else { return false };
    let holds = |id| never_minus_zero(graph, id, depth);
    let operands = graph.operands(id);
    match graph.op(id) {
        Op::Fill(value, _) => !value.is_zero(),
        Op::Unary(UnaryOp::Cos) => true,
        // Rounding to nearest, a sum is `-0.0` only when both terms are.
        Op::Binary(BinaryOp::Add) => operands.iter().any(|&o| holds(o)),
        Op::Select => holds(operands[1]) && holds(operands[2]),
        Op::Cast(_) => !graph.node(operands[0]).ty().dtype.is_float(),
        Op::Reshape(_) | Op::Permute(_) | Op::Broadcast { .. } | Op::Slice(_) | Op::Reverse(_) => {
            holds(operands[0])
        }
        Op::Input(_)
        | Op::Dense(_)
        | Op::Iota { .. }
        | Op::Unary(_)
        | Op::Binary(_)
        | Op::Compare(_)
        | Op::Logical(_)
        | Op::Reduce(..)
        | Op::ArgReduce(..)
        | Op::Cumulative(_)
        | Op::ArgSort(_)
        | Op::Pad(_)
        | Op::Concatenate(_)
        | Op::Dot(_)
        | Op::Conv(_)
        | Op::Window(..)
        | Op::Gather(_)
        | Op::ScatterAdd { .. }
        | Op::RandomBits(_)
        | Op::Loop(_)
        | Op::LoopResult { .. } => false,
    }
}
