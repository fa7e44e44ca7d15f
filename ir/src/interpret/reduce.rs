//! Reductions, searches and running sums.

use super::number::{Number, Ordered, elements, with_element, with_number};
use super::walk::{Strides, Walk, contiguous};
use crate::op::{ArgReduceOp, Cumulative, ReduceOp};
use crate::{Axes, Shape, TensorData, TensorType};

/// A reduction over axes.
pub(super) fn reduce(op: ReduceOp, axes: &Axes, x: &TensorData, result: &TensorType) -> TensorData {
    let targets = targets(x.shape(), axes);
    match op {
        ReduceOp::Sum => {
            with_number!(x.dtype(), T => total(T::ZERO, T::sum, elements::<T>(x), targets, result))
        }
        ReduceOp::Prod => {
            with_number!(x.dtype(), T => total(T::ONE, T::product, elements::<T>(x), targets, result))
        }
        ReduceOp::Max | ReduceOp::Min => with_element!(x.dtype(), T => {
            let better = if op == ReduceOp::Max { T::is_above } else { T::is_below };
            let mut data = TensorData::filled(result.shape.clone(), op.identity(x.dtype()));
            let best = data.as_mut_slice::<T>().expect("the identity is of the operand's type");
            for (&value, target) in elements::<T>(x).iter().zip(targets) {
                if better(value, best[target]) {
                    best[target] = value;
                }
            }
            data
        }),
    }
}

/// Combines each element into its target's accumulator, and rounds at the end.
fn total<T: Number>(
    start: T::Accumulator,
    combine: impl Fn(T::Accumulator, T::Accumulator) -> T::Accumulator,
    x: &[T],
    targets: Walk,
    result: &TensorType,
) -> TensorData {
    let mut totals = vec![start; result.n_elements()];
    for (&value, target) in x.iter().zip(targets) {
        totals[target] = combine(totals[target], value.widen());
    }
    TensorData::new(result.shape.clone(), totals.into_iter().map(T::narrow).collect::<Vec<T>>())
}

/// The index of the first greatest or least element along an axis.
pub(super) fn arg_reduce(op: ArgReduceOp, axis: usize, x: &TensorData, result: &TensorType) -> TensorData {
    fn typed<T: Ordered>(op: ArgReduceOp, axis: usize, x: &TensorData, result: &TensorType) -> TensorData {
        let better = match op {
            ArgReduceOp::ArgMax => T::is_above,
            ArgReduceOp::ArgMin => T::is_below,
        };
        let (extent, stride) = (x.shape()[axis], x.shape().strides()[axis]);
        let mut best: Vec<Option<(T, i64)>> = vec![None; result.n_elements()];
        for ((i, &value), target) in elements::<T>(x).iter().enumerate().zip(targets(x.shape(), &[axis])) {
            if best[target].is_none_or(|(best, _)| better(value, best)) {
                best[target] = Some((value, (i / stride % extent) as i64));
            }
        }
        let indices = best.into_iter().map(|best| best.expect("the axis is not empty").1);
        TensorData::new(result.shape.clone(), indices.collect::<Vec<i64>>())
    }
    with_element!(x.dtype(), T => typed::<T>(op, axis, x, result))
}

/// Running sums along an axis.
pub(super) fn cumulative(cumulative: Cumulative, x: &TensorData) -> TensorData {
    fn typed<T: Number>(Cumulative { axis, reverse }: Cumulative, x: &TensorData) -> TensorData {
        let (extent, stride) = (x.shape()[axis], x.shape().strides()[axis]);
        let from: &[T] = elements(x);
        let mut to = from.to_vec();
        for start in line_starts(x.shape(), axis) {
            let mut total = T::ZERO;
            for i in 0..extent {
                let offset = start + stride * if reverse { extent - 1 - i } else { i };
                total = T::sum(total, from[offset].widen());
                to[offset] = T::narrow(total);
            }
        }
        TensorData::new(x.shape().clone(), to)
    }
    with_number!(x.dtype(), T => typed::<T>(cumulative, x))
}

/// For each element in row-major order, the offset of its element in the result without `axes`.
fn targets(shape: &Shape, axes: &[usize]) -> Walk {
    let mut kept = contiguous(&shape.without(axes)).into_iter();
    let strides: Strides = (0..shape.rank())
        .map(|axis| if axes.contains(&axis) { 0 } else { kept.next().expect("an axis is kept") })
        .collect();
    Walk::new(shape, 0, &strides)
}

/// The offset of the first element of each line along an axis.
fn line_starts(shape: &Shape, axis: usize) -> Walk {
    Walk::new(&shape.with_extent(axis, 1), 0, &contiguous(shape))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{DType, Op, evaluate};
    use smallvec::{SmallVec, smallvec};

    const NAN: f32 = f32::NAN;

    #[test]
    fn sums_over_each_set_of_axes() {
        let x = TensorData::new([2, 3, 2], (0..12).map(|i| i as f32).collect());
        let sum = |axes: &[usize]| evaluate(&Op::Reduce(ReduceOp::Sum, SmallVec::from_slice(axes)), &[&x]);
        assert_eq!(sum(&[0]), TensorData::new([3, 2], vec![6f32, 8.0, 10.0, 12.0, 14.0, 16.0]));
        assert_eq!(sum(&[1]), TensorData::new([2, 2], vec![6f32, 9.0, 24.0, 27.0]));
        assert_eq!(sum(&[2]), TensorData::new([2, 3], vec![1f32, 5.0, 9.0, 13.0, 17.0, 21.0]));
        assert_eq!(sum(&[0, 2]), TensorData::new([3], vec![14f32, 22.0, 30.0]));
        assert_eq!(sum(&[0, 1, 2]), TensorData::scalar(66f32));
        assert_eq!(sum(&[]), x);
    }

    #[test]
    fn floats_round_once_and_integers_wrap() {
        let x = TensorData::new([3], vec![1e8f32, 1.0, -1e8]);
        assert_eq!(evaluate(&Op::Reduce(ReduceOp::Sum, smallvec![0]), &[&x]), TensorData::scalar(1f32));
        let x = TensorData::new([3], vec![200u8, 100, 3]);
        assert_eq!(evaluate(&Op::Reduce(ReduceOp::Sum, smallvec![0]), &[&x]), TensorData::scalar(47u8));
        assert_eq!(evaluate(&Op::Reduce(ReduceOp::Prod, smallvec![0]), &[&x]), TensorData::scalar(96u8));
    }

    #[test]
    fn extremes_are_nan_when_any_element_is() {
        let x = TensorData::new([3, 2], vec![1f32, NAN, 5.0, -2.0, f32::NEG_INFINITY, 0.0]);
        let reduce = |op| evaluate(&Op::Reduce(op, smallvec![0]), &[&x]).to_f64_vec();
        assert_eq!(reduce(ReduceOp::Max)[0], 5.0);
        assert_eq!(reduce(ReduceOp::Min)[0], f64::NEG_INFINITY);
        assert!(reduce(ReduceOp::Max)[1].is_nan() && reduce(ReduceOp::Min)[1].is_nan());
        let x = TensorData::new([2, 2], vec![true, false, false, false]);
        let any = evaluate(&Op::Reduce(ReduceOp::Max, smallvec![1]), &[&x]);
        assert_eq!(any, TensorData::new([2], vec![true, false]));
    }

    #[test]
    fn a_reduction_of_nothing_is_the_identity() {
        for (op, dtype) in ReduceOp::ALL.into_iter().flat_map(|op| DType::ALL.map(|dtype| (op, dtype))) {
            let x = TensorData::zeros(&TensorType::new(dtype, [2, 0]));
            let reduce = Op::Reduce(op, smallvec![1]);
            if reduce.infer(&[&x.ty()]).is_ok() {
                assert_eq!(evaluate(&reduce, &[&x]), TensorData::filled([2], op.identity(dtype)));
            }
        }
    }

    #[test]
    fn searches_find_the_first_and_nan_before_all() {
        let x = TensorData::new([3, 4], vec![1f32, 2.0, NAN, 7.0, 3.0, 2.0, 9.0, 7.0, 3.0, 1.0, NAN, 7.0]);
        let search = |op, axis| evaluate(&Op::ArgReduce(op, axis), &[&x]);
        assert_eq!(search(ArgReduceOp::ArgMax, 0), TensorData::new([4], vec![1i64, 0, 0, 0]));
        assert_eq!(search(ArgReduceOp::ArgMin, 0), TensorData::new([4], vec![0i64, 2, 0, 0]));
        assert_eq!(search(ArgReduceOp::ArgMax, 1), TensorData::new([3], vec![2i64, 2, 2]));
        assert_eq!(search(ArgReduceOp::ArgMin, 1), TensorData::new([3], vec![2i64, 1, 2]));
    }

    #[test]
    fn running_sums_go_both_ways() {
        let x = TensorData::new([2, 3], vec![1i32, 2, 3, 4, 5, 6]);
        let sums = |axis, reverse| evaluate(&Op::Cumulative(Cumulative { axis, reverse }), &[&x]);
        assert_eq!(sums(0, false), TensorData::new([2, 3], vec![1, 2, 3, 5, 7, 9]));
        assert_eq!(sums(1, false), TensorData::new([2, 3], vec![1, 3, 6, 4, 9, 15]));
        assert_eq!(sums(0, true), TensorData::new([2, 3], vec![5, 7, 9, 4, 5, 6]));
        assert_eq!(sums(1, true), TensorData::new([2, 3], vec![6, 5, 3, 15, 11, 6]));
        let empty = TensorData::zeros(&TensorType::new(DType::F32, [0, 3]));
        let cumulative = Cumulative { axis: 0, reverse: true };
        assert_eq!(evaluate(&Op::Cumulative(cumulative), &[&empty]), empty);
    }
}
