//! Losses, as functions and as modules.

use crate::grad_cases::call::{Type, functions};
use kiln::loss::*;
use kiln::prelude::*;

functions! {
    "nn.functional.binary_cross_entropy": (x: Tensor, target: Tensor, weight: Option<Tensor>, reduction: Reduction = Reduction::Mean) => {
        Bce::new().weight(weight.map(Weight::from)).reduction(reduction).of(&x, &target)
    };
    "nn.BCELoss": [weight: Option<Tensor>, reduction: Reduction = Reduction::Mean] (x: Tensor, target: Tensor) |call| => {
        let weight = weight.or_else(|| call.state("weight"));
        Bce::new().weight(weight.map(Weight::from)).reduction(reduction).of(&x, &target)
    };
    "nn.functional.binary_cross_entropy_with_logits": (
        x: Tensor, target: Tensor, weight: Option<Tensor>, reduction: Reduction = Reduction::Mean, pos_weight: Option<Tensor>
    ) => with_logits(weight, pos_weight, reduction).of(&x, &target);
    "nn.BCEWithLogitsLoss": [weight: Option<Tensor>, reduction: Reduction = Reduction::Mean, pos_weight: Option<Tensor>] (
        x: Tensor, target: Tensor
    ) |call| => {
        let [weight, pos_weight] = [(weight, "weight"), (pos_weight, "pos_weight")].map(|(given, name)| given.or_else(|| call.state(name)));
        with_logits(weight, pos_weight, reduction).of(&x, &target)
    };
    "nn.functional.cosine_embedding_loss": (
        x1: Tensor, x2: Tensor, target: Tensor, margin: f64 = 0.0, reduction: Reduction = Reduction::Mean
    ) => CosineEmbedding::new().margin(margin).reduction(reduction).of(&x1, &x2, &target);
    "nn.CosineEmbeddingLoss": [margin: f64 = 0.0, reduction: Reduction = Reduction::Mean] (x1: Tensor, x2: Tensor, target: Tensor) => {
        CosineEmbedding::new().margin(margin).reduction(reduction).of(&x1, &x2, &target)
    };
    "nn.functional.cross_entropy": (
        x: Tensor, target: Tensor, weight: Option<Tensor>, ignore_index: i64 = -100, reduction: Reduction = Reduction::Mean,
        label_smoothing: f64 = 0.0
    ) => entropy(weight, ignore_index, reduction, label_smoothing).of(&x, &target);
    "nn.CrossEntropyLoss": [
        weight: Option<Tensor>, ignore_index: i64 = -100, reduction: Reduction = Reduction::Mean, label_smoothing: f64 = 0.0
    ] (x: Tensor, target: Tensor) |call| => {
        entropy(weight.or_else(|| call.state("weight")), ignore_index, reduction, label_smoothing).of(&x, &target)
    };
    "nn.functional.linear_cross_entropy": (
        x: Tensor, linear_weight: Tensor, target: Tensor, linear_bias: Option<Tensor>, weight: Option<Tensor>,
        ignore_index: i64 = -100, reduction: Reduction = Reduction::Mean, label_smoothing: f64 = 0.0
    ) => {
        let loss = entropy(weight, ignore_index, reduction, label_smoothing);
        loss.of(&logits(&x, &linear_weight, linear_bias.as_ref()), &target)
    };
    "nn.LinearCrossEntropyLoss": [
        _in_features: usize, num_classes: i64, out_features: Vec<i64> = Vec::new(), _bias: bool = false, _device: Option<String>,
        _dtype: Option<Type>, reduction: Reduction = Reduction::Mean, _weight: Option<Tensor>, ignore_index: i64 = -100,
        label_smoothing: f64 = 0.0, _options: Option<String>
    ] (x: Tensor, target: Tensor) |call| => {
        let classes: Vec<i64> = std::iter::once(num_classes).chain(out_features).collect();
        let weight = super::attention::weight(call, "linear.weight")?.unflatten(0, classes);
        let loss = entropy(call.state("weight"), ignore_index, reduction, label_smoothing);
        loss.of(&logits(&x, &weight, call.state("linear.bias").as_ref()), &target)
    };
    "nn.functional.gaussian_nll_loss": (
        x: Tensor, target: Tensor, var: Tensor, full: bool = false, eps: f64 = 1e-6, reduction: Reduction = Reduction::Mean
    ) => GaussianNll::new().full(full).eps(eps).reduction(reduction).of(&x, &target, &var);
    "nn.GaussianNLLLoss": [full: bool = false, eps: f64 = 1e-6, reduction: Reduction = Reduction::Mean] (
        x: Tensor, target: Tensor, var: Tensor
    ) => GaussianNll::new().full(full).eps(eps).reduction(reduction).of(&x, &target, &var);
    "nn.functional.hinge_embedding_loss": (
        x: Tensor, target: Tensor, margin: f64 = 1.0, reduction: Reduction = Reduction::Mean
    ) => HingeEmbedding::new().margin(margin).reduction(reduction).of(&x, &target);
    "nn.HingeEmbeddingLoss": [margin: f64 = 1.0, reduction: Reduction = Reduction::Mean] (x: Tensor, target: Tensor) => {
        HingeEmbedding::new().margin(margin).reduction(reduction).of(&x, &target)
    };
    "nn.functional.huber_loss": (x: Tensor, target: Tensor, reduction: Reduction = Reduction::Mean, delta: f64 = 1.0) => {
        Huber::new().delta(delta).reduction(reduction).of(&x, &target)
    };
    "nn.HuberLoss": [reduction: Reduction = Reduction::Mean, delta: f64 = 1.0] (x: Tensor, target: Tensor) => {
        Huber::new().delta(delta).reduction(reduction).of(&x, &target)
    };
    "nn.functional.kl_div": (x: Tensor, target: Tensor, reduction: Reduction = Reduction::Mean, log_target: bool = false) => {
        KlDiv::new().log_target(log_target).reduction(reduction).of(&x, &target)
    };
    "nn.KLDivLoss": [reduction: Reduction = Reduction::Mean, log_target: bool = false] (x: Tensor, target: Tensor) => {
        KlDiv::new().log_target(log_target).reduction(reduction).of(&x, &target)
    };
    "nn.functional.l1_loss": (x: Tensor, target: Tensor, reduction: Reduction = Reduction::Mean) => {
        L1::new().reduction(reduction).of(&x, &target)
    };
    "nn.L1Loss": [reduction: Reduction = Reduction::Mean] (x: Tensor, target: Tensor) => L1::new().reduction(reduction).of(&x, &target);
    "nn.functional.margin_ranking_loss": (
        x1: Tensor, x2: Tensor, target: Tensor, margin: f64 = 0.0, reduction: Reduction = Reduction::Mean
    ) => MarginRanking::new().margin(margin).reduction(reduction).of(&x1, &x2, &target);
    "nn.MarginRankingLoss": [margin: f64 = 0.0, reduction: Reduction = Reduction::Mean] (x1: Tensor, x2: Tensor, target: Tensor) => {
        MarginRanking::new().margin(margin).reduction(reduction).of(&x1, &x2, &target)
    };
    "nn.functional.mse_loss": (x: Tensor, target: Tensor, reduction: Reduction = Reduction::Mean) => {
        Mse::new().reduction(reduction).of(&x, &target)
    };
    "nn.MSELoss": [reduction: Reduction = Reduction::Mean] (x: Tensor, target: Tensor) => Mse::new().reduction(reduction).of(&x, &target);
    "nn.functional.multi_margin_loss": (
        x: Tensor, target: Tensor, p: f64 = 1.0, margin: f64 = 1.0, weight: Option<Tensor>, reduction: Reduction = Reduction::Mean
    ) => multi_margin(p, margin, weight, reduction).of(&x, &target);
    "nn.MultiMarginLoss": [p: f64 = 1.0, margin: f64 = 1.0, weight: Option<Tensor>, reduction: Reduction = Reduction::Mean] (
        x: Tensor, target: Tensor
    ) |call| => multi_margin(p, margin, weight.or_else(|| call.state("weight")), reduction).of(&x, &target);
    "nn.functional.multilabel_margin_loss": (x: Tensor, target: Tensor, reduction: Reduction = Reduction::Mean) => {
        MultiLabelMargin::new().reduction(reduction).of(&x, &target)
    };
    "nn.MultiLabelMarginLoss": [reduction: Reduction = Reduction::Mean] (x: Tensor, target: Tensor) => {
        MultiLabelMargin::new().reduction(reduction).of(&x, &target)
    };
    "nn.functional.multilabel_soft_margin_loss": (
        x: Tensor, target: Tensor, weight: Option<Tensor>, reduction: Reduction = Reduction::Mean
    ) => MultiLabelSoftMargin::new().weight(weight.map(Weight::from)).reduction(reduction).of(&x, &target);
    "nn.MultiLabelSoftMarginLoss": [weight: Option<Tensor>, reduction: Reduction = Reduction::Mean] (x: Tensor, target: Tensor) |call| => {
        let weight = weight.or_else(|| call.state("weight"));
        MultiLabelSoftMargin::new().weight(weight.map(Weight::from)).reduction(reduction).of(&x, &target)
    };
    "nn.functional.nll_loss": (
        x: Tensor, target: Tensor, weight: Option<Tensor>, ignore_index: i64 = -100, reduction: Reduction = Reduction::Mean
    ) => Nll::new().weight(weight.map(Weight::from)).ignore_index(ignore_index).reduction(reduction).of(&x, &target);
    "nn.NLLLoss": [weight: Option<Tensor>, ignore_index: i64 = -100, reduction: Reduction = Reduction::Mean] (
        x: Tensor, target: Tensor
    ) |call| => {
        let weight = weight.or_else(|| call.state("weight"));
        Nll::new().weight(weight.map(Weight::from)).ignore_index(ignore_index).reduction(reduction).of(&x, &target)
    };
    "nn.functional.poisson_nll_loss": (
        x: Tensor, target: Tensor, log_input: bool = true, full: bool = false, eps: f64 = 1e-8, reduction: Reduction = Reduction::Mean
    ) => PoissonNll::new().log_input(log_input).full(full).eps(eps).reduction(reduction).of(&x, &target);
    "nn.PoissonNLLLoss": [log_input: bool = true, full: bool = false, eps: f64 = 1e-8, reduction: Reduction = Reduction::Mean] (
        x: Tensor, target: Tensor
    ) => PoissonNll::new().log_input(log_input).full(full).eps(eps).reduction(reduction).of(&x, &target);
    "nn.functional.smooth_l1_loss": (x: Tensor, target: Tensor, reduction: Reduction = Reduction::Mean, beta: f64 = 1.0) => {
        SmoothL1::new().beta(beta).reduction(reduction).of(&x, &target)
    };
    "nn.SmoothL1Loss": [reduction: Reduction = Reduction::Mean, beta: f64 = 1.0] (x: Tensor, target: Tensor) => {
        SmoothL1::new().beta(beta).reduction(reduction).of(&x, &target)
    };
    "nn.functional.soft_margin_loss": (x: Tensor, target: Tensor, reduction: Reduction = Reduction::Mean) => {
        SoftMargin::new().reduction(reduction).of(&x, &target)
    };
    "nn.SoftMarginLoss": [reduction: Reduction = Reduction::Mean] (x: Tensor, target: Tensor) => {
        SoftMargin::new().reduction(reduction).of(&x, &target)
    };
    "nn.functional.triplet_margin_loss": (
        x: Tensor, positive: Tensor, negative: Tensor, margin: f64 = 1.0, p: f64 = 2.0, eps: f64 = 1e-6,
        swap: bool = false, reduction: Reduction = Reduction::Mean
    ) => TripletMargin::new().margin(margin).p(p).eps(eps).swap(swap).reduction(reduction).of(&x, &positive, &negative);
    "nn.TripletMarginLoss": [
        margin: f64 = 1.0, p: f64 = 2.0, eps: f64 = 1e-6, swap: bool = false, reduction: Reduction = Reduction::Mean
    ] (x: Tensor, positive: Tensor, negative: Tensor) => {
        TripletMargin::new().margin(margin).p(p).eps(eps).swap(swap).reduction(reduction).of(&x, &positive, &negative)
    };
    "nn.functional.triplet_margin_with_distance_loss": (
        x: Tensor, positive: Tensor, negative: Tensor, margin: f64 = 1.0, swap: bool = false, reduction: Reduction = Reduction::Mean
    ) => TripletMargin::new().margin(margin).swap(swap).reduction(reduction).of(&x, &positive, &negative);
}

fn with_logits(weight: Option<Tensor>, pos_weight: Option<Tensor>, reduction: Reduction) -> BceWithLogits {
    let loss = BceWithLogits::new().weight(weight.map(Weight::from)).reduction(reduction);
    loss.pos_weight(pos_weight.map(Weight::from))
}

fn entropy(weight: Option<Tensor>, ignore_index: i64, reduction: Reduction, smoothing: f64) -> CrossEntropy {
    let loss = CrossEntropy::new().weight(weight.map(Weight::from)).ignore_index(ignore_index);
    loss.reduction(reduction).label_smoothing(smoothing)
}

fn multi_margin(p: f64, margin: f64, weight: Option<Tensor>, reduction: Reduction) -> MultiMargin {
    MultiMargin::new().p(p).margin(margin).weight(weight.map(Weight::from)).reduction(reduction)
}

/// What a linear layer gives whose classes may come with further axes.
fn logits(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Tensor {
    let extents: Vec<i64> = weight.extents()[..weight.rank() - 1].iter().map(|&e| e as i64).collect();
    let bias = bias.map(|bias| bias.reshape([-1]));
    x.linear(&weight.flatten(0, -2), bias.as_ref()).unflatten(-1, extents)
}
