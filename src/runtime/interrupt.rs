//! Being asked to stop: by ctrl-c, or by a system that ends its jobs.

use std::sync::atomic::{AtomicBool, Ordering};

/// While it lives, the first signal to stop (`SIGINT`, `SIGTERM`) is only noted, for a loop to end where it can go on later;
/// the second one ends the process, as without this. Signals that the process was started to ignore stay ignored.
///
/// There is one note for the process. On systems without such signals nothing is ever noted.
#[derive(Debug)]
pub struct Interrupts(system::Watch);

static NOTED: AtomicBool = AtomicBool::new(false);

impl Interrupts {
    /// Notes signals from now on.
    pub fn watch() -> Interrupts {
        NOTED.store(false, Ordering::Relaxed);
        Interrupts(system::Watch::begin())
    }

    /// Whether a signal came.
    pub fn is_asked_to_stop(&self) -> bool {
        NOTED.load(Ordering::Relaxed)
    }
}

impl Drop for Interrupts {
    fn drop(&mut self) {
        self.0.end();
    }
}

#[cfg(unix)]
mod system {
    use super::NOTED;
    use std::fmt;
    use std::sync::atomic::Ordering;

    const SIGNALS: [i32; 2] = [libc::SIGINT, libc::SIGTERM];

    /// What the signals did before.
    pub struct Watch([Option<libc::sigaction>; SIGNALS.len()]);

    /// Does what a handler may: nothing but the change of an atomic.
    extern "C" fn note(_: i32) {
        NOTED.store(true, Ordering::Relaxed);
    }

    fn handle(signal: i32) -> Option<libc::sigaction> {
        // SAFETY: the structure is plain data, and all zeros is one of its values.
        let (mut new, mut old): (libc::sigaction, libc::sigaction) = unsafe { std::mem::zeroed() };
        // SAFETY: a null pointer asks for the present action only, which `old` has room for.
        let is_known = unsafe { libc::sigaction(signal, std::ptr::null(), &raw mut old) } == 0;
        if !is_known || old.sa_sigaction == libc::SIG_IGN {
            return None;
        }
        new.sa_sigaction = note as extern "C" fn(i32) as libc::sighandler_t;
        // The second signal finds the default again; system calls go on after the first.
        new.sa_flags = libc::SA_RESETHAND | libc::SA_RESTART;
        // SAFETY: `new` is a whole action, whose handler takes one argument as its flags say.
        (unsafe { libc::sigaction(signal, &raw const new, std::ptr::null_mut()) } == 0).then_some(old)
    }

    impl Watch {
        pub fn begin() -> Watch {
            Watch(SIGNALS.map(handle))
        }

        pub fn end(&mut self) {
            for (signal, old) in SIGNALS.into_iter().zip(&self.0) {
                if let Some(old) = old {
                    // SAFETY: `old` is an action that the system gave.
                    unsafe { libc::sigaction(signal, old, std::ptr::null_mut()) };
                }
            }
        }
    }

    impl fmt::Debug for Watch {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("Watch")
        }
    }
}

#[cfg(not(unix))]
mod system {
    #[derive(Debug)]
    pub struct Watch;

    impl Watch {
        pub fn begin() -> Watch {
            Watch
        }

        pub fn end(&mut self) {}
    }
}
