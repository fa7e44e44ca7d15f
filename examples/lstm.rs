//! The writer of `char-rnn` with long short-term memory in place of a plain recurrent network.
//!
//! `cargo run --release --example lstm`, or `kiln train lstm`
//!
//! Source: S. Hochreiter, J. Schmidhuber, *Long Short-Term Memory*, Neural Computation 9(8), 1997.

use kiln::cli::examples::char_rnn::learn;
use kiln::cli::{CliError, Options};
use kiln::prelude::*;
use std::io::Write;
use std::process::ExitCode;

/// Trains the model and lets it write.
pub fn train(options: &Options, out: &mut dyn Write) -> Result<(), CliError> {
    learn::<Lstm>("lstm", options, out)
}

/// Trains with the options of the command line.
pub fn main() -> ExitCode {
    kiln::cli::examples::run(train)
}
