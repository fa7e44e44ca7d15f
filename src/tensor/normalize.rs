//! Softmax and normalization.
//!
//! Types: floats. Errors: other types; an axis that does not exist.

use super::Tensor;
use super::operand::Over;
use kiln_ir::op::ReduceOp;
use kiln_ir::{Axes, Op};

impl Tensor {
    /// `e^x / sum(e^x)` along an axis, without overflow.
    ///
    /// The greatest element is taken off first. No gradient flows through it: the two ways it enters cancel.
    ///
    /// Shapes: any, the result alike. Source: Bridle, *Probabilistic Interpretation of Feedforward Classification Network
    /// Outputs*, 1990.
    ///
    /// ```
    /// # use kiln::prelude::*;
    /// # let tracer = Tracer::new("softmax");
    /// # let x = tracer.input("x", f32(&[8, 10]));
    /// let probabilities = x.softmax(-1);
    /// assert_eq!(probabilities.extents(), [8, 10]);
    /// ```
    #[track_caller]
    pub fn softmax(&self, axis: i64) -> Tensor {
        self.within("softmax", || {
            self.on_line(|x| match x.single_axis("softmax", axis) {
                Ok(axis) => {
                    let e = (x - x.detached_max(axis)).exp();
                    let sum = e.row_sum(axis);
                    e / sum
                }
                Err(poisoned) => poisoned,
            })
        })
    }

    /// `log(softmax(x)) = x - log(sum(e^x))` along an axis, without overflow or loss of digits.
    ///
    /// Shapes and source: as [`softmax`](Tensor::softmax).
    #[track_caller]
    pub fn log_softmax(&self, axis: i64) -> Tensor {
        self.within("log_softmax", || {
            self.on_line(|x| match x.single_axis("log_softmax", axis) {
                Ok(axis) => {
                    let (shifted, log_sum) = x.log_softmax_parts(axis);
                    shifted - log_sum
                }
                Err(poisoned) => poisoned,
            })
        })
    }

    /// `x - max(x)` and `log(sum(e^(x - max(x))))`, the latter with the axis kept: their difference is the log of
    /// the softmax.
    pub(crate) fn log_softmax_parts(&self, axis: usize) -> (Tensor, Tensor) {
        let shifted = self - self.detached_max(axis);
        let log_sum = shifted.exp().row_sum(axis).log();
        (shifted, log_sum)
    }

    /// `softmax(-x)`; see [`softmax`](Tensor::softmax).
    #[track_caller]
    pub fn softmin(&self, axis: i64) -> Tensor {
        self.within("softmin", || (-self).softmax(axis))
    }

    /// Normalization over the last axes: mean 0 and variance 1, then scale and shift.
    ///
    /// `n_axes` last axes are taken together; `weight` and `bias` have their extents. The variance is of the whole
    /// population. Source: Ba, Kiros, Hinton, *Layer Normalization*, 2016.
    #[track_caller]
    pub fn layer_norm(
        &self,
        n_axes: usize,
        weight: Option<&Tensor>,
        bias: Option<&Tensor>,
        eps: f64,
    ) -> Tensor {
        self.within("layer_norm", || {
            if let Err(poisoned) = self.require_float("layer_norm") {
                return poisoned;
            }
            if n_axes == 0 || n_axes > self.rank() {
                return self.refuse("layer_norm", format!("it has no {n_axes} last axes"));
            }
            let axes: Vec<i64> = (1..=n_axes as i64).map(|a| -a).collect();
            let over = Over { keep: true, ..Over::from(&axes[..]) };
            let centered = self - self.mean(over.clone());
            let variance = centered.square().mean(over);
            let normal = centered * (variance + eps).rsqrt();
            normal.scaled_and_shifted(weight, bias)
        })
    }

    /// The root mean square of the `n_axes` last axes divided out, then scaled.
    ///
    /// Source: Zhang and Sennrich, *Root Mean Square Layer Normalization*, 2019.
    #[track_caller]
    pub fn rms_norm(&self, n_axes: usize, weight: Option<&Tensor>, eps: f64) -> Tensor {
        self.within("rms_norm", || {
            if let Err(poisoned) = self.require_float("rms_norm") {
                return poisoned;
            }
            if n_axes == 0 || n_axes > self.rank() {
                return self.refuse("rms_norm", format!("it has no {n_axes} last axes"));
            }
            let axes: Vec<i64> = (1..=n_axes as i64).map(|a| -a).collect();
            let scale = (self.square().mean(super::keep(&axes[..])) + eps).rsqrt();
            (self * scale).scaled_and_shifted(weight, None)
        })
    }

    fn scaled_and_shifted(self, weight: Option<&Tensor>, bias: Option<&Tensor>) -> Tensor {
        let scaled = match weight {
            Some(weight) => self * weight,
            None => self,
        };
        match bias {
            Some(bias) => scaled + bias,
            None => scaled,
        }
    }

    /// The sum along an axis, which is kept with extent 1.
    fn row_sum(&self, axis: usize) -> Tensor {
        let sum = self.record(Op::Reduce(ReduceOp::Sum, Axes::from_slice(&[axis])), &[]);
        sum.reshape_exact(self.shape().with_extent(axis, 1))
    }
}
