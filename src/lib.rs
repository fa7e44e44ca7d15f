//! Kiln.

#[doc(hidden)]
pub mod kernels;
pub mod runtime;
