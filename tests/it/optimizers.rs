//! Optimizers against steps computed here, in `f64`, by the formulas that PyTorch documents.

use super::support::assert_within;
use kiln::nn::{Init, Param};
use kiln::prelude::*;

/// A parameter of two elements whose gradient is the batch.
struct Point {
    p: Param,
}
kiln::parameters!(Point { p });

const GRADIENTS: [[f32; 2]; 4] = [[0.5, -2.0], [0.1, 1.0], [-0.3, 0.25], [0.0, -1.5]];

/// Trains along the gradients and compares with what the formula does to one element.
#[track_caller]
fn check(optimizer: impl Optimizer, mut formula: impl FnMut(usize, f64, f64, &mut [f64; 2]) -> f64) {
    let model = Point { p: Param::new([2], Init::Constant(1.0)) };
    let mut trainer = Trainer::of(&model, |x| model.p.of(&x[0]))
        .loss(|p, gradient| (p * gradient).sum(..))
        .optimizer(optimizer)
        .compile(f32(&[2]), f32(&[2]))
        .unwrap();
    let (mut expected, mut state) = ([1.0; 2], [[0.0; 2]; 2]);
    for (step, gradient) in GRADIENTS.iter().enumerate() {
        let batch = TensorData::new([2], gradient.to_vec());
        trainer.step(&batch, &batch).unwrap();
        for element in 0..2 {
            let g = f64::from(gradient[element]);
            expected[element] = formula(step + 1, expected[element], g, &mut state[element]);
        }
        // A few roundings of f32 in each step.
        assert_within(&trainer.parameter("p").unwrap(), &expected, 1e-6);
    }
    assert_eq!(trainer.n_steps(), 4);
}

#[test]
fn sgd_subtracts_the_gradient() {
    check(Sgd::new(0.1), |_, p, g, _| p - 0.1 * g);
}

#[test]
fn sgd_decays_weights() {
    check(Sgd::new(0.1).weight_decay(0.2), |_, p, g, _| p - 0.1 * (g + 0.2 * p));
}

#[test]
fn momentum_keeps_a_share_of_the_last_direction() {
    check(Sgd::new(0.1).momentum(0.9), |_, p, g, [b, _]| {
        *b = 0.9 * *b + g;
        p - 0.1 * *b
    });
}

#[test]
fn dampening_spares_the_first_step() {
    check(Sgd::new(0.1).momentum(0.9).dampening(0.5), |step, p, g, [b, _]| {
        *b = if step == 1 { g } else { 0.9 * *b + 0.5 * g };
        p - 0.1 * *b
    });
}

#[test]
fn nesterov_looks_ahead() {
    check(Sgd::new(0.1).momentum(0.9).nesterov(true).weight_decay(0.01), |_, p, g, [b, _]| {
        let g = g + 0.01 * p;
        *b = 0.9 * *b + g;
        p - 0.1 * (g + 0.9 * *b)
    });
}

/// PyTorch's Adam on one element.
fn adam(step: usize, p: f64, g: f64, [m, v]: &mut [f64; 2]) -> f64 {
    *m = 0.9 * *m + 0.1 * g;
    *v = 0.99 * *v + 0.01 * g * g;
    let (bias1, bias2) = (1.0 - 0.9f64.powi(step as i32), 1.0 - 0.99f64.powi(step as i32));
    p - 0.01 / bias1 * *m / (v.sqrt() / bias2.sqrt() + 1e-3)
}

#[test]
fn adam_corrects_its_means() {
    check(Adam::new(0.01).betas(0.9, 0.99).eps(1e-3), adam);
}

#[test]
fn adam_decays_through_the_gradient() {
    let optimizer = Adam::new(0.01).betas(0.9, 0.99).eps(1e-3).weight_decay(0.1);
    check(optimizer, |step, p, g, state| adam(step, p, g + 0.1 * p, state));
}

#[test]
fn adamw_decays_beside_the_gradient() {
    let optimizer = AdamW::new(0.01).betas(0.9, 0.99).eps(1e-3).weight_decay(0.1);
    check(optimizer, |step, p, g, state| adam(step, p * (1.0 - 0.01 * 0.1), g, state));
}
