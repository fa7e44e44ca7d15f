//! Kiln.

mod atomic_file;
pub mod checkpoint;
#[cfg(feature = "cli")]
pub mod cli;
pub mod data;
#[doc(hidden)]
pub mod kernels;
pub mod runtime;
