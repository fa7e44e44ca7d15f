//! A recurrent network that reads plays of Shakespeare character by character, learns which one comes next, and then
//! writes by itself.
//!
//! `cargo run --release --example char-rnn`, or `kiln train char-rnn`
//!
//! Source: A. Karpathy, *The Unreasonable Effectiveness of Recurrent Neural Networks*, 2015,
//! <https://karpathy.github.io/2015/05/21/rnn-effectiveness/>.

use kiln::cli::text::{Text, quoted};
use kiln::cli::{CliError, Feed, Options, Recipe, measure, sources};
use kiln::models::{CharModel, Memory};
use kiln::prelude::*;
use std::io::Write;
use std::process::ExitCode;

/// Characters in a sequence.
const LENGTH: usize = 64;

/// A model with this memory of so many characters, and how it is trained.
pub fn recipe<M: Memory>(n_characters: usize) -> Recipe<CharModel<M>> {
    let characters = Feed::sequences(LENGTH, n_characters);
    let state = Feed::normal(&[1, CharModel::<M>::HIDDEN]).batch_at(1);
    // A vector for each character, memory, and scores for the next character.
    Recipe::new(CharModel::new(n_characters), 32, 2e-3, |model: &CharModel<M>, rate| {
        // One character and the state before it: scores for the next one, and the state after it.
        model.trainer(rate).clip_norm(1.0).program("next", |batch| {
            let (scores, mut results) = model.read(&batch[0], Some(&batch[1..]));
            results.insert(0, scores);
            results
        })
    })
    .step(characters.clone(), [characters])
    .program("next", [vec![Feed::sequences(1, n_characters)], vec![state; M::N_STATES]].concat())
}

/// Trains a model with this memory and lets it write.
pub fn learn<M: Memory>(name: &str, options: &Options, out: &mut dyn Write) -> Result<(), CliError> {
    let text = Text::new(&sources::shakespeare(options)?)?;
    let recipe = recipe::<M>(text.n_characters());
    let windows = |epoch| text.windows(LENGTH, options.seed, epoch, options.samples);
    let first = windows(0)?;
    let batches = options.batches(&first, recipe.batch)?;
    let batch = batches.batch_size();
    let epochs = options.epochs(5);

    let schedule = Cosine::new((epochs * batches.n_batches()) as u64).floor(0.05);
    let [inputs, targets] = recipe.types(batch);
    let mut trainer = recipe.trainer(options).schedule(schedule).compile(inputs, targets)?;

    let validation = text.validation(LENGTH, options.samples)?;
    let mut run = options.run(name, epochs, &batches, &mut trainer, out)?;
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
    let nothing = TensorData::new([1, 1, CharModel::<M>::HIDDEN], vec![0f32; CharModel::<M>::HIDDEN]);
    let mut state = vec![nothing; M::N_STATES];
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

/// Trains the model and lets it write.
pub fn train(options: &Options, out: &mut dyn Write) -> Result<(), CliError> {
    learn::<Rnn>("char-rnn", options, out)
}

/// Trains with the options of the command line.
pub fn main() -> ExitCode {
    kiln::cli::examples::run(train)
}
