//! A compiled program beside the reference interpreter, kernel by kernel, on the same inputs.
//!
//! The program is compiled so that every value a kernel writes can be read afterwards. Each of these values is then
//! computed again by the interpreter from what the compiled program itself read for it: so rounding does not add up
//! from kernel to kernel, and a value that is off accuses the kernel that wrote it. What the whole program returns is
//! also compared with the interpretation of the graph as it was traced; if only that differs, the passes are bisected.
//!
//! Eager execution is held to the interpreter in the same way, an op at a time.
//!
//! ```
//! use kiln::prelude::*;
//!
//! let model = Linear::new(3, 2);
//! let trainer = Trainer::new(&model).loss(mse).optimizer(Sgd::new(0.1)).compile(f32(&[4, 3]), f32(&[4, 2]))?;
//! let (x, y) = (TensorData::zeros(&f32(&[4, 3])), TensorData::zeros(&f32(&[4, 2])));
//! let verification = trainer.verify(&x, &y)?;
//! assert!(verification.is_good(), "{verification}");
//! # Ok::<(), kiln::Error>(())
//! ```

mod report;
mod rounding;

pub use report::{KernelCheck, ResultCheck, ValueCheck, Verification};

use crate::compile::{CompileOptions, compile};
use crate::eager::{CompiledEvaluator, Evaluator};
use crate::error::Error;
use crate::state::State;
use crate::trainer::{Batch, Trainer};
use kiln_ir::kernel::Kernel;
use kiln_ir::{
    DType, Graph, Names, NodeId, Op, TensorData, TensorType, Tolerance, compare, evaluate, evaluate_loop,
    interpret, interpret_observed,
};
use kiln_passes::pipeline::{Pipeline, bisect};
use kiln_passes::{cost, lower, print_lowered};
use rounding::{Nudge, nudged};
use std::collections::HashMap;
use std::panic::Location;

/// How far an `f32` that a kernel computes may be from the interpreter's, as a share of the greatest magnitude in its
/// tensor: about 800 roundings. Sums of thousands of terms that cancel need some hundred; a wrong element is off by a
/// share near 1.
pub const TOLERANCE_F32: f64 = 1e-4;

/// As [`TOLERANCE_F32`], for `f64`.
pub const TOLERANCE_F64: f64 = 2e-13;

/// How far a result of the whole program may be from that of the traced graph: the norm of the difference as a share of
/// the norm of the result. Not element by element, because a program may magnify rounding without limit: the first step
/// of Adam goes by the sign of each gradient.
pub const RESULT_TOLERANCE: f64 = 1e-3;

impl Trainer<'_> {
    /// Runs the compiled program of a step (of a prediction, when the model was compiled for inference) beside the
    /// reference interpreter, on this batch and the present state, which stays as it is.
    ///
    /// The interpreter takes about a thousand times as long as the program. Errors: the batch has other types than the
    /// trainer was compiled for.
    #[track_caller]
    pub fn verify(&self, inputs: &impl Batch, targets: &impl Batch) -> Result<Verification, Error> {
        let (graph, values) = self.program_of(inputs, targets, Location::caller())?;
        Ok(verify(&graph, &values, &self.compile_options()?))
    }

    /// As [`verify`](Trainer::verify), but each op is computed on its own, as eager execution does, in place of the
    /// compiled program.
    #[track_caller]
    pub fn verify_eager(&self, inputs: &impl Batch, targets: &impl Batch) -> Result<Verification, Error> {
        let (graph, values) = self.program_of(inputs, targets, Location::caller())?;
        Ok(verify_eager(&graph, &values, &self.compile_options()?))
    }

    /// The program of a step on a batch, whose types are checked, and its inputs: the present state and the batch.
    fn program_of(
        &self,
        inputs: &impl Batch,
        targets: &impl Batch,
        location: &'static Location<'static>,
    ) -> Result<(Graph, Vec<TensorData>), Error> {
        let (inputs, targets) = (inputs.tensors(), targets.tensors());
        self.check(&inputs, &targets, location)?;
        let types = |side: &[&TensorData]| -> Vec<TensorType> { side.iter().map(|data| data.ty()).collect() };
        let graph = self.graph_for(self.task(), types(&inputs), types(&targets))?;
        let mut values = self.state_values();
        values.extend(inputs.iter().chain(&targets).map(|&tensor| tensor.clone()));
        Ok((graph, values))
    }
}

/// Runs the compiled program of a traced graph beside the reference interpreter on these inputs.
///
/// # Panics
/// When the inputs are not of the graph's types.
pub fn verify(traced: &Graph, inputs: &[TensorData], options: &CompileOptions) -> Verification {
    verify_observed(traced, inputs, options, &mut |_| ())
}

/// As [`verify`], which takes its time: `observe` is told the share of the work that is done, from 0 to 1.
///
/// # Panics
/// As [`verify`].
pub fn verify_observed(
    traced: &Graph,
    inputs: &[TensorData],
    options: &CompileOptions,
    observe: &mut dyn FnMut(f64),
) -> Verification {
    let mut graph = traced.clone();
    if options.optimize {
        Pipeline::standard().run(&mut graph, &options.passes);
    }
    lower::separate_outputs(&mut graph);
    let run = Observed::new(&graph, inputs, options);
    let names = Names::new(&graph);
    let of_kernels: u64 = run.kernels.iter().map(|kernel| work_of_kernel(&graph, kernel)).sum();
    let mut done = Done { done: 0, all: of_kernels + work_of_graph(traced), observe };
    let kernels = run.check(&graph, &names, &mut done);
    let expected = expected(traced, inputs, &mut done);
    let results = check_results(&graph, &names, &run.values, (traced, inputs), &expected);
    let mut verification = Verification { name: traced.name.clone(), kernels, results, guilty: None };
    if !verification.is_good() && verification.first_difference().is_none() {
        verification.guilty = bisect(&Pipeline::standard(), traced, |graph| {
            let results = interpret(graph, inputs).unwrap_or_else(|error| panic!("{error}"));
            results
                .iter()
                .zip(&expected)
                .any(|(got, expected)| norm_distance(got, expected) > RESULT_TOLERANCE)
        });
    }
    verification
}

/// Computes a traced graph op by op, as eager execution does, and compares each value with the reference interpreter's.
///
/// # Panics
/// When the inputs are not of the graph's types.
pub fn verify_eager(traced: &Graph, inputs: &[TensorData], options: &CompileOptions) -> Verification {
    verify_eager_observed(traced, inputs, options, &mut |_| ())
}

/// As [`verify_eager`]; `observe` is told the share of the work that is done, from 0 to 1.
///
/// # Panics
/// As [`verify_eager`].
pub fn verify_eager_observed(
    traced: &Graph,
    inputs: &[TensorData],
    options: &CompileOptions,
    observe: &mut dyn FnMut(f64),
) -> Verification {
    let mut evaluator = CompiledEvaluator::new(options.clone());
    let values = evaluator.evaluate_nodes(traced, inputs.to_vec());
    let values = values.into_iter().map(|(node, value)| (node, TensorData::clone(&value))).collect();
    let run = Observed { values, kernels: Vec::new() };
    let names = Names::new(traced);
    let mut done = Done { done: 0, all: 2 * work_of_graph(traced), observe };
    let is_computed = |node: &NodeId| !matches!(traced.op(*node), Op::Input(_) | Op::Loop(_));
    let check = |node: NodeId| {
        let values = vec![run.check_value(traced, &names, node)];
        done.add(work(traced, node));
        KernelCheck { kind: "op", fuses: vec![traced.op(node).name().to_string()], values }
    };
    let kernels = names.order().iter().copied().filter(is_computed).map(check).collect();
    let expected = expected(traced, inputs, &mut done);
    let results = check_results(traced, &names, &run.values, (traced, inputs), &expected);
    Verification { name: traced.name.clone(), kernels, results, guilty: None }
}

/// How much of the interpreter's work is done.
struct Done<'a> {
    done: u64,
    all: u64,
    observe: &'a mut dyn FnMut(f64),
}

impl Done<'_> {
    fn add(&mut self, work: u64) {
        self.done += work;
        (self.observe)((self.done as f64 / self.all.max(1) as f64).min(1.0));
    }
}

/// About how much work a node is for the interpreter: its arithmetic, and each element that it makes.
fn work(graph: &Graph, node: NodeId) -> u64 {
    cost::flops(graph, node) + graph.node(node).ty().n_elements() as u64
}

fn work_of_graph(graph: &Graph) -> u64 {
    graph.ids().map(|node| work(graph, node)).sum()
}

fn work_of_kernel(graph: &Graph, kernel: &Kernel) -> u64 {
    kernel.members.iter().map(|&node| work(graph, node)).sum()
}

/// What the interpreter makes of the traced graph.
fn expected(traced: &Graph, inputs: &[TensorData], done: &mut Done<'_>) -> Vec<TensorData> {
    interpret_observed(traced, inputs, &mut |node| done.add(work(traced, node)))
        .unwrap_or_else(|error| panic!("{error}"))
}

/// A run of a program of which every value that a kernel wrote is known.
struct Observed {
    /// Inputs, and what kernels wrote.
    values: HashMap<NodeId, TensorData>,
    kernels: Vec<Kernel>,
}

impl Observed {
    /// Compiles a graph, whose outputs are separate, with each value that a kernel writes as an output more, and runs it.
    fn new(graph: &Graph, inputs: &[TensorData], options: &CompileOptions) -> Observed {
        let mut observed = graph.clone();
        for node in lower::lower(graph).schedule.kernels.iter().flat_map(|kernel| &kernel.writes) {
            // A loop's own value has no elements: its results are what is compared.
            if !observed.is_output(*node) && !matches!(graph.op(*node), Op::Loop(_)) {
                observed.add_output(*node, None);
            }
        }
        let options = CompileOptions { optimize: false, keep_text: false, ..options.clone() };
        let mut executable = compile(observed, &options);
        let types: Vec<TensorType> = inputs[..options.n_state].iter().map(TensorData::ty).collect();
        let mut state = State::new(&types);
        inputs[..options.n_state].iter().enumerate().for_each(|(i, value)| state.set(i, value));
        executable.run(&mut state, &inputs[options.n_state..].iter().collect::<Vec<_>>());
        let mut values: HashMap<NodeId, TensorData> = HashMap::new();
        for (k, output) in executable.graph().outputs().iter().enumerate() {
            let value = match output.updates {
                Some(input) => state.get(input),
                None => executable.output(k),
            };
            values.insert(output.value, value);
        }
        // After the outputs: state that stays as it is is both.
        values.extend(graph.inputs().iter().copied().zip(inputs.iter().cloned()));
        Observed { values, kernels: executable.lowered().schedule.kernels.clone() }
    }

    /// Compares each value with the interpreter's.
    fn check(&self, graph: &Graph, names: &Names, done: &mut Done<'_>) -> Vec<KernelCheck> {
        let check = |kernel: &Kernel| {
            let is_value = |node: &&NodeId| !matches!(graph.op(**node), Op::Loop(_));
            let members = kernel.members.iter().filter(|node| kernel.writes.contains(node)).filter(is_value);
            let views = kernel.writes.iter().filter(|node| !kernel.members.contains(node));
            let values = members.chain(views).map(|&node| self.check_value(graph, names, node)).collect();
            done.add(work_of_kernel(graph, kernel));
            KernelCheck {
                kind: print_lowered::kind(kernel),
                fuses: print_lowered::fused(graph, kernel),
                values,
            }
        };
        self.kernels.iter().map(check).collect()
    }

    fn check_value(&self, graph: &Graph, names: &Names, node: NodeId) -> ValueCheck {
        let expected = self.compute(graph, node, None, &mut HashMap::new());
        let got = &self.values[&node];
        let largest = largest_magnitude(&expected);
        let tolerance = match expected.dtype() {
            DType::F32 => Tolerance { absolute: TOLERANCE_F32 * largest, ..Tolerance::EXACT },
            DType::F64 => Tolerance { absolute: TOLERANCE_F64 * largest, ..Tolerance::EXACT },
            DType::I32 | DType::I64 | DType::U8 | DType::Bool => Tolerance::EXACT,
        };
        let mut difference = compare(got, &expected, tolerance).err();
        let mut is_rounding = false;
        if difference.is_some() && expected.dtype().is_float() {
            let absolute = rounding::of_value(self, graph, node, &expected).max(tolerance.absolute);
            difference = compare(got, &expected, Tolerance { absolute, ..tolerance }).err();
            is_rounding = difference.is_none();
        }
        ValueCheck {
            name: names.get(node).to_string(),
            source: graph.node(node).source.as_ref().map(ToString::to_string),
            same_bits: got.same_bits(&expected),
            distance: largest_distance(got, &expected) / if largest > 0.0 { largest } else { 1.0 },
            is_rounding,
            difference,
        }
    }

    /// The value of a node by the interpreter, from what the compiled program wrote before it, or from that with a change.
    fn compute(
        &self,
        graph: &Graph,
        node: NodeId,
        nudge: Nudge,
        known: &mut HashMap<NodeId, TensorData>,
    ) -> TensorData {
        if let Some(value) = known.get(&node) {
            return value.clone();
        }
        // A result of a loop is computed from what the loop takes.
        let of = match graph.op(node) {
            Op::LoopResult { .. } => graph.operands(node)[0],
            _ => node,
        };
        let operands: Vec<TensorData> = graph
            .operands(of)
            .iter()
            .map(|&operand| match (self.values.get(&operand), graph.op(operand)) {
                (Some(value), _) => nudged(value, nudge),
                (None, Op::Dense(data)) => TensorData::clone(data),
                (None, _) => self.compute(graph, operand, nudge, known),
            })
            .collect();
        let operands: Vec<&TensorData> = operands.iter().collect();
        let value = match (graph.op(node), graph.op(of)) {
            (Op::LoopResult { position, .. }, Op::Loop(looped)) => {
                evaluate_loop(looped, &operands).swap_remove(*position)
            }
            (op, _) => evaluate(op, &operands),
        };
        // What is computed on the way is rounded as well.
        let value = nudged(&value, nudge);
        known.insert(node, value.clone());
        value
    }
}

fn check_results(
    graph: &Graph,
    names: &Names,
    values: &HashMap<NodeId, TensorData>,
    (traced, inputs): (&Graph, &[TensorData]),
    expected: &[TensorData],
) -> Vec<ResultCheck> {
    let outputs = graph.outputs().iter().zip(expected);
    let check = |(output, expected): (&kiln_ir::Output, &TensorData)| ResultCheck {
        name: names.get(output.updates.map_or(output.value, |input| graph.inputs()[input])).to_string(),
        distance: norm_distance(&values[&output.value], expected),
        rounding: 0.0,
    };
    let mut checks: Vec<ResultCheck> = outputs.map(check).collect();
    if !checks.iter().all(ResultCheck::is_good) {
        for (check, rounding) in checks.iter_mut().zip(rounding::of_results(traced, inputs, expected)) {
            check.rounding = rounding;
        }
    }
    checks
}

fn largest_magnitude(data: &TensorData) -> f64 {
    data.to_f64_vec().into_iter().filter(|x| x.is_finite()).fold(0.0, |largest, x| largest.max(x.abs()))
}

/// The greatest distance between two elements; not finite when that is true of one of them.
fn largest_distance(got: &TensorData, expected: &TensorData) -> f64 {
    let pairs = got.to_f64_vec().into_iter().zip(expected.to_f64_vec());
    // Equal infinities are no distance apart, and neither are two NaN.
    let distance = |(g, e): (f64, f64)| if g == e || g.is_nan() && e.is_nan() { 0.0 } else { (g - e).abs() };
    pairs.map(distance).fold(0.0, |largest: f64, d| if d.is_nan() { f64::INFINITY } else { largest.max(d) })
}

/// Norm of the difference as a share of the norm of what is expected.
fn norm_distance(got: &TensorData, expected: &TensorData) -> f64 {
    if got.same_bits(expected) {
        return 0.0;
    }
    let norm = |values: &mut dyn Iterator<Item = f64>| values.map(|x| x * x).sum::<f64>().sqrt();
    let (got, expected) = (got.to_f64_vec(), expected.to_f64_vec());
    let difference = norm(&mut got.iter().zip(&expected).map(|(g, e)| g - e));
    let share = difference / norm(&mut expected.iter().copied());
    if share.is_nan() { difference } else { share }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kiln_ir::{parse, random_data};

    /// A step with a product by tiles, state and two kernels.
    fn graph() -> Graph {
        parse(
            "graph step(%w: f32[32, 64], %x: f32[128, 64]) {
                %y: f32[128, 32] = dot %x, %w { contract = [1:1] }
                %t: f32[128, 32] = tanh %y
                %s: f32[32] = reduce_sum %t { axes = [0] }
                %g: f32[32, 64] = dot %t, %x { contract = [0:0] }
                %next: f32[32, 64] = sub %w, %g
                return %s, %next => %w
            }",
        )
        .unwrap()
    }

    fn inputs(graph: &Graph) -> Vec<TensorData> {
        let types = graph.inputs().iter().map(|&input| graph.node(input).ty());
        types.enumerate().map(|(i, ty)| random_data(ty, i as u64, -1.0..1.0)).collect()
    }

    #[test]
    fn a_right_program_is_said_to_be_right() {
        let graph = graph();
        let verification = verify(&graph, &inputs(&graph), &CompileOptions::new(1, 2).unwrap());
        assert!(verification.is_good(), "{verification}");
        let text = verification.to_string();
        assert!(text.contains("`step` is right: ") && text.contains("result %w: "), "{text}");
    }

    #[test]
    fn ops_one_by_one_are_said_to_be_right() {
        let graph = graph();
        let verification = verify_eager(&graph, &inputs(&graph), &CompileOptions::new(1, 2).unwrap());
        assert!(verification.is_good(), "{verification}");
        let text = verification.to_string();
        assert!(text.contains("k1 op: tanh\n    %t  ") && text.contains("5 values of 5 kernels"), "{text}");
    }

    #[test]
    fn the_first_wrong_value_is_named() {
        let mut graph = graph();
        lower::separate_outputs(&mut graph);
        let names = Names::new(&graph);
        let node = |name: &str| graph.ids().find(|&id| names.get(id) == name).unwrap();
        let mut run = Observed::new(&graph, &inputs(&graph), &CompileOptions::new(1, 1).unwrap());
        let wrong = run.values.get_mut(&node("t")).expect("it is written for the second product");
        wrong.set(77, kiln_ir::Literal::F32(0.25));
        let mut done = Done { done: 0, all: 1, observe: &mut |_| () };
        let kernels = run.check(&graph, &names, &mut done);
        let verification =
            Verification { name: "step".to_string(), kernels, results: Vec::new(), guilty: None };
        let different: Vec<&str> = (verification.kernels.iter().flat_map(|kernel| &kernel.values))
            .filter(|value| value.difference.is_some())
            .map(|value| value.name.as_str())
            .collect();
        // The program itself computed `s` and `g` from the value that stood there before; `next` only reads `g`.
        assert_eq!(different, ["t", "s", "g"], "{verification}");
        let text = verification.to_string();
        assert!(text.contains("%t\n") && text.contains("worst at [2, 13]: 0.25"), "{text}");
    }

    /// The sum of the rows is zero but for rounding, as a gradient before a batch norm is.
    #[test]
    fn terms_that_cancel_accuse_no_kernel() {
        let graph = parse(
            "graph step(%x: f32[4, 400], %m: f32[]) {
                %s: f32[4] = reduce_sum %x { axes = [1] }
                %scale: f32[] = fill { value = 0.0025 }
                %scales: f32[4] = broadcast %scale { axes = [] }
                %mean: f32[4] = mul %s, %scales
                %means: f32[4, 400] = broadcast %mean { axes = [0] }
                %d: f32[4, 400] = sub %x, %means
                %sum: f32[4] = reduce_sum %d { axes = [1] }
                %zero: f32[4] = mul %sum, %scales
                %ones: f32[4] = broadcast %m { axes = [] }
                %next: f32[4] = add %zero, %ones
                return %zero, %next
            }",
        )
        .unwrap();
        let x = random_data(&TensorType::new(DType::F32, [4, 400]), 1, -1.0..1.0);
        let inputs = [x, TensorData::scalar(1f32)];
        let verification = verify(&graph, &inputs, &CompileOptions::new(0, 1).unwrap());
        assert!(verification.is_good(), "{verification}");
        assert!(verification.to_string().contains("all rounding: terms cancel"), "{verification}");
    }

    #[test]
    fn distances_of_what_is_not_finite() {
        let data = |values: &[f32]| TensorData::new([values.len()], values.to_vec());
        let nan = f32::NAN;
        assert_eq!(largest_distance(&data(&[nan, f32::INFINITY]), &data(&[nan, f32::INFINITY])), 0.0);
        assert_eq!(largest_distance(&data(&[nan, 1.0]), &data(&[0.0, 1.0])), f64::INFINITY);
        assert_eq!(norm_distance(&data(&[0.0, 0.0]), &data(&[0.0, 0.0])), 0.0);
        assert_eq!(norm_distance(&data(&[3.0, 4.5]), &data(&[3.0, 4.0])), 0.1);
    }
}
