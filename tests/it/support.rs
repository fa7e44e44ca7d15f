//! What several tests need.

use kiln::Tensor;
use kiln::compile::{CompileOptions, compile};
use kiln::prelude::*;
use kiln::state::State;
use kiln_ir::Graph;
use kiln_ir::interpret::interpret;
use std::borrow::Borrow;
use std::io::Write;
use std::path::{Path, PathBuf};

/// A path below the directory of shared test data, which `KILN_SHARED` names or which lies beside the repository. Says
/// so when there is none: such a test checks nothing then.
pub fn shared(path: &str) -> Option<PathBuf> {
    let shared = match std::env::var_os("KILN_SHARED") {
        Some(shared) => PathBuf::from(shared),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared"),
    };
    let found = shared.join(path);
    if !found.exists() {
        // Not `eprintln!`, which the test runner keeps to itself when the test passes.
        let _ = writeln!(std::io::stderr(), "skipped: {} not found", found.display());
        return None;
    }
    Some(found)
}

/// The result of a function of tensors, traced and interpreted.
#[track_caller]
pub fn run<T: Borrow<TensorData>>(inputs: &[T], function: impl Fn(&[Tensor]) -> Tensor) -> TensorData {
    run_all(inputs, |x| vec![function(x)]).remove(0)
}

/// The results of a function of tensors, traced and interpreted.
#[track_caller]
pub fn run_all<T: Borrow<TensorData>>(
    inputs: &[T],
    function: impl Fn(&[Tensor]) -> Vec<Tensor>,
) -> Vec<TensorData> {
    let inputs: Vec<TensorData> = inputs.iter().map(|input| input.borrow().clone()).collect();
    interpret(&traced(&inputs, function), &inputs).expect("the inputs fit")
}

/// The results of a function of tensors, traced and compiled.
#[track_caller]
pub fn run_compiled(inputs: &[TensorData], function: impl Fn(&[Tensor]) -> Vec<Tensor>) -> Vec<TensorData> {
    let graph = traced(inputs, function);
    let n_results = graph.outputs().len();
    let options = CompileOptions::new(0, 2).expect("two threads");
    let mut executable = compile(graph, &options);
    executable.run(&mut State::new(&[]), &inputs.iter().collect::<Vec<_>>());
    (0..n_results).map(|k| executable.output(k)).collect()
}

/// The graph of a function of tensors.
#[track_caller]
fn traced(inputs: &[TensorData], function: impl Fn(&[Tensor]) -> Vec<Tensor>) -> Graph {
    let tracer = Tracer::new("test");
    let tensors: Vec<Tensor> =
        inputs.iter().enumerate().map(|(i, data)| tracer.input(&format!("x{i}"), data.ty())).collect();
    let results = function(&tensors);
    let graph = match tracer.finish(&results.iter().collect::<Vec<_>>()) {
        Ok(graph) => graph,
        Err(error) => panic!("{error}"),
    };
    kiln_ir::verify::verify(&graph).expect("a traced graph is well formed");
    graph
}

/// The gradients of the sum of a function's result with respect to all its inputs.
#[track_caller]
pub fn gradients<T: Borrow<TensorData>>(
    inputs: &[T],
    function: impl Fn(&[Tensor]) -> Tensor,
) -> Vec<TensorData> {
    run_all(inputs, |x| {
        let y = function(x).sum(..);
        x[0].tracer().gradient(&y, &x.iter().collect::<Vec<_>>())
    })
}

/// A vector of `f32`.
pub fn vector(values: &[f32]) -> TensorData {
    TensorData::new([values.len()], values.to_vec())
}

/// A tensor of `f32` that counts from 0.
pub fn counting(extents: &[usize]) -> TensorData {
    let n = extents.iter().product::<usize>();
    TensorData::new(extents, (0..n).map(|i| i as f32).collect())
}

/// Checks elements to a relative or absolute 1e-6: what single operations on `f32` are exact to.
#[track_caller]
pub fn assert_close(found: &TensorData, expected: &[f64]) {
    assert_within(found, expected, 1e-6);
}

/// Checks elements to a relative or absolute tolerance.
#[track_caller]
pub fn assert_within(found: &TensorData, expected: &[f64], tolerance: f64) {
    let found = found.to_f64_vec();
    assert_eq!(found.len(), expected.len(), "{found:?} against {expected:?}");
    for (f, e) in found.iter().zip(expected) {
        let equal = f == e || (f.is_nan() && e.is_nan());
        assert!(equal || (f - e).abs() <= tolerance * e.abs().max(1.0), "{found:?} against {expected:?}");
    }
}
