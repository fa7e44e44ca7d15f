//! Kiln.

mod atomic_file;
pub mod checkpoint;
pub mod data;
#[doc(hidden)]
pub mod kernels;
pub mod runtime;
