//! Normalization, as functions and as modules.

use crate::grad_cases::call::{Built, Call, Outputs, functions};
use kiln::nn::{
    BatchNorm1d, BatchNorm2d, BatchNorm3d, GroupNorm, InstanceNorm1d, InstanceNorm2d, InstanceNorm3d,
    LocalResponseNorm, RmsNorm,
};
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
    "nn.GroupNorm": [num_groups: usize, num_channels: usize, eps: f64 = 1e-5, affine: bool = true, bias: bool = true] (x: Tensor) |call| => {
        let layer = GroupNorm::new(num_groups, num_channels).eps(eps);
        let layer = if bias { layer } else { layer.without_bias() };
        call.layer(if affine { layer } else { layer.without_affine() }).forward(&x)
    };
    "nn.LayerNorm": [normalized_shape: Vec<usize>, eps: f64 = 1e-5, elementwise_affine: bool = true, bias: bool = true] (x: Tensor) |call| => {
        let layer = LayerNorm::new(&normalized_shape[..]).eps(eps);
        let layer = if bias { layer } else { layer.without_bias() };
        call.layer(if elementwise_affine { layer } else { layer.without_affine() }).forward(&x)
    };
    "nn.RMSNorm": [normalized_shape: Vec<usize>, eps: Option<f64>, elementwise_affine: bool = true] (x: Tensor) |call| => {
        let layer = RmsNorm::over(&normalized_shape[..]);
        let layer = eps.into_iter().fold(layer, RmsNorm::eps);
        call.layer(if elementwise_affine { layer } else { layer.without_affine() }).forward(&x)
    };
    "nn.functional.local_response_norm": (
        x: Tensor, size: usize, alpha: f64 = 1e-4, beta: f64 = 0.75, k: f64 = 1.0
    ) => x.local_response_norm(size, alpha, beta, k);
    "nn.LocalResponseNorm": [size: usize, alpha: f64 = 1e-4, beta: f64 = 0.75, k: f64 = 1.0] (x: Tensor) => {
        LocalResponseNorm { size, alpha, beta, k }.forward(&x)
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
        num_features: usize, eps: f64 = 1e-5, momentum: Option<f64> = Some(0.1), affine: bool = true,
        track_running_stats: bool = true, bias: bool = true
    ] (x: Tensor) |call| => {
        let layer = BatchNorm1d::new(num_features).eps(eps).momentum(momentum);
        let layer = if affine { layer } else { layer.without_affine() };
        let layer = if bias { layer } else { layer.without_bias() };
        let layer = call.layer(if track_running_stats { layer } else { layer.without_running_stats() });
        call.outputs(&layer, vec![layer.forward(&x)])
    };
    "nn.InstanceNorm1d": [
        num_features: usize, eps: f64 = 1e-5, momentum: f64 = 0.1, affine: bool = false,
        track_running_stats: bool = false, bias: bool = true
    ] (x: Tensor) |call| => {
        let layer = InstanceNorm1d::new(num_features).eps(eps).momentum(momentum);
        let layer = if affine { layer.affine() } else { layer };
        let layer = if bias { layer } else { layer.without_bias() };
        let layer = call.layer(if track_running_stats { layer.running_stats() } else { layer });
        call.outputs(&layer, vec![layer.forward(&x)])
    };
    "nn.BatchNorm2d": [
        num_features: usize, eps: f64 = 1e-5, momentum: Option<f64> = Some(0.1), affine: bool = true,
        track_running_stats: bool = true, bias: bool = true
    ] (x: Tensor) |call| => {
        let layer = BatchNorm2d::new(num_features).eps(eps).momentum(momentum);
        let layer = if affine { layer } else { layer.without_affine() };
        let layer = if bias { layer } else { layer.without_bias() };
        let layer = call.layer(if track_running_stats { layer } else { layer.without_running_stats() });
        call.outputs(&layer, vec![layer.forward(&x)])
    };
    "nn.InstanceNorm2d": [
        num_features: usize, eps: f64 = 1e-5, momentum: f64 = 0.1, affine: bool = false,
        track_running_stats: bool = false, bias: bool = true
    ] (x: Tensor) |call| => {
        let layer = InstanceNorm2d::new(num_features).eps(eps).momentum(momentum);
        let layer = if affine { layer.affine() } else { layer };
        let layer = if bias { layer } else { layer.without_bias() };
        let layer = call.layer(if track_running_stats { layer.running_stats() } else { layer });
        call.outputs(&layer, vec![layer.forward(&x)])
    };
    "nn.BatchNorm3d": [
        num_features: usize, eps: f64 = 1e-5, momentum: Option<f64> = Some(0.1), affine: bool = true,
        track_running_stats: bool = true, bias: bool = true
    ] (x: Tensor) |call| => {
        let layer = BatchNorm3d::new(num_features).eps(eps).momentum(momentum);
        let layer = if affine { layer } else { layer.without_affine() };
        let layer = if bias { layer } else { layer.without_bias() };
        let layer = call.layer(if track_running_stats { layer } else { layer.without_running_stats() });
        call.outputs(&layer, vec![layer.forward(&x)])
    };
    "nn.InstanceNorm3d": [
        num_features: usize, eps: f64 = 1e-5, momentum: f64 = 0.1, affine: bool = false,
        track_running_stats: bool = false, bias: bool = true
    ] (x: Tensor) |call| => {
        let layer = InstanceNorm3d::new(num_features).eps(eps).momentum(momentum);
        let layer = if affine { layer.affine() } else { layer };
        let layer = if bias { layer } else { layer.without_bias() };
        let layer = call.layer(if track_running_stats { layer.running_stats() } else { layer });
        call.outputs(&layer, vec![layer.forward(&x)])
    };
}

/// The running statistics of a normalization, and how many batches they are of.
struct Running {
    mean: Option<Tensor>,
    var: Option<Tensor>,
    n_batches: Option<Tensor>,
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
