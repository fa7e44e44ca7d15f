//! Batch normalization: layers with statistics that are no parameters.

use super::{Init, Model, Module, Param, Visitor};
use crate::tensor::Tensor;
use kiln_ir::DType;

/// Batch normalization of channels (axis 1) with `N` axes behind them.
///
/// `(x - mean) / sqrt(variance + eps) * weight + bias`, in training with mean and variance of each channel over the batch;
/// outside of training running statistics take their place: see [`Tensor::batch_norm`] and [`Tensor::normalized_by`].
///
/// Parameters: `weight` of ones and `bias` of zeros, `[c]`. Buffers: `running_mean`, `running_var` (of the sample, with
/// `n - 1`), `num_batches_tracked`. Shapes: `[n, c, ..]`; `BatchNorm1d` also takes `[n, c]`.
/// Source: Ioffe and Szegedy, *Batch Normalization*, 2015.
#[derive(Debug)]
pub struct BatchNorm<const N: usize> {
    /// The scale, `[c]`.
    pub weight: Option<Param>,
    /// The shift, `[c]`.
    pub bias: Option<Param>,
    running: Option<Running>,
    channels: usize,
    eps: f64,
    momentum: Option<f64>,
}

/// Batch normalization of `[n, c]` or `[n, c, length]`.
pub type BatchNorm1d = BatchNorm<1>;
/// Batch normalization of `[n, c, height, width]`.
pub type BatchNorm2d = BatchNorm<2>;
/// Batch normalization of `[n, c, depth, height, width]`.
pub type BatchNorm3d = BatchNorm<3>;

/// Running statistics.
#[derive(Debug)]
pub(super) struct Running {
    running_mean: Param,
    running_var: Param,
    num_batches_tracked: Param,
}

impl<const N: usize> Module for BatchNorm<N> {
    fn visit<'m>(&'m self, visitor: &mut Visitor<'m>) {
        visitor.child("weight", &self.weight);
        visitor.child("bias", &self.bias);
        if let Some(running) = &self.running {
            running.visit(visitor);
        }
    }
}

impl<const N: usize> BatchNorm<N> {
    /// A layer of so many channels, with PyTorch's `eps` of 1e-5 and momentum of 0.1.
    pub fn new(channels: usize) -> BatchNorm<N> {
        BatchNorm {
            weight: Some(Param::new([channels], Init::Ones)),
            bias: Some(Param::new([channels], Init::Zeros)),
            running: Some(Running::new(channels)),
            channels,
            eps: 1e-5,
            momentum: Some(0.1),
        }
    }

    /// The same with another number added to the variance.
    pub fn eps(self, eps: f64) -> BatchNorm<N> {
        BatchNorm { eps, ..self }
    }

    /// The same with another share of a batch in the running statistics; `None`: they are means over all batches.
    pub fn momentum(self, momentum: Option<f64>) -> BatchNorm<N> {
        BatchNorm { momentum, ..self }
    }

    /// The same without scale and shift.
    pub fn without_affine(self) -> BatchNorm<N> {
        BatchNorm { weight: None, bias: None, ..self }
    }

    /// The same without a shift.
    pub fn without_bias(self) -> BatchNorm<N> {
        BatchNorm { bias: None, ..self }
    }

    /// The same without running statistics: those of the batch are used outside of training, too.
    pub fn without_running_stats(self) -> BatchNorm<N> {
        BatchNorm { running: None, ..self }
    }

    /// The same with another start of the scale.
    pub fn weight_init(self, init: Init) -> BatchNorm<N> {
        BatchNorm { weight: self.weight.map(|weight| weight.with_init(init)), ..self }
    }

    fn normalize(&self, x: &Tensor) -> Tensor {
        let has_rank = x.rank() == N + 2 || (N == 1 && x.rank() == 2);
        if !has_rank || x.shape()[1] != self.channels {
            let problem = format!("it needs {} axes, and {} channels as axis 1", N + 2, self.channels);
            return x.refuse("batch_norm", problem);
        }
        let [weight, bias] = [&self.weight, &self.bias].map(|p| p.as_ref().map(|p| p.of(x)));
        let [weight, bias] = [weight.as_ref(), bias.as_ref()];
        if let (Some(running), false) = (&self.running, x.tracer().is_training()) {
            return running.normalize(x, weight, bias, self.eps);
        }
        // PyTorch takes a batch without samples, and counts it.
        if x.tracer().is_training() && x.n_elements() == self.channels {
            return x.refuse("batch_norm", "a channel needs more than one value in training");
        }
        let normalized = x.batch_norm(weight, bias, self.eps);
        if let Some(running) = &self.running {
            running.follow(x, &normalized.mean, &normalized.var, self.momentum);
        }
        normalized.output
    }
}

impl Running {
    pub(super) fn new(channels: usize) -> Running {
        Running {
            running_mean: Param::buffer([channels], Init::Zeros),
            running_var: Param::buffer([channels], Init::Ones),
            num_batches_tracked: Param::buffer([], Init::Zeros).with_dtype(DType::I64),
        }
    }

    pub(super) fn visit<'m>(&'m self, visitor: &mut Visitor<'m>) {
        visitor.child("running_mean", &self.running_mean);
        visitor.child("running_var", &self.running_var);
        visitor.child("num_batches_tracked", &self.num_batches_tracked);
    }

    /// One of the buffers, by which the layer's name is known.
    pub(super) fn first(&self) -> &Param {
        &self.running_mean
    }

    #[track_caller]
    pub(super) fn normalize(
        &self,
        x: &Tensor,
        weight: Option<&Tensor>,
        bias: Option<&Tensor>,
        eps: f64,
    ) -> Tensor {
        x.normalized_by(&self.running_mean.of(x), &self.running_var.of(x), weight, bias, eps)
    }

    /// Moves the statistics to those of a batch.
    fn follow(&self, batch: &Tensor, mean: &Tensor, var: &Tensor, momentum: Option<f64>) {
        let n_batches = self.num_batches_tracked.of(mean) + 1;
        self.num_batches_tracked.set(&n_batches);
        if batch.n_elements() == 0 {
            return;
        }
        let share = match momentum {
            Some(momentum) => mean.full_like(momentum),
            None => 1.0 / n_batches.cast(mean.dtype()),
        };
        self.move_to(mean, var, &share);
    }

    /// Moves the statistics by a share of the way to those of a batch.
    pub(super) fn move_to(&self, mean: &Tensor, var: &Tensor, share: &Tensor) {
        for (running, of_batch) in [(&self.running_mean, mean), (&self.running_var, var)] {
            let old = running.of(mean);
            running.set(&(&old + (of_batch - &old) * share));
        }
    }
}

impl<const N: usize> Model for BatchNorm<N> {
    #[track_caller]
    fn forward(&self, x: &Tensor) -> Tensor {
        // The parameter that is there in any form of the layer names it.
        let named = self.weight.as_ref().or(self.running.as_ref().map(Running::first));
        match named {
            Some(param) => param.in_layer(x, || self.normalize(x)),
            None => x.within("batch_norm", || self.normalize(x)),
        }
    }
}
