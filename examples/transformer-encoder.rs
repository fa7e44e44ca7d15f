//! A transformer encoder that reads a digit as a sequence of its eight rows.
//!
//! `cargo run --release --example transformer-encoder`, or `kiln train transformer-encoder`
//!
//! Source: A. Vaswani and others, *Attention Is All You Need*, 2017.

use kiln::cli::{Classify, CliError, Feed, Options, Recipe};
use kiln::data::digits;
use kiln::nn::{LearnedPositions, TransformerEncoderLayer};
use kiln::prelude::*;
use std::io::Write;
use std::process::ExitCode;

/// Rows of a digit, and pixels in each.
const SIZE: usize = 8;
/// Numbers that stand for a row.
const WIDTH: usize = 64;

/// Rows to vectors that know their place, layers in which each row looks at all others, and scores from the mean of them.
pub struct Encoder {
    rows: Linear,
    positions: LearnedPositions,
    layers: Vec<TransformerEncoderLayer>,
    head: Linear,
}
kiln::parameters!(Encoder { rows, positions, layers, head });

impl Encoder {
    fn new() -> Encoder {
        let layer =
            || TransformerEncoderLayer::new(WIDTH, 4, 128).batch_first(true).norm_first(true).gelu(true);
        Encoder {
            rows: Linear::new(SIZE, WIDTH),
            positions: LearnedPositions::new(SIZE, WIDTH),
            layers: (0..2).map(|_| layer()).collect(),
            head: Linear::new(WIDTH, 10),
        }
    }
}

impl Model for Encoder {
    fn forward(&self, x: &Tensor) -> Tensor {
        let rows = self.rows.forward(&x.unflatten(1, [SIZE as i64, SIZE as i64]));
        let x = self.layers.iter().fold(self.positions.forward(&rows), |x, layer| layer.forward(&x));
        self.head.forward(&x.mean(1))
    }
}

/// The model, and how it is trained.
pub fn recipe() -> Recipe<Encoder> {
    Recipe::new(Encoder::new(), 32, 1e-3, |model, rate| {
        Trainer::new(model).loss(cross_entropy).optimizer(AdamW::new(rate))
    })
    .step(Feed::images(&[SIZE * SIZE]), [Feed::classes(10)])
}

/// Trains the model and says how good it is.
pub fn train(options: &Options, out: &mut dyn Write) -> Result<(), CliError> {
    let classify = Classify { name: "transformer-encoder", epochs: 40, ..Classify::default() };
    classify.train(&recipe(), &digits(), options, out)
}

/// Trains with the options of the command line.
pub fn main() -> ExitCode {
    kiln::cli::examples::run(train)
}
