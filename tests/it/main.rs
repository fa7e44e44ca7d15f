//! Tests across crates: what a user sees, against recorded numbers and the reference interpreter.

#[cfg(feature = "cli")]
mod cli;
mod compiled;
mod errors;
mod grad_cases;
<<<<<<< HEAD
mod loops;
=======
mod lowering;
>>>>>>> 03b106d (Pin the dumps of a small model and the instructions of ops, show that wrong passes shrink to small graphs, and shift in vectors)
mod optimizers;
mod support;
mod tensors;
mod traces;
mod trainer;
