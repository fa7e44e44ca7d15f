//! `kiln bench`: the workloads of the comparison with other frameworks, measured as those are.
//!
//! Each measurement runs in a process of its own, so that none sees memory, threads or code of another: the program
//! starts itself with a hidden flag and reads one line of JSON. Records have the fields that the scripts for the other
//! frameworks write, and go into the same files by the same rule: of repeated runs the one with the lowest median stays,
//! since noise only adds time, and `medians_of_runs` keeps all.

mod kernel;
mod measure;
mod model;
mod process;
mod record;
mod work;
mod workload;

use super::error::CliError;
use super::files::check_writable;
use super::names::{NameParser, Named};
use super::options::threads;
use clap::Args;
use measure::measure;
use record::Record;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use workload::{WORKLOADS, Way, Workload};

/// What `kiln bench` takes.
#[derive(Args, Debug)]
pub(crate) struct BenchArguments {
    /// The workloads; all of them unless some are given.
    #[arg(value_parser = NameParser { what: "workload", all: || &WORKLOADS }, value_name = "WORKLOAD")]
    workloads: Vec<&'static Workload>,
    /// Numbers of threads, separated by commas; with fewer than there are cores, only as many cores are used.
    #[arg(long, value_delimiter = ',', default_values_t = [1u16, 2], value_parser = threads())]
    threads: Vec<u16>,
    /// Compute op by op, without compiling the whole.
    #[arg(long)]
    eager: bool,
    /// Add the records to this file.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Measure in this process and write the record to standard output: what the program starts itself with.
    #[arg(long, hide = true)]
    one: bool,
}

/// What a line with a record begins with.
const RECORD: &str = "RECORD ";

/// Measures and prints a table.
pub(crate) fn run(arguments: &BenchArguments, out: &mut impl Write) -> Result<(), CliError> {
    let workloads = match arguments.workloads.is_empty() {
        true => WORKLOADS.iter().collect(),
        false => arguments.workloads.clone(),
    };
    if arguments.one {
        return measure_here(workloads[0], arguments, out);
    }
    if let Some(path) = &arguments.json {
        check_writable("--json", path)?;
    }
    writeln!(out, "{}", Record::HEADLINE)?;
    let mut failed = Vec::new();
    for workload in workloads {
        for &threads in &arguments.threads {
            match measure_apart(workload, threads, arguments.eager) {
                Ok(record) => {
                    writeln!(out, "{record}")?;
                    out.flush()?;
                    if let Some(path) = &arguments.json {
                        record.add_to(path)?;
                    }
                }
                Err(problem) => {
                    writeln!(out, "{:<18} {threads} threads FAILED: {problem}", workload.name())?;
                    failed.push(workload.name());
                }
            }
        }
    }
    if failed.is_empty() { Ok(()) } else { Err(CliError::Bench(failed.join(", "))) }
}

/// One measurement in a process of its own, or why there is none.
fn measure_apart(workload: &Workload, threads: u16, eager: bool) -> Result<Record, String> {
    let program = std::env::current_exe().map_err(|error| format!("the program cannot be found: {error}"))?;
    let mut command = Command::new(program);
    command.args(["bench", "--one", workload.name(), "--threads", &threads.to_string()]);
    if eager {
        command.arg("--eager");
    }
    let output = command.stdin(Stdio::null()).output().map_err(|error| error.to_string())?;
    let text = String::from_utf8_lossy(&output.stdout);
    let record = text.lines().find_map(|line| line.strip_prefix(RECORD));
    let record = record.and_then(|json| serde_json::from_str(json).ok()).and_then(Record::from_json);
    record.ok_or_else(|| {
        let errors = String::from_utf8_lossy(&output.stderr);
        format!("{}; {}", output.status, errors.lines().next().unwrap_or("no error was reported"))
    })
}

/// One measurement in this process.
fn measure_here(
    workload: &Workload,
    arguments: &BenchArguments,
    out: &mut impl Write,
) -> Result<(), CliError> {
    let threads = usize::from(arguments.threads[0]);
    // Where cores cannot be chosen, the measurement is what it is; the field `wait_frac` tells of others at work.
    _ = crate::runtime::use_cores(threads);
    let way = Way { threads, eager: arguments.eager };
    let measured = workload.run(way, |running| measure(running))?;
    let contender = if way.eager { "kiln-eager" } else { "kiln" };
    let record = Record::new(workload, contender, threads, &measured);
    Ok(writeln!(out, "{RECORD}{}", record.to_json())?)
}
