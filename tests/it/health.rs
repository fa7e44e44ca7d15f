//! The norms of a step with health, and what is said of them.

use super::support::assert_within;
use kiln::TrainerBuilder;
use kiln::health::{EXPLODING, FindingKind, Health};
use kiln::models::{CharLstm, Gpt, GptConfig};
use kiln::nn::BatchNorm2d;
use kiln::prelude::*;
use kiln::trainer::Task;

struct Net {
    fc1: Linear,
    fc2: Linear,
}
kiln::parameters!(Net { fc1, fc2 });

impl Model for Net {
    fn forward(&self, x: &Tensor) -> Tensor {
        self.fc2.forward(&self.fc1.forward(x).tanh().watch("hidden"))
    }
}

fn net() -> Net {
    Net { fc1: Linear::new(3, 4), fc2: Linear::new(4, 2) }
}

/// `scale * sin(1, 2, 3, ..)`.
fn sines(extents: &[usize], scale: f32) -> TensorData {
    let n: usize = extents.iter().product();
    TensorData::new(extents, (1..=n).map(|i| scale * (i as f32).sin()).collect())
}

fn batch() -> (TensorData, TensorData) {
    let x = (0..6).map(|i| (i as f32).cos()).collect();
    (TensorData::new([2, 3], x), TensorData::new([2, 2], vec![1f32, 0.0, 0.0, 1.0]))
}

type Mode = fn(TrainerBuilder<'_>) -> TrainerBuilder<'_>;

/// A trainer of the net whose parameters are sines.
fn trainer(model: &Net, mode: Mode) -> Trainer<'_> {
    let trainer = mode(Trainer::new(model).loss(mse).optimizer(Sgd::new(0.1).momentum(0.9)).clip_norm(0.1));
    let mut trainer = trainer.compile(f32(&[2, 3]), f32(&[2, 2])).unwrap();
    for (name, extents, scale) in [
        ("fc1.weight", &[4, 3][..], 0.5),
        ("fc1.bias", &[4], 0.1),
        ("fc2.weight", &[2, 4], 0.7),
        ("fc2.bias", &[2], 0.2),
    ] {
        trainer.set_parameter(name, sines(extents, scale)).unwrap();
    }
    trainer
}

/// Of the same net in PyTorch, in `f64`: `p.grad.norm()`, `p.norm()`, and the norms of what `fc1`, `tanh` and `fc2` return.
const GRADIENTS: [f64; 4] =
    [0.32088520371896273, 0.22054776263717693, 0.2730691270541396, 0.4562219144033149];
const PARAMETERS: [f64; 4] =
    [1.2539259889457532, 0.1458615817233757, 1.4907913029904574, 0.24778177727229073];
const ACTIVATIONS: [f64; 3] = [1.6543440124765445, 1.473485700812097, 0.7589441370060717];

#[track_caller]
fn check_norms(health: &Health) {
    let vector = |values: Vec<f64>| TensorData::new([values.len()], values);
    let names: Vec<&str> = health.gradients.iter().map(|of| &*of.name).collect();
    assert_eq!(names, ["fc1.weight", "fc1.bias", "fc2.weight", "fc2.bias"]);
    assert_within(&vector(health.gradients.iter().map(|of| of.norm).collect()), &GRADIENTS, 1e-6);
    assert_within(&vector(health.gradients.iter().map(|of| of.parameter_norm).collect()), &PARAMETERS, 1e-6);
    let activations: Vec<(&str, usize)> =
        health.activations.iter().map(|of| (&*of.name, of.n_elements)).collect();
    assert_eq!(activations, [("fc1", 8), ("hidden", 8), ("fc2", 4)]);
    assert_within(&vector(health.activations.iter().map(|of| of.norm).collect()), &ACTIVATIONS, 1e-6);
    // clip_grad_norm_([..], 1e9)
    assert!((health.gradient_norm() - 0.6590248955099952).abs() < 1e-6);
    assert!(health.is_good());
}

#[test]
fn norms_are_those_of_pytorch() {
    let model = net();
    let (x, y) = batch();
    let modes: [Mode; 3] = [|t| t, |t| t.eager(true), |t| t.reference()];
    for mode in modes {
        let (loss, health) = trainer(&model, mode).step_with_health(&x, &y).unwrap();
        assert!((loss - 0.137_736_98).abs() < 1e-6, "{loss}");
        check_norms(&health);
    }
}

#[test]
fn programs_of_the_users_are_measured_too() {
    let model = net();
    let (x, y) = batch();
    let mode: Mode = |t| t;
    let modes: [Mode; 3] = [mode, |t| t.eager(true), |t| t.reference()];
    for mode in modes {
        let trainer = mode(Trainer::with_programs(&model).optimizer(Sgd::new(0.1)).clip_norm(0.1));
        let mut trainer = trainer
            .training_program("train", |step, batch| {
                let loss = mse(&model.forward(&batch[0]), &batch[1]);
                step.minimize("others", &loss);
                vec![loss, batch[0].sum(..)]
            })
            .build()
            .unwrap();
        trainer.set_parameters(&self::trainer(&model, |t| t).parameters().into_iter().collect()).unwrap();
        let (results, health) = trainer.run_with_health("train", &[&x, &y]).unwrap();
        assert_eq!((results.len(), health.len(), trainer.n_steps()), (2, 1, 1));
        assert!((results[0].get(0).as_f64() - 0.137_736_98).abs() < 1e-6);
        check_norms(&health[0]);
    }
}

struct Pair {
    g: Net,
    d: Net,
}
kiln::parameters!(Pair { g, d });

/// In one program, the second network learns from the first, and the first then through the second as it has become.
#[test]
fn each_of_two_losses_has_its_norms() {
    let pair = Pair { g: net(), d: Net { fc1: Linear::new(2, 4), fc2: Linear::new(4, 1) } };
    let losses = |real: &Tensor, noise: &Tensor| {
        let made = pair.g.forward(noise);
        let d_loss =
            pair.d.forward(real).square().mean(..) + (1.0 - pair.d.forward(&made.detach())).square().mean(..);
        (d_loss, made)
    };
    let trainer = || {
        Trainer::with_programs(&pair)
            .optimizer_of("d", Adam::new(0.1))
            .optimizer_of("g", Sgd::new(0.1))
            .training_program("both", |step, batch| {
                let (d_loss, made) = losses(&batch[0], &batch[1]);
                step.minimize("d", &d_loss);
                step.minimize("g", &pair.d.forward(&made).square().mean(..));
                vec![d_loss]
            })
            .training_program("d", |step, batch| {
                let (d_loss, _) = losses(&batch[0], &batch[1]);
                step.minimize("d", &d_loss);
                vec![]
            })
            .training_program("g", |step, batch| {
                step.minimize("g", &pair.d.forward(&pair.g.forward(&batch[0])).square().mean(..));
                vec![]
            })
            .build()
            .unwrap()
    };
    let (real, noise) = (sines(&[2, 2], 1.0), sines(&[2, 3], 0.5));
    let (mut together, mut apart) = (trainer(), trainer());
    let (_, both) = together.run_with_health("both", &[&real, &noise]).unwrap();
    let (_, d) = apart.run_with_health("d", &[&real, &noise]).unwrap();
    let (_, g) = apart.run_with_health("g", &noise).unwrap();
    let parameters = |health: &Health| health.gradients.iter().map(|of| of.name.clone()).collect::<Vec<_>>();
    assert_eq!(parameters(&both[0]), ["d.fc1.weight", "d.fc1.bias", "d.fc2.weight", "d.fc2.bias"]);
    assert_eq!(parameters(&both[1]), ["g.fc1.weight", "g.fc1.bias", "g.fc2.weight", "g.fc2.bias"]);
    let activations =
        |health: &Health| health.activations.iter().map(|of| of.name.clone()).collect::<Vec<_>>();
    assert!(activations(&both[0]).iter().any(|name| name == "d.fc1"), "{:?}", activations(&both[0]));
    assert_eq!((both.len(), d.len(), g.len()), (2, 1, 1));
    for (found, expected) in both.iter().zip(d.iter().chain(&g)) {
        for (found, expected) in found.gradients.iter().zip(&expected.gradients) {
            assert!((found.norm - expected.norm).abs() < 1e-6, "{found:?} {expected:?}");
            assert!((found.parameter_norm - expected.parameter_norm).abs() < 1e-6, "{found:?} {expected:?}");
        }
        let norm = |health: &Health, name: &str| {
            let of = health.activations.iter().find(|of| of.name == name);
            of.unwrap_or_else(|| panic!("{name} in {health}")).norm
        };
        assert!((norm(found, "d.fc2") - norm(expected, "d.fc2")).abs() < 1e-6);
    }
}

#[test]
fn a_step_with_health_is_a_step() {
    let model = net();
    let (x, y) = batch();
    let (mut plain, mut measured) = (trainer(&model, |t| t), trainer(&model, |t| t));
    for _ in 0..3 {
        plain.step(&x, &y).unwrap();
        measured.step_with_health(&x, &y).unwrap();
    }
    assert_eq!(measured.n_steps(), 3);
    for ((name, found), (_, expected)) in measured.parameters().iter().zip(&plain.parameters()) {
        let expected = expected.to_f64_vec();
        assert_within(found, &expected, 1e-6);
        assert!(expected.iter().any(|value| *value != 0.0), "{name}");
    }
    // Ordinary steps are the program that they always are.
    assert!(plain.executable(Task::TrainWithHealth).is_none());
    let n_outputs = |task| measured.graph(task).unwrap().outputs().len();
    // The gradient's norm and its own for each parameter, and three activations.
    assert_eq!(n_outputs(Task::TrainWithHealth), n_outputs(Task::Train) + 2 * 4 + 3);
}

#[test]
fn batches_that_are_accumulated_are_measured_each() {
    let model = net();
    let (x, y) = batch();
    let mut trainer = trainer(&model, |t| t.accumulate(2));
    for n_steps in [0, 1] {
        check_norms(&trainer.step_with_health(&x, &y).unwrap().1);
        assert_eq!(trainer.n_steps(), n_steps);
    }
    // The last batch of an epoch, of one sample.
    let (x, y) = (TensorData::new([1, 3], vec![1f32; 3]), TensorData::new([1, 2], vec![0f32; 2]));
    let (_, health) = trainer.step_with_health(&x, &y).unwrap();
    assert_eq!(health.activations[0].n_elements, 4);
}

/// Layers of 16 units one after the other, each with this activation, and perhaps each beside what it is given.
struct Deep {
    layers: Vec<Linear>,
    activation: fn(&Tensor) -> Tensor,
    is_residual: bool,
}
kiln::parameters!(Deep { layers });

impl Model for Deep {
    fn forward(&self, x: &Tensor) -> Tensor {
        self.layers.iter().fold(x.clone(), |x, layer| {
            let y = (self.activation)(&layer.forward(&x));
            if self.is_residual { x + y } else { y }
        })
    }
}

/// The health of a first step of a deep network whose weights have this deviation.
fn deep(n_layers: usize, std: f64, activation: fn(&Tensor) -> Tensor) -> Health {
    health_of(n_layers, std, activation, false)
}

fn health_of(n_layers: usize, std: f64, activation: fn(&Tensor) -> Tensor, is_residual: bool) -> Health {
    let layer = || Linear {
        weight: Param::new([16, 16], Init::Normal { mean: 0.0, std }),
        bias: Some(Param::new([16], Init::Zeros)),
    };
    let model = Deep { layers: (0..n_layers).map(|_| layer()).collect(), activation, is_residual };
    let trainer = Trainer::new(&model).loss(mse).optimizer(Sgd::new(0.1)).seed(2);
    let mut trainer = trainer.compile(f32(&[8, 16]), f32(&[8, 16])).unwrap();
    let normal = |seed| Init::Normal { mean: 0.0, std: 1.0 }.sample(&f32(&[8, 16]), seed, 0);
    trainer.step_with_health(&normal(0), &normal(1)).unwrap().1
}

#[test]
fn gradients_vanish_in_a_deep_network_that_saturates() {
    // A sigmoid has a slope of at most 1/4: with weights that keep the size of what they are given, a gradient loses a
    // factor of four or more in each layer.
    for activation in [|x: &Tensor| x.sigmoid(), |x: &Tensor| (x * 0.5).tanh()] {
        let health = deep(24, 0.25, activation);
        let findings = health.findings();
        let vanish =
            findings.iter().find(|finding| matches!(finding.kind, FindingKind::GradientsVanish { .. }));
        let vanish = vanish.unwrap_or_else(|| panic!("{health}"));
        assert_eq!(vanish.kind, FindingKind::GradientsVanish { from: "layers.23".to_string() });
        assert_eq!((vanish.worst.as_str(), vanish.layers[0].as_str()), ("layers.0", "layers.0"));
        // Each layer before the first that is well is not.
        let expected: Vec<String> = (0..vanish.layers.len()).map(|i| format!("layers.{i}")).collect();
        assert_eq!(vanish.layers, expected);
        assert!(vanish.layers.len() < 23);
        assert!(vanish.value < 1e-6, "{}", vanish.value);
        assert!(health.to_string().contains("gradients vanish: at `layers.0`"), "{health}");
    }
}

#[test]
fn gradients_explode_in_a_deep_network_of_large_weights() {
    // Deviation 1 for 16 units: each layer makes what it is given four times as large, and gradients on their way back too.
    let health = deep(12, 1.0, |x| x.clone());
    let kinds: Vec<FindingKind> = health.findings().into_iter().map(|finding| finding.kind).collect();
    assert_eq!(kinds, [FindingKind::GradientsExplode, FindingKind::ActivationsExplode], "{health}");
    assert!(health.layers().iter().all(|layer| layer.ratio().unwrap() > EXPLODING), "{health}");
    // Greater still, numbers end.
    let health = deep(80, 1.0, |x| x.clone());
    let findings = health.findings();
    assert_eq!(findings[0].kind, FindingKind::ActivationsNotFinite, "{health}");
    assert_eq!(findings[1].kind, FindingKind::GradientsNotFinite, "{health}");
}

#[test]
fn networks_that_are_started_well_are_healthy() {
    // He's deviation for rectifiers: sqrt(2 / 16).
    let health = deep(24, 0.35, |x| x.relu());
    assert!(health.is_good(), "{health}");
    // What vanishes without residual connections.
    let saturating = |x: &Tensor| (x * 0.5).tanh();
    assert!(!deep(24, 0.25, saturating).is_good());
    let health = health_of(24, 0.25, saturating, true);
    assert!(health.is_good(), "{health}");
}

#[test]
fn layers_that_a_prediction_does_not_need_are_not_measured() {
    let model = net();
    let trainer = Trainer::of(&model, |x| {
        let prediction = model.forward(&x[0]);
        // Of the scope of a layer, and after it, as the updates of running statistics are.
        prediction.tracer().scope("fc2", || prediction.exp());
        prediction
    });
    let trainer = trainer.loss(mse).optimizer(Sgd::new(0.1));
    let mut trainer = trainer.compile(f32(&[2, 3]), f32(&[2, 2])).unwrap();
    let (x, y) = batch();
    let (_, prediction) = trainer.evaluate(&x, &y).unwrap();
    let norm = prediction.to_f64_vec().iter().map(|y| y * y).sum::<f64>().sqrt();
    let (_, health) = trainer.step_with_health(&x, &y).unwrap();
    assert!((health.activations[2].norm - norm).abs() < 1e-6);
}

/// The names of the layers whose gradients and whose activations were measured in a first step.
fn names(mut trainer: Trainer<'_>, x: &TensorData, y: &TensorData) -> [Vec<String>; 2] {
    let (_, health) = trainer.step_with_health(x, y).unwrap();
    assert!(health.is_good(), "{health}");
    let layers = health.layers().into_iter().map(|layer| layer.name).collect();
    [layers, health.activations.into_iter().map(|of| of.name).collect()]
}

#[test]
fn every_model_has_its_health_without_a_word() {
    let tokens = TensorData::new([2, 8], (0..16).map(|i| i % 7).collect::<Vec<i64>>());
    let config = GptConfig { layers: 2, heads: 2, width: 8, context: 8, vocabulary: 7, ..GptConfig::SMALL };
    let gpt = Gpt::new(config);
    let trainer = gpt.trainer(1e-3).compile(i64(&[2, 8]), i64(&[2, 8])).unwrap();
    let [layers, activations] = names(trainer, &tokens, &tokens);
    let block = |i: usize| ["ln1", "qkv", "proj", "ln2", "fc", "out"].map(|layer| format!("h.{i}.{layer}"));
    let blocks = [&block(0)[..], &block(1), &["ln_f".to_string()]].concat();
    // The model reads the table of positions without its layer.
    assert_eq!(layers, [&["wte", "wpe"].map(str::to_string)[..], &blocks].concat());
    assert_eq!(activations, [&["wte".to_string()][..], &blocks].concat());

    let lstm = CharLstm::new(7);
    let trainer = lstm.trainer(1e-3).compile(i64(&[2, 8]), i64(&[2, 8])).unwrap();
    let [layers, activations] = names(trainer, &tokens, &tokens);
    assert_eq!(layers, activations);

    let model = Sequential::new().then(Conv2d::new(1, 4, 3)).then(BatchNorm2d::new(4)).then(Relu);
    let model = model.then(Flatten::default()).then(Linear::new(144, 2));
    let trainer = Trainer::new(&model).loss(mse).optimizer(Sgd::new(0.1));
    let trainer = trainer.compile(f32(&[3, 1, 8, 8]), f32(&[3, 2])).unwrap();
    let (x, y) = (sines(&[3, 1, 8, 8], 1.0), sines(&[3, 2], 1.0));
    let [layers, activations] = names(trainer, &x, &y);
    assert_eq!(layers, ["0", "1", "4"]);
    assert_eq!(activations, layers);
}
