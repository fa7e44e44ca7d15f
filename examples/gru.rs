//! The writer of `char-rnn` with gated recurrent units in place of a plain recurrent network.
//!
//! `cargo run --release --example gru`, or `kiln train gru`
//!
//! Source: K. Cho and others, *Learning Phrase Representations using RNN Encoder-Decoder for Statistical Machine Translation*, 2014.

use kiln::cli::examples::char_rnn::{HIDDEN, Memory, WIDTH, learn};
use kiln::cli::{CliError, Options};
use kiln::prelude::*;
use std::io::Write;
use std::process::ExitCode;

/// The layer; its state has 1 part.
struct Layer(Gru);

impl Module for Layer {
    fn visit<'m>(&'m self, visitor: &mut kiln::nn::Visitor<'m>) {
        self.0.visit(visitor);
    }
}

impl Memory for Layer {
    fn remember(&self, x: &Tensor, state: Option<&[Tensor]>) -> (Tensor, Vec<Tensor>) {
        self.0.run(x, state)
    }
}

/// Trains the model and lets it write.
pub fn train(options: &Options, out: &mut dyn Write) -> Result<(), CliError> {
    learn("gru", Layer(Gru::new(WIDTH, HIDDEN).batch_first()), 1, options, out)
}

/// Trains with the options of the command line.
pub fn main() -> ExitCode {
    kiln::cli::examples::run(train)
}
