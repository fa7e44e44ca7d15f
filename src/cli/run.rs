//! One training as its user sees it: progress, lines about how things are, checkpoints, files at the end.

use super::error::CliError;
use super::history::History;
use super::options::Options;
use super::plot::Chart;
use super::progress::Progress;
use crate::data::{Batches, Loader, Position};
use crate::error::Error;
use crate::explain::threads;
use crate::log::Log;
use crate::runtime::Interrupts;
use crate::trainer::{Resume, ResumeError, ResumeProblem, Trainer};
use std::fmt::Display;
use std::io::Write;
use std::ops::Range;
use std::path::Path;
use std::time::{Duration, Instant};

/// Follows a training.
pub struct Run<'a> {
    name: &'a str,
    options: &'a Options,
    out: &'a mut dyn Write,
    progress: Progress,
    n_epochs: usize,
    /// Epochs that have ended, and steps of the present one.
    position: Position,
    history: History,
    log: Option<Log>,
    since: Instant,
    /// When the last checkpoint was written.
    kept: Option<Instant>,
    /// Notes that the user wants to stop, while there are steps to stop after.
    interrupts: Option<Interrupts>,
    /// Whether it was said that the loss is no number.
    is_lost: bool,
}

/// Time between two checkpoints where epochs are shorter.
const BETWEEN_CHECKPOINTS: Duration = Duration::from_secs(1);

/// The name of the position in the data in a checkpoint.
const POSITION: &str = "position";

impl<'a> Run<'a> {
    /// Begins to follow a training, or goes on with that of the checkpoint that the options name.
    pub(super) fn new(
        name: &'a str,
        options: &'a Options,
        n_epochs: usize,
        batches: &Loader<'_>,
        trainer: &mut Trainer<'_>,
        out: &'a mut dyn Write,
    ) -> Result<Run<'a>, CliError> {
        let mut run = Run {
            name,
            options,
            out,
            progress: Progress::new(n_epochs, batches.n_batches()),
            n_epochs,
            position: batches.start(),
            history: History::new(),
            log: None,
            since: Instant::now(),
            kept: None,
            interrupts: Some(Interrupts::watch()),
            is_lost: false,
        };
        if let Some(path) = &options.resume {
            run.resume(path, trainer)?;
        }
        if run.epochs().is_empty() {
            run.interrupts = None;
        }
        if let Some(path) = &options.log {
            let columns = ["epoch", "step", "loss", "measured"];
            // Rows that were written after the checkpoint come again.
            run.log = Some(match options.resume {
                Some(_) => Log::resume(path, &columns, run.position.epoch + 1)?,
                None => Log::create(path, &columns)?,
            });
        }
        run.since = Instant::now();
        Ok(run)
    }

    /// Goes on with the training that wrote a checkpoint.
    fn resume(&mut self, path: &Path, trainer: &mut Trainer<'_>) -> Result<(), CliError> {
        let mut chosen = self.options.chosen();
        let beside: &mut [(&str, &mut dyn Resume)] =
            &mut [(POSITION, &mut self.position), ("options", &mut chosen), ("history", &mut self.history)];
        trainer.load_training(path, beside).map_err(cannot_resume)?;
        self.progress.advance(self.history.n_steps);
        let place = self.place();
        self.say(format_args!("resumed   after {place}, from {}", path.display()))
    }

    /// The last epoch or step that was done.
    fn place(&self) -> String {
        let (Position { epoch, batch, .. }, all) = (self.position, self.n_epochs);
        match batch {
            0 => format!("epoch {epoch} of {all}"),
            _ => format!("step {batch} of epoch {} of {all}", epoch + 1),
        }
    }

    /// The epochs that the training still has before it.
    pub fn epochs(&self) -> Range<usize> {
        (self.position.epoch as usize).min(self.n_epochs)..self.n_epochs
    }

    /// The batches of the present epoch that the training still has before it.
    pub fn batches<'data>(&self, loader: &Loader<'data>) -> Batches<'data> {
        loader.rest(self.position)
    }

    /// Takes note of a step that was done, and its loss. Writes a checkpoint if it is time for one.
    ///
    /// Errors: the checkpoint cannot be written; the user wants to stop.
    pub fn step(&mut self, trainer: &Trainer<'_>, loss: f32) -> Result<(), CliError> {
        self.history.step(f64::from(loss));
        self.progress.advance(1);
        self.position.batch += 1;
        let every = self.options.checkpoint_every.map(|every| every as usize);
        let is_due = every.is_some_and(|every| self.history.n_steps.is_multiple_of(every));
        let stops = self.is_asked_to_stop();
        if is_due || stops {
            self.history.training += self.since.elapsed();
            self.keep(trainer)?;
            self.since = Instant::now();
        }
        if stops { Err(self.stopped()) } else { Ok(()) }
    }

    fn is_asked_to_stop(&self) -> bool {
        self.interrupts.as_ref().is_some_and(Interrupts::is_asked_to_stop)
    }

    /// Why the training ends before its end.
    fn stopped(&self) -> CliError {
        self.progress.finish();
        let advice = match self.options.checkpoint() {
            Some(path) => format!("`--resume {}` goes on from here", path.display()),
            None => "with `--checkpoint FILE` a training can go on where it was stopped".to_string(),
        };
        CliError::Stopped { after: format!("after {}", self.place()), advice }
    }

    /// Adds to a sum over the steps of the present epoch, which a checkpoint remembers.
    pub fn add(&mut self, name: &str, value: f64) {
        self.history.add(name, value);
    }

    /// What was added in the present epoch.
    pub fn sum(&self, name: &str) -> f64 {
        self.history.sum(name)
    }

    /// How many steps there were.
    pub fn n_steps(&self) -> usize {
        self.history.n_steps
    }

    /// Adds a point at the present step to a curve beside that of the training losses.
    pub fn point(&mut self, curve: &str, value: f64) {
        self.history.point(curve, value);
    }

    /// Ends an epoch, counted from 0. Where it is due, `measure` says in words how good the model is, which is shown
    /// beside the mean loss since the last line, and the parameters are saved. Time that this takes does not count as
    /// training.
    pub fn epoch<'m, T: Display>(
        &mut self,
        epoch: usize,
        trainer: &mut Trainer<'m>,
        measure: impl FnOnce(&mut Trainer<'m>, &mut Run<'a>) -> Result<T, CliError>,
    ) -> Result<(), CliError> {
        self.history.training += self.since.elapsed();
        let is_due = self.progress.wants(epoch + 1);
        if is_due {
            let text = measure(trainer, self)?;
            let loss = self.history.take_mean_loss();
            self.log(epoch, loss)?;
            if !loss.is_finite() && !self.is_lost {
                self.is_lost = true;
                self.say("the loss is no finite number any more: a smaller `--lr` may help")?;
            }
            let text = format!("loss {loss:.4}  {text}");
            self.progress.show(epoch + 1, text.trim_end(), self.out)?;
            // Written beside and renamed: whoever stops the program has the last file, whole.
            self.options.save(trainer)?;
        }
        self.position = self.position.next_epoch();
        self.history.next_epoch();
        let stops = self.is_asked_to_stop();
        if is_due || stops || self.kept.is_none_or(|kept| kept.elapsed() >= BETWEEN_CHECKPOINTS) {
            self.keep(trainer)?;
        }
        if self.epochs().is_empty() {
            self.interrupts = None;
        }
        self.since = Instant::now();
        if stops { Err(self.stopped()) } else { Ok(()) }
    }

    /// Writes a checkpoint, if the user wants some.
    fn keep(&mut self, trainer: &Trainer<'_>) -> Result<(), CliError> {
        let Some(path) = self.options.checkpoint() else { return Ok(()) };
        let chosen = self.options.chosen();
        let beside: &[(&str, &dyn Resume)] =
            &[(POSITION, &self.position), ("options", &chosen), ("history", &self.history)];
        trainer.save_training(path, beside)?;
        self.kept = Some(Instant::now());
        Ok(())
    }

    /// Adds a row to the log: the mean loss since the last one, and the last point of the first other curve.
    fn log(&mut self, epoch: usize, loss: f64) -> Result<(), CliError> {
        let measured = self.history.last_measured().unwrap_or(f64::NAN);
        let row = [(epoch + 1) as f64, self.history.n_steps as f64, loss, measured];
        self.log.as_mut().map_or(Ok(()), |log| Ok(log.write(&row)?))
    }

    /// Writes a line.
    pub fn say(&mut self, text: impl Display) -> Result<(), CliError> {
        self.progress.suspend(|| writeln!(self.out, "{text}"))?;
        Ok(())
    }

    /// Ends the training: says what the model has come to, and writes the files that were asked for.
    pub fn finish(self, trainer: &Trainer<'_>, result: impl Display) -> Result<(), CliError> {
        self.progress.finish();
        let Run { name, options, out, history, kept, .. } = self;
        let (seconds, threads) = (history.training.as_secs_f64(), threads(trainer.threads()));
        writeln!(out, "{result} after {} steps in {seconds:.2} s, {threads}", history.n_steps)?;
        options.save(trainer)?;
        if let Some(path) = &options.save {
            writeln!(out, "parameters saved to {}", path.display())?;
        }
        if let (Some(path), Some(_)) = (options.checkpoint(), kept) {
            writeln!(out, "checkpoint written to {}", path.display())?;
        }
        if let Some(path) = &options.plot {
            Chart::new(name, "step", "loss").draw(path, &history.drawn())?;
            writeln!(out, "losses drawn in {}", path.display())?;
        }
        Ok(())
    }
}

/// Why a training does not go on, in the words of the command line.
fn cannot_resume(error: Error) -> CliError {
    let Error::File(error) = error else { return error.into() };
    let error = match error.downcast::<ResumeError>() {
        Ok(error) => *error,
        Err(other) => return Error::File(other).into(),
    };
    let problem = match error.problem {
        ResumeProblem::ParametersOnly => {
            "holds parameters only, as `--save` writes them; `--resume` reads what `--checkpoint` writes"
                .to_string()
        }
        ResumeProblem::Missing { .. } => {
            "is of a training that was not written by `--checkpoint`".to_string()
        }
        ResumeProblem::Beside { name, problem } if name == POSITION => {
            format!("{problem}: data, `--batch` and `--seed` must be as they were")
        }
        ResumeProblem::Beside { problem, .. } => problem,
        problem @ (ResumeProblem::OtherModel(_) | ResumeProblem::OtherTraining(_)) => {
            format!("{problem}{}", problem.lines())
        }
    };
    CliError::file(&error.path, problem)
}
