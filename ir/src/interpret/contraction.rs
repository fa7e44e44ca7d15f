//! The dot product and convolution.

use super::number::{Number, elements, with_number};
use super::taps::{conv_axes, taps};
use super::walk::{Walk, contiguous};
use crate::op::{Conv, Dot};
use crate::{TensorData, TensorType};

/// Sum of products over the contracted axes.
pub(super) fn dot(dot: &Dot, lhs: &TensorData, rhs: &TensorData, result: &TensorType) -> TensorData {
    fn typed<T: Number>(dot: &Dot, lhs: &TensorData, rhs: &TensorData, result: &TensorType) -> TensorData {
        let left = |axes: &mut dyn Iterator<Item = usize>| offsets(lhs, axes);
        let right = |axes: &mut dyn Iterator<Item = usize>| offsets(rhs, axes);
        let batch = left(&mut dot.batch.iter().map(|pair| pair.0));
        let rhs_batch = right(&mut dot.batch.iter().map(|pair| pair.1));
        let contract = left(&mut dot.contract.iter().map(|pair| pair.0));
        let rhs_contract = right(&mut dot.contract.iter().map(|pair| pair.1));
        let rows = left(&mut dot.lhs_free(lhs.shape().rank()).into_iter());
        let columns = right(&mut dot.rhs_free(rhs.shape().rank()).into_iter());
        let (a, b): (&[T], &[T]) = (elements(lhs), elements(rhs));
        let mut out = Vec::with_capacity(result.n_elements());
        for (lhs_start, rhs_start) in batch.iter().zip(&rhs_batch) {
            for row in &rows {
                for column in &columns {
                    let mut total = T::ZERO;
                    for (i, j) in contract.iter().zip(&rhs_contract) {
                        let (a, b) = (a[lhs_start + row + i], b[rhs_start + column + j]);
                        total = T::sum(total, T::product(a.widen(), b.widen()));
                    }
                    out.push(T::narrow(total));
                }
            }
        }
        TensorData::new(result.shape.clone(), out)
    }
    with_number!(result.dtype, T => typed::<T>(dot, lhs, rhs, result))
}

/// The offset of each index of some axes, in row-major order.
fn offsets(x: &TensorData, axes: &mut dyn Iterator<Item = usize>) -> Vec<usize> {
    let strides = contiguous(x.shape());
    let (extents, strides): (Vec<usize>, Vec<isize>) =
        axes.map(|axis| (x.shape()[axis], strides[axis])).unzip();
    Walk::new(&extents, 0, &strides).collect()
}

/// Convolution.
pub(super) fn conv(conv: &Conv, x: &TensorData, kernel: &TensorData, result: &TensorType) -> TensorData {
    fn typed<T: Number>(conv: &Conv, x: &TensorData, kernel: &TensorData, result: &TensorType) -> TensorData {
        let taps = taps(&conv_axes(conv, x.shape(), kernel.shape(), &result.shape));
        let (n, c, o) = (x.shape()[0], x.shape()[1], kernel.shape()[0]);
        let (c_group, o_group) = (c / conv.groups, o / conv.groups);
        let plane: usize = x.shape()[2..].iter().product();
        let (x, kernel): (&[T], &[T]) = (elements(x), elements(kernel));
        let mut totals = vec![T::ZERO; result.shape[2..].iter().product()];
        let mut out = Vec::with_capacity(result.n_elements());
        for (image, filter) in (0..n).flat_map(|image| (0..o).map(move |filter| (image, filter))) {
            totals.fill(T::ZERO);
            for channel in 0..c_group {
                let start = (image * c + filter / o_group * c_group + channel) * plane;
                let x = &x[start..start + plane];
                let weights = &kernel[(filter * c_group + channel) * taps.len()..][..taps.len()];
                for (meetings, weight) in taps.iter().zip(weights) {
                    let weight = weight.widen();
                    for &(to, from) in meetings {
                        totals[to] = T::sum(totals[to], T::product(x[from].widen(), weight));
                    }
                }
            }
            out.extend(totals.iter().map(|&total| T::narrow(total)));
        }
        TensorData::new(result.shape.clone(), out)
    }
    with_number!(result.dtype, T => typed::<T>(conv, x, kernel, result))
}
