//! What PyTorch does where there is no derivative: at ties, kinks and zeros (`ties.json` beside the golden cases).
//!
//! These are conventions: other subgradients are as right. Kiln has PyTorch's.

use super::directory;
use super::run::zero_times;
use crate::support::run_all;
use kiln::Combine;
use kiln::loss::{Huber, L1, MarginRanking, Reduction, SmoothL1};
use kiln::prelude::*;
use serde_json::Value;

/// The function of a case, by its name in the file.
fn function(op: &str, x: &[Tensor]) -> Option<Tensor> {
    let first = &x[0];
    let second = || &x[1];
    Some(match op {
        "relu at 0" => first.relu(),
        "relu6 at 0 and 6" => first.relu6(),
        "leaky_relu(0.1) at 0" => first.leaky_relu(0.1),
        "elu at 0" => first.elu(1.0),
        "abs at 0" => first.abs(),
        "sign" => first.sign(),
        "sqrt at 0" => first.sqrt(),
        "hardsigmoid at -3 and 3" => first.hardsigmoid(),
        "hardswish at -3 and 3" => first.hardswish(),
        "hardshrink(0.5) at bounds" => first.hardshrink(0.5),
        "softshrink(0.5) at bounds" => first.softshrink(0.5),
        "threshold(x,1,9) at 1" => first.threshold(1.0, 9.0),
        "prelu at 0" => first.prelu(second()),
        "clamp(-1,1) at bounds" => first.clamp(-1.0, 1.0),
        "clamp with tensor bounds, tie" => first.clamp(second(), &x[2]),
        "maximum, tie" => first.maximum(second()),
        "minimum, tie" => first.minimum(second()),
        "fmax, tie" => first.fmax(second()),
        "fmin, tie" => first.fmin(second()),
        "amax(dim=1), ties" => first.max(1),
        "max(dim=1).values, ties" => first.max_along(1, false).0,
        "max() of all, ties" => first.max(..),
        "min() of all, ties" => first.min(..),
        "median(dim=1).values" => first.median(1, false).0,
        "cummax(dim=1).values, ties" => first.cummax(1).0,
        "topk(2).values, ties" => first.topk(2, -1, true).0,
        "sort(stable).values, ties" => first.sort(-1, false).0,
        "prod with one zero" | "prod with two zeros" => first.prod(..),
        "norm at 0" => first.norm(2.0, ..),
        "norm p=1 at 0" => first.norm(1.0, ..),
        "max_pool1d(2), ties" => first.unsqueeze(0).max_pool1d(2).squeeze(0),
        "adaptive_max_pool1d(1), ties" => first.unsqueeze(0).adaptive_max_pool([1]).squeeze(0),
        "l1_loss(sum) at equality" => L1::new().reduction(Reduction::Sum).of(first, second()),
        "smooth_l1_loss(sum) at |d|=beta=1" => SmoothL1::new().reduction(Reduction::Sum).of(first, second()),
        "huber_loss(sum) at |d|=1" => Huber::new().reduction(Reduction::Sum).of(first, second()),
        "margin_ranking_loss(sum) at 0" => {
            let target = first.ones_like();
            MarginRanking::new().reduction(Reduction::Sum).of(first, second(), &target)
        }
        "pow(x,2) at 0" => first.pow(2.0),
        "pow(x,y) with x=0" => first.pow(second()),
        "atan2(0,x)" => first.atan2(second()),
        "fmod" => first.fmod(second()),
        "remainder" => first.remainder(second()),
        "scatter_reduce amax, ties" => {
            let index = first.constant(TensorData::new([3], vec![0i64, 0, 1]));
            first.scatter_reduce(0, &index, second(), Combine::Max, true)
        }
        "where: unselected branch" => first.gt(0.0).select(first, second()),
        "floor/round/ceil/trunc have zero gradient" => {
            first.floor() + first.round() + first.ceil() + first.trunc()
        }
        "normalize at 0" => first.normalize(2.0, 0, 1e-12),
        "xlogy at 0" => first.xlogy(second()),
        _ => return None,
    })
}

#[test]
fn ties_and_kinks_are_decided_as_in_pytorch() {
    let Some(directory) = directory() else { return };
    let Ok(text) = std::fs::read_to_string(directory.join("ties.json")) else { return };
    let file: Value = serde_json::from_str(&text).expect("JSON");
    let mut problems = Vec::new();
    for case in file["cases"].as_array().expect("a list of cases") {
        let op = case["op"].as_str().expect("a name");
        if let Err(problem) = check(op, case) {
            problems.push(format!("{op}: {problem}"));
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

/// Whether the result and the gradients of a case are PyTorch's.
fn check(op: &str, case: &Value) -> Result<(), String> {
    let list =
        |key: &str| -> Vec<TensorData> { case[key].as_array().expect("a list").iter().map(tensor).collect() };
    let (inputs, gradients, output) = (list("inputs"), list("gradients"), tensor(&case["output"]));
    let mut all = inputs.clone();
    all.push(tensor(&case["cotangent"]));
    let known = std::cell::Cell::new(true);
    let results = run_all(&all, |x| {
        let (cotangent, x) = x.split_last().expect("a cotangent");
        let Some(y) = function(op, x) else {
            known.set(false);
            return vec![cotangent.clone()];
        };
        let asked: Vec<&Tensor> = x[..gradients.len()].iter().collect();
        let loss = asked.iter().fold((&y * cotangent).sum(..), |sum, x| sum + zero_times(x));
        std::iter::once(y).chain(loss.tracer().gradient(&loss, &asked)).collect()
    });
    if !known.get() {
        return Err("no function of this name".to_string());
    }
    for (found, expected) in results.iter().zip(std::iter::once(&output).chain(&gradients)) {
        let (found, expected) = (found.to_f64_vec(), expected.to_f64_vec());
        let close = |(f, e): (&f64, &f64)| (f - e).abs() <= 1e-5 * e.abs().max(1.0);
        if found.len() != expected.len() || !found.iter().zip(&expected).all(close) {
            return Err(format!("{found:?}, in PyTorch {expected:?}"));
        }
    }
    Ok(())
}

/// A number, or lists of numbers, as a tensor.
fn tensor(value: &Value) -> TensorData {
    fn flatten(value: &Value, shape: &mut Vec<usize>, depth: usize, into: &mut Vec<f32>) {
        match value {
            Value::Array(items) => {
                if shape.len() == depth {
                    shape.push(items.len());
                }
                items.iter().for_each(|item| flatten(item, shape, depth + 1, into));
            }
            number => into.push(number.as_f64().expect("a number") as f32),
        }
    }
    let (mut shape, mut elements) = (Vec::new(), Vec::new());
    flatten(value, &mut shape, 0, &mut elements);
    TensorData::new(shape.as_slice(), elements)
}
