//! `kiln verify`: a program of a model, compiled or op by op, beside the reference interpreter.

use super::error::CliError;
use super::feed::Size;
use super::model::ModelArguments;
use super::options::{n_threads, threads};
use super::progress;
use crate::verify::{verify_eager_observed, verify_observed};
use clap::Args;
use std::io::Write;

/// Batches are no larger unless the user says so: large enough for products to be computed by tiles, small enough for the
/// interpreter.
const MOST: Size = Size { batch: 4, length: Some(16) };

/// What `kiln verify` takes.
#[derive(Args, Debug)]
pub(crate) struct VerifyArguments {
    #[command(flatten)]
    model: ModelArguments,
    /// Steps of training before the one that is verified.
    #[arg(long, default_value_t = 3)]
    steps: u32,
    /// Threads that run the program; all of the machine's unless it is given.
    #[arg(long, value_parser = threads())]
    threads: Option<u16>,
    /// Verify ops that are computed one by one, as eager training does, in place of the compiled program.
    #[arg(long)]
    eager: bool,
    /// What parameters and batches follow from.
    #[arg(long, default_value_t = 0)]
    seed: u64,
}

/// Verifies a program on random data.
pub(crate) fn run(arguments: &VerifyArguments, out: &mut impl Write) -> Result<(), CliError> {
    let recipes = arguments.model.recipes();
    let chosen = arguments.model.choose(&recipes, Some(MOST))?;
    let (recipe, program, size) = (chosen.recipe, chosen.program, chosen.size);
    let begin = || recipe.begin().seed(arguments.seed).threads(n_threads(arguments.threads));
    let graph = program.graph(&recipe.build(begin())?, size)?;
    chosen.check_memory(&graph)?;
    writeln!(out, "{chosen}")?;
    out.flush()?;

    let mut trainer = recipe.compile(begin().eager(arguments.eager), size)?;
    // Some steps first: momenta that are all zero would hide mistakes.
    for step in 0..u64::from(arguments.steps) {
        recipe.random_step(&mut trainer, size, arguments.seed + 1 + step)?;
    }
    let mut values = trainer.state_values();
    values.extend(program.random(size, arguments.seed).concat());
    let (options, bar) = (trainer.compile_options()?, progress::of_interpreter());
    drop(trainer);
    let mut observe = |share: f64| bar.set_position((share * bar.length().unwrap_or(0) as f64) as u64);
    let verification = match arguments.eager {
        true => verify_eager_observed(&graph, &values, &options, &mut observe),
        false => verify_observed(&graph, &values, &options, &mut observe),
    };
    bar.finish_and_clear();
    write!(out, "{verification}")?;
    if verification.is_good() { Ok(()) } else { Err(CliError::Verification(chosen.model.to_string())) }
}
