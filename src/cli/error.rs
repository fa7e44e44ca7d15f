//! What can go wrong on the command line.

use super::plot::PlotError;
use crate::data::DatasetError;
use crate::data::idx::IdxError;
use std::io;
use std::path::{Path, PathBuf};

/// A command could not be carried out.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CliError {
    /// By the model or its trainer.
    #[error(transparent)]
    Model(#[from] crate::Error),
    /// The program cannot be compiled for this machine.
    #[error(transparent)]
    Compile(#[from] crate::compile::CompileError),
    /// The data cannot be read.
    #[error("error: {0}")]
    Data(#[from] IdxError),
    /// Data that are not there.
    #[error("error: {problem}\n  = {what} {place}; `--data DIR` says where they lie here")]
    Missing {
        /// What was looked for where.
        problem: String,
        /// What it is, up to a verb.
        what: &'static str,
        /// Where it can be had.
        place: &'static str,
    },
    /// The data do not suit the model.
    #[error("error: {0}")]
    Dataset(#[from] DatasetError),
    /// The picture cannot be made.
    #[error("error: {0}")]
    Plot(#[from] PlotError),
    /// The log cannot be written.
    #[error("error: {0}")]
    Log(#[from] crate::log::LogError),
    /// The results cannot be written to standard output.
    #[error("error: standard output: {0}")]
    Output(#[from] io::Error),
    /// A file is not what it should be, or cannot be written.
    #[error("error: {}: {problem}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// A compiled program does not compute what it should.
    #[error("error: the compiled `{0}` is wrong (this is a bug in the compiler, please report it)")]
    Verification(String),
    /// The user stopped a training.
    #[error("stopped   {after}\n  = {advice}")]
    Stopped {
        /// Where it is.
        after: String,
        /// How it can go on.
        advice: String,
    },
    /// Some measurements failed.
    #[error("error: could not be measured: {0}")]
    Bench(String),
    /// The arguments make no sense together; the text says why.
    #[error("error: {0}")]
    Arguments(String),
}

impl CliError {
    /// Something is wrong with a file.
    pub(crate) fn file(path: &Path, problem: impl Into<String>) -> CliError {
        CliError::File { path: path.to_path_buf(), problem: problem.into() }
    }

    /// Whether standard output was closed by whoever read it.
    pub fn is_closed_pipe(&self) -> bool {
        matches!(self, CliError::Output(error) if error.kind() == io::ErrorKind::BrokenPipe)
    }
}
