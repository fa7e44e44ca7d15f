//! A loss of sequences whose alignment with their labels is not known.

use super::{Reduction, losses};
use crate::tensor::{Scan, Tensor, cat};
use kiln_ir::{DType, Shape, TensorData};

/// Logarithm of what cannot happen: finite, so that differences of two of them are numbers.
const NEVER: f64 = -1e30;

losses! {
    /// Connectionist temporal classification: minus the logarithm of the probability that a sequence of classes, with
    /// repetitions joined and blanks left out, is the target.
    ///
    /// The sum over all alignments is a recursion in time over the labels with a blank before, between and after them, as
    /// a loop. The mean is that over the batch of losses divided by the lengths of their targets.
    ///
    /// Shapes: logarithms of probabilities `[time, batch, classes]`, targets `[batch, labels]` of `i64`, lengths of inputs and
    /// of targets `[batch]`. Source: Graves and others, *Connectionist Temporal Classification*, 2006, sections 4.1 and 3.
    Ctc {
        /// The class that stands for no label; 0 unless it is set.
        blank: usize = 0usize,
        /// Whether targets that cannot be reached (they are too long) have the loss 0 and not infinity.
        zero_infinity: bool = false,
    }
}

impl Ctc {
    /// The loss of logarithms of probabilities and targets, of which as many steps and labels count as the lengths say.
    #[track_caller]
    pub fn of(
        &self,
        log_p: &Tensor,
        targets: &Tensor,
        input_lengths: &Tensor,
        target_lengths: &Tensor,
    ) -> Tensor {
        log_p.within("ctc", || {
            let fits = log_p.rank() == 3 && targets.rank() == 2 && targets.shape()[0] == log_p.shape()[1];
            if !fits || log_p.shape()[0] == 0 {
                let problem =
                    "it needs logarithms of shape [time, batch, classes] and targets [batch, labels]";
                return log_p.refuse("ctc", problem);
            }
            if let Err(poisoned) = log_p.require_float("ctc") {
                return poisoned;
            }
            let length = target_lengths.cast(DType::I64);
            let log = self.log_probabilities(log_p, &targets.cast(DType::I64), input_lengths, &length);
            let is_never = log.lt(NEVER * 0.5);
            let never = if self.zero_infinity { 0.0 } else { f64::INFINITY };
            let losses = is_never.select(never, -is_never.select(0.0, &log));
            match self.reduction {
                Reduction::Mean => (losses / length.clamp_min(1).cast(log_p.dtype())).mean(..),
                Reduction::Sum | Reduction::None | Reduction::BatchMean => self.reduction.apply(losses),
            }
        })
    }

    /// The logarithm of the probability of each target.
    fn log_probabilities(
        &self,
        log_p: &Tensor,
        targets: &Tensor,
        input_lengths: &Tensor,
        lengths: &Tensor,
    ) -> Tensor {
        let [time, n, _] = log_p.shape()[..] else { unreachable!("of three axes") };
        let labels = targets.shape()[1];
        let states = 2 * labels + 1;
        // Blank, label, blank, label, ..., blank.
        let blank = targets.fill(DType::I64, Shape::new(&[n, labels + 1, 1]), self.blank as f64);
        let pairs = cat(&[&blank, &targets.unsqueeze(-1).pad(&[(0, 1), (0, 0)], 0.0)], -1);
        let states_of = pairs.reshape([n as i64, -1]).narrow(-1, 0, states);
        // A blank between two labels may be left out unless they are the same.
        let before = states_of.pad(&[(2, 0)], self.blank as f64).narrow(-1, 0, states);
        let may_skip = states_of.ne(self.blank as i64).logical_and(states_of.ne(before));
        let index = states_of.broadcast_to([time, n, states]);
        let emitted = log_p.gather(-1, &index);
        let place = log_p.iota(DType::I64, Shape::new(&[states]), 0);
        let start = place.lt(2).select(emitted.select_index(0, 0), NEVER);
        if time == 1 {
            return at_the_end(&start, &place, lengths);
        }
        let rest = emitted.slice(0, 1..);
        let steps = log_p.constant(TensorData::new([time - 1], (1..time as i64).collect::<Vec<_>>()));
        let is_within = |step: &Tensor| input_lengths.cast(DType::I64).gt(step).unsqueeze(-1);
        let scanned = Scan::over(&[&rest, &steps]).carry(&[&start]).run(|alpha, parts| {
            let (alpha, [emitted, step]) = (&alpha[0], [&parts[0], &parts[1]]);
            let moved = |by: i64| alpha.pad(&[(by, 0)], NEVER).narrow(-1, 0, states);
            let skipped = may_skip.select(moved(2), NEVER);
            let next = log_sum(&log_sum(alpha, &moved(1)), &skipped) + emitted;
            // Sums of logarithms of what cannot happen do not run away.
            let next = next.maximum(next.full_like(NEVER));
            (vec![is_within(step).select(next, alpha)], vec![])
        });
        at_the_end(&scanned.carried[0], &place, lengths)
    }
}

/// The logarithm of the probability to be at the last label or at the blank behind it.
fn at_the_end(alpha: &Tensor, place: &Tensor, lengths: &Tensor) -> Tensor {
    let last = lengths.unsqueeze(-1) * 2;
    let at = |state: Tensor| place.eq(state).select(alpha, 0.0).sum(-1);
    let is_empty = lengths.eq(0);
    let label = is_empty.select(NEVER, at((&last - 1).maximum(last.zeros_like())));
    log_sum(&at(last), &label)
}

/// The logarithm of the sum of two exponentials, without overflow.
fn log_sum(a: &Tensor, b: &Tensor) -> Tensor {
    a.maximum(b) + (-(a - b).abs()).exp().log1p()
}
