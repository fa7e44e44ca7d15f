//! How far predicted numbers are from their targets.
//!
//! Shapes: two tensors of as many elements, of which each counts the same. NaN without elements.

use super::classification::same_number;
use kiln_ir::TensorData;

/// `mean(|prediction - target|)`, as `sklearn.metrics.mean_absolute_error`.
///
/// # Panics
/// When the numbers of elements differ.
#[track_caller]
pub fn mean_absolute_error(prediction: &TensorData, target: &TensorData) -> f64 {
    mean(residuals("mean_absolute_error", prediction, target).into_iter().map(f64::abs))
}

/// `mean((prediction - target)²)`, as `sklearn.metrics.mean_squared_error`.
///
/// # Panics
/// When the numbers of elements differ.
#[track_caller]
pub fn mean_squared_error(prediction: &TensorData, target: &TensorData) -> f64 {
    mean(residuals("mean_squared_error", prediction, target).into_iter().map(|r| r * r))
}

/// `sqrt(mean((prediction - target)²))`: in the unit of the targets.
///
/// # Panics
/// When the numbers of elements differ.
#[track_caller]
pub fn root_mean_squared_error(prediction: &TensorData, target: &TensorData) -> f64 {
    mean_squared_error(prediction, target).sqrt()
}

/// The coefficient of determination `R² = 1 - sum((target - prediction)²) / sum((target - mean(target))²)`: 1 when all are
/// right, 0 for predicting the mean, negative for worse.
///
/// Where all targets are equal, 1 when all are right and 0 otherwise, as `sklearn.metrics.r2_score`. Source: Wright,
/// *Correlation and causation*, 1921.
///
/// # Panics
/// When the numbers of elements differ.
///
/// ```
/// use kiln::prelude::*;
/// let [prediction, target] = [[2.5f32, 0.0, 2.0, 8.0], [3.0, -0.5, 2.0, 7.0]].map(|y| TensorData::new([4], y.to_vec()));
/// assert!((kiln::metrics::r_squared(&prediction, &target) - 0.9486).abs() < 1e-4);
/// ```
#[track_caller]
pub fn r_squared(prediction: &TensorData, target: &TensorData) -> f64 {
    let residuals = residuals("r_squared", prediction, target);
    explained(mean(residuals.into_iter().map(|r| r * r)), target)
}

/// `1 - var(target - prediction) / var(target)`: [`r_squared`] that forgives predictions which are all too great, or too
/// small, by the same number. As `sklearn.metrics.explained_variance_score`.
///
/// # Panics
/// When the numbers of elements differ.
#[track_caller]
pub fn explained_variance(prediction: &TensorData, target: &TensorData) -> f64 {
    explained(variance(&residuals("explained_variance", prediction, target)), target)
}

/// The share of the variance of the targets that is not in the error.
fn explained(error: f64, target: &TensorData) -> f64 {
    let spread = variance(&target.to_f64_vec());
    match (error == 0.0, spread == 0.0) {
        (true, true) => 1.0,
        (false, true) => 0.0,
        (_, false) => 1.0 - error / spread,
    }
}

#[track_caller]
fn residuals(metric: &str, prediction: &TensorData, target: &TensorData) -> Vec<f64> {
    let n = same_number(metric, prediction, target);
    (0..n).map(|i| target.get(i).as_f64() - prediction.get(i).as_f64()).collect()
}

fn mean(values: impl ExactSizeIterator<Item = f64>) -> f64 {
    let n = values.len() as f64;
    values.sum::<f64>() / n
}

fn variance(values: &[f64]) -> f64 {
    let center = mean(values.iter().copied());
    mean(values.iter().map(|value| (value - center) * (value - center)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example that the documentation of all these functions of scikit-learn has, with its numbers.
    #[test]
    fn errors_are_those_of_sklearn() {
        let target = TensorData::new([2, 2], vec![3f32, -0.5, 2.0, 7.0]);
        let prediction = TensorData::new([4], vec![2.5f32, 0.0, 2.0, 8.0]);
        assert_eq!(mean_absolute_error(&prediction, &target), 0.5);
        assert_eq!(mean_squared_error(&prediction, &target), 0.375);
        assert!((root_mean_squared_error(&prediction, &target) - 0.6123724356957946).abs() < 1e-15);
        assert!((r_squared(&prediction, &target) - 0.9486081370449679).abs() < 1e-15);
        assert!((explained_variance(&prediction, &target) - 0.9571734475374732).abs() < 1e-15);
    }

    /// `r2_score([1, 2, 3], ...)` of the same page: 0 for the mean, -3 for the reverse.
    #[test]
    fn the_mean_explains_nothing() {
        let of = |prediction: [f32; 3], target: [f32; 3]| {
            let [prediction, target] = [prediction, target].map(|y| TensorData::new([3], y.to_vec()));
            r_squared(&prediction, &target)
        };
        assert_eq!(of([2.0, 2.0, 2.0], [1.0, 2.0, 3.0]), 0.0);
        assert_eq!(of([3.0, 2.0, 1.0], [1.0, 2.0, 3.0]), -3.0);
        assert_eq!(of([-2.0; 3], [-2.0; 3]), 1.0);
        assert_eq!(of([-2.0, -2.0, -1.9], [-2.0; 3]), 0.0);
    }
}
