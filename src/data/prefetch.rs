//! Batches made ahead, by a thread.

use kiln_ir::TensorData;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::{Builder, JoinHandle};

/// Inputs and targets.
type Pair = (TensorData, TensorData);

/// Batches that a thread makes ahead; see [`Batches::prefetch`](super::Batches::prefetch).
#[derive(Debug)]
pub struct Prefetched {
    /// Nothing once the iterator is dropped: the thread then finds that nobody waits.
    batches: Option<Receiver<Pair>>,
    /// How many are still to come.
    n_left: usize,
    thread: Option<JoinHandle<()>>,
}

impl Prefetched {
    /// Starts the thread: `send_all` hands each batch to the function that it is given, until that says that nobody waits
    /// for another.
    pub(super) fn new(
        n_waiting: usize,
        n_batches: usize,
        send_all: impl FnOnce(&mut dyn FnMut(Pair) -> bool) + Send + 'static,
    ) -> Prefetched {
        // The thread holds one more, which it could not hand over yet.
        let (sender, receiver) = sync_channel(n_waiting.saturating_sub(1));
        let run = move || send_all(&mut |batch| sender.send(batch).is_ok());
        let thread = Builder::new().name("kiln-loader".to_string()).spawn(run);
        let thread = thread.unwrap_or_else(|error| panic!("no thread to load batches with: {error}"));
        Prefetched { batches: Some(receiver), n_left: n_batches, thread: Some(thread) }
    }

    /// Waits for the end of the thread, and panics as it did.
    fn join(&mut self) {
        self.batches = None;
        let result = self.thread.take().map_or(Ok(()), JoinHandle::join);
        // A panic during another would end the process, without a word about the first.
        if let Err(panic) = result
            && !std::thread::panicking()
        {
            std::panic::resume_unwind(panic);
        }
    }
}

impl Iterator for Prefetched {
    type Item = Pair;

    fn next(&mut self) -> Option<Pair> {
        let batch = self.batches.as_ref()?.recv().ok();
        match batch {
            Some(_) => self.n_left -= 1,
            None => self.join(),
        }
        batch
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.n_left, Some(self.n_left))
    }
}

impl ExactSizeIterator for Prefetched {}

impl Drop for Prefetched {
    fn drop(&mut self) {
        self.join();
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Dataset, Loader};
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    fn data() -> Dataset {
        let x = TensorData::new([50, 3], (0..150).map(|i| i as f32).collect());
        Dataset::new(x, TensorData::new([50], (0..50).collect::<Vec<i64>>())).unwrap()
    }

    #[test]
    fn the_batches_are_the_same_in_the_same_order() {
        let data = data();
        let loader = Loader::new(&data, 8).shuffled(4);
        for n in [0, 1, 2, 100] {
            for epoch in 0..3 {
                let mut ahead = loader.epoch(epoch).prefetch(n);
                assert_eq!(ahead.len(), 7);
                let batches: Vec<Pair> = ahead.by_ref().collect();
                assert_eq!(batches, loader.epoch(epoch).collect::<Vec<_>>());
                assert_eq!((ahead.len(), ahead.next()), (0, None));
            }
        }
    }

    fn batch() -> Pair {
        (TensorData::scalar(0f32), TensorData::scalar(0i64))
    }

    /// Sends batches without end and counts those that were taken; the counter is dropped with the thread.
    fn counted(n_waiting: usize, made: &Arc<AtomicUsize>) -> Prefetched {
        let made = made.clone();
        Prefetched::new(n_waiting, 1000, move |send| {
            while send(batch()) {
                made.fetch_add(1, Ordering::SeqCst);
            }
        })
    }

    #[test]
    fn no_more_wait_than_asked_for_and_dropping_ends_the_thread() {
        for n_waiting in [1, 2, 5] {
            let made = Arc::new(AtomicUsize::new(0));
            let mut ahead = counted(n_waiting, &made);
            assert!(ahead.next().is_some());
            // The thread goes on as far as it may; it never gets further, however long one waits.
            std::thread::sleep(std::time::Duration::from_millis(30));
            assert!(made.load(Ordering::SeqCst) <= n_waiting, "{n_waiting}");
            drop(ahead);
            assert_eq!(Arc::strong_count(&made), 1, "the thread is gone");
        }
    }

    #[test]
    fn a_panic_of_the_thread_is_one_of_the_user() {
        let mut ahead = Prefetched::new(1, 2, |send| {
            send(batch());
            panic!("no such sample");
        });
        assert!(ahead.next().is_some());
        let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| ahead.next())).unwrap_err();
        assert_eq!(panic.downcast_ref::<&str>(), Some(&"no such sample"));
    }
}
