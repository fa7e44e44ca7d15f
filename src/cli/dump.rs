//! `kiln dump`: the text of a stage between a model and its code.

use super::error::CliError;
use super::model::ModelArguments;
use super::options::{n_threads, threads};
use crate::compile::try_compile;
use crate::explain::{Stage, text, text_after};
use clap::{Args, ValueEnum};
use kiln_passes::pipeline::{Pipeline, PrintAfter};
use std::io::Write;

/// What `kiln dump` takes.
#[derive(Args, Debug)]
pub(crate) struct DumpArguments {
    #[command(flatten)]
    model: ModelArguments,
    /// What is shown; `optimized`, or `gradient` for eager execution, unless it is given.
    #[arg(long, value_enum, conflicts_with = "after")]
    stage: Option<StageName>,
    /// The graph after each run of this pass; `every` shows it after each pass that changed it.
    #[arg(long, value_name = "PASS")]
    after: Option<String>,
    /// Show what eager execution computes: the graph as it is recorded, whose ops run one by one.
    #[arg(long, conflicts_with = "after")]
    eager: bool,
    /// Threads that the code is made for; all of the machine's unless it is given.
    #[arg(long, value_parser = threads())]
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
    let stage = stage(arguments)?;
    let recipes = arguments.model.recipes();
    let chosen = arguments.model.choose(&recipes, None)?;
    let (recipe, program) = (chosen.recipe, chosen.program);
    let trainer = recipe.build(recipe.begin().threads(n_threads(arguments.threads)))?;
    let graph = program.graph(&trainer, chosen.size)?;
    chosen.check_memory(&graph)?;
    if let Some(pass) = &arguments.after {
        return Ok(write!(out, "{}", text_after(graph, print_after(pass)?))?);
    }
    let options = trainer.compile_options()?;
    let stage = match stage {
        StageName::Traced => Stage::Traced,
        StageName::Gradient => Stage::Gradient,
        StageName::Optimized => Stage::Optimized,
        StageName::Kernels => Stage::Kernels,
        StageName::Schedule => Stage::Schedule,
        StageName::Clif => Stage::Clif,
        StageName::Asm => Stage::Asm,
        StageName::Dot => Stage::Dot,
        StageName::Explain => return Ok(write!(out, "{}", try_compile(graph, &options)?.explain())?),
    };
    Ok(write!(out, "{}", text(graph, stage, &options)?)?)
}

/// The stage that is asked for. Eager execution has only those before the passes.
fn stage(arguments: &DumpArguments) -> Result<StageName, CliError> {
    let stage = match (arguments.stage, arguments.eager) {
        (Some(stage), _) => stage,
        (None, true) => StageName::Gradient,
        (None, false) => StageName::Optimized,
    };
    match stage {
        StageName::Traced | StageName::Gradient => Ok(stage),
        StageName::Optimized
        | StageName::Kernels
        | StageName::Schedule
        | StageName::Clif
        | StageName::Asm
        | StageName::Dot
        | StageName::Explain => match arguments.eager {
            false => Ok(stage),
            true => Err(CliError::Arguments(
                "eager execution computes each op as it is recorded and has no later stage; there are `traced` and \
                 `gradient`"
                    .to_string(),
            )),
        },
    }
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
