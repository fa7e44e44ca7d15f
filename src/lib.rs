//! Kiln.

mod atomic_file;
pub mod checkpoint;
#[cfg(feature = "cli")]
pub mod cli;
pub mod data;
pub mod eager;
mod error;
#[doc(hidden)]
pub mod kernels;
pub mod loss;
pub mod nn;
pub mod optim;
pub mod prelude;
pub mod runtime;
mod tensor;
mod trace;
pub mod trainer;

pub use error::{Cut, Error, Mistake, OperandNote, Problem, Unreached};
pub use tensor::{ConvOptions, Operand, Over, PerAxis, PoolOptions, Tensor, keep};
pub use trace::Tracer;
pub use trainer::{Trainer, TrainerBuilder};
