//! A recurrent network that reads plays of Shakespeare character by character, learns which one comes next, and then
//! writes by itself.
//!
//! `cargo run --release --example char-rnn`, or `kiln train char-rnn`
//!
//! Source: A. Karpathy, *The Unreasonable Effectiveness of Recurrent Neural Networks*, 2015,
//! <https://karpathy.github.io/2015/05/21/rnn-effectiveness/>.

use kiln::cli::text::{Text, quoted};
use kiln::cli::{CliError, Options, measure, sources};
use kiln::data::{Loader, Remainder};
use kiln::prelude::*;
use std::io::Write;
use std::process::ExitCode;

/// Characters in a sequence.
const LENGTH: usize = 64;
/// Numbers that stand for a character.
pub const WIDTH: usize = 128;
/// Numbers that are remembered from one character to the next.
pub const HIDDEN: usize = 256;

/// A layer that goes through a sequence and remembers.
pub trait Memory: Module {
    /// The results of all steps, and the state after the last one.
    fn remember(&self, x: &Tensor, state: Option<&[Tensor]>) -> (Tensor, Vec<Tensor>);
}

/// A vector for each character, memory, and scores for the next character.
pub struct Writer<M> {
    table: Embedding,
    memory: M,
    head: Linear,
}

impl<M: Module> Module for Writer<M> {
    fn visit<'m>(&'m self, visitor: &mut kiln::nn::Visitor<'m>) {
        visitor.child("table", &self.table);
        visitor.child("memory", &self.memory);
        visitor.child("head", &self.head);
    }
}

impl<M: Memory> Writer<M> {
    /// Scores `[n, t, characters]` for what follows each of the characters `[n, t]`, and the state after the last one.
    fn read(&self, characters: &Tensor, state: Option<&[Tensor]>) -> (Tensor, Vec<Tensor>) {
        let (remembered, state) = self.memory.remember(&self.table.forward(characters), state);
        (self.head.forward(&remembered), state)
    }
}

impl<M: Memory> Model for Writer<M> {
    fn forward(&self, characters: &Tensor) -> Tensor {
        self.read(characters, None).0
    }
}

/// Trains a model with this memory, whose state has so many parts, and lets it write.
pub fn learn<M: Memory>(
    name: &str,
    memory: M,
    n_parts: usize,
    options: &Options,
    out: &mut dyn Write,
) -> Result<(), CliError> {
    let text = Text::new(&sources::shakespeare(options)?)?;
    let n = text.n_characters();
    let model = Writer { table: Embedding::new(n, WIDTH), memory, head: Linear::new(HIDDEN, n) };
    let windows = |epoch| text.windows(LENGTH, options.seed, epoch, options.samples);
    let batch = options.batch(32, windows(0)?.n_samples())?;
    let (epochs, n_batches) = (options.epochs(5), windows(0)?.n_samples() / batch);

    let trainer = Trainer::new(&model)
        .loss(|scores, next| cross_entropy(&scores.flatten(0, 1), &next.flatten(0, 1)))
        .optimizer(Adam::new(options.learning_rate(2e-3)))
        .schedule(Cosine::new((epochs * n_batches) as u64).floor(0.05))
        .clip_norm(1.0)
        // One character and the state before it: scores for the next one, and the state after it.
        .program("next", |batch| {
            let (scores, mut results) = model.read(&batch[0], Some(&batch[1..]));
            results.insert(0, scores);
            results
        });
    let tokens = i64(&[batch, LENGTH]);
    let mut trainer = options.configure(trainer).compile(tokens.clone(), tokens)?;

    let validation = text.validation(LENGTH, options.samples)?;
    let mut run = options.run(name, epochs, n_batches, out);
    for epoch in 0..epochs {
        let data = windows(epoch)?;
        let batches = Loader::new(&data, batch).shuffled(options.seed).remainder(Remainder::Drop);
        for (x, y) in batches.epoch(epoch as u64) {
            run.step(trainer.step(&x, &y)?);
        }
        run.epoch(epoch, &mut trainer, |trainer, run| {
            let loss = measure::mean_loss(trainer, &validation, batch)?;
            run.point("validation", loss);
            Ok(format!("validation loss {loss:.4}"))
        })?;
    }
    let mut state = vec![TensorData::new([1, 1, HIDDEN], vec![0f32; HIDDEN]); n_parts];
    let written = text.write(options, |character| {
        let mut batch = vec![TensorData::new([1, 1], vec![character])];
        batch.append(&mut state);
        let mut results = trainer.run("next", &batch)?;
        state = results.split_off(1);
        Ok(results.remove(0))
    })?;
    run.say(quoted(&written))?;
    let loss = measure::mean_loss(&mut trainer, &validation, batch)?;
    run.finish(&trainer, format_args!("validation loss {loss:.4}"))
}

impl Memory for Rnn {
    fn remember(&self, x: &Tensor, state: Option<&[Tensor]>) -> (Tensor, Vec<Tensor>) {
        self.run(x, state)
    }
}

/// Trains the model and lets it write.
pub fn train(options: &Options, out: &mut dyn Write) -> Result<(), CliError> {
    learn("char-rnn", Rnn::new(WIDTH, HIDDEN).batch_first(), 1, options, out)
}

/// Trains with the options of the command line.
pub fn main() -> ExitCode {
    kiln::cli::examples::run(train)
}
