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
