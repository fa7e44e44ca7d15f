//! Losses.

use crate::grad_cases::call::{NotSupported, functions, not_supported};
use kiln::loss::{self, Reduction};
use kiln::prelude::*;
use std::f64::consts::PI;

functions! {
    "nn.functional.binary_cross_entropy": (
        x: Tensor, target: Tensor, weight: Option<Tensor>, reduction: String = mean()
    ) => weighted(&reduction, weight, |reduction| loss::bce_with(&x, &target, reduction))?;
    "nn.functional.binary_cross_entropy_with_logits": (
        x: Tensor, target: Tensor, weight: Option<Tensor>, reduction: String = mean(), pos_weight: Option<Tensor>
    ) => match pos_weight {
        None => weighted(&reduction, weight, |reduction| loss::bce_with_logits_with(&x, &target, reduction))?,
        Some(positive) => {
            let losses = -(&target * positive * x.logsigmoid() + (1.0 - &target) * (-&x).logsigmoid());
            reduced(&reduction, weight.iter().fold(losses, |losses, weight| losses * weight))?
        }
    };
    "nn.functional.cosine_embedding_loss": (
        x1: Tensor, x2: Tensor, target: Tensor, margin: f64 = 0.0, reduction: String = mean()
    ) => {
        let cosine = cosine_similarity(&x1, &x2, -1, 1e-8);
        reduced(&reduction, target.gt(0.0).select(1.0 - &cosine, (cosine - margin).relu()))?
    };
    "nn.functional.cosine_similarity": (x1: Tensor, x2: Tensor, dim: i64 = 1, eps: f64 = 1e-8) => {
        if x1.rank() == 0 { cosine_similarity(&x1.reshape([1]), &x2.reshape([1]), 0, eps) } else { cosine_similarity(&x1, &x2, dim, eps) }
    };
    "nn.functional.cross_entropy": (
        x: Tensor, target: Tensor, weight: Option<Tensor>, ignore_index: i64 = -100, reduction: String = mean(),
        label_smoothing: f64 = 0.0
    ) => {
        let axis = i64::from(x.rank() > 1);
        if weight.is_none() && label_smoothing == 0.0 && ignore_index == -100 && reduction != "mean" {
            loss::cross_entropy_with(&x, &target, self::reduction(&reduction)?)
        } else if target.dtype().is_float() {
            probability_loss(&x.log_softmax(axis), &target, weight, &reduction, label_smoothing)?
        } else {
            label_loss(&x.log_softmax(axis), &target, weight, ignore_index, &reduction, label_smoothing)?
        }
    };
    "nn.functional.gaussian_nll_loss": (
        x: Tensor, target: Tensor, var: Tensor, full: bool = false, eps: f64 = 1e-6, reduction: String = mean()
    ) => {
        let var = if var.rank() < x.rank() && var.rank() > 0 && var.extents()[var.rank() - 1] != 1 { var.unsqueeze(-1) } else { var };
        // The bound is on the value only: the gradient passes.
        let bounded = &var + (var.clamp_min(eps) - &var).detach();
        let losses = (bounded.log() + (x - target).square() / bounded) * 0.5;
        reduced(&reduction, if full { losses + 0.5 * (2.0 * PI).ln() } else { losses })?
    };
    "nn.functional.hinge_embedding_loss": (x: Tensor, target: Tensor, margin: f64 = 1.0, reduction: String = mean()) => {
        let near = target.ne(-1.0).select(&x, 0.0);
        reduced(&reduction, near + target.ne(1.0).select((margin - &x).relu(), 0.0))?
    };
    "nn.functional.huber_loss": (x: Tensor, target: Tensor, reduction: String = mean(), delta: f64 = 1.0) => {
        loss::huber_with(&x, &target, delta, self::reduction(&reduction)?)
    };
    "nn.functional.kl_div": (x: Tensor, target: Tensor, reduction: String = mean(), log_target: bool = false) => {
        let losses = if log_target { target.exp() * (&target - &x) } else { target.xlogy(&target) - &target * &x };
        if reduction == "batchmean" { losses.sum(..) / x.extents().first().map_or(1.0, |&n| n as f64) } else { reduced(&reduction, losses)? }
    };
    "nn.functional.l1_loss": (x: Tensor, target: Tensor, reduction: String = mean()) => {
        loss::l1_with(&x, &target, self::reduction(&reduction)?)
    };
    "nn.functional.margin_ranking_loss": (
        x1: Tensor, x2: Tensor, target: Tensor, margin: f64 = 0.0, reduction: String = mean()
    ) => reduced(&reduction, (-target * (x1 - x2) + margin).relu())?;
    "nn.functional.mse_loss": (x: Tensor, target: Tensor, reduction: String = mean()) => {
        loss::mse_with(&x, &target, self::reduction(&reduction)?)
    };
    "nn.functional.multilabel_soft_margin_loss": (
        x: Tensor, target: Tensor, weight: Option<Tensor>, reduction: String = mean()
    ) => {
        let losses = -(&target * x.logsigmoid() + (1.0 - &target) * (-&x).logsigmoid());
        reduced(&reduction, weight.iter().fold(losses, |losses, weight| losses * weight).mean(-1))?
    };
    "nn.functional.nll_loss": (
        x: Tensor, target: Tensor, weight: Option<Tensor>, ignore_index: i64 = -100, reduction: String = mean()
    ) => {
        if weight.is_none() && ignore_index == -100 {
            loss::nll_with(&x, &target, self::reduction(&reduction)?)
        } else {
            label_loss(&x, &target, weight, ignore_index, &reduction, 0.0)?
        }
    };
    "nn.functional.pairwise_distance": (x1: Tensor, x2: Tensor, p: f64 = 2.0, eps: f64 = 1e-6, keepdim: bool = false) => {
        let distance = (x1 - x2 + eps).norm(p, keep(-1));
        if keepdim { distance } else { distance.squeeze(-1) }
    };
    "nn.functional.poisson_nll_loss": (
        x: Tensor, target: Tensor, log_input: bool = true, full: bool = false, eps: f64 = 1e-8, reduction: String = mean()
    ) => {
        let losses = if log_input { x.exp() - &target * &x } else { &x - &target * (&x + eps).log() };
        // Stirling's approximation of the logarithm of the factorial of the target, for targets above 1.
        let stirling = &target * target.log() - &target + (&target * (2.0 * PI)).log() * 0.5;
        reduced(&reduction, if full { losses + target.gt(1.0).select(stirling, 0.0) } else { losses })?
    };
    "nn.functional.smooth_l1_loss": (x: Tensor, target: Tensor, reduction: String = mean(), beta: f64 = 1.0) => {
        loss::smooth_l1_with(&x, &target, beta, self::reduction(&reduction)?)
    };
    "nn.functional.soft_margin_loss": (x: Tensor, target: Tensor, reduction: String = mean()) => {
        reduced(&reduction, (-target * x).softplus(1.0, f64::INFINITY))?
    };
    "nn.functional.triplet_margin_loss": (
        x: Tensor, positive: Tensor, negative: Tensor, margin: f64 = 1.0, p: f64 = 2.0, eps: f64 = 1e-6,
        swap: bool = false, reduction: String = mean()
    ) => {
        let distance = |a: &Tensor, b: &Tensor| (a - b + eps).norm(p, -1);
        let far = distance(&x, &negative);
        let far = if swap { far.minimum(distance(&positive, &negative)) } else { far };
        reduced(&reduction, (distance(&x, &positive) - far + margin).relu())?
    };
}

fn mean() -> String {
    "mean".to_string()
}

fn reduction(name: &str) -> Result<Reduction, NotSupported> {
    match name {
        "mean" => Ok(Reduction::Mean),
        "sum" => Ok(Reduction::Sum),
        "none" => Ok(Reduction::None),
        other => not_supported(format!("reduction `{other}`")),
    }
}

fn reduced(name: &str, losses: Tensor) -> Result<Tensor, NotSupported> {
    Ok(match reduction(name)? {
        Reduction::Mean => losses.mean(..),
        Reduction::Sum => losses.sum(..),
        Reduction::None => losses,
    })
}

/// A loss with a weight for each element, which is applied before the reduction.
fn weighted(
    name: &str,
    weight: Option<Tensor>,
    loss: impl Fn(Reduction) -> Tensor,
) -> Result<Tensor, NotSupported> {
    match weight {
        Some(weight) => reduced(name, loss(Reduction::None) * weight),
        None => Ok(loss(reduction(name)?)),
    }
}

/// `x1 x2 / (|x1| |x2|)` along an axis, each norm at least `eps`.
fn cosine_similarity(x1: &Tensor, x2: &Tensor, dim: i64, eps: f64) -> Tensor {
    let sum = x1 + x2;
    let unit = |x: &Tensor| {
        let x = x.expand_as(&sum);
        &x / x.norm(2.0, keep(dim)).clamp_min(eps)
    };
    (unit(x1) * unit(x2)).sum(dim)
}

/// Negative log likelihood of labels, with a weight for each class; a label that is ignored weighs nothing.
fn label_loss(
    log_p: &Tensor,
    target: &Tensor,
    weight: Option<Tensor>,
    ignore_index: i64,
    name: &str,
    smoothing: f64,
) -> Result<Tensor, NotSupported> {
    // The classes as the last axis.
    let log_p = if log_p.rank() > 1 { log_p.movedim(1, -1) } else { log_p.clone() };
    let n = log_p.extents()[log_p.rank() - 1];
    let marks =
        target.one_hot(n).cast(log_p.dtype()).masked_fill(&target.eq(ignore_index).unsqueeze(-1), 0.0);
    let of_class = weight.unwrap_or_else(|| log_p.ones_like());
    let weights = (&marks * &of_class).sum(-1);
    let losses = -(&marks * &of_class * &log_p).sum(-1);
    let spread = target.ne(ignore_index).select(-(&log_p * of_class).sum(-1), 0.0);
    let losses =
        if smoothing > 0.0 { losses * (1.0 - smoothing) + spread * (smoothing / n as f64) } else { losses };
    if name == "mean" { Ok(losses.sum(..) / weights.sum(..)) } else { reduced(name, losses) }
}

/// Cross entropy with a distribution over the classes for each sample; its mean is over the samples.
fn probability_loss(
    log_p: &Tensor,
    target: &Tensor,
    weight: Option<Tensor>,
    name: &str,
    smoothing: f64,
) -> Result<Tensor, NotSupported> {
    let axis = i64::from(log_p.rank() > 1);
    let n = log_p.extents()[axis as usize] as f64;
    let target = if smoothing > 0.0 { target * (1.0 - smoothing) + smoothing / n } else { target.clone() };
    let column: Vec<i64> = (0..log_p.rank() as i64).map(|a| if a == axis { -1 } else { 1 }).collect();
    let terms = weight.iter().fold(log_p * target, |terms, weight| terms * weight.reshape(column.clone()));
    reduced(name, -terms.sum(axis))
}
