//! `kiln train`: a model by its name, trained on its data.

use super::error::CliError;
use super::plot;
use super::progress::{Progress, Standing};
use super::recipe::{ModelName, Recipe, n_threads};
use crate::data::{Dataset, Loader, Remainder};
use crate::explain::{Explanation, Milliseconds, threads};
use crate::trainer::{Task, Trainer};
use clap::Args;
use kiln_ir::TensorData;
use kiln_passes::cost::Bytes;
use std::io::Write;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// What `kiln train` takes.
#[derive(Args, Debug)]
pub(crate) struct TrainArguments {
    /// The model.
    #[arg(value_enum, default_value = "digits-mlp")]
    model: ModelName,
    #[command(flatten)]
    options: TrainOptions,
}

/// How a model is trained.
#[derive(Args, Debug)]
pub(crate) struct TrainOptions {
    /// The directory with MNIST's four files, gzipped or not.
    #[arg(long, default_value = MNIST)]
    data: PathBuf,
    /// How often the training data are seen.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    epochs: Option<u32>,
    /// Samples per step.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    batch: Option<u32>,
    /// Learning rate at the beginning.
    #[arg(long, value_parser = learning_rate, allow_negative_numbers = true)]
    lr: Option<f64>,
    /// Threads that carry out a step; all of the machine's unless it is given.
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    threads: Option<u16>,
    /// What all random numbers follow from.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Compute op by op, without compiling the whole.
    #[arg(long)]
    eager: bool,
    /// Write the parameters to this file (safetensors), as the training goes on and at its end.
    #[arg(long, value_name = "FILE")]
    save: Option<PathBuf>,
    /// Draw the losses into this file.
    #[arg(long, value_name = "FILE.svg")]
    plot: Option<PathBuf>,
}

/// Where MNIST is looked for.
const MNIST: &str = "../shared/data/mnist";

impl TrainOptions {
    /// With the model that is trained when none is named.
    pub fn of_default_model(self) -> TrainArguments {
        TrainArguments { model: ModelName::default(), options: self }
    }
}

fn learning_rate(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(rate) if rate > 0.0 && rate.is_finite() => Ok(rate),
        Ok(_) | Err(_) => Err("it takes a number above 0".to_string()),
    }
}

/// A training with all choices made.
struct Training<'a> {
    recipe: &'a Recipe,
    options: &'a TrainOptions,
    train: Dataset,
    test: Dataset,
    epochs: usize,
    batch: usize,
    learning_rate: f64,
}

/// What a training leaves behind.
struct Trained {
    losses: Vec<(f64, f64)>,
    steps: usize,
    elapsed: Duration,
}

/// Trains a model.
pub(crate) fn run(arguments: &TrainArguments, out: &mut impl Write) -> Result<(), CliError> {
    let TrainArguments { model, options } = arguments;
    let recipe = model.recipe();
    let split = model.data(&options.data)?;
    let training = Training {
        recipe: &recipe,
        options,
        train: split.train,
        test: split.test,
        epochs: options.epochs.map_or(recipe.epochs, |epochs| epochs as usize),
        batch: options.batch.map_or(recipe.batch, |batch| batch as usize),
        learning_rate: options.lr.unwrap_or(recipe.learning_rate),
    };
    training.run(out)
}

impl Training<'_> {
    fn run(&self, out: &mut impl Write) -> Result<(), CliError> {
        if self.batch > self.train.n_samples() {
            let n = self.train.n_samples();
            let problem = format!("a batch of {} samples, but there are {n} to train on", self.batch);
            return Err(CliError::Arguments(problem));
        }
        let start = Instant::now();
        let mut trainer = self.compile(self.options.eager)?;
        self.describe(&trainer, start.elapsed(), out)?;
        let trained = self.train(&mut trainer, out)?;
        let (loss, accuracy) = self.evaluate(&mut trainer)?;
        writeln!(
            out,
            "test accuracy {:.2}% (loss {loss:.4}) after {} steps in {:.2} s, {}",
            100.0 * accuracy,
            trained.steps,
            trained.elapsed.as_secs_f64(),
            threads(trainer.threads()),
        )?;
        if let Some(path) = &self.options.save {
            trainer.save(path)?;
            writeln!(out, "parameters saved to {}", path.display())?;
        }
        if let Some(path) = &self.options.plot {
            plot::loss_curve(path, self.recipe.name, &[("loss", trained.losses)])?;
            writeln!(out, "losses drawn in {}", path.display())?;
        }
        self.compare_with_the_other_mode(trainer, out)
    }

    fn compile(&self, eager: bool) -> Result<Trainer<'_>, CliError> {
        let builder = self.recipe.trainer(self.learning_rate).seed(self.options.seed).eager(eager);
        let [inputs, targets] = self.recipe.types(self.batch);
        Ok(builder.threads(n_threads(self.options.threads)).compile(inputs, targets)?)
    }

    fn describe(&self, trainer: &Trainer<'_>, time: Duration, out: &mut impl Write) -> Result<(), CliError> {
        let parameters: usize = trainer.parameters().iter().map(|(_, value)| value.n_elements()).sum();
        writeln!(
            out,
            "{}: {parameters} parameters, {} samples to train on, {} to test",
            self.recipe.name,
            self.train.n_samples(),
            self.test.n_samples(),
        )?;
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

    fn train(&self, trainer: &mut Trainer<'_>, out: &mut impl Write) -> Result<Trained, CliError> {
        let loader = Loader::new(&self.train, self.batch);
        let loader = loader.shuffled(self.options.seed).remainder(Remainder::Drop);
        let steps = self.epochs * loader.n_batches();
        let progress = Progress::new(self.epochs, loader.n_batches());
        let mut trained = Trained { losses: Vec::new(), steps: 0, elapsed: Duration::ZERO };
        for epoch in 0..self.epochs {
            let start = Instant::now();
            let mut sum = 0.0;
            for (x, y) in loader.epoch(epoch as u64) {
                if self.recipe.decays {
                    let left = 1.0 - trained.steps as f64 / steps as f64;
                    trainer.set_learning_rate(self.learning_rate * left);
                }
                let loss = trainer.step(&x, &y)?;
                sum += loss;
                trained.losses.push((trained.steps as f64, f64::from(loss)));
                trained.steps += 1;
                progress.advance(1);
            }
            trained.elapsed += start.elapsed();
            if progress.wants(epoch + 1) {
                let (_, accuracy) = self.evaluate(trainer)?;
                let loss = sum / loader.n_batches() as f32;
                progress.show(Standing { epoch: epoch + 1, loss, accuracy }, out)?;
                // Written beside and renamed: whoever stops the program has the last file, whole.
                if let Some(path) = &self.options.save {
                    trainer.save(path)?;
                }
            }
        }
        progress.finish();
        Ok(trained)
    }

    /// Loss and accuracy on the test data. The last batch is as small as it comes.
    fn evaluate(&self, trainer: &mut Trainer<'_>) -> Result<(f64, f64), CliError> {
        let (mut loss_sum, mut n_right) = (0.0, 0.0);
        for (x, y) in Loader::new(&self.test, self.batch).epoch(0) {
            let n = x.shape()[0] as f64;
            let (loss, prediction) = trainer.evaluate(&x, &y)?;
            loss_sum += f64::from(loss) * n;
            n_right += self.recipe.accuracy(&prediction, &y) * n;
        }
        let n = self.test.n_samples() as f64;
        Ok((loss_sum / n, n_right / n))
    }

    /// Times some more steps, compiled and eager, and says how they compare.
    fn compare_with_the_other_mode(
        &self,
        mut trainer: Trainer<'_>,
        out: &mut impl Write,
    ) -> Result<(), CliError> {
        let mut other = self.compile(!self.options.eager)?;
        let first: Vec<usize> = (0..self.batch).collect();
        let (x, y) = self.train.gather(&first);
        let this = step_time(&mut trainer, &x, &y)?;
        let that = step_time(&mut other, &x, &y)?;
        let (compiled, eager) = if self.options.eager { (that, this) } else { (this, that) };
        writeln!(
            out,
            "a step takes {} compiled, {} eager: {:.1} times as fast",
            milliseconds(compiled),
            milliseconds(eager),
            eager / compiled,
        )?;
        Ok(())
    }
}

/// How long the speed of one mode is measured, but for the first step.
const MEASURE: Duration = Duration::from_millis(500);

/// Median seconds of a step on one batch.
fn step_time(trainer: &mut Trainer<'_>, x: &TensorData, y: &TensorData) -> Result<f64, CliError> {
    trainer.step(x, y)?;
    let start = Instant::now();
    let mut times = Vec::new();
    while times.len() < 3 || start.elapsed() < MEASURE {
        let step = Instant::now();
        trainer.step(x, y)?;
        times.push(step.elapsed().as_secs_f64());
    }
    times.sort_by(f64::total_cmp);
    Ok(times[times.len() / 2])
}

fn milliseconds(seconds: f64) -> String {
    match seconds < 1e-4 {
        true => format!("{:.1} µs", 1e6 * seconds),
        false => format!("{:.2} ms", 1e3 * seconds),
    }
}
