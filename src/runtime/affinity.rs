//! Which cores a process may use.

use std::io;

/// Keeps this thread, and threads it starts from now on, on `n` cores: the last of those that it may use. Does nothing
/// when it may use no more than that, or where the system offers no such thing.
///
/// A measurement with one thread on a machine of two cores then cannot be helped by the other.
///
/// Errors: `n` is zero; the system refuses.
#[cfg(target_os = "linux")]
pub fn use_cores(n: usize) -> io::Result<()> {
    let size = size_of::<libc::cpu_set_t>();
    // SAFETY: a set of cores is plain bits, and zero is the empty one.
    let mut allowed: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: `allowed` is a set of the size that is passed; 0 is the calling thread.
    if unsafe { libc::sched_getaffinity(0, size, &raw mut allowed) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the core is below the number of cores in a set.
    let is_allowed = |&core: &usize| unsafe { libc::CPU_ISSET(core, &allowed) };
    let cores: Vec<usize> = (0..libc::CPU_SETSIZE as usize).filter(is_allowed).collect();
    if n >= cores.len() {
        return Ok(());
    }
    // SAFETY: as above.
    let mut chosen: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    for &core in &cores[cores.len() - n..] {
        // SAFETY: as above.
        unsafe { libc::CPU_SET(core, &mut chosen) };
    }
    // SAFETY: `chosen` is a set of the size that is passed.
    match unsafe { libc::sched_setaffinity(0, size, &raw const chosen) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Does nothing: this system offers no way to choose cores.
#[cfg(not(target_os = "linux"))]
pub fn use_cores(_: usize) -> io::Result<()> {
    Ok(())
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn a_thread_is_kept_on_so_many_cores() {
        // In a thread of its own, which other tests do not run on.
        let n = std::thread::spawn(|| {
            use_cores(usize::MAX).unwrap();
            use_cores(1).unwrap();
            std::thread::available_parallelism().unwrap().get()
        });
        assert_eq!(n.join().unwrap(), 1);
        assert!(std::thread::spawn(|| use_cores(0)).join().unwrap().is_err());
    }
}
