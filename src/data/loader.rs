//! Batches of a data set, in order or shuffled.

use super::dataset::Dataset;
use super::prefetch::Prefetched;
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

/// How far a training is in its data: batches of an epoch that it has seen, after whole epochs.
///
/// Saved beside the [state of a trainer](crate::Trainer::save_training), it lets a training go on where it stopped. It
/// knows the number of samples, the seed and the batch size of the loader at whose [`start`](Loader::start) it began: one
/// that is read from the file of a training with others would be at another place, and is refused.
///
/// ```
/// # use kiln::data::{Loader, digits};
/// # let train = digits().train;
/// let loader = Loader::new(&train, 64).shuffled(0);
/// let mut position = loader.start();
/// while position.epoch < 2 {
///     for (x, y) in loader.rest(position) {
///         // A step of training.
///         position.batch += 1;
///     }
///     position = position.next_epoch();
/// }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// The epoch, from 0.
    pub epoch: u64,
    /// How many of its batches were seen.
    pub batch: u64,
    /// Samples of a batch.
    pub(crate) batch_size: u64,
    /// Samples of the data set.
    pub(crate) n_samples: u64,
    /// What the order of the samples follows from; nothing when it is that of the data set.
    pub(crate) seed: Option<u64>,
}

impl Position {
    /// Where the next epoch begins.
    pub fn next_epoch(self) -> Position {
        Position { epoch: self.epoch + 1, batch: 0, ..self }
    }
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

    /// How many samples a batch has, but for the last one of an epoch.
    pub fn batch_size(&self) -> usize {
        self.batch_size
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

    /// Before the first batch of the first epoch.
    pub fn start(&self) -> Position {
        let (batch_size, n_samples) = (self.batch_size as u64, self.data.n_samples() as u64);
        Position { epoch: 0, batch: 0, batch_size, n_samples, seed: self.seed }
    }

    /// The batches that follow a position in its epoch.
    pub fn rest(&self, position: Position) -> Batches<'data> {
        let mut batches = self.epoch(position.epoch);
        let n_seen = usize::try_from(position.batch).unwrap_or(usize::MAX);
        batches.n_done = n_seen.saturating_mul(self.batch_size).min(batches.order.len());
        batches
    }

    fn n_used(&self) -> usize {
        let n_samples = self.data.n_samples();
        match self.remainder {
            Remainder::Keep => n_samples,
            Remainder::Drop => n_samples - n_samples % self.batch_size,
        }
    }
}

impl Batches<'_> {
    /// The same batches in the same order, made by a thread of their own while others are used: at most `n` wait. When
    /// the iterator is dropped, the thread is joined.
    ///
    /// # Panics
    /// When the system gives no thread.
    ///
    /// ```
    /// # use kiln::data::{Loader, digits};
    /// # let train = digits().train;
    /// for (x, y) in Loader::new(&train, 64).shuffled(0).epoch(0).prefetch(2) {
    ///     assert_eq!(x.shape()[0], y.shape()[0]);
    /// }
    /// ```
    pub fn prefetch(self, n: usize) -> Prefetched {
        let n_batches = self.len();
        let data = self.data.clone();
        let Batches { batch_size, order, n_done, .. } = self;
        // The thread has a data set of its own, which shares the samples.
        let send_all = move |send: &mut dyn FnMut(_) -> bool| {
            let mut batches = Batches { data: &data, batch_size, order, n_done };
            while batches.next().is_some_and(&mut *send) {}
        };
        Prefetched::new(n, n_batches, send_all)
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
    fn what_is_left_of_an_epoch_is_its_end() {
        let data = numbered(20);
        let loader = Loader::new(&data, 6).shuffled(1);
        let whole: Vec<_> = loader.epoch(3).collect();
        for batch in 0..6 {
            let rest: Vec<_> = loader.rest(Position { epoch: 3, batch, ..loader.start() }).collect();
            assert_eq!(rest, whole[(batch as usize).min(4)..]);
        }
    }

    #[test]
    #[should_panic(expected = "a batch needs at least one sample")]
    fn a_batch_size_of_zero_panics() {
        Loader::new(&numbered(3), 0);
    }
}
