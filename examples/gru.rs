//! The writer of `char-rnn` with gated recurrent units in place of a plain recurrent network.
//!
//! `cargo run --release --example gru`, or `kiln train gru`
//!
//! Source: K. Cho and others, *Learning Phrase Representations using RNN Encoder-Decoder for Statistical Machine Translation*, 2014.

use kiln::cli::examples::char_rnn::learn;
use kiln::cli::{CliError, Options};
use kiln::prelude::*;
use std::io::Write;
use std::process::ExitCode;

/// Trains the model and lets it write.
pub fn train(options: &Options, out: &mut dyn Write) -> Result<(), CliError> {
    learn::<Gru>("gru", options, out)
}

/// Trains with the options of the command line.
pub fn main() -> ExitCode {
    kiln::cli::examples::run(train)
}
