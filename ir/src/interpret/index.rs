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
