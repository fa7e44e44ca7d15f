//! The measurement: the first call, a warm-up of half a second, then at least 20 steps and two seconds.

use super::process::{peak_rss_mb, rss_mb, run_queue_wait};
use crate::cli::error::CliError;
use std::time::{Duration, Instant};

/// A workload that can be run again and again.
pub(super) trait Running {
    /// One step, complete when it returns. The first one also traces and compiles.
    fn step(&mut self) -> Result<(), CliError>;

    /// One number that depends on the result of the last step.
    fn value(&self) -> f64;
}

/// What was measured.
#[derive(Clone, Debug)]
pub(super) struct Measured {
    pub first_call: Duration,
    pub first_value: f64,
    pub last_value: f64,
    /// Seconds of a step, sorted.
    pub times: Vec<f64>,
    /// Steps that were taken; more than there are times where each time is the mean of several.
    pub steps: usize,
    pub peak_rss_mb: f64,
    pub base_rss_mb: f64,
    /// Share of the time that threads waited for a core; above 1 when several did.
    pub wait_share: f64,
}

const WARM_UP: Duration = Duration::from_millis(500);
const LEAST_WARM_UP_STEPS: usize = 3;
const MEASURE: Duration = Duration::from_secs(2);
const LEAST_STEPS: usize = 20;
/// A slow workload is measured no longer than this, and no fewer steps than follow.
const AT_MOST: Duration = Duration::from_secs(60);
const LEAST_SLOW_STEPS: usize = 3;

/// What the clock measures at once is at least this long. Reading it takes some 30 ns, which a step of one microsecond
/// would feel: such steps are taken in groups, and a group's mean counts as one time.
const LEAST_TIME: f64 = 20e-6;

/// Measures a workload.
pub(super) fn measure(running: &mut dyn Running) -> Result<Measured, CliError> {
    let base_rss_mb = rss_mb();
    let start = Instant::now();
    running.step()?;
    let first_call = start.elapsed();
    let first_value = running.value();

    let (start, mut n) = (Instant::now(), 0);
    while n < LEAST_WARM_UP_STEPS || start.elapsed() < WARM_UP {
        running.step()?;
        n += 1;
        if n >= 2 && start.elapsed() > AT_MOST / 4 {
            break;
        }
    }
    let step_seconds = start.elapsed().as_secs_f64() / n as f64;
    let group = (LEAST_TIME / step_seconds).ceil().max(1.0) as usize;

    let wait = run_queue_wait();
    let (start, mut times) = (Instant::now(), Vec::new());
    loop {
        let begin = Instant::now();
        for _ in 0..group {
            running.step()?;
        }
        let end = Instant::now();
        times.push((end - begin).as_secs_f64() / group as f64);
        let (elapsed, steps) = (end - start, times.len() * group);
        let is_slow = elapsed >= AT_MOST && steps >= LEAST_SLOW_STEPS;
        if is_slow || (elapsed >= MEASURE && steps >= LEAST_STEPS) {
            break;
        }
    }
    let wait_share = (run_queue_wait() - wait) / start.elapsed().as_secs_f64();
    times.sort_by(f64::total_cmp);
    Ok(Measured {
        first_call,
        first_value,
        last_value: running.value(),
        steps: times.len() * group,
        times,
        peak_rss_mb: peak_rss_mb(),
        base_rss_mb,
        wait_share,
    })
}

impl Measured {
    /// Median seconds of a step.
    pub fn median(&self) -> f64 {
        let n = self.times.len();
        (self.times[(n - 1) / 2] + self.times[n / 2]) / 2.0
    }

    /// Distance from the first to the ninth decile, as a share of the median.
    pub fn spread(&self) -> f64 {
        let n = self.times.len() - 1;
        (self.times[n * 9 / 10] - self.times[n / 10]) / self.median()
    }

    /// Mean seconds of a step.
    pub fn mean(&self) -> f64 {
        self.times.iter().sum::<f64>() / self.times.len() as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Counts its steps, and takes no time for them.
    struct Counter(usize);

    impl Running for Counter {
        fn step(&mut self) -> Result<(), CliError> {
            self.0 += 1;
            Ok(())
        }

        fn value(&self) -> f64 {
            self.0 as f64
        }
    }

    #[test]
    fn short_steps_are_measured_in_groups() {
        let mut counter = Counter(0);
        let measured = measure(&mut counter).unwrap();
        assert_eq!(measured.first_value, 1.0);
        assert_eq!(measured.last_value, counter.0 as f64);
        // How many make a group depends on what else the machine does: the mean step of the warm-up takes longer then.
        assert!(measured.steps >= 2 * measured.times.len());
        // A time is that of one step, not of its group.
        assert!(measured.median() < LEAST_TIME / 2.0 && measured.times[0] <= measured.median());
    }

    #[test]
    fn figures_are_those_of_sorted_times() {
        let times: Vec<f64> = (1..=11).map(f64::from).collect();
        let measured = Measured {
            first_call: Duration::ZERO,
            first_value: 0.0,
            last_value: 0.0,
            times,
            steps: 11,
            peak_rss_mb: 0.0,
            base_rss_mb: 0.0,
            wait_share: 0.0,
        };
        assert_eq!((measured.median(), measured.mean()), (6.0, 6.0));
        assert_eq!(measured.spread(), 8.0 / 6.0);
    }
}
