//! Random values, drawn from the program's random state.

use super::Tensor;
use kiln_ir::Op;
use kiln_ir::op::LogicalOp;

impl Tensor {
    /// In training, each element is zero with probability `p` and otherwise multiplied by `1 / (1 - p)`; outside of
    /// training, `self`.
    ///
    /// Which elements is a function of the random state, so that the backward pass draws the same ones again.
    /// Types: floats. Errors: `p` is not in `0..=1`; the trace has no random state.
    ///
    /// Source: Srivastava and others, *Dropout*, 2014, scaled in training as PyTorch does.
    #[track_caller]
    pub fn dropout(&self, p: f64) -> Tensor {
        if !(0.0..=1.0).contains(&p) {
            return self.refuse("dropout", format!("the probability {p} is not between 0 and 1"));
        }
        if p == 0.0 || !self.tracer().is_training() {
            return self.clone();
        }
        if p == 1.0 {
            return self.within("dropout", || self * 0.0);
        }
        self.within("dropout", || {
            if let Err(poisoned) = self.require_float("dropout") {
                return poisoned;
            }
            let Some(state) = self.tracer().draw(self.n_elements()) else {
                return self.refuse("dropout", "this trace has no random state to draw from");
            };
            let bits = self.random_words(&state);
            let dropped = (p * f64::from(1 << 24)).round() as i64;
            self.kept_where(&bits.ge(dropped), 1.0 / (1.0 - p))
        })
    }

    /// A number of 24 random bits for each element: exact as a fraction of f32, and not negative as an i32.
    fn random_words(&self, state: &Tensor) -> Tensor {
        let words = state.record(Op::RandomBits(self.shape().clone()), &[]);
        words.logical(LogicalOp::ShiftRight, 8.into())
    }

    /// In training, each channel (axis 1) of each sample is zero with probability `p` and otherwise multiplied by
    /// `1 / (1 - p)`; outside of training, `self`. Shapes: `[n, c, ..]`.
    ///
    /// Source: Tompson and others, *Efficient Object Localization Using Convolutional Networks*, 2015.
    #[track_caller]
    pub fn dropout_channels(&self, p: f64) -> Tensor {
        if p == 0.0 || !self.tracer().is_training() {
            return self.clone();
        }
        self.within("dropout_channels", || {
            let [n, c, ..] = *self.extents() else {
                return self.refuse("dropout_channels", "it needs an axis of samples and one of channels");
            };
            let extents: Vec<usize> =
                (0..self.rank()).map(|axis| [n, c].get(axis).copied().unwrap_or(1)).collect();
            let ones = self.fill(self.dtype(), kiln_ir::Shape::new(&extents), 1.0);
            self * ones.dropout(p)
        })
    }

    /// Random numbers of this tensor's type and shape, uniform in `0..1`, with 24 bits each.
    ///
    /// Types: floats. Errors: the trace has no random state.
    #[track_caller]
    pub fn rand_like(&self) -> Tensor {
        self.within("rand_like", || {
            if let Err(poisoned) = self.require_float("rand_like") {
                return poisoned;
            }
            let Some(state) = self.tracer().draw(self.n_elements()) else {
                return self.refuse("rand_like", "this trace has no random state to draw from");
            };
            let bits = self.random_words(&state);
            bits.cast(self.dtype()) * f64::from(1 << 24).recip()
        })
    }

    /// Random numbers of this tensor's type and shape, normal with mean 0 and variance 1.
    ///
    /// Types and errors: as [`rand_like`](Tensor::rand_like). Source: Box and Muller, *A note on the generation of
    /// random normal deviates*, 1958.
    #[track_caller]
    pub fn randn_like(&self) -> Tensor {
        self.within("randn_like", || {
            // 1 - u is in (0, 1], where the logarithm is finite.
            let radius = ((1.0 - self.rand_like()).log() * -2.0).sqrt();
            let angle = self.rand_like() * std::f64::consts::TAU;
            radius * angle.cos()
        })
    }
}
