//! Kiln.

pub mod data;
#[doc(hidden)]
pub mod kernels;
pub mod runtime;
