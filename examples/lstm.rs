//! The writer of `char-rnn` with long short-term memory in place of a plain recurrent network.
//!
//! `cargo run --release --example lstm`, or `kiln train lstm`
//!
//! Source: S. Hochreiter, J. Schmidhuber, *Long Short-Term Memory*, Neural Computation 9(8), 1997.

use kiln::cli::examples::char_rnn::{HIDDEN, Memory, WIDTH, learn};
use kiln::cli::{CliError, Options};
use kiln::prelude::*;
use std::io::Write;
use std::process::ExitCode;

/// The layer; its state has 2 parts.
struct Layer(Lstm);

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
    learn("lstm", Layer(Lstm::new(WIDTH, HIDDEN).batch_first()), 2, options, out)
}

/// Trains with the options of the command line.
pub fn main() -> ExitCode {
    kiln::cli::examples::run(train)
}
