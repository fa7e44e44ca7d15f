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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::op::Pad;
    use crate::{DType, Literal, Op, Tolerance, compare, evaluate, random_data};
    use smallvec::{SmallVec, smallvec};

    fn pairs(pairs: &[(usize, usize)]) -> SmallVec<[(usize, usize); 3]> {
        SmallVec::from_slice(pairs)
    }

    #[test]
    fn dot_by_hand() {
        let a = TensorData::new([2, 3], vec![1i64, 2, 3, 4, 5, 6]);
        let b = TensorData::new([3, 2], vec![1i64, 0, -1, 2, 10, 3]);
        let dot = |batch: &[_], contract: &[_]| {
            evaluate(&Op::Dot(Dot { batch: pairs(batch), contract: pairs(contract) }), &[&a, &b])
        };
        assert_eq!(dot(&[], &[(1, 0)]), TensorData::new([2, 2], vec![29i64, 13, 59, 28]));
        assert_eq!(dot(&[], &[(0, 1)]), TensorData::new([3, 3], vec![1i64, 7, 22, 2, 8, 35, 3, 9, 48]));
        assert_eq!(dot(&[], &[(1, 0), (0, 1)]), TensorData::scalar(57i64));
        assert_eq!(dot(&[(0, 1)], &[(1, 0)]), TensorData::new([2], vec![29i64, 28]));
        assert_eq!(dot(&[(1, 0), (0, 1)], &[]), TensorData::new([3, 2], vec![1i64, 0, -2, 10, 30, 18]));
        assert_eq!(dot(&[], &[]).shape().extents(), [2, 3, 3, 2]);
    }

    /// Against a formula written over single indices: broadcast both to all axes, multiply, reduce.
    #[test]
    fn dot_with_batch_and_contracted_axes_between_free_ones() {
        let lhs = random_data(&TensorType::new(DType::F64, [3, 2, 4, 5]), 1, -1.0..1.0);
        let rhs = random_data(&TensorType::new(DType::F64, [5, 6, 2, 3]), 2, -1.0..1.0);
        let op = Dot { batch: pairs(&[(1, 2)]), contract: pairs(&[(3, 0), (0, 3)]) };
        let got = evaluate(&Op::Dot(op), &[&lhs, &rhs]);
        let (l, r) = (lhs.to_f64_vec(), rhs.to_f64_vec());
        let mut expected = Vec::new();
        for (b, i, j) in (0..2 * 4 * 6).map(|n| (n / 24, n / 6 % 4, n % 6)) {
            let term =
                |(k, m): (usize, usize)| l[((m * 2 + b) * 4 + i) * 5 + k] * r[((k * 6 + j) * 2 + b) * 3 + m];
            expected.push((0..15).map(|n| (n / 3, n % 3)).map(term).sum::<f64>());
        }
        compare(&got, &TensorData::new([2, 4, 6], expected), Tolerance::mixed(1e-14)).unwrap();
    }

    #[test]
    fn dot_of_nothing_is_zero_and_rounds_once() {
        let matrix = Dot { batch: smallvec![], contract: pairs(&[(1, 0)]) };
        let [a, b] = [[2, 0], [0, 3]].map(|shape| TensorData::zeros(&TensorType::new(DType::F32, shape)));
        let got = evaluate(&Op::Dot(matrix), &[&a, &b]);
        assert_eq!(got, TensorData::new([2, 3], vec![0f32; 6]));
        let rows = Dot { batch: smallvec![], contract: pairs(&[(1, 1)]) };
        let got = evaluate(&Op::Dot(rows), &[&b, &b]);
        assert_eq!(got.ty(), TensorType::new(DType::F32, [0, 0]));
        let vector = Dot { batch: smallvec![], contract: pairs(&[(0, 0)]) };
        let (a, b) =
            (TensorData::new([3], vec![1e8f32, 1.0, 1e8]), TensorData::new([3], vec![1f32, 1.0, -1.0]));
        assert_eq!(evaluate(&Op::Dot(vector), &[&a, &b]), TensorData::scalar(1f32));
    }

    #[test]
    fn conv_by_hand() {
        let x = TensorData::new([1, 1, 4], vec![1i32, 2, 3, 4]);
        let kernel = TensorData::new([1, 1, 2], vec![1i32, 10]);
        let mut conv = Conv::plain(1);
        let elements = |conv: &Conv| evaluate(&Op::Conv(conv.clone()), &[&x, &kernel]).to_f64_vec();
        assert_eq!(elements(&conv), [21.0, 32.0, 43.0]);
        conv.padding = smallvec![(1, -1)];
        assert_eq!(elements(&conv), [10.0, 21.0, 32.0]);
        conv.padding = smallvec![(-1, 2)];
        assert_eq!(elements(&conv), [32.0, 43.0, 4.0, 0.0]);
        conv = Conv { strides: smallvec![2], rhs_dilation: smallvec![2], ..Conv::plain(1) };
        assert_eq!(elements(&conv), [31.0]);
        conv = Conv { lhs_dilation: smallvec![2], ..Conv::plain(1) };
        assert_eq!(elements(&conv), [1.0, 20.0, 2.0, 30.0, 3.0, 40.0]);
    }

    /// Against explicit patches: pad and dilate by `pad`, cut each patch out, and multiply element by element.
    #[track_caller]
    fn check_by_patches(conv: &Conv, x_shape: &[usize], kernel_shape: &[usize]) {
        let x = random_data(&TensorType::new(DType::F64, x_shape), 1, -1.0..1.0);
        let kernel = random_data(&TensorType::new(DType::F64, kernel_shape), 2, -1.0..1.0);
        let got = evaluate(&Op::Conv(conv.clone()), &[&x, &kernel]);
        let amounts =
            |side: fn(&(i64, i64)) -> i64| [0, 0].into_iter().chain(conv.padding.iter().map(side)).collect();
        let pad = Pad {
            low: amounts(|pair| pair.0),
            high: amounts(|pair| pair.1),
            interior: [0, 0].into_iter().chain(conv.lhs_dilation.iter().map(|d| d - 1)).collect(),
            value: Literal::F64(0.0),
        };
        let padded = evaluate(&Op::Pad(pad), &[&x]);
        let (per_group, filters_per_group) = (kernel_shape[1], kernel_shape[0] / conv.groups);
        let expected = TensorData::from_fn(&got.ty(), |i| {
            let at = index(got.shape(), i);
            let channel = at[1] / filters_per_group * per_group;
            let patch = (0..kernel.n_elements() / kernel_shape[0]).map(|tap| {
                let k = index(&kernel_shape[1..], tap);
                let mut from = vec![at[0], channel + k[0]];
                let spatial = 0..conv.n_spatial();
                from.extend(spatial.map(|a| at[a + 2] * conv.strides[a] + k[a + 1] * conv.rhs_dilation[a]));
                let weight = kernel.get(at[1] * kernel.n_elements() / kernel_shape[0] + tap).as_f64();
                padded.get(offset(padded.shape(), &from)).as_f64() * weight
            });
            Literal::F64(patch.sum())
        });
        compare(&got, &expected, Tolerance::mixed(1e-13)).unwrap();
    }

    fn index(shape: &[usize], mut i: usize) -> Vec<usize> {
        let mut index: Vec<usize> = shape
            .iter()
            .rev()
            .map(|&extent| {
                let at = i % extent;
                i /= extent;
                at
            })
            .collect();
        index.reverse();
        index
    }

    fn offset(shape: &[usize], index: &[usize]) -> usize {
        shape.iter().zip(index).fold(0, |offset, (extent, i)| offset * extent + i)
    }

    #[test]
    fn conv_against_patches() {
        check_by_patches(&Conv::plain(1), &[2, 3, 7], &[4, 3, 3]);
        check_by_patches(&Conv::plain(2), &[2, 3, 5, 6], &[4, 3, 3, 2]);
        check_by_patches(&Conv::plain(3), &[2, 2, 4, 3, 5], &[3, 2, 2, 1, 3]);
        let two_groups = Conv {
            strides: smallvec![2, 1],
            padding: smallvec![(1, 2), (0, 3)],
            rhs_dilation: smallvec![1, 2],
            groups: 2,
            ..Conv::plain(2)
        };
        check_by_patches(&two_groups, &[2, 4, 7, 5], &[6, 2, 3, 2]);
        let depthwise = Conv {
            lhs_dilation: smallvec![2, 3],
            padding: smallvec![(-1, 1), (2, -2)],
            groups: 3,
            ..two_groups
        };
        check_by_patches(&depthwise, &[1, 3, 4, 3], &[3, 1, 2, 2]);
    }

    #[test]
    fn conv_of_nothing() {
        check_by_patches(&Conv::plain(1), &[0, 3, 7], &[4, 3, 3]);
        check_by_patches(&Conv::plain(1), &[2, 0, 7], &[4, 0, 3]);
        check_by_patches(&Conv::plain(1), &[2, 3, 2], &[4, 3, 3]);
        let padded = Conv { padding: smallvec![(2, 2)], ..Conv::plain(1) };
        check_by_patches(&padded, &[2, 3, 0], &[4, 3, 3]);
    }
}
