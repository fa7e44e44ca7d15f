//! What is reported beside the loss.

use kiln_ir::TensorData;

/// The share of samples whose greatest score is that of their label; NaN without samples.
///
/// Shapes: `scores: [n, classes]`, `labels: [n]`. A sample whose scores hold a NaN is not counted as right.
///
/// # Panics
/// When the shapes are others.
///
/// ```
/// use kiln::prelude::*;
/// let scores = TensorData::new([2, 3], vec![0.1f32, 0.7, 0.2, 0.5, 0.3, 0.2]);
/// assert_eq!(kiln::metrics::accuracy(&scores, &TensorData::new([2], vec![1i64, 2])), 0.5);
/// ```
#[track_caller]
pub fn accuracy(scores: &TensorData, labels: &TensorData) -> f64 {
    let (n, classes) = match (&scores.shape()[..], &labels.shape()[..]) {
        (&[n, classes], &[m]) if n == m => (n, classes),
        _ => panic!(
            "accuracy takes scores [n, classes] and labels [n], not {} and {}",
            scores.ty(),
            labels.ty()
        ),
    };
    let is_right = |sample: usize| {
        let score = |class: usize| scores.get(sample * classes + class).as_f64();
        let label = labels.get(sample).as_f64();
        // The first greatest one counts, as in `argmax`.
        let best = (0..classes).reduce(|best, class| if score(class) > score(best) { class } else { best });
        (0..classes).all(|class| !score(class).is_nan()) && best.is_some_and(|best| best as f64 == label)
    };
    (0..n).filter(|&sample| is_right(sample)).count() as f64 / n as f64
}
