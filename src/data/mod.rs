//! Data sets: reading them, dividing them, and handing them out in batches.
//!
//! A [`Dataset`] is two tensors whose first axis counts the samples: what a model sees and what it shall
//! answer. It comes from the numbers embedded in this crate ([`digits()`]), from a table of
//! numbers ([`csv`]) or, with the feature `cli`, from MNIST's files ([`idx`]). A [`Loader`] cuts it into
//! shuffled batches, in an order that depends on its seed alone, which a thread can make ahead ([`Batches::prefetch`]).

pub mod csv;
mod dataset;
mod digits;
#[cfg(feature = "cli")]
pub mod idx;
mod loader;
mod prefetch;
mod shuffle;

pub use dataset::{Dataset, DatasetError, Split};
pub use digits::digits;
pub use loader::{Batches, Loader, Position, Remainder};
pub use prefetch::Prefetched;
pub use shuffle::permutation;

#[cfg(test)]
pub(crate) mod testing {
    use std::io::Write;
    use std::path::{Path, PathBuf};

    /// A path below the directory of shared test data, which is named by `KILN_SHARED` or lies beside the
    /// repository. Says so when there is none: such a test checks nothing then.
    pub(crate) fn shared(path: &str) -> Option<PathBuf> {
        let shared = match std::env::var_os("KILN_SHARED") {
            Some(shared) => PathBuf::from(shared),
            None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared"),
        };
        let found = shared.join(path);
        if !found.exists() {
            // Not `eprintln!`, which the test runner keeps to itself when the test passes.
            let _ = writeln!(std::io::stderr(), "skipped: {} not found", found.display());
            return None;
        }
        Some(found)
    }
}
