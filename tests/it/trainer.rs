//! Training end to end.

use kiln::TrainerBuilder;
use kiln::data::{Dataset, Loader};
use kiln::prelude::*;
use kiln::trainer::Task;
use kiln_ir::compare::{Tolerance, compare};

struct Net {
    fc1: Linear,
    dropout: Dropout,
    fc2: Linear,
}
kiln::parameters!(Net { fc1, dropout, fc2 });

impl Model for Net {
    fn forward(&self, x: &Tensor) -> Tensor {
        let hidden = self.dropout.forward(&self.fc1.forward(x).relu());
        self.fc2.forward(&hidden)
    }
}

fn net(p: f64) -> Net {
    Net { fc1: Linear::new(4, 16), dropout: Dropout(p), fc2: Linear::new(16, 3) }
}

/// A batch whose label is the place of the greatest of the first three features.
fn batch(seed: u64) -> (TensorData, TensorData) {
    let x = Init::Normal { mean: 0.0, std: 1.0 }.sample(&f32(&[12, 4]), seed, 0);
    let greatest = |row: &[f32]| (0..3).max_by(|&a, &b| row[a].total_cmp(&row[b])).unwrap() as i64;
    let labels = x.as_slice::<f32>().unwrap().chunks(4).map(greatest).collect();
    (x, TensorData::new([12], labels))
}

fn trainer(model: &Net, eager: bool) -> Trainer<'_> {
    let trainer = Trainer::new(model).loss(cross_entropy).optimizer(Adam::new(0.02)).seed(3).eager(eager);
    trainer.compile(f32(&[12, 4]), i64(&[12])).unwrap()
}

#[test]
fn a_classifier_learns() {
    let model = net(0.1);
    let mut trainer = trainer(&model, false);
    for seed in 0..60 {
        let (x, label) = batch(seed);
        trainer.step(&x, &label).unwrap();
    }
    let (x, label) = batch(1000);
    let (loss, prediction) = trainer.evaluate(&x, &label).unwrap();
    assert!(loss < 0.6, "loss {loss}");
    assert_eq!(prediction.ty(), f32(&[12, 3]));
    assert_eq!(trainer.predict(&x).unwrap(), prediction);
}

#[test]
fn eager_and_traced_steps_are_the_same() {
    let model = net(0.3);
    let (mut traced, mut eager) = (trainer(&model, false), trainer(&model, true));
    for seed in 0..4 {
        let (x, label) = batch(seed);
        let (compiled, alone) = (traced.step(&x, &label).unwrap(), eager.step(&x, &label).unwrap());
        assert!((compiled - alone).abs() < 1e-5 * alone.abs(), "{compiled} and {alone}");
    }
    // A fused product and sum is rounded once, and rows that are reduced where they are computed are summed in another
    // order: a few units in the last place a step.
    let near = Tolerance { relative: 1e-4, absolute: 1e-5, ulps: 0 };
    for ((name, compiled), (_, alone)) in traced.parameters().iter().zip(&eager.parameters()) {
        compare(compiled, alone, near).unwrap_or_else(|difference| panic!("{name}: {difference}"));
    }
}

#[test]
fn dropout_draws_anew_at_each_step_and_not_at_all_in_evaluation() {
    let model = net(0.5);
    let mut trainer = trainer(&model, false);
    trainer.set_learning_rate(0.0);
    let (x, label) = batch(0);
    let losses: Vec<f32> = (0..3).map(|_| trainer.step(&x, &label).unwrap()).collect();
    assert!(losses[0] != losses[1] && losses[1] != losses[2], "{losses:?}");
    assert_eq!(trainer.evaluate(&x, &label).unwrap().0, trainer.evaluate(&x, &label).unwrap().0);
}

#[test]
fn gradients_do_not_move_anything() {
    let model = net(0.0);
    let mut trainer = trainer(&model, false);
    let (x, label) = batch(0);
    let before = trainer.parameters();
    let gradients = trainer.gradients(&x, &label).unwrap();
    assert_eq!(trainer.parameters(), before);
    assert!(gradients.keys().eq(["fc1.bias", "fc1.weight", "fc2.bias", "fc2.weight"]));
}

#[test]
fn a_batch_of_another_size_is_evaluated() {
    let model = net(0.0);
    let mut trainer = trainer(&model, false);
    assert_eq!(trainer.predict(&TensorData::new([5, 4], vec![0f32; 20])).unwrap().ty(), f32(&[5, 3]));
}

#[test]
fn a_last_batch_of_fewer_samples_is_a_step() {
    let model = net(0.0);
    let data = {
        let (x, label) = batch(0);
        Dataset::new(x, label).unwrap()
    };
    // Twelve samples in batches of five: the last has two.
    let build = |n: usize, mode: fn(TrainerBuilder<'_>) -> TrainerBuilder<'_>| {
        let trainer = Trainer::new(&model).loss(cross_entropy).optimizer(Sgd::new(0.1).momentum(0.9)).seed(3);
        mode(trainer).compile(f32(&[n, 4]), i64(&[n])).unwrap()
    };
    let mut compiled = build(5, |t| t);
    let mut interpreted = build(5, |t| t.reference());
    for (x, label) in Loader::new(&data, 5).epoch(0) {
        let (found, expected) = (compiled.step(&x, &label).unwrap(), interpreted.step(&x, &label).unwrap());
        assert!((found - expected).abs() < 1e-5, "{found} and {expected}");
        assert!(compiled.verify(&x, &label).unwrap().is_good());
    }
    assert_eq!(compiled.n_steps(), 3);
    for ((name, found), (_, expected)) in compiled.parameters().iter().zip(&interpreted.parameters()) {
        let near = Tolerance { relative: 1e-4, absolute: 1e-6, ulps: 0 };
        compare(found, expected, near).unwrap_or_else(|difference| panic!("{name}: {difference}"));
    }
    // Sides that differ, none at all, and more than compiled for are mistakes.
    for (n_inputs, n_targets) in [(2, 5), (5, 2), (2, 3), (0, 0), (6, 6)] {
        let x = TensorData::new([n_inputs, 4], vec![0f32; 4 * n_inputs]);
        let label = TensorData::new([n_targets], vec![0i64; n_targets]);
        let error = compiled.step(&x, &label).unwrap_err().to_string();
        assert!(error.contains("of the batch has another type"), "{n_inputs}, {n_targets}: {error}");
    }
}

#[test]
fn the_graph_of_a_program_takes_no_targets() {
    let model = net(0.0);
    let trainer = Trainer::new(&model).loss(cross_entropy).optimizer(Sgd::new(0.1));
    let trainer = trainer.program("twice", |x| vec![model.forward(&x[0]) * 2.0]);
    let trainer = trainer.compile(f32(&[12, 4]), i64(&[12])).unwrap();
    let inputs = |graph: kiln_ir::Graph| graph.inputs().len();
    let n_program = inputs(trainer.graph(Task::Program(0)).unwrap());
    assert_eq!(n_program + 1, inputs(trainer.graph(Task::Train).unwrap()));
    assert_eq!(n_program, inputs(trainer.graph_for(Task::Program(0), f32(&[2, 4]), ()).unwrap()));
}

#[test]
fn frozen_parameters_stay() {
    let model = net(0.0);
    let builder =
        Trainer::new(&model).loss(cross_entropy).optimizer(Sgd::new(0.1).momentum(0.9)).freeze("fc1");
    let mut trainer = builder.compile(f32(&[12, 4]), i64(&[12])).unwrap();
    let before = trainer.parameters();
    let (x, label) = batch(0);
    trainer.step(&x, &label).unwrap();
    let moved: Vec<bool> = trainer.parameters().iter().zip(&before).map(|(a, b)| a != b).collect();
    assert_eq!(moved, [false, false, true, true]);
}

#[test]
fn saved_parameters_are_loaded() {
    let model = net(0.0);
    let mut first = trainer(&model, false);
    let (x, label) = batch(0);
    first.step(&x, &label).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("net.safetensors");
    first.save(&path).unwrap();
    let mut second = trainer(&model, false);
    second.load(&path).unwrap();
    assert_eq!(first.parameters(), second.parameters());
}

#[test]
fn a_resumed_training_goes_on_as_if_it_had_never_stopped() {
    let model = net(0.5);
    let mut first = trainer(&model, false);
    let (x, label) = batch(0);
    first.step(&x, &label).unwrap();
    first.set_learning_rate(0.01);
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state.safetensors");
    first.save_state(&path).unwrap();
    let mut second = trainer(&model, false);
    second.load_state(&path).unwrap();
    assert_eq!((second.n_steps(), second.learning_rate()), (1, 0.01));
    assert_eq!(first.step(&x, &label).unwrap(), second.step(&x, &label).unwrap());
    assert_eq!(first.parameters(), second.parameters());
}

#[test]
fn a_model_without_loss_and_optimizer_predicts() {
    let model = net(0.5);
    let mut predictor = Trainer::new(&model).seed(3).compile_for_inference(f32(&[12, 4])).unwrap();
    let (x, label) = batch(0);
    let (_, expected) = trainer(&model, false).evaluate(&x, &label).unwrap();
    assert_eq!(predictor.predict(&x).unwrap(), expected);
    assert!(predictor.step(&x, &label).is_err());
}

#[test]
fn the_training_graph_takes_the_state_first() {
    struct Tiny {
        fc: Linear,
    }
    kiln::parameters!(Tiny { fc });
    impl Model for Tiny {
        fn forward(&self, x: &Tensor) -> Tensor {
            self.fc.forward(x).relu().dropout(0.5)
        }
    }
    let model = Tiny { fc: Linear::new(2, 3) };
    let trainer = Trainer::new(&model).loss(mse).optimizer(Sgd::new(0.1).momentum(0.9));
    let trainer = trainer.compile(f32(&[4, 2]), f32(&[4, 3])).unwrap();
    let graph = trainer.graph(Task::Train).unwrap();
    kiln_ir::verify::verify(&graph).unwrap();
    // What is between follows from rules that are tested where they are written.
    let text = graph.to_string();
    let signature: Vec<&str> =
        text.lines().filter(|line| line.starts_with("graph") || line.contains("return")).collect();
    insta::assert_snapshot!(signature.join("\n"));
}

/// Two models that train against each other on one state.
struct Pair {
    maker: Linear,
    judge: Linear,
}
kiln::parameters!(Pair { maker, judge });

#[test]
fn a_program_trains_one_part_after_the_other() {
    let pair = Pair { maker: Linear::new(2, 3), judge: Linear::new(3, 1) };
    let judge_loss = |x: &[Tensor]| {
        let made = pair.maker.forward(&x[1]).detach();
        bce_with_logits(&pair.judge.forward(&x[0]), &x[2].ones_like())
            + bce_with_logits(&pair.judge.forward(&made), &x[2].zeros_like())
    };
    let maker_loss =
        |x: &[Tensor]| bce_with_logits(&pair.judge.forward(&pair.maker.forward(&x[1])), &x[2].ones_like());
    let begin = |mode: fn(TrainerBuilder<'_>) -> TrainerBuilder<'_>| {
        let trainer = Trainer::with_programs(&pair)
            .optimizer_of("maker", Sgd::new(0.5))
            .optimizer_of("judge", Adam::new(0.1))
            .training_program("both", |step, x| {
                let first = judge_loss(x);
                step.minimize("judge", &first);
                let second = maker_loss(x);
                step.minimize("maker", &second);
                vec![first, second]
            })
            .training_program("judge", |step, x| {
                let loss = judge_loss(x);
                step.minimize("judge", &loss);
                vec![loss]
            })
            .training_program("maker", |step, x| {
                let loss = maker_loss(x);
                step.minimize("maker", &loss);
                vec![loss]
            })
            .program("sample", |x| vec![pair.maker.forward(&x[0])]);
        mode(trainer).build().unwrap()
    };
    let normal =
        |extents: &[usize], index| Init::Normal { mean: 0.0, std: 1.0 }.sample(&f32(extents), 9, index);
    let batch = [normal(&[6, 3], 0), normal(&[6, 2], 1), normal(&[6, 1], 2)];
    let [mut both, mut apart, mut eager] = [begin(|t| t), begin(|t| t), begin(|t| t.eager(true))];
    for _ in 0..3 {
        let losses = both.run("both", &batch).unwrap();
        let first = apart.run("judge", &batch).unwrap();
        let second = apart.run("maker", &batch).unwrap();
        let near = Tolerance { relative: 1e-5, absolute: 1e-6, ulps: 0 };
        let alone = eager.run("both", &batch).unwrap();
        for (k, other) in [&first[0], &second[0]].into_iter().enumerate() {
            compare(&losses[k], other, near).unwrap();
            compare(&losses[k], &alone[k], near).unwrap();
        }
    }
    assert_eq!(both.n_steps(), 3);
    assert_eq!(both.run("sample", &[&batch[1]]).unwrap()[0].ty(), f32(&[6, 3]));
    let error = both.run("unknown", &batch).unwrap_err().to_string();
    assert!(error.contains("there is no program `unknown`, only both, judge, maker, sample"), "{error}");
}

#[test]
fn penalties_count_in_training_only() {
    let model = Linear::new(2, 2);
    let trainer = Trainer::of(&model, |x| {
        let y = model.forward(&x[0]);
        (y.square().sum(..) * 0.5).add_to_loss();
        y
    });
    let trainer = trainer.loss(mse).optimizer(Sgd::new(0.0));
    let mut trainer = trainer.compile(f32(&[1, 2]), f32(&[1, 2])).unwrap();
    let [x, y] = [1f32, 0.0].map(|value| TensorData::new([1, 2], vec![value; 2]));
    let (loss, prediction) = trainer.evaluate(&x, &y).unwrap();
    let squares: f64 = prediction.to_f64_vec().iter().map(|y| y * y).sum();
    assert!((f64::from(loss) - squares / 2.0).abs() < 1e-6);
    assert!((f64::from(trainer.step(&x, &y).unwrap()) - squares).abs() < 1e-6);
}

#[test]
fn stopping_early_restores_the_best_parameters() {
    let model = net(0.0);
    let mut trainer = trainer(&model, false);
    let (x, label) = batch(0);
    let mut stopping = EarlyStopping::new(2);
    assert!(!stopping.observe(1.0, &trainer));
    let best = trainer.parameters();
    trainer.step(&x, &label).unwrap();
    assert!(!stopping.observe(1.5, &trainer));
    assert!(stopping.observe(f64::NAN, &trainer));
    stopping.restore(&mut trainer).unwrap();
    assert_eq!((trainer.parameters(), stopping.best()), (best, Some(1.0)));
}
