//! Training runs recorded with PyTorch, repeated: losses, first gradients, final parameters.
//!
//! The rule of comparison is that of `shared/traces/README.md`: PyTorch's own distance between `f32` and `f64` is the
//! noise of a run, and 20 times that is agreement.

mod large;

use super::support::shared;
use kiln::TrainerBuilder;
use kiln::checkpoint;
use kiln::prelude::*;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;

/// A recorded run.
struct Trace {
    json: Value,
    init: Tensors,
    inputs: Tensors,
    gradients: Tensors,
    last: Tensors,
    last_gentle: Option<Tensors>,
}

type Tensors = BTreeMap<String, TensorData>;

impl Trace {
    fn read(directory: &Path) -> Trace {
        let text = std::fs::read_to_string(directory.join("trace.json")).expect("the trace can be read");
        let tensors = |file: &str| {
            let checkpoint = checkpoint::load(directory.join(file));
            checkpoint.unwrap_or_else(|error| panic!("{error}")).tensors
        };
        let gentle = "final_gentle.safetensors";
        Trace {
            json: serde_json::from_str(&text).expect("the trace is JSON"),
            init: tensors("init.safetensors"),
            inputs: tensors("inputs.safetensors"),
            gradients: tensors("grads0.safetensors"),
            last: tensors("final.safetensors"),
            last_gentle: directory.join(gentle).exists().then(|| tensors(gentle)),
        }
    }

    /// The batch of a step.
    fn batch<const N: usize>(&self, names: [&str; N], step: usize) -> [TensorData; N] {
        names.map(|name| self.inputs[&format!("{name}.{}", step % 5)].clone())
    }

    /// Trains as recorded, on an input and a target, and compares everything.
    fn check(&self, mut trainer: Trainer<'_>, [x, y]: [&str; 2]) {
        trainer.set_parameters(&self.init).unwrap();
        let [input, target] = self.batch([x, y], 0);
        self.compare("grads0", trainer.gradients(&input, &target).unwrap(), &self.gradients);
        compare_losses(&self.json, usize::MAX, |step| {
            let [x, y] = self.batch([x, y], step);
            vec![trainer.step(&x, &y).unwrap().into()]
        });
        self.compare("final", trainer.parameters().into_iter().collect(), &self.last);
    }

    /// Trains as recorded where the loss is computed from the inputs alone, and compares everything.
    fn check_minimizing<const N: usize>(&self, mut trainer: Trainer<'_>, names: [&str; N]) {
        trainer.set_parameters(&self.init).unwrap();
        self.compare("grads0", trainer.gradients(&self.batch(names, 0), &()).unwrap(), &self.gradients);
        compare_losses(&self.json, usize::MAX, |step| {
            vec![trainer.step(&self.batch(names, step), &()).unwrap().into()]
        });
        self.compare("final", trainer.parameters().into_iter().collect(), &self.last);
    }

    /// Compares tensors by their relative L2 distance; what was recorded may be leading rows only.
    fn compare(&self, key: &str, found: Tensors, expected: &Tensors) {
        compare_tensors(key, &self.json[key], found, expected);
    }
}

/// Compares the losses of the first steps.
fn compare_losses(record: &Value, n_steps: usize, mut step: impl FnMut(usize) -> Vec<f64>) {
    let tolerance = (20.0 * record["losses_f32_max_rel_error"].as_f64().unwrap()).max(1e-6);
    let recorded = record["losses_f64"].as_array().expect("a list");
    for (k, expected) in recorded.iter().take(n_steps).enumerate() {
        let expected = expected.as_array().cloned().unwrap_or_else(|| vec![expected.clone()]);
        for (loss, expected) in step(k).into_iter().zip(&expected) {
            let expected = expected.as_f64().expect("a number");
            let error = (loss / expected - 1.0).abs();
            assert!(error <= tolerance, "loss {loss} of step {k}, recorded {expected}");
        }
    }
}

fn compare_tensors(key: &str, record: &Value, found: Tensors, expected: &Tensors) {
    assert!(found.keys().eq(expected.keys()), "other names in `{key}`");
    let mut wrong = Vec::new();
    for (name, expected) in expected {
        let (found, expected) = (found[name].to_f64_vec(), expected.to_f64_vec());
        let distance = expected.iter().zip(&found).map(|(e, f)| (e - f).powi(2)).sum::<f64>().sqrt();
        let norm = expected.iter().map(|e| e.powi(2)).sum::<f64>().sqrt();
        // Counters have no noise, and no record of it.
        let noise = record[name]["f32_rel_l2"].as_f64().unwrap_or(0.0);
        let error = if distance == 0.0 { 0.0 } else { distance / norm };
        if error > (20.0 * noise).max(1e-5) {
            let greatest = expected.iter().zip(&found).map(|(e, f)| (e - f).abs()).enumerate();
            let (place, _) = greatest.max_by(|a, b| a.1.total_cmp(&b.1)).expect("an element");
            wrong.push(format!("{name}: distance {error:.1e}, noise {noise:.1e}, most at {place}"));
        }
    }
    assert!(wrong.is_empty(), "{key}:\n{}", wrong.join("\n"));
}

struct Xor {
    fc1: Linear,
    fc2: Linear,
}
kiln::parameters!(Xor { fc1, fc2 });

impl Model for Xor {
    fn forward(&self, x: &Tensor) -> Tensor {
        self.fc2.forward(&self.fc1.forward(x).sigmoid()).sigmoid()
    }
}

struct Mlp {
    fc1: Linear,
    fc2: Linear,
    fc3: Linear,
}
kiln::parameters!(Mlp { fc1, fc2, fc3 });

impl Model for Mlp {
    fn forward(&self, x: &Tensor) -> Tensor {
        let hidden = self.fc1.forward(x).relu();
        self.fc3.forward(&self.fc2.forward(&hidden).relu())
    }
}

/// Without dropout, as it was recorded.
struct Cnn {
    conv1: Conv2d,
    conv2: Conv2d,
    fc1: Linear,
    fc2: Linear,
}
kiln::parameters!(Cnn { conv1, conv2, fc1, fc2 });

impl Model for Cnn {
    fn forward(&self, x: &Tensor) -> Tensor {
        let x = self.conv2.forward(&self.conv1.forward(x).relu()).relu().max_pool2d(2);
        self.fc2.forward(&self.fc1.forward(&x.flatten(1, -1)).relu())
    }
}

/// How steps are carried out.
type Way = fn(TrainerBuilder<'_>) -> TrainerBuilder<'_>;
const COMPILED: Way = |trainer| trainer.threads(2);
const EAGER: Way = |trainer| trainer.threads(2).eager(true);
const REFERENCE: Way = |trainer| trainer.reference();

fn check_xor(way: Way) {
    let Some(directory) = shared("traces/xor") else { return };
    let model = Xor { fc1: Linear::new(2, 8), fc2: Linear::new(8, 1) };
    let trainer = way(Trainer::new(&model).loss(mse).optimizer(Sgd::new(0.5)));
    Trace::read(&directory).check(trainer.compile(f32(&[4, 2]), f32(&[4, 1])).unwrap(), ["x", "y"]);
}

fn check_mlp(way: Way) {
    let Some(directory) = shared("traces/mlp") else { return };
    let model = Mlp { fc1: Linear::new(784, 512), fc2: Linear::new(512, 256), fc3: Linear::new(256, 10) };
    let trainer = way(Trainer::new(&model).loss(cross_entropy).optimizer(Adam::new(1e-3)));
    Trace::read(&directory).check(trainer.compile(f32(&[128, 784]), i64(&[128])).unwrap(), ["x", "y"]);
}

fn check_cnn(way: Way) {
    let Some(directory) = shared("traces/cnn") else { return };
    let model = Cnn {
        conv1: Conv2d::new(1, 32, 3),
        conv2: Conv2d::new(32, 64, 3),
        fc1: Linear::new(9216, 128),
        fc2: Linear::new(128, 10),
    };
    let trainer = way(Trainer::new(&model).loss(cross_entropy).optimizer(Adam::new(1e-3)));
    Trace::read(&directory).check(trainer.compile(f32(&[64, 1, 28, 28]), i64(&[64])).unwrap(), ["x", "y"]);
}

#[test]
fn xor_trains_as_recorded() {
    check_xor(COMPILED);
}

#[test]
fn xor_trains_as_recorded_eagerly() {
    check_xor(EAGER);
}

// The others would take minutes on the interpreter.
#[test]
fn xor_trains_as_recorded_on_the_interpreter() {
    check_xor(REFERENCE);
}

#[test]
fn mlp_trains_as_recorded() {
    check_mlp(COMPILED);
}

#[test]
fn mlp_trains_as_recorded_eagerly() {
    check_mlp(EAGER);
}

#[test]
fn cnn_trains_as_recorded() {
    check_cnn(COMPILED);
}

#[test]
fn cnn_trains_as_recorded_eagerly() {
    check_cnn(EAGER);
}
