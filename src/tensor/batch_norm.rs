//! Normalization by statistics of a batch, of instances or of groups of channels.
//!
//! Shapes: `[n, c, ..]`; statistics, weights and biases have an element for each channel: `[c]`. Types: floats. Errors: other
//! ranks.

use super::{Tensor, keep};

/// What a normalization by statistics of its input gives.
pub struct Normalized {
    /// The normalized input, scaled and shifted.
    pub output: Tensor,
    /// The mean of each channel.
    pub mean: Tensor,
    /// The variance of each channel, of a sample (divided by `n - 1`): what a running variance is made of.
    pub var: Tensor,
}

impl Tensor {
    /// Each channel with mean 0 and variance 1 over the batch and all places, then scaled and shifted: batch normalization
    /// in training. In evaluation it is [`normalized_by`](Tensor::normalized_by) of running statistics.
    ///
    /// Source: Ioffe and Szegedy, *Batch Normalization*, 2015.
    #[track_caller]
    pub fn batch_norm(&self, weight: Option<&Tensor>, bias: Option<&Tensor>, eps: f64) -> Normalized {
        self.within("batch_norm", || {
            if let Err(poisoned) = self.require_channels("batch_norm") {
                return Normalized { output: poisoned.clone(), mean: poisoned.clone(), var: poisoned };
            }
            let axes: Vec<i64> = (0..self.rank() as i64).filter(|&axis| axis != 1).collect();
            let n = (self.n_elements() / self.shape()[1].max(1)) as f64;
            let mean = self.mean(keep(&axes[..]));
            let centred = self - &mean;
            let var = centred.square().mean(keep(&axes[..]));
            let output = (centred * (&var + eps).rsqrt()).scaled_channels(weight, bias);
            let channels = |x: &Tensor| x.reshape_exact([self.shape()[1]].into());
            Normalized { output, mean: channels(&mean), var: channels(&var) * (n / (n - 1.0)) }
        })
    }

    /// `(x - mean) / sqrt(var + eps)` with given statistics of the channels, then scaled and shifted.
    #[track_caller]
    pub fn normalized_by(
        &self,
        mean: &Tensor,
        var: &Tensor,
        weight: Option<&Tensor>,
        bias: Option<&Tensor>,
        eps: f64,
    ) -> Tensor {
        self.within("normalized_by", || match self.require_channels("normalized_by") {
            Ok(()) => {
                let centred = self - mean.as_channels(self);
                (centred * (var + eps).rsqrt().as_channels(self)).scaled_channels(weight, bias)
            }
            Err(poisoned) => poisoned,
        })
    }

    /// Each channel of each instance with mean 0 and variance 1 over its places, then scaled and shifted. Mean and variance
    /// in the result are the means over the batch.
    ///
    /// Source: Ulyanov and others, *Instance Normalization*, 2016.
    #[track_caller]
    pub fn instance_norm(&self, weight: Option<&Tensor>, bias: Option<&Tensor>, eps: f64) -> Normalized {
        self.within("instance_norm", || {
            if let Err(poisoned) = self.require_channels("instance_norm") {
                return Normalized { output: poisoned.clone(), mean: poisoned.clone(), var: poisoned };
            }
            let axes: Vec<i64> = (2..self.rank() as i64).collect();
            let n = self.shape()[2..].iter().product::<usize>() as f64;
            let mean = self.mean(keep(&axes[..]));
            let centred = self - &mean;
            let var = centred.square().mean(keep(&axes[..]));
            let output = (centred * (&var + eps).rsqrt()).scaled_channels(weight, bias);
            let channels = |x: &Tensor| x.mean(0).reshape_exact([self.shape()[1]].into());
            Normalized { output, mean: channels(&mean), var: channels(&var) * (n / (n - 1.0)) }
        })
    }

    /// Each of `groups` groups of channels with mean 0 and variance 1 in each instance, then scaled and shifted by channel.
    ///
    /// Errors: also a number of groups that does not divide the channels. Source: Wu and He, *Group Normalization*, 2018.
    #[track_caller]
    pub fn group_norm(
        &self,
        groups: usize,
        weight: Option<&Tensor>,
        bias: Option<&Tensor>,
        eps: f64,
    ) -> Tensor {
        self.within("group_norm", || {
            if let Err(poisoned) = self.require_channels("group_norm") {
                return poisoned;
            }
            let (batch, channels) = (self.shape()[0], self.shape()[1]);
            if groups == 0 || !channels.is_multiple_of(groups) {
                return self
                    .refuse("group_norm", format!("{groups} groups do not divide {channels} channels"));
            }
            let width = self.shape()[1..].iter().product::<usize>() / groups;
            let rows = self.reshape_exact([batch, groups, width].into());
            let normal = rows.layer_norm(1, None, None, eps);
            normal.reshape_exact(self.shape().clone()).scaled_channels(weight, bias)
        })
    }

    /// `x / (k + alpha m)^beta` with the mean `m` of the squares of `size` neighbouring channels, zeros beyond the ends.
    ///
    /// Source: Krizhevsky and others, *ImageNet Classification with Deep Convolutional Neural Networks*, 2012, with PyTorch's
    /// mean in place of a sum.
    #[track_caller]
    pub fn local_response_norm(&self, size: usize, alpha: f64, beta: f64, k: f64) -> Tensor {
        self.within("local_response_norm", || {
            if let Err(poisoned) = self.require_channels("local_response_norm") {
                return poisoned;
            }
            if size == 0 {
                return self.refuse("local_response_norm", "a window of no channels");
            }
            let squares = self.square().movedim(1, -1);
            let padded = squares.pad(&[((size / 2) as i64, ((size - 1) / 2) as i64)], 0.0);
            let mean = padded.avg_pool1d(super::PoolOptions::new(size).stride(1)).movedim(-1, 1);
            self / (mean * alpha + k).pow(beta)
        })
    }

    fn require_channels(&self, op: &'static str) -> Result<(), Tensor> {
        self.require_float(op)?;
        if self.rank() < 2 {
            Err(self.refuse(op, "it needs an axis of channels, the second one"))
        } else {
            Ok(())
        }
    }

    /// A vector with an element for each channel of `x`, so that it broadcasts.
    fn as_channels(&self, x: &Tensor) -> Tensor {
        self.reshape_exact((0..x.rank()).map(|axis| if axis == 1 { self.n_elements() } else { 1 }).collect())
    }

    fn scaled_channels(self, weight: Option<&Tensor>, bias: Option<&Tensor>) -> Tensor {
        let scaled = match weight {
            Some(weight) => &self * weight.as_channels(&self),
            None => self,
        };
        match bias {
            Some(bias) => &scaled + bias.as_channels(&scaled),
            None => scaled,
        }
    }
}
