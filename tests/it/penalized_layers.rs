//! Gradients of gradients through whole modules, with their parameters, buffers and steps of training, against PyTorch 2.15
//! in `f64`. `higher_order.rs` has those of the functions that layers are made of.
//!
//! The penalty is half the squared norm of the gradient of `sum(w tanh(y)^2) / 2` for the parameters and the input. A module
//! is trained as in `trained_layers.rs`, with the penalty in the place of what it computes.

use crate::trained_layers::{Expected, check_call, numbers, weight};
use kiln::nn::{BatchNorm1d, BatchNorm2d, BatchNorm3d, LearnedPositions};
use kiln::prelude::*;

/// The penalty, from what a layer computes.
fn penalty(y: &Tensor, of: &[&Tensor]) -> Tensor {
    let weights = (0..y.n_elements()).map(|i| weight(i) as f32).collect::<Vec<_>>();
    let loss = (y.constant(TensorData::new(y.extents(), weights)) * y.tanh().square()).sum(..) * 0.5;
    let slopes = y.tracer().gradient(&loss, of);
    let norm = slopes.iter().map(|slope| slope.square().sum(..)).reduce(|a, b| a + b);
    norm.expect("a layer has parameters") * 0.5
}

#[track_caller]
fn check_embedding(layer: Embedding, zeros: &[usize], expected: Expected<'_>) {
    let ids = TensorData::new([2, 3], vec![1i64, 2, 0, 5, 2, 2]);
    let call = |layer: &Embedding, x: &Tensor| penalty(&layer.forward(x), &[&layer.weight.of(x)]);
    check_call(layer, ids, zeros, call, expected);
}

#[test]
fn of_embeddings() {
    check_embedding(
        Embedding::new(6, 4),
        &[],
        Expected([0.0722532825, 0.0721686452, 0.371118381], &[("weight", 0.9073606)]),
    );
    check_embedding(
        Embedding::new(6, 4).padding_index(2),
        &[2],
        Expected([0.0494670503, 0.049410249, 0.307080207], &[("weight", 2.66396335)]),
    );
}

#[test]
fn of_learned_positions() {
    check_call(
        LearnedPositions::new(7, 4),
        numbers(&[2, 5, 4], 0),
        &[],
        |layer, x| penalty(&layer.forward(x), &[&layer.weight.of(x), x]),
        Expected([1.27394642, 1.25823527, 1.54092683], &[("weight", 0.222443394)]),
    );
}

/// The penalty of a batch normalization, which has scale and shift.
macro_rules! check_batch_norm {
    ($layer:expr, $extents:expr, $expected:expr) => {
        check_call(
            $layer,
            numbers(&$extents, 0),
            &[],
            |layer, x| {
                let [weight, bias] = [&layer.weight, &layer.bias].map(|p| p.as_ref().expect("affine").of(x));
                penalty(&layer.forward(x), &[&weight, &bias, x])
            },
            $expected,
        )
    };
}

#[test]
fn of_batch_normalization() {
    check_batch_norm!(
        BatchNorm1d::new(3),
        [5, 3],
        Expected(
            [0.0913102611, 0.0909841309, 0.251348598],
            &[
                ("weight", 0.946467148),
                ("bias", 0.970862359),
                ("running_mean", -0.00116619775),
                ("running_var", 1.21017315),
                ("num_batches_tracked", 1.91067298)
            ]
        )
    );
    check_batch_norm!(
        BatchNorm1d::new(3),
        [4, 3, 5],
        Expected(
            [10.5842625, 2.35775514, 0.972314695],
            &[
                ("weight", 0.699688674),
                ("bias", 1.07878138),
                ("running_mean", 0.117192135),
                ("running_var", 1.14001178),
                ("num_batches_tracked", 1.91067298)
            ]
        )
    );
    check_batch_norm!(
        BatchNorm2d::new(2),
        [3, 2, 3, 4],
        Expected(
            [6.26791738, 7.56752071, 2.67067857],
            &[
                ("weight", 1.29721113),
                ("bias", 1.07471348),
                ("running_mean", 0.00321388285),
                ("running_var", 1.30724372),
                ("num_batches_tracked", 1.91067298)
            ]
        )
    );
    check_batch_norm!(
        BatchNorm3d::new(2).momentum(None),
        [2, 2, 2, 3, 2],
        Expected(
            [2.27479602, 2.82791059, 2.98131598],
            &[
                ("weight", 0.958379249),
                ("bias", 1.1418337),
                ("running_mean", 0.0531647548),
                ("running_var", 0.499208991),
                ("num_batches_tracked", 1.91067298)
            ]
        )
    );
}
