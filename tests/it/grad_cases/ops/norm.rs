//! Normalization, as functions and as modules.

use crate::grad_cases::call::{Built, Call, Outputs, functions};
use kiln::prelude::*;

functions! {
    "nn.functional.layer_norm": (
        x: Tensor, normalized_shape: Vec<usize>, weight: Option<Tensor>, bias: Option<Tensor>, eps: f64 = 1e-5
    ) => x.layer_norm(normalized_shape.len(), weight.as_ref(), bias.as_ref(), eps);
    "nn.functional.normalize": (x: Tensor, p: f64 = 2.0, dim: i64 = 1, eps: f64 = 1e-12) => x.normalize(p, dim, eps);
    "nn.functional.group_norm": (
        x: Tensor, num_groups: i64, weight: Option<Tensor>, bias: Option<Tensor>, eps: f64 = 1e-5
    ) => {
        let shape: Vec<i64> = x.extents().iter().map(|&extent| extent as i64).collect();
        let rows = x.reshape([shape[0], num_groups, shape[1..].iter().product::<i64>() / num_groups]);
        affine(&standardized(&rows, &[-1], eps).reshape(shape), weight, bias)
    };
    "nn.functional.local_response_norm": (
        x: Tensor, size: usize, alpha: f64 = 1e-4, beta: f64 = 0.75, k: f64 = 1.0
    ) => local_response(&x, size, alpha, beta, k);
    "nn.LocalResponseNorm": [size: usize, alpha: f64 = 1e-4, beta: f64 = 0.75, k: f64 = 1.0] (x: Tensor) => {
        local_response(&x, size, alpha, beta, k)
    };
    "renorm": (x: Tensor, p: f64, dim: i64, maxnorm: f64) => x.renorm(p, dim, maxnorm);

    "nn.functional.batch_norm": (
        x: Tensor, running_mean: Option<Tensor>, running_var: Option<Tensor>, weight: Option<Tensor>,
        bias: Option<Tensor>, training: bool = false, momentum: f64 = 0.1, eps: f64 = 1e-5
    ) |call| => batch_norm(call, &x, Running { mean: running_mean, var: running_var, n_batches: None }, weight, bias, training, Some(momentum), eps);
    "nn.functional.instance_norm": (
        x: Tensor, running_mean: Option<Tensor>, running_var: Option<Tensor>, weight: Option<Tensor>,
        bias: Option<Tensor>, use_input_stats: bool = true, momentum: f64 = 0.1, eps: f64 = 1e-5
    ) |call| => instance_norm(call, &x, Running { mean: running_mean, var: running_var, n_batches: None }, weight, bias, use_input_stats, momentum, eps);
    "nn.BatchNorm1d": [
        _num_features: usize, eps: f64 = 1e-5, momentum: Option<f64> = Some(0.1), _affine: bool = true,
        _track_running_stats: bool = true, _bias: bool = true
    ] (x: Tensor) |call| => batch_norm_module(call, &x, momentum, eps);
    "nn.BatchNorm2d": [
        _num_features: usize, eps: f64 = 1e-5, momentum: Option<f64> = Some(0.1), _affine: bool = true,
        _track_running_stats: bool = true, _bias: bool = true
    ] (x: Tensor) |call| => batch_norm_module(call, &x, momentum, eps);
    "nn.BatchNorm3d": [
        _num_features: usize, eps: f64 = 1e-5, momentum: Option<f64> = Some(0.1), _affine: bool = true,
        _track_running_stats: bool = true, _bias: bool = true
    ] (x: Tensor) |call| => batch_norm_module(call, &x, momentum, eps);
    "nn.InstanceNorm2d": [
        _num_features: usize, eps: f64 = 1e-5, momentum: f64 = 0.1, _affine: bool = false,
        _track_running_stats: bool = false
    ] (x: Tensor) |call| => {
        let state = |name| call.state(name);
        let running = Running { mean: state("running_mean"), var: state("running_var"), n_batches: state("num_batches_tracked") };
        let by_input = call.is_training() || running.mean.is_none();
        let batch = if x.rank() == 3 { x.unsqueeze(0) } else { x.clone() };
        let mut outputs = instance_norm(call, &batch, running, state("weight"), state("bias"), by_input, momentum, eps)?;
        if x.rank() == 3 {
            outputs.values[0] = outputs.values[0].squeeze(0);
        }
        outputs
    };
}

/// The running statistics of a normalization, and how many batches they are of.
struct Running {
    mean: Option<Tensor>,
    var: Option<Tensor>,
    n_batches: Option<Tensor>,
}

/// `(x - mean) / sqrt(var + eps)`, with the statistics of these axes.
fn standardized(x: &Tensor, axes: &[i64], eps: f64) -> Tensor {
    (x - x.mean(keep(axes))) / (x.var(keep(axes), 0.0) + eps).sqrt()
}

/// A vector with an element for each channel (axis 1) of `x`, so that it broadcasts.
fn by_channel(vector: &Tensor, x: &Tensor) -> Tensor {
    vector.reshape((0..x.rank()).map(|axis| if axis == 1 { -1 } else { 1 }).collect::<Vec<_>>())
}

fn affine(x: &Tensor, weight: Option<Tensor>, bias: Option<Tensor>) -> Tensor {
    let scaled = weight.iter().fold(x.clone(), |x, weight| &x * by_channel(weight, &x));
    bias.iter().fold(scaled, |x, bias| &x + by_channel(bias, &x))
}

/// All axes but that of the channels.
fn but_channels(x: &Tensor) -> Vec<i64> {
    (0..x.rank() as i64).filter(|&axis| axis != 1).collect()
}

fn batch_norm_module(call: &Call, x: &Tensor, momentum: Option<f64>, eps: f64) -> Built {
    let state = |name| call.state(name);
    let running = Running {
        mean: state("running_mean"),
        var: state("running_var"),
        n_batches: state("num_batches_tracked"),
    };
    let by_input = call.is_training() || running.mean.is_none();
    batch_norm(call, x, running, state("weight"), state("bias"), by_input, momentum, eps)
}

#[expect(clippy::too_many_arguments, reason = "PyTorch's parameters")]
fn batch_norm(
    call: &Call,
    x: &Tensor,
    running: Running,
    weight: Option<Tensor>,
    bias: Option<Tensor>,
    by_input: bool,
    momentum: Option<f64>,
    eps: f64,
) -> Built {
    let axes = but_channels(x);
    let normal = if by_input { standardized(x, &axes, eps) } else { by_running(x, &running, eps) };
    let mut updates = Vec::new();
    if by_input {
        updates = running.after(call, &x.mean(&axes[..]), &x.var(&axes[..], 1.0), momentum);
        // A batch of nothing counts as a batch, but has no statistics.
        updates.retain(|(_, new)| x.n_elements() > 0 || !new.dtype().is_float());
    }
    Ok(Outputs { values: vec![affine(&normal, weight, bias)], updates })
}

#[expect(clippy::too_many_arguments, reason = "PyTorch's parameters")]
fn instance_norm(
    call: &Call,
    x: &Tensor,
    running: Running,
    weight: Option<Tensor>,
    bias: Option<Tensor>,
    by_input: bool,
    momentum: f64,
    eps: f64,
) -> Built {
    let axes: Vec<i64> = (2..x.rank() as i64).collect();
    let normal = if by_input { standardized(x, &axes, eps) } else { by_running(x, &running, eps) };
    let updates = if by_input {
        let (mean, var) = (x.mean(&axes[..]).mean(0), x.var(&axes[..], 1.0).mean(0));
        running.after(call, &mean, &var, Some(momentum))
    } else {
        Vec::new()
    };
    Ok(Outputs { values: vec![affine(&normal, weight, bias)], updates })
}

fn by_running(x: &Tensor, running: &Running, eps: f64) -> Tensor {
    let centred = running.mean.iter().fold(x.clone(), |x, mean| &x - by_channel(mean, &x));
    running.var.iter().fold(centred, |x, var| &x / (by_channel(var, &x) + eps).sqrt())
}

impl Running {
    /// The statistics after a batch with these. Without a momentum they are the mean over all batches.
    fn after(&self, call: &Call, mean: &Tensor, var: &Tensor, momentum: Option<f64>) -> Vec<(usize, Tensor)> {
        let n_batches = self.n_batches.as_ref().map(|n| n + 1);
        let share = |running: &Tensor| match (momentum, &n_batches) {
            (Some(momentum), _) => running.full_like(momentum),
            (None, Some(n)) => 1.0 / n.to_float(),
            (None, None) => running.zeros_like(),
        };
        let moved = |running: &Tensor, batch: &Tensor| running + (batch - running) * share(running);
        let updates = [
            self.mean.as_ref().map(|running| (running, moved(running, mean))),
            self.var.as_ref().map(|running| (running, moved(running, var))),
            self.n_batches.as_ref().zip(n_batches.clone()),
        ];
        updates.into_iter().flatten().map(|(old, new)| (call.position_of(old), new)).collect()
    }
}

/// `x / (k + alpha mean(x^2 over neighbouring channels))^beta`.
fn local_response(x: &Tensor, size: usize, alpha: f64, beta: f64, k: f64) -> Tensor {
    let channels_last = x.square().movedim(1, -1);
    let padded = channels_last.pad(&[((size / 2) as i64, ((size - 1) / 2) as i64)], 0.0);
    let mean = padded.avg_pool1d(PoolOptions::new(size).stride(1)).movedim(-1, 1);
    x / (mean * alpha + k).pow(beta)
}
