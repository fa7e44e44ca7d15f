//! What a compiled program needs while it runs: memory for its tensors, and a team of threads.
//!
//! Nothing here knows what a program computes. A [`Team`] calls one function on each of its threads
//! and gives them a [`Barrier`] to meet at; an [`AlignedBuffer`] holds bytes at the alignment that
//! kernels expect. Neither allocates once it is made.

mod affinity;
mod background;
mod barrier;
mod block;
mod buffer;
mod event;
mod interrupt;
mod memory;
mod team;

pub use affinity::use_cores;
pub use background::Background;
pub use barrier::{Barrier, kiln_barrier};
pub use block::advise_large_pages;
pub use buffer::{ALIGNMENT, AlignedBuffer, OutOfBounds};
pub use interrupt::Interrupts;
pub use memory::machine_bytes;
pub use team::{Team, Worker};
