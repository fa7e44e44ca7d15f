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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Op, Tolerance, evaluate};

    #[track_caller]
    fn check<T: Element, R: Element>(op: Op, operands: &[&[T]], expected: &[R]) {
        let operands: Vec<TensorData> =
            operands.iter().map(|x| TensorData::new([x.len()], x.to_vec())).collect();
        let got = evaluate(&op, &operands.iter().collect::<Vec<_>>());
        let expected = TensorData::new([expected.len()], expected.to_vec());
        crate::compare(&got, &expected, Tolerance::ulps(1)).unwrap();
    }

    const INF: f32 = f32::INFINITY;
    const NAN: f32 = f32::NAN;

    #[test]
    fn unary_on_floats() {
        let values: [(UnaryOp, f32, f64); 24] = [
            (UnaryOp::Neg, 2.5, -2.5),
            (UnaryOp::Abs, -2.5, 2.5),
            (UnaryOp::Sign, -2.5, -1.0),
            (UnaryOp::Exp, 1.0, std::f64::consts::E),
            (UnaryOp::Expm1, 1e-7, 1.00000005e-7),
            (UnaryOp::Log, 10.0, std::f64::consts::LN_10),
            (UnaryOp::Log1p, 1e-7, 0.99999995e-7),
            (UnaryOp::Sqrt, 2.0, std::f64::consts::SQRT_2),
            (UnaryOp::Rsqrt, 16.0, 0.25),
            (UnaryOp::Sin, 1.0, 0.8414709848),
            (UnaryOp::Cos, 1.0, 0.5403023059),
            (UnaryOp::Tan, 1.0, 1.5574077247),
            (UnaryOp::Asin, 0.5, std::f64::consts::FRAC_PI_6),
            (UnaryOp::Acos, 0.5, std::f64::consts::FRAC_PI_3),
            (UnaryOp::Atan, 1.0, std::f64::consts::FRAC_PI_4),
            (UnaryOp::Sinh, 1.0, 1.1752011936),
            (UnaryOp::Cosh, 1.0, 1.5430806348),
            (UnaryOp::Tanh, 1.0, 0.7615941560),
            (UnaryOp::Sigmoid, -1.0, 0.2689414214),
            (UnaryOp::Erf, 0.5, 0.5204998778),
            (UnaryOp::Floor, -1.5, -2.0),
            (UnaryOp::Ceil, -1.5, -1.0),
            (UnaryOp::Round, 2.5, 2.0),
            (UnaryOp::Reciprocal, 4.0, 0.25),
        ];
        for (op, x, y) in values {
            check(Op::Unary(op), &[&[x]], &[y as f32]);
        }
        assert!(UnaryOp::ALL.iter().eq(values.iter().map(|(op, ..)| op)), "every op has a case");
    }

    #[test]
    fn unary_at_the_edges() {
        check(Op::Unary(UnaryOp::Sign), &[&[0.0, -0.0, NAN, -INF]], &[0.0, 0.0, NAN, -1.0]);
        check(Op::Unary(UnaryOp::Sigmoid), &[&[-INF, INF, NAN, -100.0]], &[0.0, 1.0, NAN, 3.8e-44]);
        check(Op::Unary(UnaryOp::Log), &[&[0.0, -1.0, INF]], &[-INF, NAN, INF]);
        check(Op::Unary(UnaryOp::Rsqrt), &[&[0.0, -0.0, INF]], &[INF, -INF, 0.0]);
        check(Op::Unary(UnaryOp::Neg), &[&[i32::MIN, 5]], &[i32::MIN, -5]);
        check(Op::Unary(UnaryOp::Abs), &[&[i64::MIN, -5, 5]], &[i64::MIN, 5, 5]);
        check(Op::Unary(UnaryOp::Sign), &[&[-7i32, 0, 9]], &[-1, 0, 1]);
        check(Op::Unary(UnaryOp::Exp), &[&[0f64; 0]], &[0f64; 0]);
    }

    #[test]
    fn binary_on_floats() {
        let (a, b) = ([7.0f32, -7.0, NAN, INF], [2.0f32, 2.0, 1.0, 1.0]);
        let results: [(BinaryOp, [f32; 4]); 9] = [
            (BinaryOp::Add, [9.0, -5.0, NAN, INF]),
            (BinaryOp::Sub, [5.0, -9.0, NAN, INF]),
            (BinaryOp::Mul, [14.0, -14.0, NAN, INF]),
            (BinaryOp::Div, [3.5, -3.5, NAN, INF]),
            (BinaryOp::Rem, [1.0, -1.0, NAN, NAN]),
            (BinaryOp::Pow, [49.0, 49.0, NAN, INF]),
            (BinaryOp::Max, [7.0, 2.0, NAN, INF]),
            (BinaryOp::Min, [2.0, -7.0, NAN, 1.0]),
            (BinaryOp::Atan2, [1.2924967, -1.2924967, NAN, std::f32::consts::FRAC_PI_2]),
        ];
        for (op, expected) in results {
            check(Op::Binary(op), &[&a, &b], &expected);
        }
        assert!(BinaryOp::ALL.iter().eq(results.iter().map(|(op, _)| op)), "every op has a case");
        check(Op::Binary(BinaryOp::Max), &[&[1.0f64], &[f64::NAN]], &[f64::NAN]);
    }

    #[test]
    fn binary_on_integers_wraps_and_divides_by_zero_to_zero() {
        let (a, b) = ([7i32, -7, 5, i32::MIN], [2i32, 2, 0, -1]);
        check(Op::Binary(BinaryOp::Add), &[&a, &b], &[9, -5, 5, i32::MAX]);
        check(Op::Binary(BinaryOp::Sub), &[&a, &b], &[5, -9, 5, i32::MIN + 1]);
        check(Op::Binary(BinaryOp::Mul), &[&a, &b], &[14, -14, 0, i32::MIN]);
        check(Op::Binary(BinaryOp::Div), &[&a, &b], &[3, -3, 0, i32::MIN]);
        check(Op::Binary(BinaryOp::Rem), &[&a, &b], &[1, -1, 0, 0]);
        check(Op::Binary(BinaryOp::Max), &[&a, &b], &[7, 2, 5, -1]);
        check(Op::Binary(BinaryOp::Min), &[&a, &b], &[2, -7, 0, i32::MIN]);
        check(Op::Binary(BinaryOp::Div), &[&[i64::MIN, 1], &[-1i64, 0]], &[i64::MIN, 0]);
        check(Op::Binary(BinaryOp::Sub), &[&[3u8], &[5u8]], &[254u8]);
    }

    #[test]
    fn comparisons_with_nan_are_false_but_ne() {
        let (a, b) = ([1.0f32, 2.0, 2.0, NAN], [2.0f32, 2.0, 1.0, NAN]);
        let results = [
            (CompareOp::Eq, [false, true, false, false]),
            (CompareOp::Ne, [true, false, true, true]),
            (CompareOp::Lt, [true, false, false, false]),
            (CompareOp::Le, [true, true, false, false]),
            (CompareOp::Gt, [false, false, true, false]),
            (CompareOp::Ge, [false, true, true, false]),
        ];
        for (op, expected) in results {
            check(Op::Compare(op), &[&a, &b], &expected);
        }
        check(Op::Compare(CompareOp::Lt), &[&[false], &[true]], &[true]);
        check(Op::Compare(CompareOp::Lt), &[&[i64::MAX - 1], &[i64::MAX]], &[true]);
    }

    #[test]
    fn logical_on_truth_values_and_on_bits() {
        let (a, b) = ([false, false, true, true], [false, true, false, true]);
        check(Op::Logical(LogicalOp::And), &[&a, &b], &[false, false, false, true]);
        check(Op::Logical(LogicalOp::Or), &[&a, &b], &[false, true, true, true]);
        check(Op::Logical(LogicalOp::Xor), &[&a, &b], &[false, true, true, false]);
        check(Op::Logical(LogicalOp::Not), &[&a], &[true, true, false, false]);
        check(Op::Logical(LogicalOp::Not), &[&[0u8, 0x0f]], &[0xffu8, 0xf0]);
        check(Op::Logical(LogicalOp::Xor), &[&[-1i64], &[1i64]], &[-2i64]);
        check(
            Op::Logical(LogicalOp::ShiftLeft),
            &[&[1i32, 3, 1, 1], &[31i32, 1, 32, -1]],
            &[i32::MIN, 6, 0, 0],
        );
        check(Op::Logical(LogicalOp::ShiftRight), &[&[-1i32, -1, -1], &[28i32, 32, -1]], &[15i32, 0, 0]);
        check(Op::Logical(LogicalOp::ShiftRight), &[&[-1i64, 1], &[63i64, 1 << 32]], &[1i64, 0]);
        check(Op::Logical(LogicalOp::ShiftLeft), &[&[0xffu8], &[4u8]], &[0xf0u8]);
    }

    #[test]
    fn select_takes_one_side() {
        let condition = TensorData::new([2, 1], vec![true, false]);
        let (a, b) = (TensorData::new([2, 1], vec![1u8, 2]), TensorData::new([2, 1], vec![3u8, 4]));
        let got = evaluate(&Op::Select, &[&condition, &a, &b]);
        assert_eq!(got, TensorData::new([2, 1], vec![1u8, 4]));
    }

    #[test]
    fn casts_saturate_from_floats_and_wrap_between_integers() {
        check(Op::Cast(DType::I32), &[&[1.9f32, -1.9, 3e9, -3e9, NAN]], &[1, -1, i32::MAX, i32::MIN, 0]);
        check(Op::Cast(DType::U8), &[&[-1.0f64, 255.9, 256.0]], &[0u8, 255, 255]);
        check(Op::Cast(DType::I64), &[&[INF, -INF]], &[i64::MAX, i64::MIN]);
        check(Op::Cast(DType::Bool), &[&[0.0f32, -0.0, 1e-40, NAN]], &[false, false, true, true]);
        check(Op::Cast(DType::U8), &[&[-1i32, 256, 300]], &[255u8, 0, 44]);
        check(Op::Cast(DType::I32), &[&[1i64 << 32, i64::MAX]], &[0i32, -1]);
        check(Op::Cast(DType::F32), &[&[true, false]], &[1f32, 0.0]);
        check(Op::Cast(DType::F32), &[&[1e300f64, 0.1]], &[INF, 0.1]);
        // 2^24 + 1 needs 25 bits.
        check(Op::Cast(DType::F32), &[&[(1i64 << 24) + 1]], &[(1 << 24) as f32]);
        check(Op::Cast(DType::I64), &[&[200u8]], &[200i64]);
    }
}
