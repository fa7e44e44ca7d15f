//! Gather and scatter-add.

use super::number::{Number, elements, with_number};
use super::walk::{Walk, contiguous};
use crate::op::select::reference_cast;
use crate::{DType, Literal, Shape, TensorData, TensorType};

/// The operand's elements at the indices; zero where an index is outside.
pub(super) fn gather(axis: usize, x: &TensorData, indices: &TensorData) -> TensorData {
    let offsets: Vec<Option<usize>> = offsets(axis, x.shape(), indices).collect();
    let result = x.ty().with_shape(indices.shape().clone());
    let zero = Literal::zero(x.dtype());
    TensorData::from_fn(&result, |i| offsets[i].map_or(zero, |offset| x.get(offset)))
}

/// Zeros, with each update added at its index; dropped where the index is outside.
pub(super) fn scatter_add(
    axis: usize,
    updates: &TensorData,
    indices: &TensorData,
    result: &TensorType,
) -> TensorData {
    fn typed<T: Number>(
        axis: usize,
        updates: &TensorData,
        indices: &TensorData,
        result: &TensorType,
    ) -> TensorData {
        let mut totals = vec![T::ZERO; result.n_elements()];
        for (offset, update) in offsets(axis, &result.shape, indices).zip(elements::<T>(updates)) {
            if let Some(offset) = offset {
                totals[offset] = T::sum(totals[offset], update.widen());
            }
        }
        TensorData::new(result.shape.clone(), totals.into_iter().map(T::narrow).collect::<Vec<T>>())
    }
    with_number!(result.dtype, T => typed::<T>(axis, updates, indices, result))
}

/// For each index in row-major order, the offset it means in a tensor of this shape, if it is inside.
fn offsets<'a>(
    axis: usize,
    shape: &Shape,
    indices: &'a TensorData,
) -> impl Iterator<Item = Option<usize>> + 'a {
    let (extent, stride) = (shape[axis], shape.strides()[axis]);
    let mut strides = contiguous(shape);
    strides[axis] = 0;
    Walk::new(indices.shape(), 0, &strides).enumerate().map(move |(i, start)| {
        let Literal::I64(index) = reference_cast(DType::I64, indices.get(i)) else {
            unreachable!("a cast to i64 is an i64")
        };
        usize::try_from(index).ok().filter(|&index| index < extent).map(|index| start + index * stride)
    })
}

#[cfg(test)]
mod tests {
    use crate::{DType, Op, TensorData, TensorType, evaluate};

    #[test]
    fn gather_reads_zero_outside() {
        let x = TensorData::new([2, 3], vec![1f32, 2.0, 3.0, 4.0, 5.0, 6.0]);
        let indices = TensorData::new([2, 4], vec![2i64, 0, 3, -1, 1, 1, 2, i64::MAX]);
        let got = evaluate(&Op::Gather(1), &[&x, &indices]);
        assert_eq!(got, TensorData::new([2, 4], vec![3f32, 1.0, 0.0, 0.0, 5.0, 5.0, 6.0, 0.0]));
        let indices = TensorData::new([1, 3], vec![1i32, 0, 2]);
        let got = evaluate(&Op::Gather(0), &[&x, &indices]);
        assert_eq!(got, TensorData::new([1, 3], vec![4f32, 2.0, 0.0]));
        let empty = TensorData::zeros(&TensorType::new(DType::Bool, [0, 3]));
        assert_eq!(evaluate(&Op::Gather(0), &[&empty, &indices]), TensorData::new([1, 3], vec![false; 3]));
    }

    #[test]
    fn scatter_add_adds_and_drops_outside() {
        let updates = TensorData::new([2, 4], vec![1f64, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]);
        let indices = TensorData::new([2, 4], vec![2i64, 0, 3, -1, 1, 1, 2, i64::MIN]);
        let scatter = |axis, extent| evaluate(&Op::ScatterAdd { axis, extent }, &[&updates, &indices]);
        assert_eq!(scatter(1, 3), TensorData::new([2, 3], vec![2f64, 0.0, 1.0, 0.0, 11.0, 7.0]));
        // Along the first axis the update stays in its column.
        let expected = vec![0f64, 2.0, 0.0, 0.0, 5.0, 6.0, 0.0, 0.0, 1.0, 0.0, 7.0, 0.0];
        assert_eq!(scatter(0, 3), TensorData::new([3, 4], expected));
        assert_eq!(scatter(0, 0), TensorData::new([0, 4], Vec::<f64>::new()));
        let updates = TensorData::new([2], vec![200u8, 100]);
        let indices = TensorData::new([2], vec![0i32, 0]);
        let got = evaluate(&Op::ScatterAdd { axis: 0, extent: 1 }, &[&updates, &indices]);
        assert_eq!(got, TensorData::new([1], vec![44u8]));
    }
}
