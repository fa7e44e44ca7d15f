//! How well scores name classes.

use kiln_ir::TensorData;

/// The share of samples whose greatest score is that of their label; NaN without samples.
///
/// Shapes: `scores: [.., classes]`, `labels: [..]`. Of equal scores the first counts, as in `argmax`; a sample whose scores
/// hold a NaN is not counted as right. As `sklearn.metrics.accuracy_score(labels, scores.argmax(-1))`.
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
    top_k_accuracy(scores, labels, 1)
}

/// The share of samples whose label is among the `k` classes of the greatest scores; NaN without samples.
///
/// Shapes, equal scores and NaN: as [`accuracy`]. As `sklearn.metrics.top_k_accuracy_score` where no scores are equal.
///
/// # Panics
/// When the shapes are others.
#[track_caller]
pub fn top_k_accuracy(scores: &TensorData, labels: &TensorData, k: usize) -> f64 {
    let (n, n_classes) = shapes("accuracy", scores, labels);
    let is_right = |sample: usize| {
        let scores: Vec<f64> = row(scores, sample, n_classes).collect();
        let Some(label) = class(labels, sample, n_classes) else { return false };
        let own = scores[label];
        let comes_before = |&(class, &score): &(usize, &f64)| score > own || score == own && class < label;
        !scores.iter().any(|score| score.is_nan())
            && scores.iter().enumerate().filter(comes_before).count() < k
    };
    (0..n).filter(|&sample| is_right(sample)).count() as f64 / n as f64
}

/// The share of samples that are on the right side of a threshold: label 1 above it, label 0 not; NaN without samples.
///
/// Shapes: `scores` and `labels` of as many elements. With logits the threshold is 0, with probabilities 0.5.
///
/// # Panics
/// When the numbers of elements differ.
#[track_caller]
pub fn binary_accuracy(scores: &TensorData, labels: &TensorData, threshold: f64) -> f64 {
    let n = same_number("binary_accuracy", scores, labels);
    let is_right = |i: &usize| {
        let score = scores.get(*i).as_f64();
        !score.is_nan() && f64::from(score > threshold) == labels.get(*i).as_f64()
    };
    (0..n).filter(is_right).count() as f64 / n as f64
}

/// The area under the receiver operating characteristic: how likely a random sample of label 1 has a greater score than a
/// random sample of label 0, where equal scores count half. NaN when there are not both.
///
/// `(R - n1 (n1 + 1) / 2) / (n1 n0)`, with `R` the sum of the ranks of the `n1` samples of label 1, equal scores sharing
/// their mean rank. Shapes: `scores` and `labels` of as many elements. Source: Hanley and McNeil, *The Meaning and Use of
/// the Area under a Receiver Operating Characteristic (ROC) Curve*, 1982; as `sklearn.metrics.roc_auc_score`.
///
/// # Panics
/// When the numbers of elements differ.
#[track_caller]
pub fn roc_auc(scores: &TensorData, labels: &TensorData) -> f64 {
    let n = same_number("roc_auc", scores, labels);
    let mut samples: Vec<(f64, bool)> =
        (0..n).map(|i| (scores.get(i).as_f64(), labels.get(i).as_f64() == 1.0)).collect();
    if samples.iter().any(|(score, _)| score.is_nan()) {
        return f64::NAN;
    }
    samples.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (mut rank_sum, mut n_before) = (0.0, 0);
    for equal in samples.chunk_by(|a, b| a.0 == b.0) {
        let mean_rank = n_before as f64 + (equal.len() + 1) as f64 / 2.0;
        rank_sum += mean_rank * equal.iter().filter(|sample| sample.1).count() as f64;
        n_before += equal.len();
    }
    let n1 = samples.iter().filter(|sample| sample.1).count() as f64;
    let n0 = n as f64 - n1;
    (rank_sum - n1 * (n1 + 1.0) / 2.0) / (n1 * n0)
}

/// Number of samples and of classes.
#[track_caller]
pub(super) fn shapes(metric: &str, scores: &TensorData, labels: &TensorData) -> (usize, usize) {
    match scores.shape().split_last() {
        Some((&n_classes, samples)) if *samples == labels.shape()[..] => (labels.n_elements(), n_classes),
        Some(_) | None => panic!(
            "{metric} takes scores [.., classes] and labels [..], not {} and {}",
            scores.ty(),
            labels.ty()
        ),
    }
}

#[track_caller]
pub(super) fn same_number(metric: &str, a: &TensorData, b: &TensorData) -> usize {
    let n = a.n_elements();
    assert!(
        n == b.n_elements(),
        "{metric} takes two tensors of as many elements, not {} and {}",
        a.ty(),
        b.ty()
    );
    n
}

/// The scores of a sample.
fn row(scores: &TensorData, sample: usize, n_classes: usize) -> impl Iterator<Item = f64> {
    (0..n_classes).map(move |class| scores.get(sample * n_classes + class).as_f64())
}

/// The label of a sample, if it is one of the classes.
pub(super) fn class(labels: &TensorData, sample: usize, n_classes: usize) -> Option<usize> {
    let label = labels.get(sample).as_f64();
    (label >= 0.0 && label < n_classes as f64 && label.fract() == 0.0).then_some(label as usize)
}

/// The class of the greatest score of a sample, the first of equal ones; nothing without classes, or where a score is NaN.
pub(super) fn argmax(scores: &TensorData, sample: usize, n_classes: usize) -> Option<usize> {
    let mut best: Option<(usize, f64)> = None;
    for (class, score) in row(scores, sample, n_classes).enumerate() {
        if score.is_nan() {
            return None;
        }
        if best.is_none_or(|(_, greatest)| score > greatest) {
            best = Some((class, score));
        }
    }
    best.map(|(class, _)| class)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scores() -> TensorData {
        TensorData::new([4, 3], vec![0.5f32, 0.2, 0.2, 0.3, 0.4, 0.2, 0.2, 0.4, 0.3, 0.7, 0.2, 0.1])
    }

    /// The example in the documentation of `sklearn.metrics.top_k_accuracy_score`.
    #[test]
    fn labels_among_the_best_are_right() {
        let labels = TensorData::new([4], vec![0i64, 1, 2, 2]);
        assert_eq!(top_k_accuracy(&scores(), &labels, 2), 0.75);
        assert_eq!(top_k_accuracy(&scores(), &labels, 3), 1.0);
        assert_eq!(accuracy(&scores(), &labels), 0.5);
        let (pairs, labels) = (scores().reshaped([2, 2, 3]).unwrap(), labels.reshaped([2, 2]).unwrap());
        assert_eq!(accuracy(&pairs, &labels), 0.5);
    }

    #[test]
    fn the_first_of_equal_scores_counts_and_nan_is_never_right() {
        let scores = TensorData::new([3, 2], vec![1f32, 1.0, 1.0, 1.0, f32::NAN, 1.0]);
        assert_eq!(accuracy(&scores, &TensorData::new([3], vec![0i64, 1, 1])), 1.0 / 3.0);
        assert_eq!(accuracy(&scores, &TensorData::new([3], vec![0i64, 7, -1])), 1.0 / 3.0);
        assert!(
            accuracy(&TensorData::new([0, 2], vec![0f32; 0]), &TensorData::new([0], vec![0i64; 0])).is_nan()
        );
    }

    #[test]
    fn binary_labels_are_beside_a_threshold() {
        let logits = TensorData::new([4, 1], vec![-1f32, 0.5, 2.0, f32::NAN]);
        let labels = TensorData::new([4, 1], vec![0f32, 0.0, 1.0, 1.0]);
        assert_eq!(binary_accuracy(&logits, &labels, 0.0), 0.5);
        assert_eq!(binary_accuracy(&logits, &labels, 1.0), 0.75);
    }

    /// The first is the example in the documentation of `sklearn.metrics.roc_auc_score`; of the second, 2.5 of the 6 pairs
    /// of a sample of label 1 and one of label 0 are in order.
    #[test]
    fn the_area_counts_pairs_in_order() {
        let auc = |scores: &[f32], labels: &[i64]| {
            let scores = TensorData::new([scores.len()], scores.to_vec());
            roc_auc(&scores, &TensorData::new([labels.len()], labels.to_vec()))
        };
        assert_eq!(auc(&[0.1, 0.4, 0.35, 0.8], &[0, 0, 1, 1]), 0.75);
        assert_eq!(auc(&[0.2, 0.2, 0.1, 0.7, 0.5], &[1, 0, 1, 1, 0]), 2.5 / 6.0);
        assert!(auc(&[0.1, 0.2], &[1, 1]).is_nan());
    }

    #[test]
    #[should_panic(
        expected = "accuracy takes scores [.., classes] and labels [..], not f32[4, 3] and i64[3]"
    )]
    fn other_shapes_panic() {
        accuracy(&scores(), &TensorData::new([3], vec![0i64; 3]));
    }
}
