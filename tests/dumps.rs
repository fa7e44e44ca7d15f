//! How to pin a dump of a model of your own, so that a change in what Kiln makes of it shows as a difference in a test.
//!
//! Copy this file into the `tests/` of your project, put your model in the place of [`Mlp`], and add
//! [insta](https://insta.rs) to the `[dev-dependencies]`. Each test takes the text of one stage and compares it with a
//! file in `tests/snapshots`; `INSTA_UPDATE=always cargo test` writes the files (`cargo insta review` shows the
//! differences and asks first). Read the text once before you commit it: the README says how.
//!
//! What a stage is good for:
//!
//! | stage | the test fails when |
//! | --- | --- |
//! | `Traced` | the model or the loss records other ops |
//! | `Gradient` | a gradient rule or the optimizer emits other ops |
//! | `Optimized`, `Dot` | a pass finds more, or less, to simplify |
//! | `Kernels` | something is fused that was not, or no longer is |
//! | `Schedule` | the order of the kernels or the plan of the memory changes: the first line has the size of the arena |
//! | `Clif`, `Asm` | other code is generated; these two depend on the machine |
//!
//! The text of a stage depends on the model and the types of the batch alone, up to `Schedule`: not on values, threads
//! or the machine. Most projects pin `Optimized` and `Schedule`; here are all of them.

use kiln::explain::Stage;
use kiln::prelude::*;

/// The model whose dumps are pinned.
struct Mlp {
    hidden: Linear,
    head: Linear,
}
kiln::parameters!(Mlp { hidden, head });

impl Model for Mlp {
    fn forward(&self, x: &Tensor) -> Tensor {
        self.head.forward(&self.hidden.forward(x).relu())
    }
}

/// The text of a stage of a whole step of training. Small extents that are all different make dumps easy to read.
fn dump(stage: Stage) -> String {
    let model = Mlp { hidden: Linear::new(3, 5), head: Linear::new(5, 2) };
    let trainer = Trainer::new(&model).loss(mse).optimizer(Sgd::new(0.1));
    let trainer = trainer.compile(f32(&[4, 3]), f32(&[4, 2])).expect("the model is right");
    trainer.text(stage).expect("a model that was compiled has a text")
}

#[test]
fn traced() {
    insta::assert_snapshot!(dump(Stage::Traced));
}

#[test]
fn gradient() {
    insta::assert_snapshot!(dump(Stage::Gradient));
}

#[test]
fn optimized() {
    insta::assert_snapshot!(dump(Stage::Optimized));
}

#[test]
fn kernels() {
    insta::assert_snapshot!(dump(Stage::Kernels));
}

#[test]
fn schedule() {
    insta::assert_snapshot!(dump(Stage::Schedule));
}

#[test]
fn dot() {
    insta::assert_snapshot!(dump(Stage::Dot));
}

/// A dump can also be held to one fact, which survives every change that does not touch it.
#[test]
fn a_step_is_few_kernels_in_little_memory() {
    let model = Mlp { hidden: Linear::new(3, 5), head: Linear::new(5, 2) };
    let trainer = Trainer::new(&model).loss(mse).optimizer(Sgd::new(0.1));
    let trainer = trainer.compile(f32(&[4, 3]), f32(&[4, 2])).expect("the model is right");
    let explanation = trainer.explain().expect("the model is compiled");
    assert!(explanation.kernels.len() <= 9, "{explanation}");
    assert!(explanation.arena_bytes <= explanation.arena_bytes_without_reuse, "{explanation}");
}

/// The code depends on the instruction set and on the number of threads, so both are fixed here, and a machine without
/// that instruction set has nothing to compare.
mod code {
    use super::*;
    use kiln::compile::CompileOptions;
    use kiln::explain;
    use kiln::kernels::isa::Isa;
    use kiln::trainer::Task;
    use std::io::Write;

    /// The text of the code of a prediction, for AVX2 and one thread.
    fn dump(stage: Stage) -> Option<String> {
        if !Isa::available().contains(&Isa::Avx2) {
            // Not `eprintln!`, which the test runner keeps to itself when the test passes.
            let _ = writeln!(std::io::stderr(), "skipped: this machine has no AVX2, whose code is pinned");
            return None;
        }
        let model = Mlp { hidden: Linear::new(3, 5), head: Linear::new(5, 2) };
        let trainer = Trainer::new(&model).loss(mse).optimizer(Sgd::new(0.1));
        let trainer = trainer.compile(f32(&[4, 3]), f32(&[4, 2])).expect("the model is right");
        let graph = trainer.graph(Task::Predict).expect("the model is right");
        let n_state = trainer.executable(Task::Train).expect("its steps are compiled").n_state();
        let options = CompileOptions::new(n_state, 1).expect("one thread");
        Some(explain::text(graph, stage, &CompileOptions { isa: Isa::Avx2, ..options }).unwrap())
    }

    #[test]
    fn clif() {
        if let Some(text) = dump(Stage::Clif) {
            insta::assert_snapshot!(text);
        }
    }

    #[test]
    fn asm() {
        if let Some(text) = dump(Stage::Asm) {
            insta::assert_snapshot!(text);
        }
    }
}
