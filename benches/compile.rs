//! How long compilation takes, by the size of the model: `cargo bench --bench compile`.
//!
//! Transformers of a training step with more and more layers, narrow so that the size is that of the graph, and one of the
//! size of GPT-2. For each the nodes of the traced graph, and the best of several rounds by stage: tracing with the
//! gradient, passes, the way to kernels, generating code, compiling it. Beside the times stands what a node costs: where
//! every stage is linear it stays the same. And a recurrent network, whose sequences become longer, with the bytes of its code.

use kiln::TrainerBuilder;
use kiln::models::{CharLstm, Gpt, GptConfig};
use kiln::prelude::*;
use kiln::trainer::Task;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

const ROUNDS: usize = 3;
const LAYERS: [usize; 7] = [1, 2, 4, 8, 16, 32, 64];
const STEPS: [usize; 3] = [16, 256, 4096];

/// The best times of a model, in milliseconds.
struct Times {
    n_nodes: usize,
    tracing: f64,
    stages: BTreeMap<&'static str, f64>,
    whole: f64,
    code_bytes: usize,
}

fn transformer(config: GptConfig, batch: usize) -> Result<Times, kiln::Error> {
    let model = Gpt::new(config);
    measure(|| model.trainer(1e-3), &i64(&[batch, config.context]))
}

fn recurrent(n_steps: usize) -> Result<Times, kiln::Error> {
    let model = CharLstm::new(65);
    measure(|| model.trainer(1e-3), &i64(&[2, n_steps]))
}

/// The best of some rounds for a model that learns to predict tokens of this type.
fn measure<'m>(trainer: impl Fn() -> TrainerBuilder<'m>, types: &TensorType) -> Result<Times, kiln::Error> {
    let millis = |time: Duration| time.as_secs_f64() * 1e3;
    let mut best: Option<Times> = None;
    for _ in 0..ROUNDS {
        let start = Instant::now();
        let trainer = trainer().threads(2).compile(types.clone(), types.clone())?;
        let whole = millis(start.elapsed());
        let executable = trainer.executable(Task::Train).expect("the step was compiled");
        let stages: BTreeMap<_, _> =
            executable.times().iter().map(|time| (time.stage, millis(time.time))).collect();
        let tracing = whole - stages.values().sum::<f64>();
        let n_nodes = trainer.graph(Task::Train)?.n_nodes();
        let code_bytes = executable.code_bytes();
        if best.as_ref().is_none_or(|best| whole < best.whole) {
            best = Some(Times { n_nodes, tracing, stages, whole, code_bytes });
        }
    }
    Ok(best.expect("there are rounds"))
}

fn report(name: &str, times: &Times) {
    print!("{name:<10} {:>6} nodes {:>8.1} ms, {:>5.1} us a node:", times.n_nodes, times.whole, {
        1e3 * times.whole / times.n_nodes as f64
    });
    print!(" tracing {:.1}", times.tracing);
    for (stage, time) in &times.stages {
        print!(", {stage} {time:.1}");
    }
    println!(", {:.1} KiB of code", times.code_bytes as f64 / 1024.0);
}

fn main() -> Result<(), kiln::Error> {
    let narrow = GptConfig { width: 32, heads: 2, context: 16, ..GptConfig::SMALL };
    for layers in LAYERS {
        report(&format!("{layers} layers"), &transformer(GptConfig { layers, ..narrow }, 2)?);
    }
    report("gpt2", &transformer(GptConfig::GPT2, 1)?);
    for n_steps in STEPS {
        report(&format!("{n_steps} steps"), &recurrent(n_steps)?);
    }
    Ok(())
}
