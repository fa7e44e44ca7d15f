//! Learning-rate schedules: what the learning rate is multiplied by, from step to step.
//!
//! The rate is a scalar of the state, which the trainer sets before a step: nothing is compiled for it. A schedule is a
//! function of the number of steps taken; [`Schedule::every`] makes it one of epochs.

use crate::trainer::Resume;
use crate::trainer::resume::{count, number, recalled_count, recalled_number};
use kiln_ir::TensorData;
use std::collections::BTreeMap;
use std::f64::consts::PI;

/// A learning-rate schedule.
///
/// A function is one too:
///
/// ```
/// use kiln::prelude::*;
/// use kiln::optim::Schedule;
/// let halves = |step: u64| 0.5f64.powi(step as i32);
/// assert_eq!(halves.factor(2), 0.25);
/// ```
pub trait Schedule {
    /// What the first learning rate is multiplied by after so many steps.
    fn factor(&self, step: u64) -> f64;

    /// The same schedule, that advances once in so many steps: those of an epoch.
    fn every(self, n_steps: u64) -> Every<Self>
    where
        Self: Sized,
    {
        Every { schedule: self, n_steps: n_steps.max(1) }
    }
}

impl<F: Fn(u64) -> f64> Schedule for F {
    fn factor(&self, step: u64) -> f64 {
        self(step)
    }
}

/// A schedule that advances once in several steps; see [`Schedule::every`].
#[derive(Clone, Copy, Debug)]
pub struct Every<S> {
    schedule: S,
    n_steps: u64,
}

impl<S: Schedule> Schedule for Every<S> {
    fn factor(&self, step: u64) -> f64 {
        self.schedule.factor(step / self.n_steps)
    }
}

/// Multiplied by `gamma` after each `size` steps, as `torch.optim.lr_scheduler.StepLR`: `gamma^floor(step / size)`.
///
/// Source: He and others, *Deep Residual Learning for Image Recognition*, 2016, section 3.4, by hand.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Steps {
    /// Steps between two changes.
    pub size: u64,
    /// The factor of a change.
    pub gamma: f64,
}

impl Schedule for Steps {
    fn factor(&self, step: u64) -> f64 {
        power(self.gamma, step / self.size.max(1))
    }
}

/// Multiplied by `gamma` after each step, as `torch.optim.lr_scheduler.ExponentialLR`: `gamma^step`.
///
/// Source: Senior and others, *An Empirical Study of Learning Rates in Deep Neural Networks for Speech Recognition*, 2013.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Exponential {
    /// The factor of a step.
    pub gamma: f64,
}

impl Schedule for Exponential {
    fn factor(&self, step: u64) -> f64 {
        power(self.gamma, step)
    }
}

/// Rises in a line for `warm_up` steps, the first of which is not zero, then falls along half a cosine to `floor` at step
/// `total`, where it stays.
///
/// Without warm-up: `torch.optim.lr_scheduler.CosineAnnealingLR` up to step `T_max = total`. Sources: Loshchilov and
/// Hutter, *SGDR*, 2017, equation 5; Goyal and others, *Accurate, Large Minibatch SGD*, 2017, section 2.2, for the
/// warm-up.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cosine {
    /// Steps of the rise.
    pub warm_up: u64,
    /// Steps of all.
    pub total: u64,
    /// What it falls to.
    pub floor: f64,
}

impl Cosine {
    /// Without warm-up, to zero.
    pub fn new(total: u64) -> Cosine {
        Cosine { warm_up: 0, total, floor: 0.0 }
    }

    /// With a rise before, which is part of the total.
    pub fn warm_up(self, warm_up: u64) -> Cosine {
        Cosine { warm_up, ..self }
    }

    /// Falling to this factor instead of zero.
    pub fn floor(self, floor: f64) -> Cosine {
        Cosine { floor, ..self }
    }
}

impl Schedule for Cosine {
    fn factor(&self, step: u64) -> f64 {
        if step < self.warm_up {
            return (step + 1) as f64 / self.warm_up as f64;
        }
        let share = (step - self.warm_up) as f64 / self.total.saturating_sub(self.warm_up).max(1) as f64;
        between(1.0, self.floor, share.min(1.0))
    }
}

/// Rises along half a cosine from `1 / div` to 1 in the first `rise` of all steps, then falls along half a cosine to
/// `1 / (div * final_div)`, as `torch.optim.lr_scheduler.OneCycleLR` does with the learning rate as its `max_lr`; momenta
/// stay.
///
/// Source: Smith and Topin, *Super-Convergence*, 2018.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct OneCycle {
    /// Steps of all.
    pub total: u64,
    /// Share of the steps in which it rises; 0.3 in PyTorch.
    pub rise: f64,
    /// The first factor is 1 over this; 25 in PyTorch.
    pub div: f64,
    /// The last factor is the first over this; 10,000 in PyTorch.
    pub final_div: f64,
}

impl OneCycle {
    /// With PyTorch's numbers.
    pub fn new(total: u64) -> OneCycle {
        OneCycle { total, rise: 0.3, div: 25.0, final_div: 1e4 }
    }
}

impl Schedule for OneCycle {
    fn factor(&self, step: u64) -> f64 {
        let (first, last) = (1.0 / self.div, 1.0 / (self.div * self.final_div));
        // The last steps of both phases, counted as PyTorch does.
        let top = self.rise * self.total as f64 - 1.0;
        let end = self.total.saturating_sub(1) as f64;
        let step = (step as f64).min(end);
        // At the top both halves agree; one of them may have no length there.
        if step < top {
            between(first, 1.0, step / top)
        } else {
            between(1.0, last, (step - top) / (end - top).max(f64::MIN_POSITIVE))
        }
    }
}

/// From `start` to `end` along half a cosine.
fn between(start: f64, end: f64, share: f64) -> f64 {
    end + (start - end) / 2.0 * (1.0 + (PI * share).cos())
}

fn power(base: f64, exponent: u64) -> f64 {
    base.powf(exponent as f64)
}

/// Says when to lower the learning rate because a measure no longer falls, or no longer [rises](Plateau::rising), as
/// `torch.optim.lr_scheduler.ReduceLROnPlateau`.
///
/// Source: as [`Exponential`], performance scheduling.
///
/// ```
/// use kiln::prelude::*;
/// use kiln::optim::Plateau;
/// # let model = Linear::new(2, 1);
/// # let mut trainer = Trainer::new(&model).loss(mse).optimizer(Sgd::new(0.1)).compile(f32(&[4, 2]), f32(&[4, 1]))?;
/// let mut plateau = Plateau::new().patience(2);
/// for loss in [1.0, 0.9, 0.9, 0.9, 0.9] {
///     trainer.scale_learning_rate(plateau.observe(loss));
/// }
/// assert!((trainer.learning_rate() - 0.01).abs() < 1e-12);
/// # Ok::<(), kiln::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Plateau {
    factor: f64,
    patience: u64,
    threshold: f64,
    cooldown: u64,
    rises: bool,
    best: f64,
    n_bad: u64,
    n_cooling: u64,
}

impl Default for Plateau {
    fn default() -> Plateau {
        Plateau::new()
    }
}

impl Plateau {
    /// With PyTorch's numbers: a tenth after more than 10 observations that are not lower by at least a share of 1e-4.
    pub fn new() -> Plateau {
        let (factor, patience, threshold, cooldown) = (0.1, 10, 1e-4, 0);
        Plateau {
            factor,
            patience,
            threshold,
            cooldown,
            rises: false,
            best: f64::INFINITY,
            n_bad: 0,
            n_cooling: 0,
        }
    }

    /// For a measure that should rise, such as an accuracy: PyTorch's mode `max`.
    pub fn rising(self) -> Plateau {
        Plateau { rises: true, best: f64::NEG_INFINITY, ..self }
    }

    /// What the rate is multiplied by.
    pub fn factor(self, factor: f64) -> Plateau {
        Plateau { factor, ..self }
    }

    /// How many observations in a row may be no better.
    pub fn patience(self, patience: u64) -> Plateau {
        Plateau { patience, ..self }
    }

    /// The share of the best measure by which another must be lower (of what should rise: higher) to be better.
    pub fn threshold(self, threshold: f64) -> Plateau {
        Plateau { threshold, ..self }
    }

    /// How many observations after a change do not count.
    pub fn cooldown(self, cooldown: u64) -> Plateau {
        Plateau { cooldown, ..self }
    }

    /// Takes note of the measure: what the learning rate is now to be multiplied by, 1 most of the time.
    pub fn observe(&mut self, measure: f64) -> f64 {
        let is_better = match self.rises {
            true => measure > self.best * (1.0 + self.threshold),
            false => measure < self.best * (1.0 - self.threshold),
        };
        if is_better {
            self.best = measure;
            self.n_bad = 0;
        } else {
            self.n_bad += 1;
        }
        if self.n_cooling > 0 {
            self.n_cooling -= 1;
            self.n_bad = 0;
        }
        if self.n_bad <= self.patience {
            return 1.0;
        }
        (self.n_cooling, self.n_bad) = (self.cooldown, 0);
        self.factor
    }
}

/// What it has observed; its settings are those that it is made with.
impl Resume for Plateau {
    fn remembered(&self) -> Vec<(String, TensorData)> {
        vec![number("best", self.best), count("n_bad", self.n_bad), count("n_cooling", self.n_cooling)]
    }

    fn recall(&mut self, values: &BTreeMap<String, TensorData>) -> Result<(), String> {
        let best = recalled_number(values, "best")?;
        let (n_bad, n_cooling) = (recalled_count(values, "n_bad")?, recalled_count(values, "n_cooling")?);
        *self = Plateau { best, n_bad, n_cooling, ..*self };
        Ok(())
    }
}
