//! What the system knows about this process. Zero where it does not say: all of this is Linux's `/proc`.

use std::fs;

/// Memory in MiB that the process holds now.
pub(super) fn rss_mb() -> f64 {
    status_mb("VmRSS:")
}

/// The most that it ever held.
pub(super) fn peak_rss_mb() -> f64 {
    status_mb("VmHWM:")
}

fn status_mb(field: &str) -> f64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(field));
    let kib = line.and_then(|rest| rest.split_whitespace().next()?.parse::<f64>().ok());
    kib.unwrap_or(0.0) / 1024.0
}

/// Seconds that the threads of this process waited for a core so far: large beside the wall time when something else was
/// running on the machine.
pub(super) fn run_queue_wait() -> f64 {
    let Ok(tasks) = fs::read_dir("/proc/self/task") else { return 0.0 };
    let waited = tasks.filter_map(|task| {
        let text = fs::read_to_string(task.ok()?.path().join("schedstat")).ok()?;
        text.split_whitespace().nth(1)?.parse::<u64>().ok()
    });
    waited.sum::<u64>() as f64 / 1e9
}
