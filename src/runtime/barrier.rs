//! The place where the threads of a team meet between two kernels.

use super::event::Event;
use std::panic;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

/// How long a thread spins before it sleeps when every thread has a core: about the price of a sleep
/// and a wake-up (28 us measured on two cores of Zen 4), rounded up for slower machines.
const SPIN: Duration = Duration::from_micros(50);
/// The same when there are more threads than cores: whoever spins keeps the awaited thread from running.
const SPIN_WHEN_CROWDED: Duration = Duration::ZERO;

/// A barrier for a fixed number of threads, to be used any number of times.
///
/// All that a thread wrote before [`Barrier::wait`] is seen by every thread after it. Threads spin for
/// some tens of microseconds before they sleep. With one thread it does nothing.
pub struct Barrier {
    n_threads: u32,
    spin: Duration,
    n_arrived: Arrivals,
    /// Counts how often all have met. Threads wait for it to change.
    meetings: Event,
    /// Set when a thread of the team has panicked and will not arrive.
    is_broken: AtomicBool,
}

/// On cache lines of its own: arriving threads write here while others spin on `meetings`.
#[repr(align(128))]
struct Arrivals(AtomicU32);

/// What unwinds a thread whose barrier was broken: the panic of another thread is the real one.
pub(super) struct BrokenBarrier;

impl Barrier {
    /// A barrier at which `n_threads` threads meet.
    pub fn new(n_threads: usize) -> Barrier {
        Barrier {
            n_threads: u32::try_from(n_threads).expect("fewer than 2^32 threads"),
            spin: spin_time(n_threads, SPIN),
            n_arrived: Arrivals(AtomicU32::new(0)),
            meetings: Event::default(),
            is_broken: AtomicBool::new(false),
        }
    }

    /// Returns once all threads have called it.
    ///
    /// If a thread of the team panics instead, the others unwind from here and the team raises the
    /// first panic again on the caller's thread.
    #[inline]
    pub fn wait(&self) {
        if self.n_threads == 1 {
            return;
        }
        // Read before arriving: after the last arrival it changes.
        let meeting = self.meetings.current();
        if self.n_arrived.0.fetch_add(1, Ordering::AcqRel) + 1 == self.n_threads {
            // Nobody can arrive for the next meeting before `advance`, which also publishes this.
            self.n_arrived.0.store(0, Ordering::Relaxed);
            self.meetings.advance();
        } else {
            self.meetings.wait_for_change(meeting, self.spin);
        }
        if self.is_broken() {
            panic::resume_unwind(Box::new(BrokenBarrier));
        }
    }

    /// Whether a thread has called `abandon`.
    pub(super) fn is_broken(&self) -> bool {
        self.is_broken.load(Ordering::Relaxed)
    }

    /// Lets go whoever waits, and whoever comes, by unwinding. The caller will not arrive.
    pub(super) fn abandon(&self) {
        self.is_broken.store(true, Ordering::SeqCst);
        if self.n_arrived.0.fetch_add(1, Ordering::AcqRel) + 1 == self.n_threads {
            self.n_arrived.0.store(0, Ordering::Relaxed);
            self.meetings.advance();
        }
    }

    /// Makes a barrier usable again on which no thread waits.
    pub(super) fn mend(&self) {
        self.n_arrived.0.store(0, Ordering::Relaxed);
        self.is_broken.store(false, Ordering::Relaxed);
    }
}

/// How long to spin for `n_threads` threads, given how long when each has a core.
pub(super) fn spin_time(n_threads: usize, when_each_has_a_core: Duration) -> Duration {
    let n_cores = thread::available_parallelism().map_or(1, usize::from);
    if n_threads <= n_cores { when_each_has_a_core } else { SPIN_WHEN_CROWDED }
}

/// [`Barrier::wait`] for generated code.
///
/// Machine code cannot be unwound: if another thread has panicked, the process ends here.
///
/// # Safety
/// `barrier` points to a live barrier, and each of its threads makes the same number of calls.
pub unsafe extern "C" fn kiln_barrier(barrier: *const Barrier) {
    // SAFETY: the caller's promise.
    unsafe { &*barrier }.wait();
}
