//! Elementwise ops.

use super::number::{Number, Ordered, elements, with_element, with_number};
use crate::op::{BinaryOp, CompareOp, LogicalOp, UnaryOp, select};
use crate::{DType, Element, Literal, TensorData};

/// A unary op.
pub(super) fn unary(op: UnaryOp, x: &TensorData) -> TensorData {
    with_number!(x.dtype(), T => map(x, |v: T| T::unary(op, v)))
}

/// A binary op.
pub(super) fn binary(op: BinaryOp, a: &TensorData, b: &TensorData) -> TensorData {
    with_number!(a.dtype(), T => zip(a, b, |a: T, b: T| T::binary(op, a, b)))
}

/// A comparison.
pub(super) fn compare(op: CompareOp, a: &TensorData, b: &TensorData) -> TensorData {
    fn typed<T: Ordered>(op: CompareOp, a: &TensorData, b: &TensorData) -> TensorData {
        zip(a, b, |a: T, b: T| op.reference(a, b))
    }
    with_element!(a.dtype(), T => typed::<T>(op, a, b))
}

/// A logical op of one or two operands.
pub(super) fn logical(op: LogicalOp, operands: &[&TensorData]) -> TensorData {
    let (a, b) = (operands[0], operands[operands.len() - 1]);
    let width = if a.dtype() == DType::Bool { 1 } else { 8 * a.dtype().n_bytes() as u32 };
    TensorData::from_fn(&a.ty(), |i| {
        Literal::from_i64(a.dtype(), op.reference(a.get(i).bits(), b.get(i).bits(), width) as i64)
    })
}

/// `condition ? on_true : on_false`.
pub(super) fn select(condition: &TensorData, on_true: &TensorData, on_false: &TensorData) -> TensorData {
    let condition: &[bool] = elements(condition);
    TensorData::from_fn(&on_true.ty(), |i| if condition[i] { on_true.get(i) } else { on_false.get(i) })
}

/// Conversion of the element type.
pub(super) fn cast(dtype: DType, x: &TensorData) -> TensorData {
    TensorData::from_fn(&x.ty().with_dtype(dtype), |i| select::reference_cast(dtype, x.get(i)))
}

fn map<T: Element, R: Element>(x: &TensorData, f: impl Fn(T) -> R) -> TensorData {
    TensorData::new(x.shape().clone(), elements(x).iter().map(|&v| f(v)).collect::<Vec<R>>())
}

fn zip<T: Element, R: Element>(a: &TensorData, b: &TensorData, f: impl Fn(T, T) -> R) -> TensorData {
    let pairs = elements(a).iter().zip(elements(b));
    TensorData::new(a.shape().clone(), pairs.map(|(&a, &b)| f(a, b)).collect::<Vec<R>>())
}
