//! Movement ops and iota: each is a walk over the operand, or over the result.

use super::number::{elements, with_element};
use super::walk::{Strides, Walk, contiguous};
use crate::op::{Pad, Slice};
use crate::{Axes, Element, Literal, TensorData, TensorType};

/// Each element is its index along the axis.
pub(super) fn iota(axis: usize, result: &TensorType) -> TensorData {
    let stride = result.shape.strides()[axis];
    TensorData::from_fn(result, |i| Literal::from_i64(result.dtype, (i / stride % result.shape[axis]) as i64))
}

/// The same elements in another shape.
pub(super) fn reshape(x: &TensorData, result: &TensorType) -> TensorData {
    x.clone().reshaped(result.shape.clone()).expect("the numbers of elements were checked")
}

/// Axes in another order.
pub(super) fn permute(permutation: &Axes, x: &TensorData, result: &TensorType) -> TensorData {
    let strides = contiguous(x.shape());
    let strides: Strides = permutation.iter().map(|&axis| strides[axis]).collect();
    read(x, result, 0, &strides)
}

/// Repetition along the axes that are not in `axes`.
pub(super) fn broadcast(axes: &Axes, x: &TensorData, result: &TensorType) -> TensorData {
    let mut strides: Strides = Strides::from_elem(0, result.rank());
    for (&axis, stride) in axes.iter().zip(contiguous(x.shape())) {
        strides[axis] = stride;
    }
    read(x, result, 0, &strides)
}

/// A part of each axis.
pub(super) fn slice(slice: &Slice, x: &TensorData, result: &TensorType) -> TensorData {
    let strides = contiguous(x.shape());
    let start = strides.iter().zip(&slice.start).map(|(&stride, &start)| stride * start as isize).sum();
    let strides: Strides =
        strides.iter().zip(&slice.step).map(|(&stride, &step)| stride * step as isize).collect();
    read(x, result, start, &strides)
}

/// Axes turned around.
pub(super) fn reverse(axes: &Axes, x: &TensorData) -> TensorData {
    let mut strides = contiguous(x.shape());
    let mut start = 0;
    for &axis in axes {
        start += strides[axis] * (x.shape()[axis] as isize - 1);
        strides[axis] = -strides[axis];
    }
    read(x, &x.ty(), start, &strides)
}

/// A border around and between elements.
pub(super) fn pad(pad: &Pad, x: &TensorData, result: &TensorType) -> TensorData {
    let (from, to) = (contiguous(x.shape()), contiguous(&result.shape));
    let mut kept = Axes::new();
    let (mut read_start, mut write_start) = (0, 0);
    let mut write_strides = Strides::new();
    for axis in 0..x.shape().rank() {
        // Operand element `i` goes to `low + i * step`; those from `first` up to `end` stay inside the result.
        let (low, step) = (pad.low[axis], pad.interior[axis] as i64 + 1);
        let extent = x.shape()[axis] as i64;
        let first = div_ceil((-low).max(0), step).min(extent);
        let end = div_ceil((result.shape[axis] as i64 - low).max(0), step).clamp(first, extent);
        kept.push((end - first) as usize);
        read_start += from[axis] * first as isize;
        write_start += to[axis] * (low + first * step) as isize;
        write_strides.push(to[axis] * step as isize);
    }
    let mut data = TensorData::filled(result.shape.clone(), pad.value);
    let (reads, writes) =
        (Walk::new(&kept, read_start, &from), Walk::new(&kept, write_start, &write_strides));
    copy(x, reads, &mut data, writes);
    data
}

/// Operands one after the other along the axis.
pub(super) fn concatenate(axis: usize, operands: &[&TensorData], result: &TensorType) -> TensorData {
    let strides = contiguous(&result.shape);
    let mut data = TensorData::zeros(result);
    let mut start = 0;
    for x in operands {
        copy(x, 0..x.n_elements(), &mut data, Walk::new(x.shape(), start, &strides));
        start += strides[axis] * x.shape()[axis] as isize;
    }
    data
}

/// The value whose elements are those of `x` on a walk through the result's shape.
fn read(x: &TensorData, result: &TensorType, start: isize, strides: &[isize]) -> TensorData {
    fn typed<T: Element>(x: &TensorData, result: &TensorType, walk: Walk) -> TensorData {
        let x: &[T] = elements(x);
        TensorData::new(result.shape.clone(), walk.map(|offset| x[offset]).collect::<Vec<T>>())
    }
    let walk = Walk::new(&result.shape, start, strides);
    with_element!(x.dtype(), T => typed::<T>(x, result, walk))
}

/// Copies elements from one walk to the other.
fn copy(
    x: &TensorData,
    reads: impl Iterator<Item = usize>,
    data: &mut TensorData,
    writes: impl Iterator<Item = usize>,
) {
    with_element!(x.dtype(), T => {
        let (from, to) = (elements::<T>(x), data.as_mut_slice::<T>().expect("one element type was checked"));
        for (read, write) in reads.zip(writes) {
            to[write] = from[read];
        }
    })
}

fn div_ceil(amount: i64, step: i64) -> i64 {
    (amount + step - 1) / step
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{DType, Op, Shape, evaluate};
    use smallvec::smallvec;

    fn count(shape: impl Into<Shape>) -> TensorData {
        let shape = shape.into();
        let elements = (0..shape.n_elements() as i32).collect();
        TensorData::new(shape, elements)
    }

    #[track_caller]
    fn check(op: Op, operands: &[&TensorData], shape: impl Into<Shape>, expected: &[i32]) {
        assert_eq!(evaluate(&op, operands), TensorData::new(shape, expected.to_vec()));
    }

    #[test]
    fn iota_counts_along_its_axis() {
        let iota = |axis| Op::Iota { ty: TensorType::new(DType::I32, [2, 3]), axis };
        check(iota(0), &[], [2, 3], &[0, 0, 0, 1, 1, 1]);
        check(iota(1), &[], [2, 3], &[0, 1, 2, 0, 1, 2]);
        let floats = evaluate(&Op::Iota { ty: TensorType::new(DType::F64, [2]), axis: 0 }, &[]);
        assert_eq!(floats, TensorData::new([2], vec![0f64, 1.0]));
    }

    #[test]
    fn reshape_and_permute() {
        check(Op::Reshape([3, 2].into()), &[&count([2, 3])], [3, 2], &[0, 1, 2, 3, 4, 5]);
        check(Op::Reshape(Shape::scalar()), &[&count([1, 1])], [], &[0]);
        check(Op::Permute(smallvec![1, 0]), &[&count([2, 3])], [3, 2], &[0, 3, 1, 4, 2, 5]);
        // A rotation of three axes is not its own inverse: result[i, j, k] = x[j, k, i].
        let expected = [0, 4, 8, 12, 16, 20, 1, 5, 9, 13, 17, 21, 2, 6, 10, 14, 18, 22, 3, 7, 11, 15, 19, 23];
        check(Op::Permute(smallvec![2, 0, 1]), &[&count([2, 3, 4])], [4, 2, 3], &expected);
        check(Op::Permute(smallvec![1, 0]), &[&count([0, 3])], [3, 0], &[]);
    }

    #[test]
    fn broadcast_repeats_along_new_axes() {
        let to = |shape: Shape, axes: &[usize]| Op::Broadcast { shape, axes: Axes::from_slice(axes) };
        check(to([2, 3].into(), &[1]), &[&count([3])], [2, 3], &[0, 1, 2, 0, 1, 2]);
        check(to([2, 3].into(), &[0]), &[&count([2])], [2, 3], &[0, 0, 0, 1, 1, 1]);
        check(to([2, 2, 2].into(), &[0, 2]), &[&count([2, 2])], [2, 2, 2], &[0, 1, 0, 1, 2, 3, 2, 3]);
        check(to([3].into(), &[]), &[&count([])], [3], &[0, 0, 0]);
        check(to([0, 2].into(), &[1]), &[&count([2])], [0, 2], &[]);
    }

    #[test]
    fn slice_and_reverse() {
        let part = |start: &[usize], limit: &[usize], step: &[usize]| {
            let [start, limit, step] = [start, limit, step].map(Axes::from_slice);
            Op::Slice(Slice { start, limit, step })
        };
        check(part(&[1, 0], &[3, 4], &[1, 3]), &[&count([3, 4])], [2, 2], &[4, 7, 8, 11]);
        check(part(&[2, 1], &[2, 4], &[1, 2]), &[&count([3, 4])], [0, 2], &[]);
        check(Op::Reverse(smallvec![1]), &[&count([2, 3])], [2, 3], &[2, 1, 0, 5, 4, 3]);
        check(Op::Reverse(smallvec![0, 1]), &[&count([2, 3])], [2, 3], &[5, 4, 3, 2, 1, 0]);
        check(Op::Reverse(smallvec![0]), &[&count([0, 3])], [0, 3], &[]);
    }

    #[track_caller]
    fn check_pad(n: usize, low: i64, high: i64, interior: usize, expected: &[i32]) {
        let [low, high] = [low, high].map(|amount| smallvec![amount]);
        let pad = Pad { low, high, interior: smallvec![interior], value: Literal::I32(9) };
        check(Op::Pad(pad), &[&count([n])], [expected.len()], expected);
    }

    #[test]
    fn pad_adds_spreads_and_cuts() {
        check_pad(3, 1, 2, 0, &[9, 0, 1, 2, 9, 9]);
        check_pad(3, 0, 0, 2, &[0, 9, 9, 1, 9, 9, 2]);
        check_pad(3, -1, -1, 1, &[9, 1, 9]);
        check_pad(3, -2, 0, 1, &[1, 9, 2]);
        check_pad(3, -3, 5, 0, &[9, 9, 9, 9, 9]);
        check_pad(3, 5, -5, 0, &[9, 9, 9]);
        check_pad(3, -1, -2, 0, &[]);
        check_pad(0, 1, 1, 3, &[9, 9]);
        let pad = Pad {
            low: smallvec![1, 0],
            high: smallvec![0, -1],
            interior: smallvec![0, 1],
            value: Literal::I32(9),
        };
        check(Op::Pad(pad), &[&count([1, 2])], [2, 2], &[9, 9, 0, 9]);
    }

    #[test]
    fn concatenate_puts_operands_side_by_side() {
        let (a, b) = (count([2, 1]), count([2, 2]));
        check(Op::Concatenate(1), &[&a, &b, &a], [2, 4], &[0, 0, 1, 0, 1, 2, 3, 1]);
        let (a, b) = (count([1, 2]), count([0, 2]));
        check(Op::Concatenate(0), &[&b, &a, &a], [2, 2], &[0, 1, 0, 1]);
    }

    #[test]
    fn every_element_type_moves() {
        for dtype in DType::ALL {
            let x = TensorData::from_fn(&TensorType::new(dtype, [2]), |i| Literal::from_i64(dtype, i as i64));
            let reversed = evaluate(&Op::Reverse(smallvec![0]), &[&x]);
            let joined = evaluate(&Op::Concatenate(0), &[&x, &reversed]);
            assert_eq!((joined.dtype(), joined.to_f64_vec()), (dtype, vec![0.0, 1.0, 1.0, 0.0]));
        }
    }
}
