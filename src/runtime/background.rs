//! A value that another thread makes while this one goes on.

use std::sync::{Mutex, OnceLock};
use std::thread::{Builder, JoinHandle};

/// A value that a thread of its own makes, waited for when it is first asked for.
pub struct Background<T> {
    value: OnceLock<T>,
    thread: Mutex<Option<JoinHandle<T>>>,
}

impl<T: Send + 'static> Background<T> {
    /// Begins to make the value. Where the system gives no thread, this one makes it when it is asked for.
    pub fn begin(make: impl FnOnce() -> T + Send + 'static) -> Background<T> {
        let cell = std::sync::Arc::new(Mutex::new(Some(make)));
        let taken = cell.clone();
        let run = move || {
            let make = taken.lock().expect("nobody panics with the lock").take();
            make.expect("taken once")()
        };
        let (value, thread) = match Builder::new().name("kiln-prepare".to_string()).spawn(run) {
            Ok(thread) => (OnceLock::new(), Some(thread)),
            Err(_) => {
                let make = cell.lock().expect("nobody panics with the lock").take().expect("not begun");
                (OnceLock::from(make()), None)
            }
        };
        Background { value, thread: Mutex::new(thread) }
    }

    /// A value that is there.
    pub fn ready(value: T) -> Background<T> {
        Background { value: OnceLock::from(value), thread: Mutex::new(None) }
    }

    /// The value.
    ///
    /// # Panics
    /// When the thread that made it panicked.
    pub fn get(&self) -> &T {
        self.value.get_or_init(|| {
            let thread = self.thread.lock().expect("nobody panics with the lock").take();
            let thread = thread.expect("the value is there, or the thread that makes it");
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// The value, to be changed. Panics as [`get`](Background::get).
    pub fn get_mut(&mut self) -> &mut T {
        self.get();
        self.value.get_mut().expect("just made")
    }

    /// The value. Panics as [`get`](Background::get).
    pub fn into_inner(self) -> T {
        self.get();
        self.value.into_inner().expect("just made")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_value_is_waited_for() {
        let mut text = Background::begin(|| {
            std::thread::sleep(std::time::Duration::from_millis(20));
            "made".to_string()
        });
        text.get_mut().push_str(" and changed");
        assert_eq!(text.get(), "made and changed");
        assert_eq!(text.into_inner(), "made and changed");
    }

    #[test]
    #[should_panic(expected = "broken")]
    fn a_panic_is_passed_on() {
        Background::<()>::begin(|| panic!("broken")).get();
    }
}
