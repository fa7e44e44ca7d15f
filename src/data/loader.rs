//! Batches of a data set, in order or shuffled.

use super::dataset::Dataset;
use super::shuffle::{derived_seed, permutation};
use kiln_ir::TensorData;

/// How a data set is cut into batches.
///
/// ```
/// # use kiln::data::{Loader, Remainder, digits};
/// let train = digits().train;
/// let loader = Loader::new(&train, 64).shuffled(0).remainder(Remainder::Drop);
/// for epoch in 0..2 {
///     for (x, y) in loader.epoch(epoch) {
///         assert_eq!(x.shape()[..], [64, 64]);
///         assert_eq!(y.shape()[..], [64]);
///     }
/// }
/// ```
#[derive(Clone, Debug)]
pub struct Loader<'data> {
    data: &'data Dataset,
    batch_size: usize,
    seed: Option<u64>,
    remainder: Remainder,
}

/// What becomes of the last samples when they do not fill a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remainder {
    /// They are a smaller batch: right for measuring, where each sample counts once.
    Keep,
    /// They are left out: right for training a program compiled for one batch size. Shuffling leaves out
    /// others in each epoch.
    Drop,
}

/// The batches of one epoch, inputs and targets; see [`Loader::epoch`].
#[derive(Clone, Debug)]
pub struct Batches<'data> {
    data: &'data Dataset,
    batch_size: usize,
    /// The samples of this epoch in the order in which they come.
    order: Vec<usize>,
    /// How many of them have come.
    n_done: usize,
}

impl<'data> Loader<'data> {
    /// Batches of this size in the order of the data set, the last one as small as it comes.
    ///
    /// # Panics
    /// When `batch_size` is zero.
    #[track_caller]
    pub fn new(data: &'data Dataset, batch_size: usize) -> Loader<'data> {
        assert!(batch_size > 0, "a batch needs at least one sample");
        Loader { data, batch_size, seed: None, remainder: Remainder::Keep }
    }

    /// The same, with the samples of each epoch in another random order, drawn from `seed`.
    pub fn shuffled(self, seed: u64) -> Loader<'data> {
        Loader { seed: Some(seed), ..self }
    }

    /// The same, with this treatment of the samples that do not fill a batch.
    pub fn remainder(self, remainder: Remainder) -> Loader<'data> {
        Loader { remainder, ..self }
    }

    /// How many batches an epoch has.
    pub fn n_batches(&self) -> usize {
        self.n_used().div_ceil(self.batch_size)
    }

    /// The batches of an epoch. The order depends on the seed and the number of the epoch alone, so that
    /// a resumed training sees what an uninterrupted one would have seen.
    pub fn epoch(&self, epoch: u64) -> Batches<'data> {
        let n_samples = self.data.n_samples();
        let mut order = match self.seed {
            Some(seed) => permutation(n_samples, derived_seed(seed, epoch)),
            None => (0..n_samples).collect(),
        };
        order.truncate(self.n_used());
        Batches { data: self.data, batch_size: self.batch_size, order, n_done: 0 }
    }

    fn n_used(&self) -> usize {
        let n_samples = self.data.n_samples();
        match self.remainder {
            Remainder::Keep => n_samples,
            Remainder::Drop => n_samples - n_samples % self.batch_size,
        }
    }
}

impl Iterator for Batches<'_> {
    type Item = (TensorData, TensorData);

    fn next(&mut self) -> Option<(TensorData, TensorData)> {
        let rest = &self.order[self.n_done..];
        let batch = &rest[..rest.len().min(self.batch_size)];
        self.n_done += batch.len();
        (!batch.is_empty()).then(|| self.data.gather(batch))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let n = (self.order.len() - self.n_done).div_ceil(self.batch_size);
        (n, Some(n))
    }
}

impl ExactSizeIterator for Batches<'_> {}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbered(n_samples: usize) -> Dataset {
        let x = TensorData::new([n_samples], (0..n_samples).map(|i| i as f32).collect());
        let y = TensorData::new([n_samples], (0..n_samples).map(|i| i as i64).collect());
        Dataset::new(x, y).unwrap()
    }

    /// The samples of each batch of an epoch.
    fn batches(loader: &Loader<'_>, epoch: u64) -> Vec<Vec<i64>> {
        let batches = loader.epoch(epoch);
        assert_eq!(batches.len(), loader.n_batches());
        batches
            .map(|(x, y)| {
                let labels = y.as_slice::<i64>().unwrap().to_vec();
                let inputs: Vec<i64> = x.as_slice::<f32>().unwrap().iter().map(|x| *x as i64).collect();
                assert_eq!(inputs, labels, "inputs and targets stay together");
                labels
            })
            .collect()
    }

    #[test]
    fn batches_come_in_order_and_the_last_may_be_small() {
        let data = numbered(7);
        assert_eq!(batches(&Loader::new(&data, 3), 5), [vec![0, 1, 2], vec![3, 4, 5], vec![6]]);
        assert_eq!(batches(&Loader::new(&data, 10), 0), [vec![0, 1, 2, 3, 4, 5, 6]]);
    }

    #[test]
    fn the_small_batch_can_be_dropped() {
        let data = numbered(7);
        let loader = Loader::new(&data, 3).remainder(Remainder::Drop);
        assert_eq!(batches(&loader, 0), [vec![0, 1, 2], vec![3, 4, 5]]);
        assert!(batches(&Loader::new(&data, 8).remainder(Remainder::Drop), 0).is_empty());
    }

    #[test]
    fn a_data_set_without_samples_has_no_batches() {
        let data = numbered(0);
        assert!(batches(&Loader::new(&data, 3), 0).is_empty());
    }

    #[test]
    fn each_epoch_has_its_own_order_which_the_seed_decides() {
        let data = numbered(20);
        let loader = Loader::new(&data, 6).shuffled(1);
        let mut seen = batches(&loader, 0).concat();
        assert_ne!(seen, (0..20).collect::<Vec<_>>());
        seen.sort_unstable();
        assert_eq!(seen, (0..20).collect::<Vec<_>>());
        assert_eq!(batches(&loader, 0), batches(&loader, 0));
        assert_ne!(batches(&loader, 0), batches(&loader, 1));
        assert_ne!(batches(&loader, 0), batches(&Loader::new(&data, 6).shuffled(2), 0));
    }

    #[test]
    #[should_panic(expected = "a batch needs at least one sample")]
    fn a_batch_size_of_zero_panics() {
        Loader::new(&numbered(3), 0);
    }
}
