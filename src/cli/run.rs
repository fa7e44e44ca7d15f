//! One training as its user sees it: progress, lines about how things are, the curve of the losses, files at the end.

use super::error::CliError;
use super::options::Options;
use super::plot::Chart;
use super::progress::Progress;
use crate::explain::threads;
use crate::log::Log;
use crate::trainer::Trainer;
use std::fmt::Display;
use std::io::Write;
use std::time::{Duration, Instant};

/// Follows a training.
pub struct Run<'a> {
    name: &'a str,
    options: &'a Options,
    out: &'a mut dyn Write,
    progress: Progress,
    n_steps: usize,
    /// Losses since the last line: their sum and number.
    recent: (f64, usize),
    curves: Vec<(String, Vec<(f64, f64)>)>,
    log: Option<Log>,
    /// Time of steps, that of measurements left out.
    training: Duration,
    since: Instant,
}

/// The name of the curve of the losses of steps.
const TRAINING: &str = "training";

impl<'a> Run<'a> {
    pub(super) fn new(
        name: &'a str,
        options: &'a Options,
        [epochs, steps]: [usize; 2],
        out: &'a mut dyn Write,
    ) -> Run<'a> {
        Run {
            name,
            options,
            out,
            progress: Progress::new(epochs, steps),
            n_steps: 0,
            recent: (0.0, 0),
            curves: vec![(TRAINING.to_string(), Vec::new())],
            log: None,
            training: Duration::ZERO,
            since: Instant::now(),
        }
    }

    /// Takes note of a step and its loss.
    pub fn step(&mut self, loss: f32) {
        self.curves[0].1.push((self.n_steps as f64, f64::from(loss)));
        self.recent = (self.recent.0 + f64::from(loss), self.recent.1 + 1);
        self.n_steps += 1;
        self.progress.advance(1);
    }

    /// How many steps there were.
    pub fn n_steps(&self) -> usize {
        self.n_steps
    }

    /// Adds a point at the present step to a curve beside that of the training losses.
    pub fn point(&mut self, curve: &str, value: f64) {
        let point = (self.n_steps as f64, value);
        match self.curves.iter_mut().find(|(name, _)| name == curve) {
            Some((_, points)) => points.push(point),
            None => self.curves.push((curve.to_string(), vec![point])),
        }
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
        if !self.progress.wants(epoch + 1) {
            return Ok(());
        }
        self.training += self.since.elapsed();
        let text = measure(trainer, self)?;
        let (sum, n) = std::mem::take(&mut self.recent);
        let loss = sum / n as f64;
        self.log(epoch, loss)?;
        let text = format!("loss {loss:.4}  {text}");
        self.progress.show(epoch + 1, text.trim_end(), self.out)?;
        // Written beside and renamed: whoever stops the program has the last file, whole.
        self.options.save(trainer)?;
        self.since = Instant::now();
        Ok(())
    }

    /// Adds a row to the log: the mean loss since the last one, and the last point of the first other curve.
    fn log(&mut self, epoch: usize, loss: f64) -> Result<(), CliError> {
        let Some(path) = &self.options.log else { return Ok(()) };
        let log = match &mut self.log {
            Some(log) => log,
            None => self.log.insert(Log::create(path, &["epoch", "step", "loss", "measured"])?),
        };
        let measured =
            self.curves.get(1).and_then(|(_, points)| points.last()).map_or(f64::NAN, |point| point.1);
        Ok(log.write(&[(epoch + 1) as f64, self.n_steps as f64, loss, measured])?)
    }

    /// Writes a line.
    pub fn say(&mut self, text: impl Display) -> Result<(), CliError> {
        self.progress.suspend(|| writeln!(self.out, "{text}"))?;
        Ok(())
    }

    /// Ends the training: says what the model has come to, and writes the files that were asked for.
    pub fn finish(self, trainer: &Trainer<'_>, result: impl Display) -> Result<(), CliError> {
        self.progress.finish();
        let Run { name, options, out, n_steps, training, .. } = self;
        let (seconds, threads) = (training.as_secs_f64(), threads(trainer.threads()));
        writeln!(out, "{result} after {n_steps} steps in {seconds:.2} s, {threads}")?;
        options.save(trainer)?;
        if let Some(path) = &options.save {
            writeln!(out, "parameters saved to {}", path.display())?;
        }
        if let Some(path) = &options.plot {
            let curves: Vec<_> =
                self.curves.iter().map(|(name, points)| (&**name, averaged(points))).collect();
            Chart::new(name, "step", "loss").draw(path, &curves)?;
            writeln!(out, "losses drawn in {}", path.display())?;
        }
        Ok(())
    }
}

/// A curve of more points is drawn as means of neighbours: losses of single steps scatter, and files stay small.
const MAX_POINTS: usize = 200;

fn averaged(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let mean = |of: fn(&(f64, f64)) -> f64, group: &[(f64, f64)]| {
        group.iter().map(of).sum::<f64>() / group.len() as f64
    };
    let groups = points.chunks(points.len().div_ceil(MAX_POINTS).max(1));
    groups.map(|group| (mean(|point| point.0, group), mean(|point| point.1, group))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_curves_are_means_of_neighbours() {
        let points: Vec<(f64, f64)> = (0..1000).map(|step| (step as f64, (step % 2) as f64)).collect();
        let drawn = averaged(&points);
        assert_eq!(drawn.len(), MAX_POINTS);
        assert_eq!(drawn[0], (2.0, 0.4));
        assert_eq!(averaged(&points[..3]), points[..3]);
        assert!(averaged(&[]).is_empty());
    }
}
