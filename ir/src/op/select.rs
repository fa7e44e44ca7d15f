//! Select and cast.
//!
//! `cast` rounds to nearest between floats, truncates toward zero and saturates from float to integer (NaN
//! becomes 0), wraps between integers, and to `bool` asks whether the value differs from zero.

use super::rule::{self, Accepts};
use crate::emit::{Emit, EmitExt};
use crate::op::CompareOp;
use crate::{DType, Literal, NodeId, Op, TensorType, TypeError};

/// Type rule of `select(condition, on_true, on_false)`.
pub fn infer_select(operands: &[&TensorType]) -> Result<TensorType, TypeError> {
    let [condition, on_true, on_false] =
        rule::operands("select", operands, [Accepts::Bool, Accepts::Any, Accepts::Any])?;
    rule::same_dtype("select", on_true, on_false)?;
    rule::same_shape("select", on_true, on_false)?;
    rule::same_shape("select", condition, on_true)?;
    Ok(on_true.clone())
}

/// Type rule of `cast`.
pub fn infer_cast(dtype: DType, operands: &[&TensorType]) -> Result<TensorType, TypeError> {
    let [x] = rule::operands("cast", operands, [Accepts::Any])?;
    Ok(x.with_dtype(dtype))
}

/// The value of `cast` at one element.
pub fn reference_cast(dtype: DType, x: Literal) -> Literal {
    match x {
        Literal::F32(v) => Literal::from_f64(dtype, f64::from(v)),
        Literal::F64(v) => Literal::from_f64(dtype, v),
        Literal::I32(v) => Literal::from_i64(dtype, i64::from(v)),
        Literal::I64(v) => Literal::from_i64(dtype, v),
        Literal::U8(v) => Literal::from_i64(dtype, i64::from(v)),
        Literal::Bool(v) => Literal::from_i64(dtype, i64::from(v)),
    }
}

/// Why no gradient flows to this operand of a select, or `None` when one does.
pub fn select_blocked(operand: usize) -> Option<&'static str> {
    (operand == 0).then_some("a condition chooses between values and has no derivative itself")
}

/// The gradients of the two branches that are wanted: `dy` where the branch was taken, else 0.
pub fn select_gradient(
    e: &mut dyn Emit,
    operands: [NodeId; 3],
    y: NodeId,
    dy: NodeId,
    wanted: [bool; 2],
) -> [Option<NodeId>; 2] {
    let condition = rectifier_condition(e, operands, y).unwrap_or(operands[0]);
    let zero = e.constant_like(dy, 0.0);
    let on_true = wanted[0].then(|| e.select(condition, dy, zero));
    let on_false = wanted[1].then(|| e.select(condition, zero, dy));
    [on_true, on_false]
}

/// The condition of `select(x <= 0, 0, x)` or `select(x > 0, x, 0)` again from the result: `y <= 0` and `y > 0` are
/// true where `x <= 0` and `x > 0` are (NaN compares false both times), so that `x` need not live until then.
fn rectifier_condition(e: &mut dyn Emit, operands: [NodeId; 3], y: NodeId) -> Option<NodeId> {
    let [condition, on_true, on_false] = operands;
    let is_zero = |id: NodeId| matches!(e.graph().op(id), Op::Fill(value, _) if value.is_zero());
    let &Op::Compare(op) = e.graph().op(condition) else { return None };
    let &[x, zero] = e.graph().operands(condition) else { return None };
    let is_rectifier = match op {
        CompareOp::Le => is_zero(on_true) && on_false == x,
        CompareOp::Gt => is_zero(on_false) && on_true == x,
        CompareOp::Eq | CompareOp::Ne | CompareOp::Lt | CompareOp::Ge => false,
    };
    (is_rectifier && is_zero(zero)).then(|| e.compare(op, y, zero))
}

/// Why no gradient flows through a cast to this type, or `None` when one does.
pub fn cast_blocked(dtype: DType) -> Option<&'static str> {
    (!dtype.is_float())
        .then_some("its result is not floating-point: integers and truth values have no derivative")
}

/// The gradient of a cast between floating-point types: cast back.
pub fn cast_gradient(e: &mut dyn Emit, x: NodeId, dy: NodeId) -> NodeId {
    let dtype = e.ty(x).dtype;
    e.cast(dtype, dy)
}
