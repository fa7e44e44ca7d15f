//! How long compilation takes, by the size of the model: `cargo bench --bench compile`.
//!
//! Transformers of a training step with more and more layers, narrow so that the size is that of the graph, and one of the
//! size of GPT-2. For each the nodes of the traced graph, and the best of several rounds by stage: tracing with the
//! gradient, passes, the way to kernels, generating code, compiling it. Beside the times stands what a node costs: where
//! every stage is linear it stays the same.

use kiln::models::{Gpt, GptConfig};
use kiln::prelude::*;
use kiln::trainer::Task;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

const ROUNDS: usize = 3;
const LAYERS: [usize; 7] = [1, 2, 4, 8, 16, 32, 64];

/// The best times of a model, in milliseconds.
struct Times {
    n_nodes: usize,
    tracing: f64,
    stages: BTreeMap<&'static str, f64>,
    whole: f64,
}

fn measure(config: GptConfig, batch: usize) -> Result<Times, kiln::Error> {
    let types = i64(&[batch, config.context]);
    let model = Gpt::new(config);
    let millis = |time: Duration| time.as_secs_f64() * 1e3;
    let mut best: Option<Times> = None;
    for _ in 0..ROUNDS {
        let start = Instant::now();
        let trainer = model.trainer(1e-3).threads(2).compile(types.clone(), types.clone())?;
        let whole = millis(start.elapsed());
        let executable = trainer.executable(Task::Train).expect("the step was compiled");
        let stages: BTreeMap<_, _> =
            executable.times().iter().map(|time| (time.stage, millis(time.time))).collect();
        let tracing = whole - stages.values().sum::<f64>();
        let n_nodes = trainer.graph(Task::Train)?.n_nodes();
        if best.as_ref().is_none_or(|best| whole < best.whole) {
            best = Some(Times { n_nodes, tracing, stages, whole });
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
    println!();
}

fn main() -> Result<(), kiln::Error> {
    let narrow = GptConfig { width: 32, heads: 2, context: 16, ..GptConfig::SMALL };
    for layers in LAYERS {
        report(&format!("{layers} layers"), &measure(GptConfig { layers, ..narrow }, 2)?);
    }
    report("gpt2", &measure(GptConfig::GPT2, 1)?);
    Ok(())
}
