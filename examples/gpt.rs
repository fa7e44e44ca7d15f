//! A small GPT that reads plays of Shakespeare character by character and then goes on writing, one character at a time,
//! with a cache of the keys and values of what it has read.
//!
//! `cargo run --release --example gpt`, or `kiln train gpt`
//!
//! Source: A. Karpathy, *nanoGPT*, 2022, <https://github.com/karpathy/nanoGPT>, the configuration for small machines.

use kiln::cli::text::{Text, quoted};
use kiln::cli::{CliError, Feed, Options, Recipe, measure, sources};
use kiln::models::{Gpt, GptCache, GptConfig};
use kiln::prelude::*;
use std::io::Write;
use std::process::ExitCode;
use std::time::Instant;

/// A model and what it remembers while it writes.
pub struct Writer {
    gpt: Gpt,
    cache: GptCache,
}

impl Module for Writer {
    fn visit<'m>(&'m self, visitor: &mut kiln::nn::Visitor<'m>) {
        // Parameters have the names that they have in the model alone.
        self.gpt.visit(visitor);
        visitor.child("cache", &self.cache);
    }
}

impl Writer {
    /// A new model with an empty cache.
    pub fn new(config: GptConfig) -> Writer {
        Writer { gpt: Gpt::new(config), cache: GptCache::new(config) }
    }

    /// Begins a trainer with the program `next`: from a character to the scores of the next one, by the cache.
    pub fn trainer(&self, learning_rate: f64) -> kiln::TrainerBuilder<'_> {
        let trainer = Trainer::of(self, |tokens| self.gpt.forward(&tokens[0]));
        Gpt::with_training(trainer, learning_rate)
            .training_program("next", |_, token| vec![self.gpt.decode(&token[0], &self.cache)])
    }
}

/// The model of so many characters, and how it is trained.
pub fn recipe(n_characters: usize) -> Recipe<Writer> {
    let config = GptConfig { vocabulary: n_characters, ..GptConfig::SMALL };
    let characters = Feed::sequences(config.context, n_characters);
    Recipe::new(Writer::new(config), 12, 1e-3, |model, rate| model.trainer(rate))
        .step(characters.clone(), [characters])
        .program("next", [Feed::sequences(1, n_characters).alone()])
}

/// Lets the model forget what it has read.
fn forget(trainer: &mut Trainer<'_>) -> Result<(), kiln::Error> {
    trainer.set_parameter("cache.place", TensorData::scalar(0i64))
}

/// Scores for what follows a character, which comes after those that were read before.
fn next(trainer: &mut Trainer<'_>, character: i64) -> Result<TensorData, kiln::Error> {
    Ok(trainer.run("next", &TensorData::new([1, 1], vec![character]))?.remove(0))
}

/// Trains the model and lets it write.
pub fn train(options: &Options, out: &mut dyn Write) -> Result<(), CliError> {
    let text = Text::new(&sources::shakespeare(options)?)?;
    let recipe = recipe(text.n_characters());
    let context = GptConfig::SMALL.context;
    let windows = |epoch| text.windows(context, options.seed, epoch, options.samples);
    let first = windows(0)?;
    let batches = options.batches(&first, recipe.batch)?;
    let batch = batches.batch_size();
    let epochs = options.epochs(3);
    let n_steps = (epochs * batches.n_batches()) as u64;
    let schedule = Cosine::new(n_steps).warm_up(n_steps.min(100)).floor(0.1);
    let [inputs, targets] = recipe.types(batch);
    let mut trainer = recipe.trainer(options).schedule(schedule).compile(inputs, targets)?;

    let validation = text.validation(context, options.samples)?;
    let mut run = options.run("gpt", epochs, &batches, &mut trainer, out)?;
    for epoch in run.epochs() {
        // The text is cut at other places in each epoch.
        let data = windows(epoch)?;
        for (x, y) in run.batches(&options.batches(&data, batch)?).prefetch(2) {
            let loss = trainer.step(&x, &y)?;
            run.step(&trainer, loss)?;
        }
        run.epoch(epoch, &mut trainer, |trainer, run| {
            let loss = measure::mean_loss(trainer, &validation, batch)?;
            run.point("validation", loss);
            Ok(format!("validation loss {loss:.4}"))
        })?;
    }
    trainer.prepare("next", i64(&[1, 1]))?;
    forget(&mut trainer)?;
    let (mut read, start) = (Vec::new(), Instant::now());
    let written = text.write(options, |character| {
        if read.len() == context {
            // All positions are taken: the model reads the second half of what it knows again, as the first half.
            read.drain(..context / 2);
            forget(&mut trainer)?;
            for &character in &read {
                next(&mut trainer, character)?;
            }
        }
        read.push(character);
        Ok(next(&mut trainer, character)?)
    })?;
    let time = 1e6 * start.elapsed().as_secs_f64() / written.chars().count() as f64;
    run.say(quoted(&written))?;
    run.say(format_args!("{time:.0} µs a character"))?;
    let loss = measure::mean_loss(&mut trainer, &validation, batch)?;
    run.finish(&trainer, format_args!("validation loss {loss:.4}"))
}

/// Trains with the options of the command line.
pub fn main() -> ExitCode {
    kiln::cli::examples::run(train)
}
