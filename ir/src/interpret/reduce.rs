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
