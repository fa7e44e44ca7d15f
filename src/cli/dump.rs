//! `kiln dump`: the text of a stage between a model and its code.

use super::error::CliError;
use super::recipe::{ModelName, n_threads};
use crate::explain::Stage;
use clap::{Args, ValueEnum};
use kiln_passes::pipeline::{Pipeline, PrintAfter};
use std::io::Write;

/// What `kiln dump` takes.
#[derive(Args, Debug)]
pub(crate) struct DumpArguments {
    /// The model.
    #[arg(value_enum)]
    model: ModelName,
    /// What is shown.
    #[arg(long, value_enum, default_value = "optimized", conflicts_with = "after")]
    stage: StageName,
    /// The graph after each run of this pass; `every` shows it after each pass that changed it.
    #[arg(long, value_name = "PASS")]
    after: Option<String>,
    /// Samples per step.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    batch: Option<u32>,
    /// Threads that the code is made for; all of the machine's unless it is given.
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    threads: Option<u16>,
}

/// A stage by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum StageName {
    /// The model and its loss, as traced.
    Traced,
    /// With the gradient and the optimizer's update.
    Gradient,
    /// After the passes.
    Optimized,
    /// The groups of nodes that are computed together.
    Kernels,
    /// The order of the kernels, and their memory.
    Schedule,
    /// The generated code in Cranelift's language.
    Clif,
    /// The generated code as the machine's instructions.
    Asm,
    /// The optimized graph in Graphviz's language.
    Dot,
    /// What the program consists of: kernels, work, memory, time of compilation.
    Explain,
}

/// Writes the text.
pub(crate) fn run(arguments: &DumpArguments, out: &mut impl Write) -> Result<(), CliError> {
    let recipe = arguments.model.recipe();
    let [inputs, targets] = recipe.types(arguments.batch.map_or(recipe.batch, |batch| batch as usize));
    let trainer = recipe.trainer(recipe.learning_rate).threads(n_threads(arguments.threads));
    let trainer = trainer.compile(inputs, targets)?;
    if let Some(pass) = &arguments.after {
        return Ok(write!(out, "{}", trainer.text_after(print_after(pass)?)?)?);
    }
    let stage = match arguments.stage {
        StageName::Traced => Stage::Traced,
        StageName::Gradient => Stage::Gradient,
        StageName::Optimized => Stage::Optimized,
        StageName::Kernels => Stage::Kernels,
        StageName::Schedule => Stage::Schedule,
        StageName::Clif => Stage::Clif,
        StageName::Asm => Stage::Asm,
        StageName::Dot => Stage::Dot,
        StageName::Explain => return Ok(write!(out, "{}", trainer.explain()?)?),
    };
    Ok(write!(out, "{}", trainer.text(stage)?)?)
}

/// Which dumps are meant by the name of a pass.
fn print_after(pass: &str) -> Result<PrintAfter, CliError> {
    let names = Pipeline::standard().names();
    match pass {
        "every" => Ok(PrintAfter::EveryChange),
        pass if names.contains(&pass) => Ok(PrintAfter::Pass(pass.to_string())),
        pass => Err(CliError::Arguments(format!(
            "there is no pass `{pass}`; there are {}, every",
            names.join(", ")
        ))),
    }
}
