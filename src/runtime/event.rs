//! A counter that threads can wait on: they spin for a while, then sleep in the kernel.
//!
//! The hand-over between threads of a team takes about 100 ns while the waiting thread spins and some
//! tens of microseconds once it sleeps, so a waiter spins for about as long as a sleep would cost:
//! then it never loses more than twice the best choice (the "ski rental" argument of Karlin et al.,
//! *Empirical studies of competitive spinning for a shared-memory multiprocessor*, SOSP 1991).
//!
//! On Linux a sleeping thread waits on the counter itself through a futex; elsewhere on a condition
//! variable. Both are compiled and tested on every machine that can.

use std::hint;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

#[cfg(target_os = "linux")]
pub(super) type Event = EventWith<futex::Futex>;
#[cfg(not(target_os = "linux"))]
pub(super) type Event = EventWith<monitor::Monitor>;

/// Spins before the clock is read for the first time: the usual wait is over by then.
const FREE_SPINS: u32 = 64;
/// Spins between two readings of the clock, which costs about as much as one spin.
const SPINS_PER_READING: u32 = 16;

/// A counter, and the threads that wait for it to change.
///
/// The value and the number of sleepers share a cache line of their own (two lines, because x86
/// machines fetch them in pairs): whoever advances the counter then owns both.
#[repr(align(128))]
#[derive(Default)]
pub(super) struct EventWith<P> {
    value: AtomicU32,
    n_sleepers: AtomicU32,
    parking: P,
}

/// How a thread sleeps until a counter changes.
pub(super) trait Park: Default {
    /// Sleeps until `wake_all`, or returns at once if `value` is not `expected` any more. May also
    /// return for no reason.
    fn park(&self, value: &AtomicU32, expected: u32);
    /// Wakes every thread that sleeps in `park`.
    fn wake_all(&self, value: &AtomicU32);
}

impl<P: Park> EventWith<P> {
    /// The value now. What was written before the `advance` that led to it is visible.
    pub(super) fn current(&self) -> u32 {
        self.value.load(Ordering::Acquire)
    }

    /// Adds one to the value and wakes whoever waits. Only one thread at a time may advance.
    pub(super) fn advance(&self) {
        let next = self.value.load(Ordering::Relaxed).wrapping_add(1);
        // Sequentially consistent, as are the accesses in `sleep`: of this thread and one that is going
        // to sleep, at least one sees what the other wrote, so that no wake-up is lost.
        self.value.store(next, Ordering::SeqCst);
        if self.n_sleepers.load(Ordering::SeqCst) > 0 {
            self.parking.wake_all(&self.value);
        }
    }

    /// Waits until the value is not `seen`, and returns it.
    #[inline]
    pub(super) fn wait_for_change(&self, seen: u32, spin: Duration) -> u32 {
        for _ in 0..FREE_SPINS {
            let value = self.current();
            if value != seen {
                return value;
            }
            hint::spin_loop();
        }
        self.wait_longer(seen, spin)
    }

    #[cold]
    fn wait_longer(&self, seen: u32, spin: Duration) -> u32 {
        let start = Instant::now();
        while start.elapsed() < spin {
            for _ in 0..SPINS_PER_READING {
                let value = self.current();
                if value != seen {
                    return value;
                }
                hint::spin_loop();
            }
        }
        self.sleep(seen)
    }

    fn sleep(&self, seen: u32) -> u32 {
        self.n_sleepers.fetch_add(1, Ordering::SeqCst);
        let value = loop {
            let value = self.value.load(Ordering::SeqCst);
            if value != seen {
                break value;
            }
            self.parking.park(&self.value, seen);
        };
        self.n_sleepers.fetch_sub(1, Ordering::SeqCst);
        value
    }
}

#[cfg(target_os = "linux")]
mod futex {
    use std::ptr;
    use std::sync::atomic::AtomicU32;

    /// Sleeps on the address of the counter; the kernel keeps the queue.
    #[derive(Default)]
    pub(in crate::runtime) struct Futex;

    impl super::Park for Futex {
        fn park(&self, value: &AtomicU32, expected: u32) {
            let no_timeout = ptr::null::<libc::timespec>();
            // SAFETY: the address is that of a live, aligned u32, which the kernel only reads. Errors
            // (the value has changed, a signal came) mean "look again", which the caller does.
            unsafe {
                libc::syscall(
                    libc::SYS_futex,
                    value.as_ptr(),
                    libc::FUTEX_WAIT | libc::FUTEX_PRIVATE_FLAG,
                    expected,
                    no_timeout,
                );
            }
        }

        fn wake_all(&self, value: &AtomicU32) {
            // SAFETY: the kernel uses the address as a key only.
            unsafe {
                libc::syscall(
                    libc::SYS_futex,
                    value.as_ptr(),
                    libc::FUTEX_WAKE | libc::FUTEX_PRIVATE_FLAG,
                    i32::MAX,
                );
            }
        }
    }
}

#[cfg(any(test, not(target_os = "linux")))]
mod monitor {
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::sync::{Condvar, Mutex, PoisonError};

    /// Sleeps on a condition variable; the lock closes the gap between looking and sleeping.
    #[derive(Default)]
    pub(in crate::runtime) struct Monitor {
        lock: Mutex<()>,
        changed: Condvar,
    }

    impl super::Park for Monitor {
        fn park(&self, value: &AtomicU32, expected: u32) {
            // Nothing is behind the lock that a panic could have left half done.
            let mut guard = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
            while value.load(Ordering::SeqCst) == expected {
                guard = self.changed.wait(guard).unwrap_or_else(PoisonError::into_inner);
            }
        }

        fn wake_all(&self, _value: &AtomicU32) {
            drop(self.lock.lock().unwrap_or_else(PoisonError::into_inner));
            self.changed.notify_all();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    /// Two threads hand a turn to each other: even values are one's turn, odd values the other's.
    fn ping_pong<P: Park + Sync>(spin: Duration) {
        let event = EventWith::<P>::default();
        let n_rounds = 500;
        let play = |first: u32| {
            for round in 0..n_rounds {
                let mut value = event.current();
                while value != 2 * round + first {
                    value = event.wait_for_change(value, spin);
                }
                event.advance();
            }
        };
        thread::scope(|scope| {
            scope.spawn(|| play(1));
            play(0);
        });
        assert_eq!(event.current(), 2 * n_rounds);
        assert_eq!(event.n_sleepers.load(Ordering::SeqCst), 0);
    }

    #[test]
    fn no_wake_up_is_lost_when_threads_sleep_at_once() {
        ping_pong::<monitor::Monitor>(Duration::ZERO);
        #[cfg(target_os = "linux")]
        ping_pong::<futex::Futex>(Duration::ZERO);
    }

    #[test]
    fn no_wake_up_is_lost_when_threads_spin_first() {
        ping_pong::<monitor::Monitor>(Duration::from_micros(20));
        #[cfg(target_os = "linux")]
        ping_pong::<futex::Futex>(Duration::from_micros(20));
    }

    #[test]
    fn waiting_for_a_value_that_is_past_returns_at_once() {
        let event = Event::default();
        event.advance();
        assert_eq!(event.wait_for_change(0, Duration::ZERO), 1);
    }

    #[test]
    fn the_value_wraps_around() {
        let event = Event { value: AtomicU32::new(u32::MAX), ..Event::default() };
        event.advance();
        assert_eq!(event.wait_for_change(u32::MAX, Duration::ZERO), 0);
    }
}
