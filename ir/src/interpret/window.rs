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
