//! Runs one case: traces the call, derives the gradients, computes everything in two ways and compares.

use super::call::{Call, Function, Outputs};
use super::case::{Case, Expected, is_differentiable};
use kiln::compile::{CompileOptions, compile};
use kiln::prelude::*;
use kiln::state::State;
use kiln_ir::{Graph, Literal, Tolerance, interpret};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// What came of a case.
pub enum Outcome {
    /// As PyTorch; `at_kink`: but for the choice of a subgradient where there is no derivative.
    Passed { at_kink: bool },
    /// Not as PyTorch, or a panic.
    Failed(String),
    /// Not in Kiln, for this reason.
    NotSupported(String),
}

/// Runs one case of a function: with the interpreter, and as a compiled program.
pub fn run(function: &Function, case: &Case, options: &CompileOptions) -> Outcome {
    let run = || -> Result<Outcome, String> {
        let program = trace(function, case)?;
        let values = input_values(case);
        let interpreted = interpret(&program.graph, &values).map_err(|error| error.to_string())?;
        let outcome = program.compare(case, "interpreted", &interpreted);
        if !matches!(outcome, Outcome::Passed { .. }) {
            return Ok(outcome);
        }
        let mut executable = compile(program.graph.clone(), options);
        executable.run(&mut State::new(&[]), &values.iter().collect::<Vec<_>>());
        let computed: Vec<TensorData> = (0..interpreted.len()).map(|k| executable.output(k)).collect();
        Ok(program.compare(case, "compiled", &computed))
    };
    match catch_unwind(AssertUnwindSafe(run)) {
        Ok(Ok(outcome)) => outcome,
        Ok(Err(reason)) => Outcome::NotSupported(reason),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| text.to_string()));
            Outcome::Failed(format!("panic: {}", text.unwrap_or_default()))
        }
    }
}

/// The values of the inputs of a case's graph: those of the call, then the cotangents.
fn input_values(case: &Case) -> Vec<TensorData> {
    let cotangents = case.outputs.iter().filter_map(|output| output.cotangent.clone());
    case.inputs.iter().map(|input| input.data.clone()).chain(cotangents).collect()
}

/// A graph whose outputs are the call's outputs, the new values of its buffers, and its gradients; its inputs are the
/// call's and the cotangents.
struct Program {
    graph: Graph,
    n_outputs: usize,
    /// Position of the input of each new value of a buffer.
    updates: Vec<usize>,
}

fn trace(function: &Function, case: &Case) -> Result<Program, String> {
    let tracer = Tracer::new(function.name);
    tracer.set_training(case.module.as_ref().is_some_and(|module| module.training));
    let input = |(i, input): (usize, &super::case::Input)| tracer.input(&format!("i{i}"), input.data.ty());
    let inputs: Vec<Tensor> = case.inputs.iter().enumerate().map(input).collect();
    let built = (function.build)(&Call::new(case, &tracer, &inputs));
    tracer.check().map_err(|error| first_line(&error.to_string()))?;
    let Outputs { values, updates } = built.map_err(|error| error.0)?;
    let gradients = gradients(&tracer, case, &inputs, &values);
    let all: Vec<&Tensor> =
        values.iter().chain(updates.iter().map(|(_, value)| value)).chain(&gradients).collect();
    let graph = tracer.finish(&all).map_err(|error| first_line(&error.to_string()))?;
    let updates = updates.into_iter().map(|(position, _)| position).collect();
    Ok(Program { graph, n_outputs: values.len(), updates })
}

/// The gradients of the sum of `output * cotangent`.
fn gradients(tracer: &Tracer, case: &Case, inputs: &[Tensor], values: &[Tensor]) -> Vec<Tensor> {
    let asked: Vec<&Tensor> = differentiated(case).map(|(i, _)| &inputs[i]).collect();
    let mut terms: Vec<Tensor> = asked.iter().map(|x| zero_times(x)).collect();
    for (j, output) in case.outputs.iter().enumerate() {
        let Some(data) = &output.cotangent else { continue };
        let cotangent = tracer.input(&format!("c{j}"), data.ty());
        // Outputs that differ from PyTorch's in number or type are reported when the values are compared.
        if let Some(value) = values.get(j).filter(|value| *value.ty() == data.ty()) {
            terms.push((value * cotangent).sum(..));
        }
    }
    match terms.into_iter().reduce(|sum, term| sum + term) {
        Some(sum) if !asked.is_empty() => tracer.gradient(&sum, &asked),
        Some(_) | None => Vec::new(),
    }
}

/// Zero, whatever the elements are, as a function of `x`: so that a value that no gradient reaches has one of zero, as
/// it has in PyTorch, and not the error it is for a user.
pub fn zero_times(x: &Tensor) -> Tensor {
    let never = x.eq(x).logical_and(x.ne(x));
    never.select(x, 0.0).sum(..)
}

/// The inputs whose gradient PyTorch gives, with their positions.
fn differentiated(case: &Case) -> impl Iterator<Item = (usize, &Expected)> {
    let inputs = case.inputs.iter().enumerate().filter(|(_, input)| is_differentiable(&input.data));
    inputs.filter_map(|(i, input)| input.gradient.as_ref().map(|gradient| (i, gradient)))
}

impl Program {
    /// Compares what was computed with PyTorch's values; `how` begins the words about a difference.
    fn compare(&self, case: &Case, how: &str, got: &[TensorData]) -> Outcome {
        let differs = |what: String| Outcome::Failed(format!("{how} {what}"));
        if self.n_outputs != case.outputs.len() {
            return differs(format!("{} outputs, not {}", self.n_outputs, case.outputs.len()));
        }
        let (outputs, rest) = got.split_at(self.n_outputs);
        let (updates, gradients) = rest.split_at(self.updates.len());
        for (j, (got, output)) in outputs.iter().zip(&case.outputs).enumerate() {
            if let Err(problem) = near(got, &output.expected) {
                return differs(format!("output {j}: {problem}"));
            }
        }
        for (position, expected) in mutated(case) {
            let Some(at) = self.updates.iter().position(|update| *update == position) else {
                return differs(format!("input {position} should have changed"));
            };
            if let Err(problem) = near(&updates[at], &expected) {
                return differs(format!("input {position} after the call: {problem}"));
            }
        }
        let mut at_kink = false;
        for (got, (i, expected)) in gradients.iter().zip(differentiated(case)) {
            match near(got, expected) {
                Ok(()) => {}
                Err(_) if case.nonsmooth => at_kink = true,
                Err(problem) => return differs(format!("gradient of input {i}: {problem}")),
            }
        }
        Outcome::Passed { at_kink }
    }
}

/// The buffers that the call changes. PyTorch gives no tolerance for them: that of the outputs' rule is taken.
fn mutated(case: &Case) -> impl Iterator<Item = (usize, Expected)> {
    case.inputs.iter().enumerate().filter_map(|(i, input)| {
        let data = input.mutated.clone()?;
        let greatest = data.to_f64_vec().iter().fold(0.0f64, |greatest, v| greatest.max(v.abs()));
        Some((i, Expected { data, atol: (2e-5 * greatest).max(1e-6) }))
    })
}

fn near(got: &TensorData, expected: &Expected) -> Result<(), String> {
    let finite = |data: &TensorData| (0..data.n_elements()).all(|i| data.get(i).as_f64().is_finite());
    let tolerance = Tolerance { absolute: expected.atol, ..Tolerance::EXACT };
    kiln_ir::compare(got, &expected.data, tolerance).map_err(|difference| {
        let note = if finite(got) { "" } else { " (not finite)" };
        format!("{difference} within {}{note}", Literal::F64(expected.atol))
    })
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().trim().to_string()
}
