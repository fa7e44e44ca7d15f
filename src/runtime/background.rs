//! A value that another thread makes while this one goes on.

use std::mem;
use std::sync::{Mutex, OnceLock};
use std::thread::{Builder, JoinHandle};

/// A value that a thread of its own makes once it is begun, waited for when it is first asked for.
pub struct Background<T> {
    value: OnceLock<T>,
    making: Mutex<Making<T>>,
}

enum Making<T> {
    NotBegun(Box<dyn FnOnce() -> T + Send>),
    Begun(JoinHandle<T>),
    /// The value is there, or whoever found this state makes it.
    Taken,
}

impl<T: Send + 'static> Background<T> {
    /// A value that is made in this way.
    pub fn new(make: impl FnOnce() -> T + Send + 'static) -> Background<T> {
        Background { value: OnceLock::new(), making: Mutex::new(Making::NotBegun(Box::new(make))) }
    }

    /// Begins to make the value, if nobody has. Where the system gives no thread, it is made when it is asked for.
    pub fn begin(&mut self) {
        let making = self.making.get_mut().expect("nobody panics with the lock");
        let make = match mem::replace(making, Making::Taken) {
            Making::NotBegun(make) => make,
            begun @ (Making::Begun(_) | Making::Taken) => {
                *making = begun;
                return;
            }
        };
        // The thread takes it from where it stays if there is no thread.
        let shared = std::sync::Arc::new(Mutex::new(Some(make)));
        let of_thread = shared.clone();
        let run = move || {
            let make = of_thread.lock().expect("nobody panics with the lock").take();
            make.expect("only one takes it")()
        };
        *making = match Builder::new().name("kiln-prepare".to_string()).spawn(run) {
            Ok(thread) => Making::Begun(thread),
            Err(_) => {
                let make = shared.lock().expect("nobody panics with the lock").take();
                Making::NotBegun(make.expect("no thread took it"))
            }
        };
    }

    /// The value.
    ///
    /// # Panics
    /// When the thread that made it panicked.
    pub fn get(&self) -> &T {
        self.value.get_or_init(|| {
            let making =
                mem::replace(&mut *self.making.lock().expect("nobody panics with the lock"), Making::Taken);
            match making {
                Making::NotBegun(make) => make(),
                Making::Begun(thread) => {
                    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
                }
                Making::Taken => panic!("the value could not be made"),
            }
        })
    }

    /// The value, to be changed. Panics as [`get`](Background::get).
    pub fn get_mut(&mut self) -> &mut T {
        self.get();
        self.value.get_mut().expect("just made")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_value_is_waited_for() {
        for begins in [true, false] {
            let mut text = Background::new(|| {
                std::thread::sleep(std::time::Duration::from_millis(5));
                "made".to_string()
            });
            if begins {
                text.begin();
                text.begin();
            }
            text.get_mut().push_str(" and changed");
            assert_eq!(text.get(), "made and changed");
        }
    }

    #[test]
    #[should_panic(expected = "broken")]
    fn a_panic_is_passed_on() {
        let mut value = Background::<()>::new(|| panic!("broken"));
        value.begin();
        value.get();
    }
}
