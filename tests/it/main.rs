//! Tests across crates: what a user sees, against recorded numbers and the reference interpreter.

#[cfg(feature = "cli")]
mod checkpoints;
#[cfg(feature = "cli")]
mod cli;
mod compiled;
mod creation;
mod decompositions;
mod errors;
#[cfg(feature = "cli")]
mod examples;
mod families;
mod functions;
mod grad_cases;
mod health;
mod higher_order;
mod layer_options;
mod layers;
mod loops;
mod lowering;
mod matrices;
mod names;
mod optimizers;
mod penalized_layers;
mod quantiles;
mod regularization;
mod resume;
mod support;
mod tensors;
mod traces;
mod trained_layers;
mod trainer;
