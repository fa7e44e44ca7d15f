//! Kiln compiles the training of neural networks.
//!
//! A model is traced once into a graph; its gradient and the optimizer's update are derived as more graph, and the
//! whole becomes one program: one call is one step of training.
//!
//! ```
//! use kiln::prelude::*;
//!
//! struct Mlp {
//!     hidden: Linear,
//!     head: Linear,
//! }
//! kiln::parameters!(Mlp { hidden, head });
//!
//! impl Model for Mlp {
//!     fn forward(&self, x: &Tensor) -> Tensor {
//!         self.head.forward(&self.hidden.forward(x).relu())
//!     }
//! }
//!
//! let model = Mlp { hidden: Linear::new(4, 8), head: Linear::new(8, 3) };
//! let mut trainer = Trainer::new(&model)
//!     .loss(cross_entropy)
//!     .optimizer(Adam::new(1e-2))
//!     .compile(f32(&[2, 4]), i64(&[2]))?;
//!
//! let x = TensorData::new([2, 4], vec![1f32, 0., 0., 0., 0., 1., 0., 0.]);
//! let label = TensorData::new([2], vec![0i64, 2]);
//! let first = trainer.step(&x, &label)?;
//! for _ in 0..20 {
//!     trainer.step(&x, &label)?;
//! }
//! assert!(trainer.step(&x, &label)? < first);
//! # Ok::<(), kiln::Error>(())
//! ```
//!
//! [`Tensor`] is what models compute with, [`nn`] holds layers, [`loss`] losses, [`optim`] optimizers, [`trainer`] what
//! ties them together. Mistakes of a model are [`Error`]s that name the user's line.

// The programs in `examples/` are modules of `cli::examples` too, and name this crate as other programs do.
#[cfg(feature = "cli")]
extern crate self as kiln;

mod atomic_file;
pub mod checkpoint;
#[cfg(feature = "cli")]
pub mod cli;
pub(crate) mod codegen;
pub mod compile;
pub mod data;
pub mod eager;
mod error;
pub mod executable;
pub mod explain;
pub mod health;
#[doc(hidden)]
pub mod kernels;
pub mod log;
pub mod loss;
pub mod metrics;
pub mod models;
pub mod nn;
pub mod optim;
pub mod prelude;
pub mod runtime;
pub mod state;
mod tensor;
mod trace;
pub mod trainer;
pub mod verify;

/// Compiles and runs the program in the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

/// Compiles the programs in the page about training.
#[cfg(doctest)]
#[doc = include_str!("../docs/training.md")]
struct Training;

pub use error::{Cut, Error, Mistake, OperandNote, Problem, Unreached};
pub use tensor::{
    Border, Combine, ConvOptions, Index, Interpolation, Normalized, Operand, Over, PerAxis, Polynomial,
    PoolOptions, Resample, Scan, Scanned, Tensor, block_diag, broadcast_tensors, cartesian_prod,
    column_stack, dstack, hstack, keep, meshgrid, multi_dot, vstack,
};
pub use trace::Tracer;
pub use trainer::{Trainer, TrainerBuilder};
