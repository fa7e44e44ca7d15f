//! A team of threads that run one function together, again and again.
//!
//! A training step is a few microseconds to a few milliseconds of work, cut into many kernels. Handing
//! each kernel to a thread pool costs more than a small kernel does, so the whole step is handed over
//! once: every thread of the team enters the same program with its own number, takes its part of each
//! kernel, and meets the others at the barrier where data crosses.
//!
//! The calling thread is thread 0. Between two runs the other threads spin for a while, so that steps
//! in a tight loop start within some 100 ns, and then sleep. [`Team::run`] does not allocate.

use super::barrier::{Barrier, BrokenBarrier, spin_time};
use super::event::Event;
use std::any::Any;
use std::cell::{Cell, UnsafeCell};
use std::panic::{self, AssertUnwindSafe};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;
use std::{io, ptr};

/// How long a thread without work spins before it sleeps, and how long the caller spins for the others
/// at the end of a run. Longer than a barrier's: between two steps the host may prepare a batch.
const SPIN: Duration = Duration::from_micros(100);

/// A fixed number of threads that run one function together.
pub struct Team {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
    /// Held during a run: callers on several threads take turns.
    turn: Mutex<()>,
}

/// What a thread knows about itself during a run.
#[derive(Clone, Copy)]
pub struct Worker<'team> {
    /// The number of this thread; the caller of [`Team::run`] is 0.
    pub thread: usize,
    /// How many threads run.
    pub n_threads: usize,
    /// Where they meet. Each thread of a run must wait there equally often.
    pub barrier: &'team Barrier,
}

impl Team {
    /// A team of `n_threads`, of which one is whoever calls [`Team::run`]; the others start now.
    ///
    /// Errors: `n_threads` is zero; the system gives no more threads.
    pub fn new(n_threads: usize) -> io::Result<Team> {
        if n_threads == 0 {
            let message = "a team needs at least one thread";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        }
        let shared = Arc::new(Shared {
            barrier: Barrier::new(n_threads),
            n_threads,
            spin: spin_time(n_threads, SPIN),
            start: Event::default(),
            job: UnsafeCell::new(None),
            n_running: AtomicUsize::new(0),
            finished: Event::default(),
            panic: Mutex::new(None),
        });
        // Made before its threads: if one cannot be started, dropping the team ends the others.
        let mut team = Team { shared, threads: Vec::with_capacity(n_threads - 1), turn: Mutex::new(()) };
        for thread in 1..n_threads {
            let shared = Arc::clone(&team.shared);
            let spawned =
                Builder::new().name(format!("kiln-{thread}")).spawn(move || shared.serve(thread))?;
            team.threads.push(spawned);
        }
        Ok(team)
    }

    /// The number of threads, the caller's included.
    pub fn n_threads(&self) -> usize {
        self.shared.n_threads
    }

    /// Calls `f` once on each thread, at the same time, and returns when all calls have returned.
    ///
    /// If a call panics, the others are let go from the barrier by unwinding, and the first panic is
    /// raised again here; the team stays usable. Calls from several threads take turns; a call
    /// from inside a run of the same team panics, since it could never get its turn.
    pub fn run<F: Fn(Worker<'_>) + Sync>(&self, f: F) {
        let shared = &*self.shared;
        if shared.n_threads == 1 {
            // Nobody to meet and nothing shared: no atomics, no turn to wait for.
            f(shared.worker(0));
            return;
        }
        shared.refuse_nested_run();
        let turn = lock(&self.turn);
        let job = Job { call: call::<F>, context: ptr::from_ref(&f).cast() };
        // SAFETY: no other thread reads the job until `start` advances: the workers wait for that, and
        // other callers for their turn. `f` outlives its use, as all threads have finished below.
        unsafe { *shared.job.get() = Some(job) };
        shared.n_running.store(shared.n_threads - 1, Ordering::Relaxed);
        let seen = shared.finished.current();
        shared.start.advance();
        shared.execute(job, 0);
        shared.finished.wait_for_change(seen, shared.spin);

        if shared.barrier.is_broken() {
            shared.barrier.mend();
            let payload = lock(&shared.panic).take();
            drop(turn);
            panic::resume_unwind(payload.expect("who breaks the barrier leaves a reason"));
        }
    }
}

impl Drop for Team {
    /// Ends the threads and waits for them.
    fn drop(&mut self) {
        // SAFETY: as in `run`: the workers, if any, wait for `start`, and nobody else has the team.
        unsafe { *self.shared.job.get() = None };
        self.shared.start.advance();
        for thread in self.threads.drain(..) {
            // A worker catches every panic of a job and has no other way to fail.
            let _ = thread.join();
        }
    }
}

/// What the caller and the workers have in common.
struct Shared {
    barrier: Barrier,
    n_threads: usize,
    spin: Duration,
    /// Advances when there is a job, or when the team ends.
    start: Event,
    /// The function to run; `None` ends the workers. Written only while every worker waits for `start`.
    job: UnsafeCell<Option<Job>>,
    /// How many workers have not finished the job yet.
    n_running: AtomicUsize,
    /// Advances when the last worker has finished.
    finished: Event,
    /// What the first thread to panic in this run panicked with.
    panic: Mutex<Option<Box<dyn Any + Send>>>,
}

// SAFETY: `job` is the only field that is not `Sync` by itself; it is written while no other thread
// reads it, and the events order writes before reads.
unsafe impl Sync for Shared {}
// SAFETY: the pointer in `job` is used only while the caller of `run`, who owns its target, waits, and
// the target is `Sync`.
unsafe impl Send for Shared {}

/// A borrowed closure without its type.
#[derive(Clone, Copy)]
struct Job {
    call: unsafe fn(*const (), Worker<'_>),
    context: *const (),
}

/// Calls the closure of type `F` that `context` points to.
///
/// # Safety
/// `context` points to a live `F`.
unsafe fn call<F: Fn(Worker<'_>) + Sync>(context: *const (), worker: Worker<'_>) {
    // SAFETY: the caller's promise.
    let f = unsafe { &*context.cast::<F>() };
    f(worker);
}

thread_local! {
    /// The team whose job this thread is executing, to tell a nested run from a second caller.
    static CURRENT: Cell<*const Shared> = const { Cell::new(ptr::null()) };
}

impl Shared {
    /// The life of a thread other than the caller's.
    fn serve(&self, thread: usize) {
        let mut seen = 0;
        loop {
            seen = self.start.wait_for_change(seen, self.spin);
            // SAFETY: the job was written before `start` advanced and stays until this thread finishes.
            let Some(job) = (unsafe { *self.job.get() }) else { return };
            self.execute(job, thread);
            if self.n_running.fetch_sub(1, Ordering::AcqRel) == 1 {
                self.finished.advance();
            }
        }
    }

    /// Runs one thread's part; a panic is kept for the caller of `run`.
    fn execute(&self, job: Job, thread: usize) {
        let outer = CURRENT.replace(self);
        // SAFETY: `run` keeps the closure alive until every thread has finished.
        let part = AssertUnwindSafe(|| unsafe { (job.call)(job.context, self.worker(thread)) });
        // Asserting is right: the closure is not used again, and what it captured is as exposed to a
        // panic as it would be if the caller had called it.
        let outcome = panic::catch_unwind(part);
        CURRENT.set(outer);
        if let Err(payload) = outcome {
            let mut first = lock(&self.panic);
            // The first cannot be a broken barrier: a barrier breaks only after a payload was kept.
            if !payload.is::<BrokenBarrier>() && first.is_none() {
                *first = Some(payload);
            }
            drop(first);
            self.barrier.abandon();
        }
    }

    fn worker(&self, thread: usize) -> Worker<'_> {
        Worker { thread, n_threads: self.n_threads, barrier: &self.barrier }
    }

    fn refuse_nested_run(&self) {
        assert!(!ptr::eq(CURRENT.get(), self), "`Team::run` was called from inside a run of the same team");
    }
}

/// Locks whatever a panic left behind: what the locks here protect is whole at every moment.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicU64;
    use std::time::Instant;

    const TEAM_SIZES: [usize; 4] = [1, 2, 3, 7];

    #[test]
    fn every_thread_is_called_once_in_every_run() {
        for n_threads in TEAM_SIZES {
            let team = Team::new(n_threads).unwrap();
            let calls: Vec<AtomicU64> = (0..n_threads).map(|_| AtomicU64::new(0)).collect();
            for run in 0..300 {
                team.run(|worker| {
                    assert_eq!(worker.n_threads, n_threads);
                    calls[worker.thread].fetch_add(1, Ordering::Relaxed);
                });
                assert!(calls.iter().all(|n| n.load(Ordering::Relaxed) == run + 1));
            }
        }
    }

    /// Each thread writes its cell, and after the barrier reads those of all the others.
    #[test]
    fn writes_before_a_barrier_are_seen_after_it() {
        for n_threads in TEAM_SIZES {
            let team = Team::new(n_threads).unwrap();
            let cells: Vec<AtomicU64> = (0..n_threads).map(|_| AtomicU64::new(0)).collect();
            for run in 0..20 {
                team.run(|worker| {
                    for round in 0..20 {
                        let value = run * 20 + round + 1;
                        cells[worker.thread].store(value, Ordering::Relaxed);
                        worker.barrier.wait();
                        for cell in &cells {
                            assert_eq!(cell.load(Ordering::Relaxed), value);
                        }
                        worker.barrier.wait();
                    }
                });
            }
        }
    }

    #[test]
    fn the_caller_is_thread_zero() {
        let team = Team::new(3).unwrap();
        let caller = std::thread::current().id();
        team.run(|worker| assert_eq!(worker.thread == 0, std::thread::current().id() == caller));
    }

    #[test]
    fn a_sleeping_team_wakes_up() {
        let team = Team::new(2).unwrap();
        let calls = AtomicU64::new(0);
        for _ in 0..3 {
            std::thread::sleep(20 * SPIN);
            team.run(|_| {
                calls.fetch_add(1, Ordering::Relaxed);
            });
        }
        assert_eq!(calls.into_inner(), 6);
    }

    fn message_of_panic(run: impl FnOnce()) -> String {
        let payload = panic::catch_unwind(AssertUnwindSafe(run)).expect_err("it panics");
        match payload.downcast::<String>() {
            Ok(message) => *message,
            Err(other) => String::from(*other.downcast::<&str>().expect("a message")),
        }
    }

    #[test]
    fn a_panic_on_any_thread_reaches_the_caller_and_the_team_stays_usable() {
        for n_threads in TEAM_SIZES {
            let team = Team::new(n_threads).unwrap();
            for bad in 0..n_threads {
                let run = || team.run(|worker| assert!(worker.thread != bad, "thread {bad} gives up"));
                assert_eq!(message_of_panic(run), format!("thread {bad} gives up"));
                let calls = AtomicU64::new(0);
                team.run(|worker| {
                    worker.barrier.wait();
                    calls.fetch_add(1, Ordering::Relaxed);
                });
                assert_eq!(calls.into_inner(), n_threads as u64);
            }
        }
    }

    #[test]
    fn a_panic_frees_the_threads_that_wait_at_the_barrier() {
        for n_threads in TEAM_SIZES {
            let team = Team::new(n_threads).unwrap();
            for meeting in 0..3 * n_threads {
                let bad = meeting % n_threads;
                let run = || {
                    team.run(|worker| {
                        for round in 0..30 {
                            assert!(worker.thread != bad || round != meeting, "lost at meeting {meeting}");
                            worker.barrier.wait();
                        }
                    })
                };
                assert_eq!(message_of_panic(run), format!("lost at meeting {meeting}"));
                // Afterwards the barrier counts from zero again.
                team.run(|worker| (0..5).for_each(|_| worker.barrier.wait()));
            }
        }
    }

    #[test]
    fn callers_on_several_threads_take_turns() {
        let team = Team::new(2).unwrap();
        let n_inside = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    for _ in 0..50 {
                        team.run(|worker| {
                            assert!(n_inside.fetch_add(1, Ordering::SeqCst) < 2);
                            worker.barrier.wait();
                            n_inside.fetch_sub(1, Ordering::SeqCst);
                        });
                    }
                });
            }
        });
    }

    #[test]
    fn a_run_inside_a_run_is_refused() {
        let team = Team::new(2).unwrap();
        let message = message_of_panic(|| team.run(|_| team.run(|_| ())));
        assert_eq!(message, "`Team::run` was called from inside a run of the same team");
        let other = Team::new(2).unwrap();
        team.run(|worker| {
            if worker.thread == 0 {
                other.run(|_| ())
            }
        });
    }

    #[test]
    fn dropping_a_team_ends_its_threads() {
        let started = Instant::now();
        for n_threads in TEAM_SIZES {
            let team = Team::new(n_threads).unwrap();
            let shared = Arc::downgrade(&team.shared);
            drop(team);
            // Every thread held the shared part; whoever is left would keep it alive.
            assert!(shared.upgrade().is_none());
        }
        assert!(started.elapsed() < Duration::from_secs(10));
    }

    #[test]
    fn a_team_of_nobody_is_an_error() {
        assert_eq!(Team::new(0).err().unwrap().to_string(), "a team needs at least one thread");
    }
}
