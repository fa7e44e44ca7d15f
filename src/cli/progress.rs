//! Progress of a training: a bar in a terminal, a line now and then elsewhere.

use indicatif::{ProgressBar, ProgressStyle};
use std::io::{self, IsTerminal, Write};
use std::time::Duration;

/// Most lines of a training whose output is no terminal.
const MAX_LINES: usize = 20;

/// Where a training stands.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Standing {
    /// Epochs that are done.
    pub epoch: usize,
    /// Mean loss over the last epoch.
    pub loss: f32,
    /// Accuracy on the test data, from 0 to 1.
    pub accuracy: f64,
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
            let style = "{bar:30} {percent:>3}%  {msg}  {per_sec}, {eta} left";
            bar.set_style(
                ProgressStyle::with_template(style).unwrap_or_else(|_| ProgressStyle::default_bar()),
            );
            bar.enable_steady_tick(Duration::from_millis(200));
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

    /// Shows how things are.
    pub fn show(&self, standing: Standing, out: &mut impl Write) -> io::Result<()> {
        let Standing { epoch, loss, accuracy } = standing;
        let width = self.epochs.to_string().len();
        let text = format!(
            "epoch {epoch:>width$}/{}  loss {loss:.4}  accuracy {:.1}%",
            self.epochs,
            100.0 * accuracy
        );
        match &self.bar {
            Some(bar) => bar.set_message(text),
            None => {
                writeln!(out, "{text}")?;
                out.flush()?;
            }
        }
        Ok(())
    }

    /// Removes the bar.
    pub fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
