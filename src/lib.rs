//! Kiln.

#[doc(hidden)]
pub mod kernels;
