//! What it costs to start a team and to meet at its barrier: `cargo bench --bench team`.
//!
//! Prints the median and the fastest of several batches, in nanoseconds, for one thread up to the number
//! of cores, and for more threads than cores, which is a different thing: they have to sleep.

use kiln::runtime::Team;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

const N_BATCHES: usize = 15;

fn main() {
    let n_cores = std::thread::available_parallelism().map_or(1, usize::from);
    println!("{n_cores} cores; median (fastest) ns over {N_BATCHES} batches");
    for n_threads in (1..=n_cores).chain([n_cores + 1, 3 * n_cores]) {
        let team = Team::new(n_threads).expect("threads can be started");
        // Sleeping threads are slower by three orders of magnitude: measure fewer.
        let n_repeats = if n_threads <= n_cores { 10_000 } else { 50 };

        let n_calls = AtomicUsize::new(0);
        let run = nanoseconds_each(n_repeats, |n| {
            for _ in 0..n {
                team.run(|_| {
                    n_calls.fetch_add(1, Ordering::Relaxed);
                });
            }
        });
        assert_eq!(n_calls.into_inner(), n_threads * n_repeats * N_BATCHES, "each thread runs each job");

        let barrier = nanoseconds_each(n_repeats, |n| {
            team.run(|worker| (0..n).for_each(|_| worker.barrier.wait()));
        });
        println!("{n_threads:3} threads: run {:8.0} ({:.0})", run.0, run.1);
        println!("             barrier {:8.0} ({:.0})", barrier.0, barrier.1);
    }
}

/// The median and the minimum over batches of the time per repeat.
fn nanoseconds_each(n_repeats: usize, batch: impl Fn(usize)) -> (f64, f64) {
    let mut times: Vec<f64> = (0..N_BATCHES)
        .map(|_| {
            let start = Instant::now();
            batch(n_repeats);
            start.elapsed().as_secs_f64() * 1e9 / n_repeats as f64
        })
        .collect();
    times.sort_by(f64::total_cmp);
    (times[N_BATCHES / 2], times[0])
}
