//! `kiln verify`: the step of a model, compiled or op by op, beside the reference interpreter.

use super::error::CliError;
use super::options::n_threads;
use super::train::{Example, of_recipes};
use clap::Args;
use std::io::Write;

/// Samples per step: enough for products to be computed by tiles, few enough for the interpreter.
const BATCH: u32 = 4;

/// What `kiln verify` takes.
#[derive(Args, Debug)]
pub(crate) struct VerifyArguments {
    /// The model.
    #[arg(value_parser = of_recipes())]
    model: &'static Example,
    /// Samples per step; the interpreter takes its time for each.
    #[arg(long, default_value_t = BATCH, value_parser = clap::value_parser!(u32).range(1..))]
    batch: u32,
    /// Steps of training before the one that is verified.
    #[arg(long, default_value_t = 3)]
    steps: u32,
    /// Threads that run the program; all of the machine's unless it is given.
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    threads: Option<u16>,
    /// Verify ops that are computed one by one, as eager training does, in place of the compiled program.
    #[arg(long)]
    eager: bool,
    /// What parameters and batches follow from.
    #[arg(long, default_value_t = 0)]
    seed: u64,
}

/// Verifies a step on random data.
pub(crate) fn run(arguments: &VerifyArguments, out: &mut impl Write) -> Result<(), CliError> {
    let recipe = arguments.model.recipe();
    let batch = arguments.batch as usize;
    let [inputs, targets] = recipe.types(batch);
    let trainer = recipe.trainer(recipe.learning_rate).seed(arguments.seed).eager(arguments.eager);
    let mut trainer = trainer.threads(n_threads(arguments.threads)).compile(inputs, targets)?;
    // Some steps first: momenta that are all zero would hide mistakes.
    for step in 0..arguments.steps {
        let (x, y) = recipe.random_batch(batch, arguments.seed + 1 + u64::from(step));
        trainer.step(&x, &y)?;
    }
    let (x, y) = recipe.random_batch(batch, arguments.seed);
    let verification =
        if arguments.eager { trainer.verify_eager(&x, &y)? } else { trainer.verify(&x, &y)? };
    write!(out, "{verification}")?;
    if verification.is_good() { Ok(()) } else { Err(CliError::Verification(arguments.model.name)) }
}
