//! How often each class is taken for each other, and what follows from that.

use super::classification::{argmax, class, shapes};
use kiln_ir::TensorData;
use std::fmt;

/// How often samples of each class were predicted to be of each class, collected over batches.
///
/// With `tp` the samples of a class that were predicted as it, `fp` those of others, `fn` its samples that were predicted
/// as others: precision `tp / (tp + fp)`, recall `tp / (tp + fn)`, F1 `2 tp / (2 tp + fp + fn)`, each 0 where it would be
/// `0 / 0`. Source: van Rijsbergen, *Information Retrieval*, 1979, chapter 7; the numbers are those of
/// `sklearn.metrics.precision_recall_fscore_support` with `zero_division=0`.
///
/// ```
/// use kiln::metrics::ConfusionMatrix;
/// use kiln::prelude::*;
///
/// let mut confusion = ConfusionMatrix::new(2);
/// let scores = TensorData::new([3, 2], vec![0.9f32, 0.1, 0.4, 0.6, 0.2, 0.8]);
/// confusion.add(&scores, &TensorData::new([3], vec![0i64, 0, 1]));
/// assert_eq!((confusion.count(0, 1), confusion.precision(1), confusion.recall(1)), (1, 0.5, 1.0));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfusionMatrix {
    n_classes: usize,
    /// By label, then by prediction.
    counts: Vec<u64>,
}

/// How numbers of classes become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Average {
    /// The mean of the classes that occur, as labels or as predictions.
    Macro,
    /// The mean of the classes, each weighted with how many samples it has.
    Weighted,
    /// Of the counts of all classes together. Where each sample has one class, precision, recall and F1 are all the
    /// accuracy.
    Micro,
}

/// The counts of one class.
#[derive(Clone, Copy, Default)]
struct Counts {
    right: u64,
    predicted: u64,
    labelled: u64,
}

impl Counts {
    fn precision(self) -> f64 {
        share(self.right, self.predicted)
    }

    fn recall(self) -> f64 {
        share(self.right, self.labelled)
    }

    fn f1(self) -> f64 {
        share(2 * self.right, self.predicted + self.labelled)
    }
}

/// A share, 0 of nothing.
fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

impl ConfusionMatrix {
    /// Without samples.
    pub fn new(n_classes: usize) -> ConfusionMatrix {
        ConfusionMatrix { n_classes, counts: vec![0; n_classes * n_classes] }
    }

    /// Counts a batch; the prediction is the class of the greatest score, the first of equal ones. A sample whose label is
    /// no class, or whose scores hold a NaN, is not counted.
    ///
    /// Shapes: `scores: [.., classes]`, `labels: [..]`.
    ///
    /// # Panics
    /// When the shapes are others.
    #[track_caller]
    pub fn add(&mut self, scores: &TensorData, labels: &TensorData) {
        let (n, n_classes) = shapes("a confusion matrix", scores, labels);
        assert!(n_classes == self.n_classes, "scores of {n_classes} classes, not of {}", self.n_classes);
        for sample in 0..n {
            let predicted = argmax(scores, sample, n_classes);
            if let (Some(label), Some(predicted)) = (class(labels, sample, n_classes), predicted) {
                self.add_one(label, predicted);
            }
        }
    }

    /// Counts one sample.
    ///
    /// # Panics
    /// When one of the two is no class.
    #[track_caller]
    pub fn add_one(&mut self, label: usize, predicted: usize) {
        let place = self.place(label, predicted);
        self.counts[place] += 1;
    }

    /// How many samples of class `label` were predicted as `predicted`.
    ///
    /// # Panics
    /// When one of the two is no class.
    #[track_caller]
    pub fn count(&self, label: usize, predicted: usize) -> u64 {
        self.counts[self.place(label, predicted)]
    }

    #[track_caller]
    fn place(&self, label: usize, predicted: usize) -> usize {
        let n = self.n_classes;
        assert!(label < n && predicted < n, "classes {label} and {predicted} of {n}");
        label * n + predicted
    }

    /// Number of classes.
    pub fn n_classes(&self) -> usize {
        self.n_classes
    }

    /// Number of samples.
    pub fn n_samples(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// The share of samples that were predicted right; 0 without samples.
    pub fn accuracy(&self) -> f64 {
        share(self.total().right, self.n_samples())
    }

    /// The mean recall of the classes that have samples: accuracy as if each had as many. 0 without samples.
    pub fn balanced_accuracy(&self) -> f64 {
        let recalls: Vec<f64> =
            self.classes().filter(|class| class.labelled > 0).map(Counts::recall).collect();
        recalls.iter().sum::<f64>() / recalls.len().max(1) as f64
    }

    /// Of the samples predicted as this class, the share that is of it.
    ///
    /// # Panics
    /// When there is no such class.
    #[track_caller]
    pub fn precision(&self, class: usize) -> f64 {
        self.of(class).precision()
    }

    /// Of the samples of this class, the share that was predicted as it.
    ///
    /// # Panics
    /// When there is no such class.
    #[track_caller]
    pub fn recall(&self, class: usize) -> f64 {
        self.of(class).recall()
    }

    /// The harmonic mean of precision and recall of this class.
    ///
    /// # Panics
    /// When there is no such class.
    #[track_caller]
    pub fn f1(&self, class: usize) -> f64 {
        self.of(class).f1()
    }

    /// The precision of all classes.
    pub fn mean_precision(&self, average: Average) -> f64 {
        self.mean(average, Counts::precision)
    }

    /// The recall of all classes.
    pub fn mean_recall(&self, average: Average) -> f64 {
        self.mean(average, Counts::recall)
    }

    /// F1 of all classes.
    pub fn mean_f1(&self, average: Average) -> f64 {
        self.mean(average, Counts::f1)
    }

    /// The correlation of predictions and labels: 1 when all are right, 0 for chance; 0 where it would be `0 / 0`.
    ///
    /// `(c s - sum(p t)) / sqrt((s² - sum(p²)) (s² - sum(t²)))`, with `s` samples, `c` of them right, and `p` and `t` how
    /// often each class is predicted and is the label. Source: Gorodkin, *Comparing two K-category assignments by a
    /// K-category correlation coefficient*, 2004, after Matthews, 1975.
    pub fn matthews_correlation(&self) -> f64 {
        let (s, c) = (self.n_samples() as f64, self.total().right as f64);
        let sum = |of: fn(Counts) -> u64, with: fn(Counts) -> u64| -> f64 {
            self.classes().map(|class| of(class) as f64 * with(class) as f64).sum()
        };
        let (predicted, labelled) = (|class: Counts| class.predicted, |class: Counts| class.labelled);
        let covariance = c * s - sum(predicted, labelled);
        let variances = (s * s - sum(predicted, predicted)) * (s * s - sum(labelled, labelled));
        if variances == 0.0 { 0.0 } else { covariance / variances.sqrt() }
    }

    #[track_caller]
    fn of(&self, class: usize) -> Counts {
        let n = self.n_classes;
        assert!(class < n, "class {class} of {n}");
        Counts {
            right: self.counts[class * n + class],
            predicted: (0..n).map(|label| self.counts[label * n + class]).sum(),
            labelled: self.counts[class * n..][..n].iter().sum(),
        }
    }

    fn classes(&self) -> impl Iterator<Item = Counts> {
        (0..self.n_classes).map(|class| self.of(class))
    }

    fn total(&self) -> Counts {
        self.classes().fold(Counts::default(), |total, class| Counts {
            right: total.right + class.right,
            predicted: total.predicted + class.predicted,
            labelled: total.labelled + class.labelled,
        })
    }

    fn mean(&self, average: Average, of: fn(Counts) -> f64) -> f64 {
        let weight = |class: Counts| match average {
            Average::Macro => f64::from(class.predicted + class.labelled > 0),
            Average::Weighted => class.labelled as f64,
            Average::Micro => 0.0,
        };
        if average == Average::Micro {
            return of(self.total());
        }
        let weights: f64 = self.classes().map(weight).sum();
        let sum: f64 = self.classes().map(|class| weight(class) * of(class)).sum();
        if weights == 0.0 { 0.0 } else { sum / weights }
    }
}

/// A table: a row for each label, a column for each prediction.
impl fmt::Display for ConfusionMatrix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let n = self.n_classes;
        let greatest = self.counts.iter().copied().max().unwrap_or(0).max(n as u64);
        let width = greatest.to_string().len();
        let row = |numbers: &mut dyn Iterator<Item = u64>| -> String {
            numbers.map(|number| format!(" {number:>width$}")).collect()
        };
        writeln!(f, "{:>8} |{}", "", row(&mut (0..n as u64)))?;
        for label in 0..n {
            let counts = row(&mut self.counts[label * n..][..n].iter().copied());
            writeln!(f, "{label:>8} |{counts}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matrix(n_classes: usize, labels: &[usize], predicted: &[usize]) -> ConfusionMatrix {
        let mut matrix = ConfusionMatrix::new(n_classes);
        labels.iter().zip(predicted).for_each(|(&label, &predicted)| matrix.add_one(label, predicted));
        matrix
    }

    #[track_caller]
    fn assert_near(found: f64, expected: f64) {
        assert!((found - expected).abs() < 1e-12, "{found} instead of {expected}");
    }

    /// The example in the documentation of `sklearn.metrics.confusion_matrix`.
    #[test]
    fn counts_are_by_label_and_prediction() {
        let matrix = matrix(3, &[2, 0, 2, 2, 0, 1], &[0, 0, 2, 2, 0, 2]);
        assert_eq!(matrix.counts, [2, 0, 0, 0, 0, 1, 1, 0, 2]);
        assert_eq!(
            matrix.to_string(),
            "         | 0 1 2\n       0 | 2 0 0\n       1 | 0 0 1\n       2 | 1 0 2\n"
        );
    }

    /// The examples in the documentation of `sklearn.metrics.precision_score`, `recall_score` and `f1_score`.
    #[test]
    fn precision_recall_and_f1_are_those_of_sklearn() {
        let matrix = matrix(3, &[0, 1, 2, 0, 1, 2], &[0, 2, 1, 0, 0, 1]);
        let per_class: Vec<[f64; 3]> =
            (0..3).map(|class| [matrix.precision(class), matrix.recall(class), matrix.f1(class)]).collect();
        assert_eq!(per_class, [[2.0 / 3.0, 1.0, 0.8], [0.0; 3], [0.0; 3]]);
        for average in [Average::Macro, Average::Weighted] {
            // Each class has two samples.
            assert_near(matrix.mean_precision(average), 2.0 / 9.0);
            assert_near(matrix.mean_recall(average), 1.0 / 3.0);
            assert_near(matrix.mean_f1(average), 0.8 / 3.0);
        }
        for of in [ConfusionMatrix::mean_precision, ConfusionMatrix::mean_recall, ConfusionMatrix::mean_f1] {
            assert_near(of(&matrix, Average::Micro), 1.0 / 3.0);
        }
        assert_near(matrix.accuracy(), 1.0 / 3.0);
    }

    /// `f1_score([0, 0, 0, 1], [0, 0, 1, 1], average=...)`, by hand: F1 is 0.8 and 2/3.
    #[test]
    fn classes_are_weighted_with_their_samples() {
        let matrix = matrix(5, &[0, 0, 0, 1], &[0, 0, 1, 1]);
        assert_near(matrix.mean_f1(Average::Macro), (0.8 + 2.0 / 3.0) / 2.0);
        assert_near(matrix.mean_f1(Average::Weighted), (3.0 * 0.8 + 2.0 / 3.0) / 4.0);
    }

    /// The examples in the documentation of `sklearn.metrics.balanced_accuracy_score` and `matthews_corrcoef`.
    #[test]
    fn rare_classes_count_as_much() {
        assert_near(matrix(2, &[0, 1, 0, 0, 1, 0], &[0, 1, 0, 0, 0, 1]).balanced_accuracy(), 0.625);
        assert_near(matrix(2, &[1, 1, 1, 0], &[1, 0, 1, 1]).matthews_correlation(), -1.0 / 3.0);
        assert_eq!(matrix(2, &[1, 1], &[1, 1]).matthews_correlation(), 0.0);
    }

    #[test]
    fn what_is_no_class_is_not_counted() {
        let mut matrix = ConfusionMatrix::new(2);
        let scores = TensorData::new([4, 2], vec![1f32, 2.0, 3.0, 1.0, f32::NAN, 1.0, 1.0, 0.0]);
        matrix.add(&scores, &TensorData::new([4], vec![1i64, 1, 1, -100]));
        assert_eq!((matrix.counts.as_slice(), matrix.n_samples()), (&[0, 0, 1, 1][..], 2));
        assert_eq!(ConfusionMatrix::new(2).mean_f1(Average::Macro), 0.0);
    }
}
