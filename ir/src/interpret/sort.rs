//! Orders along an axis.

use super::number::{Ordered, elements, with_element};
use super::walk::{Walk, contiguous};
use crate::TensorData;
use crate::op::sort::ArgSort;
use std::cmp::Ordering;

/// The indices of the elements along an axis in their order.
pub(super) fn argsort(sort: ArgSort, x: &TensorData) -> TensorData {
    fn typed<T: Ordered>(ArgSort { axis, descending }: ArgSort, x: &TensorData) -> TensorData {
        let (extent, stride) = (x.shape()[axis], x.shape().strides()[axis]);
        let from: &[T] = elements(x);
        let mut to = vec![0i64; from.len()];
        for start in Walk::new(&x.shape().with_extent(axis, 1.min(extent)), 0, &contiguous(x.shape())) {
            let at = |i: usize| from[start + stride * i];
            let mut order: Vec<usize> = (0..extent).collect();
            // A stable sort, also in decreasing order: there the comparison is turned around, not the result.
            order.sort_by(|&i, &j| if descending { compare(at(j), at(i)) } else { compare(at(i), at(j)) });
            order.into_iter().enumerate().for_each(|(place, i)| to[start + stride * place] = i as i64);
        }
        TensorData::new(x.shape().clone(), to)
    }
    with_element!(x.dtype(), T => typed::<T>(sort, x))
}

/// The order of two elements, NaN after all others.
fn compare<T: Ordered>(a: T, b: T) -> Ordering {
    a.partial_cmp(&b).unwrap_or_else(|| a.is_nan().cmp(&b.is_nan()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Op, evaluate};

    fn order(x: &TensorData, axis: usize, descending: bool) -> TensorData {
        evaluate(&Op::ArgSort(ArgSort { axis, descending }), &[x])
    }

    #[test]
    fn equal_elements_keep_their_order_and_nan_is_the_greatest() {
        let x = TensorData::new([6], vec![2f32, f32::NAN, -0.0, 2.0, 0.0, f32::INFINITY]);
        assert_eq!(order(&x, 0, false), TensorData::new([6], vec![2i64, 4, 0, 3, 5, 1]));
        assert_eq!(order(&x, 0, true), TensorData::new([6], vec![1i64, 5, 0, 3, 2, 4]));
    }

    #[test]
    fn each_line_of_an_axis_has_an_order_of_its_own() {
        let x = TensorData::new([2, 3], vec![3i32, 1, 2, -1, 5, 2]);
        assert_eq!(order(&x, 1, false), TensorData::new([2, 3], vec![1i64, 2, 0, 0, 2, 1]));
        assert_eq!(order(&x, 0, false), TensorData::new([2, 3], vec![1i64, 0, 0, 0, 1, 1]));
        assert_eq!(order(&x, 0, true), TensorData::new([2, 3], vec![0i64, 1, 0, 1, 0, 1]));
    }

    #[test]
    fn truth_values_and_nothing_have_orders_too() {
        let x = TensorData::new([3], vec![true, false, true]);
        assert_eq!(order(&x, 0, false), TensorData::new([3], vec![1i64, 0, 2]));
        let empty = TensorData::new([0, 2], Vec::<f64>::new());
        assert_eq!(order(&empty, 0, false), TensorData::new([0, 2], Vec::<i64>::new()));
        assert_eq!(order(&empty, 1, false), TensorData::new([0, 2], Vec::<i64>::new()));
    }
}
