//! Optimizers against steps computed here, in `f64`, by the formulas that PyTorch documents, and against steps that
//! PyTorch computed. Also what stands between gradients and optimizers: clipping, schedules, constraints, averages.

use super::support::assert_within;
use kiln::TrainerBuilder;
use kiln::nn::{Init, Param};
use kiln::optim::{Exponential, OneCycle, Plateau, Steps};
use kiln::prelude::*;
use kiln::trainer::Constraint;

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

/// Trains a parameter that starts with ones along the gradients: its values after each step.
#[track_caller]
fn path(set_up: impl Fn(TrainerBuilder<'_>) -> TrainerBuilder<'_>) -> Vec<[f64; 2]> {
    let model = Point { p: Param::new([2], Init::Ones) };
    let trainer = Trainer::of(&model, |x| model.p.of(&x[0])).loss(|p, gradient| (p * gradient).sum(..));
    let mut trainer = set_up(trainer).compile(f32(&[2]), f32(&[2])).unwrap();
    let step = |gradient: &[f32; 2]| {
        let batch = TensorData::new([2], gradient.to_vec());
        trainer.step(&batch, &batch).unwrap();
        let p = trainer.parameter("p").unwrap();
        [p.get(0).as_f64(), p.get(1).as_f64()]
    };
    GRADIENTS.iter().map(step).collect()
}

#[track_caller]
fn assert_path(found: &[[f64; 2]], expected: [[f64; 2]; 4]) {
    for (found, expected) in found.iter().flatten().zip(expected.iter().flatten()) {
        assert!((found - expected).abs() < 2e-6, "{found} instead of {expected}");
    }
}

/// Compares with PyTorch, in `f64`, on a parameter that starts with ones:
/// `for g in GRADIENTS: p.grad = tensor(g); optimizer.step(); print(p.tolist())`.
#[track_caller]
fn check_path(optimizer: impl Optimizer + Clone + 'static, expected: [[f64; 2]; 4]) {
    assert_path(&path(|trainer| trainer.optimizer(optimizer.clone())), expected);
}

#[test]
fn sgd_is_that_of_pytorch() {
    // SGD(p, 0.1, weight_decay=0.2)
    check_path(
        Sgd::new(0.1).weight_decay(0.2),
        [[0.93, 1.18], [0.9014, 1.0564], [0.913372, 1.010272], [0.89510456, 1.14006656]],
    );
    // SGD(p, 0.1, momentum=0.9, dampening=0.5)
    check_path(
        Sgd::new(0.1).momentum(0.9).dampening(0.5),
        [[0.95, 1.2], [0.9, 1.33], [0.87, 1.4345], [0.843, 1.60355]],
    );
    // SGD(p, 0.1, momentum=0.9, nesterov=True, weight_decay=0.01)
    check_path(
        Sgd::new(0.1).momentum(0.9).nesterov(true).weight_decay(0.01),
        [[0.9031, 1.3781], [0.84107411, 1.34667161], [0.850465558, 1.359567673], [0.831058944, 1.677302955]],
    );
}

#[test]
fn adam_and_adamw_are_those_of_pytorch() {
    // Adam(p, 0.01, betas=(0.9, 0.99), eps=1e-3, weight_decay=0.1)
    check_path(
        Adam::new(0.01).betas(0.9, 0.99).eps(1e-3).weight_decay(0.1),
        [
            [0.990016639, 1.00999474],
            [0.981317077, 1.012060214],
            [0.97685086, 1.012627656],
            [0.972376176, 1.016121237],
        ],
    );
    // AdamW(p, 0.01, betas=(0.9, 0.99), eps=1e-3, weight_decay=0.1)
    check_path(
        AdamW::new(0.01).betas(0.9, 0.99).eps(1e-3).weight_decay(0.1),
        [
            [0.98901996, 1.008995002],
            [0.980006008, 1.010651314],
            [0.976920692, 1.010979949],
            [0.974216096, 1.0141103],
        ],
    );
}

#[test]
fn adagrad_is_that_of_pytorch() {
    // Adagrad(p, 0.1, lr_decay=0.01, weight_decay=0.1, initial_accumulator_value=0.2, eps=1e-3)
    let optimizer = Adagrad::new(0.1).lr_decay(0.01).weight_decay(0.1).initial_accumulator(0.2).eps(1e-3);
    check_path(
        optimizer,
        [
            [0.919928627, 1.097290105],
            [0.895355228, 1.048377323],
            [0.921092028, 1.033080466],
            [0.910010728, 1.083886686],
        ],
    );
}

#[test]
fn adadelta_is_that_of_pytorch() {
    // Adadelta(p, 0.5, rho=0.8, eps=1e-3, weight_decay=0.1)
    check_path(
        Adadelta::new(0.5).rho(0.8).eps(1e-3).weight_decay(0.1),
        [
            [0.964887656, 1.03533088],
            [0.947885542, 1.008126255],
            [0.966455401, 0.997744564],
            [0.956707459, 1.031636475],
        ],
    );
}

#[test]
fn rmsprop_is_that_of_pytorch() {
    // RMSprop(p, 0.05, alpha=0.9, eps=1e-3, weight_decay=0.1)
    check_path(
        RmsProp::new(0.05).alpha(0.9).eps(1e-3).weight_decay(0.1),
        [
            [0.842715081, 1.157851162],
            [0.794272869, 1.07475369],
            [0.851249269, 1.047125462],
            [0.828323802, 1.139392576],
        ],
    );
    // RMSprop(p, 0.05, alpha=0.9, eps=1e-2, momentum=0.9, centered=True)
    check_path(
        RmsProp::new(0.05).alpha(0.9).eps(1e-2).momentum(0.9).centered(true),
        [
            [0.84375, 1.163934426],
            [0.670464661, 1.238322342],
            [0.59668202, 1.286232866],
            [0.530277643, 1.427713897],
        ],
    );
}

#[test]
fn amsgrad_is_that_of_pytorch() {
    // Adam(p, 0.05, betas=(0.9, 0.5), eps=1e-3, amsgrad=True)
    check_path(
        Adam::new(0.05).betas(0.9, 0.5).eps(1e-3).amsgrad(true),
        [
            [0.9500998, 1.049975012],
            [0.914733289, 1.062859174],
            [0.90523956, 1.068591098],
            [0.898270763, 1.087720021],
        ],
    );
    // AdamW(p, 0.05, betas=(0.9, 0.5), eps=1e-3, amsgrad=True, weight_decay=0.1)
    check_path(
        AdamW::new(0.05).betas(0.9, 0.5).eps(1e-3).amsgrad(true).weight_decay(0.1),
        [
            [0.9450998, 1.044975012],
            [0.90500779, 1.052634299],
            [0.890989022, 1.053103051],
            [0.87956528, 1.066966459],
        ],
    );
}

#[test]
fn nadam_is_that_of_pytorch() {
    // NAdam(p, 0.05, betas=(0.8, 0.9), eps=1e-3, weight_decay=0.1, momentum_decay=0.1)
    check_path(
        NAdam::new(0.05).betas(0.8, 0.9).eps(1e-3).weight_decay(0.1).momentum_decay(0.1),
        [
            [0.94527936, 1.054783008],
            [0.922763215, 1.030312195],
            [0.936898884, 1.021161089],
            [0.923158885, 1.058701455],
        ],
    );
}

// PyTorch has no Lion.
#[test]
fn lion_follows_the_sign_of_its_momentum() {
    check(Lion::new(0.01).weight_decay(0.1), |_, p, g, [m, _]| {
        let mixed = 0.9 * *m + 0.1 * g;
        let sign = if mixed == 0.0 { 0.0 } else { mixed.signum() };
        *m = 0.99 * *m + 0.01 * g;
        p - 0.01 * (sign + 0.1 * p)
    });
}

#[test]
fn lion_is_that_of_optax() {
    // optax 0.2.8, lion(0.01, 0.9, 0.99, weight_decay=0.1); lion-pytorch 0.2.5 says the same to 1e-7.
    check_path(
        Lion::new(0.01).weight_decay(0.1),
        [
            [0.989000022, 1.008999944],
            [0.978011012, 0.997990966],
            [0.98703301, 0.986992955],
            [0.976045966, 0.996005952],
        ],
    );
}

#[test]
fn gradients_are_clipped_as_by_pytorch() {
    // torch.nn.utils.clip_grad_norm_([p], 0.7) before SGD(p, 0.1)
    assert_path(
        &path(|trainer| trainer.optimizer(Sgd::new(0.1)).clip_norm(0.7)),
        [
            [0.983022514, 1.067909942],
            [0.976057261, 0.998257408],
            [1.006057261, 0.973257408],
            [1.006057261, 1.043257361],
        ],
    );
    // torch.nn.utils.clip_grad_value_([p], 0.4)
    assert_path(
        &path(|trainer| trainer.optimizer(Sgd::new(0.1)).clip_value(0.4)),
        [[0.96, 1.04], [0.95, 1.0], [0.98, 0.975], [0.98, 1.015]],
    );
}

#[test]
fn accumulated_gradients_make_one_step() {
    // Adam(p, 0.05, eps=1e-3), of which each step follows the mean of two gradients.
    let first = [0.950166113, 1.0499002];
    assert_path(
        &path(|trainer| trainer.optimizer(Adam::new(0.05).eps(1e-3)).accumulate(2)),
        [[1.0, 1.0], first, first, [0.936905182, 1.099794098]],
    );
}

#[test]
fn averages_are_those_of_pytorch() {
    // AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.8)) after four steps of SGD(p, 0.1)
    let model = Point { p: Param::new([2], Init::Ones) };
    let trainer = Trainer::of(&model, |x| model.p.of(&x[0])).loss(|p, gradient| (p * gradient).sum(..));
    let trainer = trainer.optimizer(Sgd::new(0.1)).average(0.8);
    let mut trainer = trainer.compile(f32(&[2]), f32(&[2])).unwrap();
    for gradient in GRADIENTS {
        let batch = TensorData::new([2], gradient.to_vec());
        trainer.step(&batch, &batch).unwrap();
    }
    let value = trainer.parameter("p").unwrap();
    trainer.swap_averages();
    assert_within(&trainer.parameter("p").unwrap(), &[0.95592, 1.1722], 1e-6);
    trainer.swap_averages();
    assert_eq!(trainer.parameter("p").unwrap(), value);
}

/// The rows [3, 4] and [0.3, -0.4] under a constraint.
fn constrained(constraint: Constraint) -> TensorData {
    let model = Linear::new(2, 2).without_bias();
    let trainer = Trainer::new(&model).loss(mse).optimizer(Sgd::new(0.0));
    let trainer = trainer.constrain(|name, _| name == "weight", constraint);
    let mut trainer = trainer.compile(f32(&[1, 2]), f32(&[1, 2])).unwrap();
    let rows = TensorData::new([2, 2], vec![3f32, 4.0, 0.3, -0.4]);
    trainer.set_parameter("weight", rows).unwrap();
    let batch = TensorData::new([1, 2], vec![0f32; 2]);
    trainer.step(&batch, &batch).unwrap();
    trainer.parameter("weight").unwrap()
}

#[test]
fn constraints_hold_after_a_step() {
    // torch.renorm(weight, 2, 0, 2.0)
    assert_within(&constrained(Constraint::MaxNorm(2.0)), &[1.2, 1.6, 0.3, -0.4], 1e-6);
    assert_within(&constrained(Constraint::UnitNorm), &[0.6, 0.8, 0.6, -0.8], 1e-6);
    assert_within(&constrained(Constraint::NonNegative), &[3.0, 4.0, 0.3, 0.0], 1e-6);
}

#[track_caller]
fn assert_factors(schedule: impl Schedule, expected: &[f64]) {
    for (step, expected) in expected.iter().enumerate() {
        let found = schedule.factor(step as u64);
        assert!((found - expected).abs() < 1e-9, "step {step}: {found} instead of {expected}");
    }
}

/// Of an optimizer with a learning rate of 1: `print(o.param_groups[0]['lr']); o.step(); schedule.step()`.
#[test]
fn schedules_are_those_of_pytorch() {
    // StepLR(o, 3, 0.5)
    assert_factors(Steps { size: 3, gamma: 0.5 }, &[1.0, 1.0, 1.0, 0.5, 0.5, 0.5, 0.25, 0.25]);
    // ExponentialLR(o, 0.9)
    assert_factors(Exponential { gamma: 0.9 }, &[1.0, 0.9, 0.81, 0.729, 0.6561]);
    // CosineAnnealingLR(o, 6, 0.1)
    let cosine = [1.0, 0.939711432, 0.775, 0.55, 0.325, 0.160288568, 0.1];
    assert_factors(Cosine::new(6).floor(0.1), &cosine);
    // SequentialLR(o, [LinearLR(o, 0.25, total_iters=3), CosineAnnealingLR(o, 6, 0.1)], [4])
    assert_factors(Cosine::new(10).warm_up(4).floor(0.1), &[&[0.25, 0.5, 0.75, 1.0][..], &cosine].concat());
    // OneCycleLR(o, 1.0, total_steps=10)
    let cycle = [
        0.04,
        0.52,
        1.0,
        0.950484632,
        0.811745654,
        0.611262022,
        0.388741978,
        0.188258346,
        0.049519368,
        4e-06,
    ];
    assert_factors(OneCycle::new(10), &cycle);
    // Halves without length, which PyTorch divides by: it begins, or ends, at the top.
    assert_factors(OneCycle { rise: 0.25, ..OneCycle::new(4) }, &[1.0]);
    assert_factors(OneCycle { rise: 1.0, ..OneCycle::new(3) }, &[0.04, 0.52, 1.0]);
    assert_factors(Exponential { gamma: 0.5 }.every(2), &[1.0, 1.0, 0.5, 0.5, 0.25]);
}

#[test]
fn a_plateau_lowers_the_rate_as_in_pytorch() {
    // ReduceLROnPlateau(o, factor=0.5, patience=1, threshold=0.01, cooldown=2), each with `schedule.step(measure)`
    let mut plateau = Plateau::new().factor(0.5).patience(1).threshold(0.01).cooldown(2);
    let measures = [1.0, 0.995, 0.9, 0.91, 0.92, 0.93, 0.94, 0.95, 0.96, 0.97, 0.5, 0.6, 0.6];
    let expected = [1.0, 1.0, 1.0, 1.0, 0.5, 0.5, 0.5, 0.5, 0.25, 0.25, 0.25, 0.25, 0.125];
    let mut rate = 1.0;
    for (measure, expected) in measures.into_iter().zip(expected) {
        rate *= plateau.observe(measure);
        assert_eq!(rate, expected, "at {measure}");
    }
}

#[test]
fn a_plateau_of_a_measure_that_rises_is_that_of_pytorch() {
    // ReduceLROnPlateau(o, mode='max', factor=0.5, patience=1, threshold=0.01)
    let mut plateau = Plateau::new().rising().factor(0.5).patience(1).threshold(0.01);
    let measures = [0.5, 0.502, 0.6, 0.59, 0.58, 0.57, 0.56, 0.7];
    let mut rate = 1.0;
    let rates = measures.map(|measure| {
        rate *= plateau.observe(measure);
        rate
    });
    assert_eq!(rates, [1.0, 1.0, 1.0, 1.0, 0.5, 0.5, 0.25, 0.25]);
}

#[test]
fn a_schedule_changes_the_rate_and_compiles_nothing() {
    let halves = |step: u64| 0.5f64.powi(step as i32);
    let found = path(|trainer| trainer.optimizer(Sgd::new(0.1)).schedule(halves));
    let (mut expected, mut p) = ([[0.0; 2]; 4], [1.0; 2]);
    for (step, gradient) in GRADIENTS.iter().enumerate() {
        for element in 0..2 {
            p[element] -= 0.1 * halves(step as u64) * f64::from(gradient[element]);
        }
        expected[step] = p;
    }
    assert_path(&found, expected);
}

#[test]
fn groups_have_optimizers_of_their_own() {
    let model = Linear::new(2, 2);
    let trainer = Trainer::new(&model)
        .loss(mse)
        .group("biases", |_, ty| ty.rank() < 2, Sgd::new(0.0))
        .optimizer(Sgd::new(0.1));
    let mut trainer = trainer.compile(f32(&[1, 2]), f32(&[1, 2])).unwrap();
    assert_eq!(
        (trainer.learning_rate_of("biases"), trainer.learning_rate_of("others")),
        (Some(0.0), Some(0.1))
    );
    let before = trainer.parameters();
    let [x, y] = [1f32, 2.0].map(|value| TensorData::new([1, 2], vec![value; 2]));
    trainer.step(&x, &y).unwrap();
    let moved: Vec<bool> = trainer.parameters().iter().zip(&before).map(|(a, b)| a != b).collect();
    assert_eq!(moved, [true, false]);
}

#[test]
fn the_main_group_is_the_first_and_rates_change_in_proportion() {
    let model = Linear::new(2, 2);
    let trainer = Trainer::new(&model)
        .loss(mse)
        .group("biases", |_, ty| ty.rank() < 2, Sgd::new(0.4))
        .optimizer(Sgd::new(0.1).momentum(0.9));
    let mut trainer = trainer.compile(f32(&[1, 2]), f32(&[1, 2])).unwrap();
    let graph = trainer.graph(kiln::trainer::Task::Train).unwrap();
    let names: Vec<&str> =
        graph.inputs().iter().map(|&input| graph.node(input).name.as_deref().unwrap()).collect();
    let scalars = ["learning_rate", "step", "learning_rate.biases", "step.biases"];
    assert_eq!(names[..7], [&["weight", "bias", "weight.momentum"][..], &scalars].concat());
    assert_eq!(trainer.learning_rate(), 0.1);
    trainer.set_learning_rate(0.05);
    assert_eq!((trainer.learning_rate(), trainer.learning_rate_of("biases")), (0.05, Some(0.2)));
    // Also back from nothing.
    trainer.set_learning_rate(0.0);
    trainer.set_learning_rate(0.2);
    assert_eq!((trainer.learning_rate(), trainer.learning_rate_of("biases")), (0.2, Some(0.8)));
    assert!(trainer.set_learning_rate_of("biases", 0.3) && !trainer.set_learning_rate_of("weights", 0.3));
    assert_eq!(
        (trainer.learning_rate_of("others"), trainer.learning_rate_of("biases")),
        (Some(0.2), Some(0.3))
    );
}
