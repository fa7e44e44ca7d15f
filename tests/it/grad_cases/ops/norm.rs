//! Normalization, as functions and as modules.

use crate::grad_cases::call::{Built, Call, Outputs, functions};
use kiln::prelude::*;

functions! {
    "native_layer_norm": (x: Tensor, normalized_shape: Vec<usize>, weight: Option<Tensor>, bias: Option<Tensor>, eps: f64) => {
        let axes: Vec<i64> = (1..=normalized_shape.len() as i64).map(|back| -back).collect();
        let over = || keep(axes.as_slice());
        let (mean, scale) = (x.mean(over()), (x.var(over(), 0.0) + eps).rsqrt());
        [x.layer_norm(axes.len(), weight.as_ref(), bias.as_ref(), eps), mean, scale]
    };
    "native_group_norm": (
        x: Tensor, weight: Option<Tensor>, bias: Option<Tensor>, n: i64, _channels: usize, _spatial: usize, group: usize, eps: f64
    ) => {
        let lines = x.reshape([n, group as i64, -1]);
        [x.group_norm(group, weight.as_ref(), bias.as_ref(), eps), lines.mean(-1), (lines.var(-1, 0.0) + eps).rsqrt()]
    };
    "nn.functional.layer_norm": (
        x: Tensor, normalized_shape: Vec<usize>, weight: Option<Tensor>, bias: Option<Tensor>, eps: f64 = 1e-5
    ) => x.layer_norm(normalized_shape.len(), weight.as_ref(), bias.as_ref(), eps);
    "nn.functional.normalize": (x: Tensor, p: f64 = 2.0, dim: i64 = 1, eps: f64 = 1e-12) => x.normalize(p, dim, eps);
    "nn.functional.group_norm": (
        x: Tensor, num_groups: usize, weight: Option<Tensor>, bias: Option<Tensor>, eps: f64 = 1e-5
    ) => x.group_norm(num_groups, weight.as_ref(), bias.as_ref(), eps);
    "nn.functional.rms_norm": (x: Tensor, normalized_shape: Vec<usize>, weight: Option<Tensor>, eps: Option<f64>) => {
        x.rms_norm(normalized_shape.len(), weight.as_ref(), eps.unwrap_or(f64::from(f32::EPSILON)))
    };
    "nn.GroupNorm": [num_groups: usize, _num_channels: usize, eps: f64 = 1e-5, _affine: bool = true, _bias: bool = true] (x: Tensor) |call| => {
        x.group_norm(num_groups, call.state("weight").as_ref(), call.state("bias").as_ref(), eps)
    };
    "nn.LayerNorm": [normalized_shape: Vec<usize>, eps: f64 = 1e-5, _elementwise_affine: bool = true, _bias: bool = true] (x: Tensor) |call| => {
        x.layer_norm(normalized_shape.len(), call.state("weight").as_ref(), call.state("bias").as_ref(), eps)
    };
    "nn.RMSNorm": [normalized_shape: Vec<usize>, eps: Option<f64>, _elementwise_affine: bool = true] (x: Tensor) |call| => {
        x.rms_norm(normalized_shape.len(), call.state("weight").as_ref(), eps.unwrap_or(f64::from(f32::EPSILON)))
    };
    "nn.functional.local_response_norm": (
        x: Tensor, size: usize, alpha: f64 = 1e-4, beta: f64 = 0.75, k: f64 = 1.0
    ) => x.local_response_norm(size, alpha, beta, k);
    "nn.LocalResponseNorm": [size: usize, alpha: f64 = 1e-4, beta: f64 = 0.75, k: f64 = 1.0] (x: Tensor) => {
        x.local_response_norm(size, alpha, beta, k)
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
    "nn.functional.batch_norm/without_cudnn": (
        x: Tensor, running_mean: Option<Tensor>, running_var: Option<Tensor>, weight: Option<Tensor>,
        bias: Option<Tensor>, training: bool = false, momentum: f64 = 0.1, eps: f64 = 1e-5
    ) |call| => batch_norm(call, &x, Running { mean: running_mean, var: running_var, n_batches: None }, weight, bias, training, Some(momentum), eps);
    "nn.BatchNorm1d": [
        _num_features: usize, eps: f64 = 1e-5, momentum: Option<f64> = Some(0.1), _affine: bool = true,
        _track_running_stats: bool = true, _bias: bool = true
    ] (x: Tensor) |call| => batch_norm_module(call, &x, momentum, eps);
    "nn.InstanceNorm1d": [
        _num_features: usize, eps: f64 = 1e-5, momentum: f64 = 0.1, _affine: bool = false,
        _track_running_stats: bool = false, _bias: bool = true
    ] (x: Tensor) |call| => instance_norm_module(call, &x, 1, momentum, eps)?;
    "nn.BatchNorm2d": [
        _num_features: usize, eps: f64 = 1e-5, momentum: Option<f64> = Some(0.1), _affine: bool = true,
        _track_running_stats: bool = true, _bias: bool = true
    ] (x: Tensor) |call| => batch_norm_module(call, &x, momentum, eps);
    "nn.InstanceNorm2d": [
        _num_features: usize, eps: f64 = 1e-5, momentum: f64 = 0.1, _affine: bool = false,
        _track_running_stats: bool = false, _bias: bool = true
    ] (x: Tensor) |call| => instance_norm_module(call, &x, 2, momentum, eps)?;
    "nn.BatchNorm3d": [
        _num_features: usize, eps: f64 = 1e-5, momentum: Option<f64> = Some(0.1), _affine: bool = true,
        _track_running_stats: bool = true, _bias: bool = true
    ] (x: Tensor) |call| => batch_norm_module(call, &x, momentum, eps);
    "nn.InstanceNorm3d": [
        _num_features: usize, eps: f64 = 1e-5, momentum: f64 = 0.1, _affine: bool = false,
        _track_running_stats: bool = false, _bias: bool = true
    ] (x: Tensor) |call| => instance_norm_module(call, &x, 3, momentum, eps)?;
}

/// The running statistics of a normalization, and how many batches they are of.
struct Running {
    mean: Option<Tensor>,
    var: Option<Tensor>,
    n_batches: Option<Tensor>,
}

fn instance_norm_module(call: &Call, x: &Tensor, n: usize, momentum: f64, eps: f64) -> Built {
    let state = |name| call.state(name);
    let (mean, var) = (state("running_mean"), state("running_var"));
    let running = Running { mean, var, n_batches: state("num_batches_tracked") };
    let by_input = call.is_training() || running.mean.is_none();
    let is_single = x.rank() == n + 1;
    let batch = if is_single { x.unsqueeze(0) } else { x.clone() };
    let mut outputs =
        instance_norm(call, &batch, running, state("weight"), state("bias"), by_input, momentum, eps)?;
    if is_single {
        outputs.values[0] = outputs.values[0].squeeze(0);
    }
    Ok(outputs)
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
    let (weight, bias) = (weight.as_ref(), bias.as_ref());
    if !by_input {
        return Ok(Outputs { values: vec![running.normalize(x, weight, bias, eps)], updates: Vec::new() });
    }
    let normalized = x.batch_norm(weight, bias, eps);
    let mut updates = running.after(call, &normalized.mean, &normalized.var, momentum);
    // A batch of nothing counts as a batch, but has no statistics.
    updates.retain(|(_, new)| x.n_elements() > 0 || !new.dtype().is_float());
    Ok(Outputs { values: vec![normalized.output], updates })
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
    let (weight, bias) = (weight.as_ref(), bias.as_ref());
    if !by_input {
        return Ok(Outputs { values: vec![running.normalize(x, weight, bias, eps)], updates: Vec::new() });
    }
    let normalized = x.instance_norm(weight, bias, eps);
    let updates = running.after(call, &normalized.mean, &normalized.var, Some(momentum));
    Ok(Outputs { values: vec![normalized.output], updates })
}

impl Running {
    fn normalize(&self, x: &Tensor, weight: Option<&Tensor>, bias: Option<&Tensor>, eps: f64) -> Tensor {
        let statistic = |of: &Option<Tensor>| of.clone().unwrap_or_else(|| x.zeros_like());
        x.normalized_by(&statistic(&self.mean), &statistic(&self.var), weight, bias, eps)
    }

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
