//! What can go wrong on the command line.

use super::plot::PlotError;
use crate::data::DatasetError;
use crate::data::idx::IdxError;
use std::io;

/// A command could not be carried out.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CliError {
    /// By the model or its trainer.
    #[error(transparent)]
    Model(#[from] crate::Error),
    /// The program cannot be compiled for this machine.
    #[error(transparent)]
    Compile(#[from] crate::compile::CompileError),
    /// The data cannot be read.
    #[error("error: {0}")]
    Data(#[from] IdxError),
    /// The data do not suit the model.
    #[error("error: {0}")]
    Dataset(#[from] DatasetError),
    /// The picture cannot be made.
    #[error("error: {0}")]
    Plot(#[from] PlotError),
    /// The results cannot be written to standard output.
    #[error("error: standard output: {0}")]
    Output(#[from] io::Error),
    /// The arguments make no sense together; the text says why.
    #[error("error: {0}")]
    Arguments(String),
}

impl CliError {
    /// Whether standard output was closed by whoever read it.
    pub fn is_closed_pipe(&self) -> bool {
        matches!(self, CliError::Output(error) if error.kind() == io::ErrorKind::BrokenPipe)
    }
}
