//! Training runs recorded with PyTorch, repeated: losses, first gradients, final parameters.
//!
//! The rule of comparison is that of `shared/traces/README.md`: PyTorch's own distance between `f32` and `f64` is the
//! noise of a run, and 20 times that is agreement.

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
    init: BTreeMap<String, TensorData>,
    batches: Vec<(TensorData, TensorData)>,
    gradients: BTreeMap<String, TensorData>,
    last: BTreeMap<String, TensorData>,
}

impl Trace {
    fn read(directory: &Path) -> Trace {
        let text = std::fs::read_to_string(directory.join("trace.json")).expect("the trace can be read");
        let json: Value = serde_json::from_str(&text).expect("the trace is JSON");
        let tensors = |file: &str| {
            let checkpoint = checkpoint::load(directory.join(file));
            checkpoint.unwrap_or_else(|error| panic!("{error}")).tensors
        };
        let inputs = tensors("inputs.safetensors");
        let names: Vec<&str> = json["inputs"]
            .as_array()
            .expect("a list")
            .iter()
            .map(|name| name.as_str().expect("a name"))
            .collect();
        let [x, y] = names[..] else { panic!("a batch of two tensors") };
        let input = |name: &str, k: usize| inputs[&format!("{name}.{k}")].clone();
        Trace {
            init: tensors("init.safetensors"),
            batches: (0..5).map(|k| (input(x, k), input(y, k))).collect(),
            gradients: tensors("grads0.safetensors"),
            last: tensors("final.safetensors"),
            json,
        }
    }

    fn losses(&self, key: &str) -> Vec<f64> {
        self.json[key].as_array().expect("a list").iter().map(|v| v.as_f64().expect("a number")).collect()
    }

    /// Trains as recorded and compares everything.
    fn check(&self, mut trainer: Trainer<'_>) {
        trainer.set_parameters(&self.init).unwrap();
        let (x, y) = &self.batches[0];
        self.compare("grads0", trainer.gradients(x, y).unwrap(), &self.gradients);
        let tolerance = (20.0 * self.json["losses_f32_max_rel_error"].as_f64().unwrap()).max(1e-6);
        for (step, expected) in self.losses("losses_f64").into_iter().enumerate() {
            let (x, y) = &self.batches[step % self.batches.len()];
            let loss = f64::from(trainer.step(x, y).unwrap());
            let error = (loss / expected - 1.0).abs();
            assert!(error <= tolerance, "loss {loss} of step {step}, recorded {expected}");
        }
        self.compare("final", trainer.parameters().into_iter().collect(), &self.last);
    }

    /// Compares tensors by their relative L2 distance; what was recorded may be leading rows only.
    fn compare(
        &self,
        key: &str,
        found: BTreeMap<String, TensorData>,
        expected: &BTreeMap<String, TensorData>,
    ) {
        assert!(found.keys().eq(expected.keys()), "other names in `{key}`");
        for (name, expected) in expected {
            let (found, expected) = (found[name].to_f64_vec(), expected.to_f64_vec());
            let distance = expected.iter().zip(&found).map(|(e, f)| (e - f).powi(2)).sum::<f64>().sqrt();
            let norm = expected.iter().map(|e| e.powi(2)).sum::<f64>().sqrt();
            let noise = self.json[key][name]["f32_rel_l2"].as_f64().unwrap();
            let error = distance / norm;
            assert!(
                error <= (20.0 * noise).max(1e-5),
                "{key}, `{name}`: distance {error:.1e}, noise {noise:.1e}"
            );
        }
    }
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

struct CharLstm {
    emb: Embedding,
    lstm: Lstm,
    fc: Linear,
}
kiln::parameters!(CharLstm { emb, lstm, fc });

impl Model for CharLstm {
    fn forward(&self, ids: &Tensor) -> Tensor {
        self.fc.forward(&self.lstm.forward(&self.emb.forward(ids)))
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
    Trace::read(&directory).check(trainer.compile(f32(&[4, 2]), f32(&[4, 1])).unwrap());
}

fn check_mlp(way: Way) {
    let Some(directory) = shared("traces/mlp") else { return };
    let model = Mlp { fc1: Linear::new(784, 512), fc2: Linear::new(512, 256), fc3: Linear::new(256, 10) };
    let trainer = way(Trainer::new(&model).loss(cross_entropy).optimizer(Adam::new(1e-3)));
    Trace::read(&directory).check(trainer.compile(f32(&[128, 784]), i64(&[128])).unwrap());
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
    Trace::read(&directory).check(trainer.compile(f32(&[64, 1, 28, 28]), i64(&[64])).unwrap());
}

fn check_lstm(way: Way) {
    let Some(directory) = shared("traces/lstm") else { return };
    let model = CharLstm {
        emb: Embedding::new(65, 128),
        lstm: Lstm::new(128, 256).batch_first(),
        fc: Linear::new(256, 65),
    };
    let over_positions =
        |scores: &Tensor, target: &Tensor| cross_entropy(&scores.reshape([-1, 65]), &target.reshape([-1]));
    let trainer = way(Trainer::new(&model).loss(over_positions).optimizer(Adam::new(1e-3)));
    Trace::read(&directory).check(trainer.compile(i64(&[32, 64]), i64(&[32, 64])).unwrap());
}

#[test]
fn lstm_trains_as_recorded() {
    check_lstm(COMPILED);
}

#[test]
fn lstm_trains_as_recorded_eagerly() {
    check_lstm(EAGER);
}

#[test]
fn xor_trains_as_recorded() {
    check_xor(COMPILED);
}

#[test]
fn xor_trains_as_recorded_eagerly() {
    check_xor(EAGER);
}

// The other two would take minutes on the interpreter.
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
