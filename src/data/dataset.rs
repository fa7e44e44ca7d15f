//! Samples in memory: inputs and targets, one sample per position of the first axis.

use super::shuffle::{derived_seed, shuffle};
use kiln_ir::data::Storage;
use kiln_ir::{Element, Shape, TensorData};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Inputs `x` and targets `y` of the same samples, in the same order. Cheap to clone: a clone shares the samples.
#[derive(Clone, Debug, PartialEq)]
pub struct Dataset {
    x: Arc<TensorData>,
    y: Arc<TensorData>,
}

/// A data set in two parts that share no sample.
#[derive(Clone, Debug, PartialEq)]
pub struct Split {
    /// What a model is trained on.
    pub train: Dataset,
    /// What its accuracy is measured on.
    pub test: Dataset,
}

/// Two tensors do not make a data set.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DatasetError {
    /// A tensor has no axis that could count samples.
    #[error("`{0}` is a scalar; the first axis of a data set counts its samples")]
    Scalar(&'static str),
    /// The two tensors count differently.
    #[error("`x` has {x} samples and `y` has {y}")]
    SampleCounts {
        /// First extent of the inputs.
        x: usize,
        /// First extent of the targets.
        y: usize,
    },
    /// A shape for the samples does not hold their elements.
    #[error("samples of shape {from} cannot be seen as {to}: {} elements and {}", from.n_elements(), to.n_elements())]
    SampleShape {
        /// The shape of a sample now.
        from: Shape,
        /// The shape asked for.
        to: Shape,
    },
}

impl Dataset {
    /// The data set of these inputs and targets.
    ///
    /// Errors: one of them is a scalar; their first extents differ.
    pub fn new(x: TensorData, y: TensorData) -> Result<Dataset, DatasetError> {
        let n_x = *x.shape().first().ok_or(DatasetError::Scalar("x"))?;
        let n_y = *y.shape().first().ok_or(DatasetError::Scalar("y"))?;
        if n_x != n_y {
            return Err(DatasetError::SampleCounts { x: n_x, y: n_y });
        }
        Ok(Dataset::of(x, y))
    }

    fn of(x: TensorData, y: TensorData) -> Dataset {
        Dataset { x: Arc::new(x), y: Arc::new(y) }
    }

    /// The number of samples.
    pub fn n_samples(&self) -> usize {
        self.x.shape()[0]
    }

    /// All inputs: `[n_samples, ..]`.
    pub fn x(&self) -> &TensorData {
        &self.x
    }

    /// All targets: `[n_samples, ..]`.
    pub fn y(&self) -> &TensorData {
        &self.y
    }

    /// The same data set with each input seen in another shape, as `[1, 28, 28]` for `[784]`.
    pub fn with_input_shape(self, shape: &[usize]) -> Result<Dataset, DatasetError> {
        let from = Shape::new(&self.x.shape()[1..]);
        let to = Shape::new(shape);
        let whole: Shape = std::iter::once(self.n_samples()).chain(shape.iter().copied()).collect();
        if from.n_elements() != to.n_elements() {
            return Err(DatasetError::SampleShape { from, to });
        }
        let x = Arc::unwrap_or_clone(self.x).reshaped(whole);
        let x = x.expect("as many elements a sample, as many samples");
        Ok(Dataset { x: Arc::new(x), y: self.y })
    }

    /// Inputs and targets of these samples, in this order; a sample may come more than once.
    ///
    /// # Panics
    /// When an index is not below `n_samples`.
    #[track_caller]
    pub fn gather(&self, samples: &[usize]) -> (TensorData, TensorData) {
        (gather(&self.x, samples), gather(&self.y, samples))
    }

    /// Divides the samples, the given share of each class (rounded down) for the test.
    ///
    /// Which samples those are depends on the seed alone; each part keeps the order of the whole.
    /// The targets are class numbers, `i64[n]`.
    ///
    /// # Panics
    /// When the targets are of another type, or `test_share` is not within 0 and 1.
    #[track_caller]
    pub fn split_by_class(&self, test_share: f64, seed: u64) -> Split {
        assert!(
            (0.0..=1.0).contains(&test_share),
            "the share of the test is {test_share}, not within 0 and 1"
        );
        let labels: &[i64] = self.y.as_slice().expect("class numbers are i64");
        let mut classes = BTreeMap::<i64, Vec<usize>>::new();
        for (sample, label) in labels.iter().enumerate() {
            classes.entry(*label).or_default().push(sample);
        }
        let (mut train, mut test) = (Vec::new(), Vec::new());
        for (label, mut samples) in classes {
            shuffle(&mut samples, derived_seed(seed, label as u64));
            let n_test = (samples.len() as f64 * test_share) as usize;
            test.extend_from_slice(&samples[..n_test]);
            train.extend_from_slice(&samples[n_test..]);
        }
        let part = |mut samples: Vec<usize>| {
            samples.sort_unstable();
            let (x, y) = self.gather(&samples);
            Dataset::of(x, y)
        };
        Split { train: part(train), test: part(test) }
    }
}

/// These positions of the first axis.
#[track_caller]
fn gather(tensor: &TensorData, positions: &[usize]) -> TensorData {
    match tensor.storage() {
        Storage::F32(elements) => gather_elements(tensor.shape(), elements, positions),
        Storage::F64(elements) => gather_elements(tensor.shape(), elements, positions),
        Storage::I32(elements) => gather_elements(tensor.shape(), elements, positions),
        Storage::I64(elements) => gather_elements(tensor.shape(), elements, positions),
        Storage::U8(elements) => gather_elements(tensor.shape(), elements, positions),
        Storage::Bool(elements) => gather_elements(tensor.shape(), elements, positions),
    }
}

#[track_caller]
fn gather_elements<T: Element>(shape: &Shape, elements: &[T], positions: &[usize]) -> TensorData {
    let n_each: usize = shape[1..].iter().product();
    let mut gathered = Vec::with_capacity(n_each * positions.len());
    for &position in positions {
        assert!(position < shape[0], "sample {position} of a data set of {}", shape[0]);
        gathered.extend_from_slice(&elements[position * n_each..][..n_each]);
    }
    TensorData::new(shape.with_extent(0, positions.len()), gathered)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sample `i` has the inputs `10 i, 10 i + 1` and the class `i % n_classes`.
    fn numbered(n_samples: usize, n_classes: usize) -> Dataset {
        let x = (0..n_samples).flat_map(|i| [10.0 * i as f32, 10.0 * i as f32 + 1.0]).collect();
        let y = (0..n_samples).map(|i| (i % n_classes) as i64).collect();
        Dataset::new(TensorData::new([n_samples, 2], x), TensorData::new([n_samples], y)).unwrap()
    }

    #[test]
    fn samples_are_gathered_in_the_given_order() {
        let (x, y) = numbered(5, 3).gather(&[4, 0, 4]);
        assert_eq!(x, TensorData::new([3, 2], vec![40.0f32, 41.0, 0.0, 1.0, 40.0, 41.0]));
        assert_eq!(y, TensorData::new([3], vec![1i64, 0, 1]));
    }

    #[test]
    fn gathering_nothing_gives_an_empty_batch() {
        let (x, y) = numbered(5, 3).gather(&[]);
        assert_eq!((&x.shape()[..], &y.shape()[..]), (&[0, 2][..], &[0][..]));
    }

    #[test]
    #[should_panic(expected = "sample 5 of a data set of 5")]
    fn gathering_beyond_the_end_panics() {
        numbered(5, 3).gather(&[5]);
    }

    #[test]
    fn tensors_that_do_not_match_are_errors() {
        let scalar = TensorData::scalar(1.0f32);
        let three = TensorData::new([3], vec![1i64, 2, 3]);
        let two = TensorData::new([2, 1], vec![1.0f32, 2.0]);
        let error =
            |x: &TensorData, y: &TensorData| Dataset::new(x.clone(), y.clone()).unwrap_err().to_string();
        assert_eq!(
            error(&scalar, &three),
            "`x` is a scalar; the first axis of a data set counts its samples"
        );
        assert_eq!(
            error(&three, &scalar),
            "`y` is a scalar; the first axis of a data set counts its samples"
        );
        assert_eq!(error(&two, &three), "`x` has 2 samples and `y` has 3");
    }

    #[test]
    fn inputs_can_be_seen_in_another_shape() {
        let data = numbered(3, 2).with_input_shape(&[1, 2, 1]).unwrap();
        assert_eq!(data.x().shape()[..], [3, 1, 2, 1]);
        let error = data.with_input_shape(&[3]).unwrap_err().to_string();
        assert_eq!(error, "samples of shape [1, 2, 1] cannot be seen as [3]: 2 elements and 3");
    }

    #[test]
    fn a_split_takes_the_same_share_of_each_class_and_loses_nothing() {
        let data = numbered(60, 3);
        let split = data.split_by_class(0.25, 1);
        let count = |part: &Dataset, class| {
            part.y().as_slice::<i64>().unwrap().iter().filter(|label| **label == class).count()
        };
        for class in 0..3 {
            assert_eq!((count(&split.train, class), count(&split.test, class)), (15, 5));
        }
        let mut first: Vec<f32> = [&split.train, &split.test]
            .iter()
            .flat_map(|part| part.x().as_slice::<f32>().unwrap().iter().step_by(2).copied())
            .collect();
        first.sort_by(f32::total_cmp);
        assert_eq!(first, (0..60).map(|i| 10.0 * i as f32).collect::<Vec<_>>());
        assert_eq!(split, data.split_by_class(0.25, 1));
        assert_ne!(split, data.split_by_class(0.25, 2));
    }
}
