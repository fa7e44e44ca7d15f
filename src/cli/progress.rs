//! Progress of a training: a bar in a terminal, a line now and then elsewhere.

use indicatif::{ProgressBar, ProgressStyle};
use std::io::{self, IsTerminal, Write};
use std::time::Duration;

/// Most lines of a training whose output is no terminal.
const MAX_LINES: usize = 20;

/// A bar for the work of the interpreter, in a thousand parts; nothing is shown where there is no terminal.
pub(crate) fn of_interpreter() -> ProgressBar {
    let bar = ProgressBar::new(1000);
    bar.set_style(style("{bar:30} {percent:>3}%  the interpreter computes each value again, {eta} left"));
    bar.enable_steady_tick(TICK);
    bar
}

/// How often a bar is drawn at least.
const TICK: Duration = Duration::from_millis(200);

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

/// Shows the progress of a training.
pub(crate) struct Progress {
    bar: Option<ProgressBar>,
    epochs: usize,
    /// Epochs between two lines.
    line_every: usize,
}

impl Progress {
    /// Of a training of so many epochs of so many steps.
    pub fn new(epochs: usize, steps_per_epoch: usize) -> Progress {
        let is_terminal = io::stdout().is_terminal() && io::stderr().is_terminal();
        let bar = is_terminal.then(|| {
            let bar = ProgressBar::new((epochs * steps_per_epoch) as u64);
            bar.set_style(style("{bar:30} {percent:>3}%  {msg}  {per_sec}, {eta} left"));
            bar.enable_steady_tick(TICK);
            bar
        });
        Progress { bar, epochs, line_every: epochs.div_ceil(MAX_LINES).max(1) }
    }

    /// Counts steps.
    pub fn advance(&self, steps: usize) {
        if let Some(bar) = &self.bar {
            bar.inc(steps as u64);
        }
    }

    /// Whether there will be a line, or the bar has not shown it for long: whether it is worth to know how things are
    /// after this epoch, counted from 1.
    pub fn wants(&self, epoch: usize) -> bool {
        epoch.is_multiple_of(self.line_every) || epoch == self.epochs
    }

    /// Shows how things are after this epoch, counted from 1.
    pub fn show(&self, epoch: usize, text: &str, out: &mut dyn Write) -> io::Result<()> {
        let width = self.epochs.to_string().len();
        let text = format!("epoch {epoch:>width$}/{}  {text}", self.epochs);
        match &self.bar {
            Some(bar) => bar.set_message(text),
            None => {
                writeln!(out, "{text}")?;
                out.flush()?;
            }
        }
        Ok(())
    }

    /// Does something that writes lines, while the bar is away.
    pub fn suspend<R>(&self, body: impl FnOnce() -> R) -> R {
        match &self.bar {
            Some(bar) => bar.suspend(body),
            None => body(),
        }
    }

    /// Removes the bar.
    pub fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
