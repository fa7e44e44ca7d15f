//! The training of models that decide, with what is told about it on the way: examples that differ only in model and
//! data share it.

use super::error::CliError;
use super::measure::{evaluate, first_samples};
use super::options::Options;
use super::recipe::Recipe;
use super::run::Run;
use crate::data::{Batches, Split};
use crate::explain::{Explanation, Milliseconds};
use crate::nn::Module;
use crate::trainer::{Task, Trainer};
use kiln_ir::TensorData;
use kiln_passes::cost::Bytes;
use std::io::Write;
use std::time::{Duration, Instant};

/// What a training of a classifier consists of beside model and data, unless the user says otherwise.
#[derive(Clone, Copy, Debug)]
pub struct Classify<'a> {
    /// What the training is called.
    pub name: &'a str,
    /// How often the training data are seen.
    pub epochs: usize,
    /// Whether the learning rate falls to zero along the training.
    pub decays: bool,
    /// Whether a step is timed compiled and eager at the end.
    pub compares: bool,
}

impl Default for Classify<'_> {
    /// A learning rate that falls to zero, and a comparison at the end.
    fn default() -> Self {
        Classify { name: "", epochs: 10, decays: true, compares: true }
    }
}

/// How many of the steps an eager comparison takes at least.
const MIN_STEPS: usize = 3;

impl Classify<'_> {
    /// Trains the model of a recipe. The targets are numbers of classes (`i64[n]`) or values between 0 and 1 (`f32[n, 1]`).
    pub fn train<M: Module>(
        &self,
        recipe: &Recipe<M>,
        data: &Split,
        options: &Options,
        out: &mut dyn Write,
    ) -> Result<(), CliError> {
        let [train, test] = [&data.train, &data.test].map(|part| first_samples(part, options));
        let batches = options.batches(&train, recipe.batch)?;
        let batch = batches.batch_size();
        let epochs = options.epochs(self.epochs);
        let rate = options.learning_rate(recipe.learning_rate);
        let compile = |eager| {
            let [inputs, targets] = recipe.types(batch);
            recipe.trainer(options).eager(eager).compile(inputs, targets)
        };
        let start = Instant::now();
        let mut trainer = compile(options.eager)?;
        let n_samples = [train.n_samples(), test.n_samples()];
        describe(self.name, &trainer, n_samples, start.elapsed(), out)?;

        let n_steps = epochs * batches.n_batches();
        let n_bytes = batch * train.x().ty().n_bytes() / train.n_samples();
        let mut run = Run::new(self.name, options, epochs, &batches, &mut trainer, &mut *out)?;
        for epoch in run.epochs() {
            for (x, y) in loaded(run.batches(&batches), n_bytes) {
                if self.decays {
                    trainer.set_learning_rate(rate * (1.0 - run.n_steps() as f64 / n_steps as f64));
                }
                let loss = trainer.step(&x, &y)?;
                run.step(&trainer, loss)?;
            }
            run.epoch(epoch, &mut trainer, |trainer, run| {
                let (loss, accuracy) = evaluate(trainer, &test, batch)?;
                run.point("test", loss);
                Ok(format!("accuracy {:.1}%", 100.0 * accuracy))
            })?;
        }
        let (loss, accuracy) = evaluate(&mut trainer, &test, batch)?;
        run.finish(&trainer, format_args!("test accuracy {:.2}% (loss {loss:.4})", 100.0 * accuracy))?;
        if self.compares {
            let (x, y) = train.gather(&(0..batch).collect::<Vec<_>>());
            let mut other = compile(!options.eager)?;
            let [this, that] = [&mut trainer, &mut other].map(|trainer| step_time(trainer, &x, &y));
            compare(if options.eager { [that?, this?] } else { [this?, that?] }, out)?;
        }
        Ok(())
    }
}

/// Bytes of a batch from which on a thread makes the next ones: smaller ones are made sooner than handed over.
const AHEAD: usize = 64 << 10;

/// The batches, made ahead where that is worth a thread.
fn loaded<'d>(
    batches: Batches<'d>,
    n_bytes: usize,
) -> Box<dyn Iterator<Item = (TensorData, TensorData)> + 'd> {
    if n_bytes < AHEAD { Box::new(batches) } else { Box::new(batches.prefetch(2)) }
}

/// Says what became of a model.
pub fn describe(
    name: &str,
    trainer: &Trainer<'_>,
    [n_train, n_test]: [usize; 2],
    time: Duration,
    out: &mut dyn Write,
) -> Result<(), CliError> {
    let parameters = trainer.n_parameters();
    writeln!(out, "{name}: {parameters} parameters, {n_train} samples to train on, {n_test} to test")?;
    let Some(executable) = trainer.executable(Task::Train) else {
        return Ok(writeln!(out, "traced for checks in {}; steps compute op by op", Milliseconds(time))?);
    };
    let Explanation { n_nodes_traced, n_nodes, kernels, times, .. } = executable.explain();
    let stages: Vec<String> =
        times.iter().map(|stage| format!("{} {}", stage.stage, Milliseconds(stage.time))).collect();
    let compilation: Duration = times.iter().map(|stage| stage.time).sum();
    let plan = &executable.lowered().plan;
    writeln!(
        out,
        "traced    {n_nodes_traced} nodes, gradient and update included, in {}",
        Milliseconds(time.saturating_sub(compilation))
    )?;
    writeln!(out, "fused     {n_nodes} nodes after the passes into {} kernels", kernels.len())?;
    writeln!(
        out,
        "planned   {} of memory between kernels ({} without reuse)",
        Bytes(plan.arena_bytes as u64),
        Bytes(plan.bytes_without_reuse as u64)
    )?;
    writeln!(
        out,
        "compiled  {} of code in {} ({})",
        Bytes(executable.code_bytes() as u64),
        Milliseconds(compilation),
        stages.join("; ")
    )?;
    Ok(())
}

/// How long the speed of one mode is measured, but for the first step.
const MEASURE: Duration = Duration::from_millis(500);

/// Median seconds of a step on one batch.
fn step_time(trainer: &mut Trainer<'_>, x: &TensorData, y: &TensorData) -> Result<f64, CliError> {
    trainer.step(x, y)?;
    let start = Instant::now();
    let mut times = Vec::new();
    while times.len() < MIN_STEPS || start.elapsed() < MEASURE {
        let step = Instant::now();
        trainer.step(x, y)?;
        times.push(step.elapsed().as_secs_f64());
    }
    times.sort_by(f64::total_cmp);
    Ok(times[times.len() / 2])
}

/// Says how the times of a step compare.
fn compare([compiled, eager]: [f64; 2], out: &mut dyn Write) -> Result<(), CliError> {
    let [compiled_text, eager_text] = [compiled, eager].map(milliseconds);
    let ratio = eager / compiled;
    writeln!(out, "a step takes {compiled_text} compiled, {eager_text} eager: {ratio:.1} times as fast")?;
    Ok(())
}

fn milliseconds(seconds: f64) -> String {
    match seconds < 1e-4 {
        true => format!("{:.1} µs", 1e6 * seconds),
        false => format!("{:.2} ms", 1e3 * seconds),
    }
}
