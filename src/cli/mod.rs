//! The command line, behind the feature `cli`.
//!
//! Results go to standard output, errors and the progress bar to standard error. The exit code is 0 when all is well,
//! 1 when something could not be done or a check failed, 2 when the arguments make no sense, 130 when the user stopped it.

mod bench;
mod classify;
mod dump;
mod error;
pub mod examples;
mod feed;
mod files;
mod history;
pub mod measure;
mod model;
mod names;
mod options;
pub mod picture;
pub mod plot;
mod progress;
mod recipe;
mod run;
pub mod sources;
pub mod text;
mod train;
mod verify;
mod workloads;

pub use classify::Classify;
pub use error::CliError;
pub use feed::Feed;
pub use options::Options;
pub use recipe::{Begin, Recipe, Recipes};
pub use run::Run;

use clap::{Parser, Subcommand};
use std::io::Write;
use std::process::ExitCode;

/// Kiln compiles the training of neural networks.
///
/// Without a command it trains `digits-mlp` on handwritten digits that are part of the program; the options are those of
/// `train`.
#[derive(Parser)]
#[command(name = "kiln", version, args_conflicts_with_subcommands = true)]
struct Arguments {
    #[command(flatten)]
    options: Options,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Trains one of the examples.
    Train(Box<train::TrainArguments>),
    /// Shows the text of a stage between a model and its code.
    Dump(dump::DumpArguments),
    /// Runs a compiled model beside the reference interpreter and says what differs.
    ///
    /// The interpreter takes its time: unless `--batch` and `--length` say otherwise, there are at most 4 samples, and 16 places
    /// in a sequence.
    Verify(verify::VerifyArguments),
    /// Measures workloads.
    Bench(bench::BenchArguments),
}

/// Runs the program: the arguments are those of the process.
pub fn main() -> ExitCode {
    let Arguments { command, options } = Arguments::parse();
    exit_code(|mut out| match command {
        None => train::run(train::default(), &options, out),
        Some(Command::Train(arguments)) => train::run(arguments.example, &arguments.options, out),
        Some(Command::Dump(arguments)) => dump::run(&arguments, &mut out),
        Some(Command::Verify(arguments)) => verify::run(&arguments, &mut out),
        Some(Command::Bench(arguments)) => bench::run(&arguments, &mut out),
    })
}

/// The exit code of a program that ctrl-c ended, as shells have it: 128 and the number of the signal.
const STOPPED: u8 = 130;

/// Does something that writes to standard output: the exit code, after a message if it failed.
fn exit_code(body: impl FnOnce(&mut dyn Write) -> Result<(), CliError>) -> ExitCode {
    let mut out = std::io::stdout().lock();
    match body(&mut out).and_then(|()| Ok(out.flush()?)) {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever read the output has seen enough, as in `kiln dump mlp | head`.
        Err(error) if error.is_closed_pipe() => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            match error {
                CliError::Stopped { .. } => ExitCode::from(STOPPED),
                _ => ExitCode::FAILURE,
            }
        }
    }
}
