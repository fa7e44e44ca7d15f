//! The options of a training, the same for `kiln train NAME` and for the program of an example.

use super::error::CliError;
use super::files;
use super::run::Run;
use crate::data::{Dataset, Loader, Remainder};
use crate::trainer::resume::{number, recalled_number};
use crate::trainer::{Resume, Trainer, TrainerBuilder};
use clap::Args;
use clap::builder::RangedI64ValueParser;
use kiln_ir::TensorData;
use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

/// How a model is trained. What is not given is chosen by the example.
#[derive(Args, Clone, Debug)]
#[command(allow_negative_numbers = true)]
pub struct Options {
    /// The directory with the data sets. A data set is looked for in its own directory in there (`mnist`, `tabular`,
    /// `tinyshakespeare`), then in the directory itself.
    #[arg(long, value_name = "DIR", default_value = DATA)]
    pub data: PathBuf,
    /// How often the training data are seen.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub epochs: Option<u32>,
    /// Samples per step.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub batch: Option<u32>,
    /// Learning rate at the beginning.
    #[arg(long, value_name = "X", value_parser = positive)]
    pub lr: Option<f64>,
    /// Take this many samples only of each part of the data, the first ones: for trying things out.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub samples: Option<u32>,
    /// Threads that carry out a step; all of the machine's unless it is given.
    #[arg(long, value_name = "N", value_parser = threads())]
    pub threads: Option<u16>,
    /// What all random numbers follow from.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub seed: u64,
    /// Compute op by op, without compiling the whole.
    #[arg(long)]
    pub eager: bool,
    /// Write the parameters to this file (safetensors), as the training goes on and at its end.
    #[arg(long, value_name = "FILE")]
    pub save: Option<PathBuf>,
    /// Write all that the training needs to go on to this file, after each epoch: `--resume` reads it.
    #[arg(long, value_name = "FILE")]
    pub checkpoint: Option<PathBuf>,
    /// Write a checkpoint after each so many steps as well, so that a long epoch loses little.
    #[arg(long, value_name = "STEPS", value_parser = clap::value_parser!(u32).range(1..))]
    pub checkpoint_every: Option<u32>,
    /// Go on with the training that wrote this checkpoint, to the same bits as if it had never stopped. Further
    /// checkpoints replace it, unless `--checkpoint` names another file.
    #[arg(long, value_name = "FILE")]
    pub resume: Option<PathBuf>,
    /// Draw the losses into this file.
    #[arg(long, value_name = "FILE.svg")]
    pub plot: Option<PathBuf>,
    /// Write a row for each measurement to this file: CSV, or lines of JSON if its name ends in `.jsonl`.
    #[arg(long, value_name = "FILE")]
    pub log: Option<PathBuf>,
    /// The directory for the pictures of the examples that make some.
    #[arg(long, value_name = "DIR", default_value = "out")]
    pub out: PathBuf,
    /// What a generated text begins with; characters that do not occur in what the model has read are left out.
    #[arg(long, value_name = "TEXT", help_heading = "Language models", default_value = "ROMEO:\n")]
    pub prompt: String,
    /// How many characters are generated.
    #[arg(long, value_name = "N", help_heading = "Language models", default_value_t = 400)]
    pub length: usize,
    /// What scores are divided by before a character is drawn; below 1 likely ones become likelier.
    #[arg(long, value_name = "X", help_heading = "Language models", default_value_t = 0.8, value_parser = positive)]
    pub temperature: f64,
    /// Draw among this many characters, those of the greatest scores.
    #[arg(long, value_name = "N", help_heading = "Language models", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
    pub top_k: u32,
    /// How many steps lead from noise to an image.
    #[arg(long, value_name = "N", help_heading = "Diffusion models", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..))]
    pub steps: u32,
}

/// Where data sets are looked for.
const DATA: &str = "../shared/data";

/// Most threads of a program: far more than cores, and few enough for any system to start them.
const MAX_THREADS: i64 = 1024;

/// Reads a number of threads.
pub(crate) fn threads() -> RangedI64ValueParser<u16> {
    clap::value_parser!(u16).range(1..=MAX_THREADS)
}

fn positive(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(number) if number > 0.0 && number.is_finite() => Ok(number),
        Ok(_) | Err(_) => Err("it takes a number above 0".to_string()),
    }
}

impl Options {
    /// The number of epochs, if the user does not say otherwise.
    pub fn epochs(&self, default: usize) -> usize {
        self.epochs.map_or(default, |epochs| epochs as usize)
    }

    /// The batches to train on, in an order that the seed decides, of so many samples if the user does not say otherwise.
    /// Samples that do not fill a batch are left out, others in each epoch.
    ///
    /// Errors: there are fewer samples to train on.
    pub fn batches<'data>(&self, data: &'data Dataset, default: usize) -> Result<Loader<'data>, CliError> {
        let (batch, n_samples) = (self.batch.map_or(default, |batch| batch as usize), data.n_samples());
        if batch > n_samples {
            let problem = format!(
                "a batch of {batch} samples, but there are {n_samples} to train on: choose a smaller `--batch`"
            );
            return Err(CliError::Arguments(problem));
        }
        Ok(Loader::new(data, batch).shuffled(self.seed).remainder(Remainder::Drop))
    }

    /// The learning rate, if the user does not say otherwise.
    pub fn learning_rate(&self, default: f64) -> f64 {
        self.lr.unwrap_or(default)
    }

    /// The number of threads: all of the machine's when it is not given.
    pub fn n_threads(&self) -> usize {
        n_threads(self.threads)
    }

    /// A trainer with threads, seed and mode of the options.
    pub fn configure<'m>(&self, builder: TrainerBuilder<'m>) -> TrainerBuilder<'m> {
        builder.threads(self.n_threads()).seed(self.seed).eager(self.eager)
    }

    /// A path for a picture; makes the directory.
    pub fn picture(&self, file: &str) -> Result<PathBuf, CliError> {
        let cannot = |error: std::io::Error| {
            self.no_directory(&format!("it cannot be made: {}", files::reason(&error)))
        };
        fs::create_dir_all(&self.out).map_err(cannot)?;
        Ok(self.out.join(file))
    }

    /// Says what is trained, and begins to follow a training of so many epochs of these batches, or goes on with that of a
    /// checkpoint: then the trainer is as it was there, and [`epochs`](Run::epochs) are those that are left.
    ///
    /// Errors: the checkpoint cannot be read; it is of another training.
    pub fn run<'a>(
        &'a self,
        name: &'a str,
        n_epochs: usize,
        batches: &Loader<'_>,
        trainer: &mut Trainer<'_>,
        out: &'a mut dyn Write,
    ) -> Result<Run<'a>, CliError> {
        let (parameters, steps) = (trainer.n_parameters(), batches.n_batches());
        let plural = |n: usize| if n == 1 { "" } else { "s" };
        let of = format!("{n_epochs} epoch{} of {steps} step{}", plural(n_epochs), plural(steps));
        writeln!(out, "{name}: {parameters} parameters, {of}")?;
        Run::new(name, self, n_epochs, batches, trainer, out)
    }

    /// Where checkpoints go.
    pub(super) fn checkpoint(&self) -> Option<&Path> {
        self.checkpoint.as_deref().or(self.resume.as_deref())
    }

    /// What a checkpoint remembers of the options.
    pub(super) fn chosen(&self) -> Chosen {
        Chosen([("lr", self.lr), ("samples", self.samples.map(f64::from))])
    }

    /// Errors: a file was asked for that is about one training. For examples that consist of several.
    pub fn expect_no_files(&self, name: &str) -> Result<(), CliError> {
        let files = self.written().into_iter().chain([("--resume", &self.resume)]);
        match files.into_iter().find(|(_, file)| file.is_some()) {
            Some((option, _)) => Err(CliError::Arguments(format!(
                "`{name}` trains several models, and `{option}` is for one; its pictures go to the directory of `--out`"
            ))),
            None => Ok(()),
        }
    }

    /// The files that are written, with their options.
    fn written(&self) -> [(&'static str, &Option<PathBuf>); 4] {
        [
            ("--save", &self.save),
            ("--checkpoint", &self.checkpoint),
            ("--plot", &self.plot),
            ("--log", &self.log),
        ]
    }

    /// Whether the files can be read and written: asked before anything is trained for them.
    ///
    /// Errors: one cannot, or options contradict each other.
    pub(super) fn check(&self) -> Result<(), CliError> {
        if self.checkpoint_every.is_some() && self.checkpoint().is_none() {
            let problem = "`--checkpoint-every` says how often; `--checkpoint FILE` says where";
            return Err(CliError::Arguments(problem.to_string()));
        }
        for (option, path) in self.written() {
            if let Some(path) = path {
                files::check_writable(option, path)?;
            }
        }
        if let Some(path) = &self.resume {
            files::check_readable("--resume", path)?;
            // Where no other file is named, checkpoints replace it.
            files::check_writable("--resume", self.checkpoint().unwrap_or(path))?;
        }
        if let Some(path) = self.plot.as_ref().filter(|path| path.extension().is_none_or(|of| of != "svg")) {
            return Err(CliError::file(path, "losses are drawn as SVG: the name of the file ends in `.svg`"));
        }
        let is_file = self.out.exists() && !self.out.is_dir();
        if is_file { Err(self.no_directory("it is a file")) } else { Ok(()) }
    }

    fn no_directory(&self, reason: &str) -> CliError {
        CliError::file(
            &self.out,
            format!("pictures go to this directory, but {reason}; `--out DIR` names another"),
        )
    }

    /// Writes the parameters where the user wants them.
    pub(super) fn save(&self, trainer: &Trainer<'_>) -> Result<(), CliError> {
        match &self.save {
            Some(path) => Ok(trainer.save(path)?),
            None => Ok(()),
        }
    }
}

/// Options that the bits of a training depend on, beside seed and batch size, which are part of its position: their names,
/// and what was given.
pub(super) struct Chosen([(&'static str, Option<f64>); 2]);

impl Resume for Chosen {
    fn remembered(&self) -> Vec<(String, TensorData)> {
        self.0.iter().map(|(name, value)| number(name, value.unwrap_or(f64::NAN))).collect()
    }

    /// Nothing goes on from these: they must be the same.
    fn recall(&mut self, values: &BTreeMap<String, TensorData>) -> Result<(), String> {
        let words = |value: Option<f64>| value.map_or("not given".to_string(), |value| value.to_string());
        for (name, here) in self.0 {
            let there = Some(recalled_number::<f64>(values, name)?).filter(|value| !value.is_nan());
            if there != here {
                return Err(format!("`--{name}` was {} there, and is {} here", words(there), words(here)));
            }
        }
        Ok(())
    }
}

/// The number of threads that an argument asks for: all of the machine's when it is not given.
pub(crate) fn n_threads(argument: Option<u16>) -> usize {
    match argument {
        Some(threads) => usize::from(threads),
        None => std::thread::available_parallelism().map_or(1, |n| n.get()),
    }
}
