//! Window reductions, and the two that follow the greatest element.

use super::number::{Number, elements, with_number};
use super::taps::{Meeting, taps, window_axes};
use crate::op::{ReduceOp, Window, WindowOp};
use crate::{Literal, TensorData, TensorType};

/// A window op on its operands.
pub(super) fn window(
    op: WindowOp,
    window: &Window,
    operands: &[&TensorData],
    result: &TensorType,
) -> TensorData {
    with_number!(result.dtype, T => match op {
        WindowOp::Max => {
            let lowest = ReduceOp::Max.identity(result.dtype);
            picked::<T>(window, operands[0], operands[0], lowest, result)
        }
        WindowOp::Pick => {
            picked::<T>(window, operands[0], operands[1], Literal::zero(result.dtype), result)
        }
        WindowOp::Sum => sum::<T>(window, operands[0], result),
        WindowOp::Put => put::<T>(window, operands[0], operands[1]),
    })
}

/// The tensors as planes: the part the window slides over, once for each index of the axes before it.
struct Planes {
    taps: Vec<Vec<Meeting>>,
    n_planes: usize,
    /// Elements of the operand in a plane.
    inputs: usize,
    /// Windows in a plane.
    windows: usize,
}

impl Planes {
    fn new(window: &Window, x: &[usize], windows: &[usize]) -> Planes {
        let lead = x.len() - window.sizes.len();
        Planes {
            taps: taps(&window_axes(window, x, windows)),
            n_planes: x[..lead].iter().product(),
            inputs: x[lead..].iter().product(),
            windows: windows[lead..].iter().product(),
        }
    }

    /// For each window, in row-major order over all planes, the offset of its greatest element, if it has any.
    fn greatest<T: Number>(&self, x: &[T]) -> Vec<Option<usize>> {
        let mut greatest: Vec<Option<usize>> = vec![None; self.n_planes * self.windows];
        for plane in 0..self.n_planes {
            let (x_start, start) = (plane * self.inputs, plane * self.windows);
            // Taps come in row-major order of the window, so that the first of equal elements stays.
            for &(to, from) in self.taps.iter().flatten() {
                let best = &mut greatest[start + to];
                if best.is_none_or(|best| x[x_start + from].is_above(x[best])) {
                    *best = Some(x_start + from);
                }
            }
        }
        greatest
    }
}

/// Of each window, the element of `values` where `x` is greatest, or `nothing` where the window lies on padding alone.
fn picked<T: Number>(
    window: &Window,
    x: &TensorData,
    values: &TensorData,
    nothing: Literal,
    result: &TensorType,
) -> TensorData {
    let planes = Planes::new(window, x.shape(), &result.shape);
    let (greatest, values): (_, &[T]) = (planes.greatest::<T>(elements(x)), elements(values));
    let mut data = TensorData::filled(result.shape.clone(), nothing);
    let picked = data.as_mut_slice::<T>().expect("it is of the result's type");
    for (value, best) in picked.iter_mut().zip(greatest) {
        if let Some(best) = best {
            *value = values[best];
        }
    }
    data
}

fn put<T: Number>(window: &Window, x: &TensorData, updates: &TensorData) -> TensorData {
    let planes = Planes::new(window, x.shape(), updates.shape());
    let mut totals = vec![T::ZERO; x.n_elements()];
    for (best, update) in planes.greatest::<T>(elements(x)).into_iter().zip(elements::<T>(updates)) {
        if let Some(best) = best {
            totals[best] = T::sum(totals[best], update.widen());
        }
    }
    TensorData::new(x.shape().clone(), totals.into_iter().map(T::narrow).collect::<Vec<T>>())
}

fn sum<T: Number>(window: &Window, x: &TensorData, result: &TensorType) -> TensorData {
    let planes = Planes::new(window, x.shape(), &result.shape);
    let x: &[T] = elements(x);
    let mut totals = vec![T::ZERO; result.n_elements()];
    for plane in 0..planes.n_planes {
        for &(to, from) in planes.taps.iter().flatten() {
            let total = &mut totals[plane * planes.windows + to];
            *total = T::sum(*total, x[plane * planes.inputs + from].widen());
        }
    }
    TensorData::new(result.shape.clone(), totals.into_iter().map(T::narrow).collect::<Vec<T>>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Axes, DType, Op, evaluate};
    use smallvec::SmallVec;

    fn geometry(sizes: &[usize], strides: &[usize], padding: &[(i64, i64)], dilations: &[usize]) -> Window {
        let [sizes, strides, dilations] = [sizes, strides, dilations].map(Axes::from_slice);
        Window { sizes, strides, padding: SmallVec::from_slice(padding), dilations }
    }

    fn evaluate_on(op: WindowOp, window: &Window, operands: &[&TensorData]) -> TensorData {
        evaluate(&Op::Window(op, window.clone()), operands)
    }

    #[test]
    fn plain_windows_over_the_last_axes() {
        let x = TensorData::new([2, 2, 3], vec![1i32, 2, 3, 4, 5, 6, 9, 8, 7, 6, 5, 4]);
        let pairs = geometry(&[2, 2], &[1, 1], &[(0, 0); 2], &[1, 1]);
        assert_eq!(evaluate_on(WindowOp::Max, &pairs, &[&x]), TensorData::new([2, 1, 2], vec![5, 6, 9, 8]));
        assert_eq!(
            evaluate_on(WindowOp::Sum, &pairs, &[&x]),
            TensorData::new([2, 1, 2], vec![12, 16, 28, 24])
        );
        let values = TensorData::new([2, 2, 3], (0..12).collect::<Vec<i32>>());
        let picked = evaluate_on(WindowOp::Pick, &pairs, &[&x, &values]);
        assert_eq!(picked, TensorData::new([2, 1, 2], vec![4, 5, 6, 7]));
        let updates = TensorData::new([2, 1, 2], vec![10, 20, 30, 40]);
        let put = evaluate_on(WindowOp::Put, &pairs, &[&x, &updates]);
        assert_eq!(put, TensorData::new([2, 2, 3], vec![0, 0, 0, 0, 10, 20, 30, 40, 0, 0, 0, 0]));
    }

    #[test]
    fn strides_dilation_and_padding() {
        let x = TensorData::new([5], vec![1f32, 2.0, 3.0, 4.0, 5.0]);
        let sum = |size, stride, padding, dilation| {
            evaluate_on(WindowOp::Sum, &geometry(&[size], &[stride], &[padding], &[dilation]), &[&x])
                .to_f64_vec()
        };
        assert_eq!(sum(2, 2, (0, 0), 1), [3.0, 7.0]);
        assert_eq!(sum(2, 1, (0, 0), 3), [5.0, 7.0]);
        assert_eq!(sum(3, 2, (1, 1), 1), [3.0, 9.0, 9.0]);
        assert_eq!(sum(3, 2, (2, 0), 2), [4.0, 9.0]);
        assert_eq!(sum(6, 1, (0, 0), 1), [0.0; 0]);
    }

    #[test]
    fn the_first_greatest_element_is_picked_nan_above_all() {
        let x = TensorData::new([2, 3], vec![7f32, 7.0, f32::NAN, 1.0, 7.0, f32::NAN]);
        let values = TensorData::new([2, 3], vec![0f32, 1.0, 2.0, 3.0, 4.0, 5.0]);
        let columns = geometry(&[2, 1], &[1, 1], &[(0, 0); 2], &[1, 1]);
        assert_eq!(evaluate_on(WindowOp::Pick, &columns, &[&x, &values]).to_f64_vec(), [0.0, 1.0, 2.0]);
        let max = evaluate_on(WindowOp::Max, &columns, &[&x]).to_f64_vec();
        assert_eq!(max[..2], [7.0, 7.0]);
        assert!(max[2].is_nan());
        let squares = geometry(&[2, 2], &[1, 1], &[(0, 0); 2], &[1, 1]);
        assert_eq!(evaluate_on(WindowOp::Pick, &squares, &[&x, &values]).to_f64_vec(), [0.0, 2.0]);
    }

    #[test]
    fn elements_win_over_padding_and_padding_alone_is_the_identity() {
        let lowest = TensorData::new([1], vec![f32::NEG_INFINITY]);
        let ones = TensorData::new([1], vec![1f32]);
        let window = geometry(&[2], &[1], &[(2, 2)], &[1]);
        assert_eq!(
            evaluate_on(WindowOp::Pick, &window, &[&lowest, &ones]).to_f64_vec(),
            [0.0, 1.0, 1.0, 0.0]
        );
        let max = evaluate_on(WindowOp::Max, &window, &[&TensorData::new([1], vec![-3i32])]);
        assert_eq!(max, TensorData::new([4], vec![i32::MIN, -3, -3, i32::MIN]));
        let updates = TensorData::new([4], vec![1f32, 2.0, 4.0, 8.0]);
        assert_eq!(evaluate_on(WindowOp::Put, &window, &[&lowest, &updates]).to_f64_vec(), [6.0]);
    }

    #[test]
    fn put_is_the_transpose_of_pick() {
        let window = geometry(&[3, 2], &[2, 1], &[(1, 1), (0, 1)], &[1, 2]);
        let ty = TensorType::new(DType::F64, [2, 5, 4]);
        let [x, values] = [1, 2].map(|seed| crate::random_data(&ty, seed, -1.0..1.0));
        let picked = evaluate_on(WindowOp::Pick, &window, &[&x, &values]);
        let updates = crate::random_data(&picked.ty(), 3, -1.0..1.0);
        let put = evaluate_on(WindowOp::Put, &window, &[&x, &updates]);
        let product = |a: &TensorData, b: &TensorData| -> f64 {
            a.to_f64_vec().iter().zip(b.to_f64_vec()).map(|(a, b)| a * b).sum()
        };
        assert!((product(&picked, &updates) - product(&values, &put)).abs() < 1e-12);
    }

    #[test]
    fn zero_extents() {
        let x = TensorData::zeros(&TensorType::new(DType::F32, [0, 3]));
        let window = geometry(&[2], &[1], &[(0, 0)], &[1]);
        assert_eq!(evaluate_on(WindowOp::Max, &window, &[&x]).ty(), TensorType::new(DType::F32, [0, 2]));
        let x = TensorData::zeros(&TensorType::new(DType::F32, [2, 0]));
        assert_eq!(evaluate_on(WindowOp::Sum, &window, &[&x]).ty(), TensorType::new(DType::F32, [2, 0]));
        let padded = geometry(&[2], &[1], &[(1, 1)], &[1]);
        assert_eq!(evaluate_on(WindowOp::Sum, &padded, &[&x]).to_f64_vec(), [0.0, 0.0]);
    }
}
