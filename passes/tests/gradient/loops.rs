//! Gradients of loops with random bodies, beside those of the same steps written out one after the other: first and
//! second order, before and after the passes.

use kiln_ir::emit::EmitExt;
use kiln_ir::op::{BinaryOp, Dot, Loop, ReduceOp, Slice, UnaryOp};
use kiln_ir::random_graph::choices;
use kiln_ir::{
    DType, Emit, Graph, NodeId, Op, Output, TensorData, TensorType, Tolerance, compare, interpret,
    random_data, verify,
};
use kiln_passes::gradient::gradient_or_zero;
use kiln_passes::{Options, Pipeline};
use proptest::prelude::*;
use std::sync::Arc;

/// Rows and columns of what is carried; all other shapes follow.
const ROWS: usize = 2;
const COLUMNS: usize = 3;

/// How many of each kind of operand a loop has.
const N_CARRIED: usize = 2;
const N_STACKED: usize = 2;
const N_INVARIANT: usize = 3;

/// A loop, before it is said how it is written.
struct Recipe {
    words: Vec<u32>,
    n_steps: usize,
    reverse: bool,
}

/// Types of what one step is given: carried values, parts of stacked ones, invariant ones.
fn types() -> [Vec<TensorType>; 3] {
    let ty = |extents: &[usize]| TensorType::new(DType::F64, extents);
    [
        vec![ty(&[ROWS, COLUMNS]), ty(&[ROWS, COLUMNS])],
        vec![ty(&[ROWS, COLUMNS]), ty(&[COLUMNS])],
        vec![ty(&[COLUMNS, COLUMNS]), ty(&[COLUMNS]), ty(&[ROWS, COLUMNS])],
    ]
}

impl Recipe {
    /// One step: from its inputs to the next carried values, and two values to stack. Every value has the shape of the
    /// carried ones and stays of moderate size.
    fn step(&self, e: &mut Graph, inputs: &[NodeId]) -> (Vec<NodeId>, Vec<NodeId>) {
        let mut choose = choices(&self.words);
        let shape = e.shape(inputs[0]);
        let [matrix, row, vector] = [4, 5, 3].map(|i| inputs[i]);
        let mut values = vec![inputs[0], inputs[1], inputs[2], inputs[6]];
        values.push(e.broadcast(row, shape.clone(), &[1]));
        values.push(e.broadcast(vector, shape.clone(), &[1]));
        for _ in 0..2 + choose(8) {
            let mut pick = || values[values.len() - 1 - choose(values.len() as u32) as usize];
            let (a, b) = (pick(), pick());
            let value = match choose(8) {
                0 => {
                    let sin = e.unary(UnaryOp::Sin, a);
                    e.mul(sin, b)
                }
                1 => EmitExt::add(e, a, b),
                2 => e.unary(UnaryOp::Tanh, a),
                3 => e.unary(UnaryOp::Sin, a),
                4 | 5 => {
                    let contract = [(1, choose(2) as usize)].into_iter().collect();
                    e.emit(Op::Dot(Dot { batch: Default::default(), contract }), &[a, matrix])
                }
                6 => {
                    let sum = e.reduce(ReduceOp::Sum, a, &[choose(2) as usize]);
                    let axis = if e.shape(sum).extents() == [ROWS] { 0 } else { 1 };
                    let back = e.broadcast(sum, shape.clone(), &[axis]);
                    e.binary(BinaryOp::Sub, back, b)
                }
                _ => {
                    // A product of two values of the step: neither side is a weight.
                    let contract = [(0, 0)].into_iter().collect();
                    let outer = e.emit(Op::Dot(Dot { batch: Default::default(), contract }), &[a, b]);
                    let mixed = EmitExt::add(e, outer, matrix);
                    let contract = [(1, 0)].into_iter().collect();
                    e.emit(Op::Dot(Dot { batch: Default::default(), contract }), &[b, mixed])
                }
            };
            // Repeated products would magnify rounding without limit.
            values.push(e.mul_constant(value, 0.4));
        }
        let mut pick = || values[values.len() - 1 - choose(values.len() as u32) as usize];
        let (next, kept, stacked, other) = (pick(), pick(), pick(), pick());
        let next = e.unary(UnaryOp::Tanh, next);
        // Now and then a carried value is passed on as it is, or takes the place of the other.
        let kept = if kept == inputs[0] || kept == inputs[1] { kept } else { e.unary(UnaryOp::Sin, kept) };
        (vec![next, kept], vec![stacked, other])
    }

    fn inputs(&self, graph: &mut Graph) -> Vec<NodeId> {
        let [carried, parts, invariant] = types();
        let stacked = parts.iter().map(|part| {
            let extents: Vec<usize> =
                std::iter::once(self.n_steps).chain(part.shape.iter().copied()).collect();
            TensorType::new(part.dtype, &extents[..])
        });
        let all: Vec<TensorType> = carried.into_iter().chain(stacked).chain(invariant).collect();
        all.into_iter().enumerate().map(|(i, ty)| graph.add_input(&format!("x{i}"), ty)).collect()
    }

    /// The loop, with its results as outputs of the graph.
    fn looped(&self) -> Graph {
        let mut body = Graph::new("step");
        let inputs: Vec<NodeId> = types()
            .concat()
            .into_iter()
            .enumerate()
            .map(|(i, ty)| body.add_input(&format!("p{i}"), ty))
            .collect();
        let (next, stacked) = self.step(&mut body, &inputs);
        let next = next.into_iter().enumerate().map(|(k, value)| Output { value, updates: Some(k) });
        let stacked = stacked.into_iter().map(|value| Output { value, updates: None });
        body.set_outputs(next.chain(stacked).collect());
        let looped = Loop { body, n_steps: self.n_steps, n_stacked: N_STACKED, reverse: self.reverse };
        let mut graph = Graph::new("looped");
        let inputs = self.inputs(&mut graph);
        let types: Vec<TensorType> =
            (0..looped.n_results()).map(|k| looped.result_type(k).expect("a result")).collect();
        let id = graph.emit(Op::Loop(Arc::new(looped)), &inputs);
        for (position, ty) in types.into_iter().enumerate() {
            let result = graph.emit(Op::LoopResult { position, ty }, &[id]);
            graph.add_output(result, None);
        }
        graph
    }

    /// The same results from the steps written out.
    fn written_out(&self) -> Graph {
        let mut graph = Graph::new("written_out");
        let inputs = self.inputs(&mut graph);
        let (mut carried, rest) = (inputs[..N_CARRIED].to_vec(), &inputs[N_CARRIED..]);
        let (stacks, invariant) = rest.split_at(N_STACKED);
        assert_eq!(invariant.len(), N_INVARIANT);
        let mut parts = vec![Vec::new(); 2];
        for step in 0..self.n_steps {
            let index = if self.reverse { self.n_steps - 1 - step } else { step };
            let mut given = carried.clone();
            given.extend(stacks.iter().map(|&stack| part(&mut graph, stack, index)));
            given.extend_from_slice(invariant);
            let (next, stacked) = self.step(&mut graph, &given);
            carried = next;
            for (parts, value) in parts.iter_mut().zip(stacked) {
                let extents = std::iter::once(1).chain(graph.shape(value).iter().copied()).collect();
                parts.push(graph.reshape(value, extents));
            }
        }
        carried.iter().for_each(|&value| graph.add_output(value, None));
        for mut parts in parts {
            if self.reverse {
                parts.reverse();
            }
            let stack = graph.emit(Op::Concatenate(0), &parts);
            graph.add_output(stack, None);
        }
        graph
    }
}

/// The part of a stack at an index.
fn part(graph: &mut Graph, stack: NodeId, index: usize) -> NodeId {
    let shape = graph.shape(stack);
    let rest = shape.without(&[0]);
    let start = std::iter::once(index).chain(rest.iter().map(|_| 0)).collect();
    let limit = std::iter::once(index + 1).chain(rest.iter().copied()).collect();
    let step = shape.iter().map(|_| 1).collect();
    let part = graph.emit(Op::Slice(Slice { start, limit, step }), &[stack]);
    graph.reshape(part, rest)
}

/// Adds one number that depends on values, each element in its own way.
fn mixed(graph: &mut Graph, values: &[NodeId]) -> NodeId {
    let mut total = None;
    for (k, &value) in values.iter().enumerate() {
        let ty = graph.ty(value).clone();
        let weights = graph.emit(Op::Dense(Arc::new(random_data(&ty, 100 + k as u64, -1.0..1.0))), &[]);
        let sin = graph.unary(UnaryOp::Sin, value);
        let weighted = graph.mul(sin, weights);
        let axes: Vec<usize> = (0..ty.rank()).collect();
        let sum = graph.sum(weighted, &axes);
        total = Some(total.map_or(sum, |before| EmitExt::add(graph, before, sum)));
    }
    total.expect("at least one value")
}

/// Makes the outputs of a graph: a number that mixes these of its outputs, its gradients, and those of a mix of them.
fn differentiated(mut graph: Graph, which: &[bool]) -> Graph {
    let outputs: Vec<NodeId> = graph.outputs().iter().map(|output| output.value).collect();
    let used: Vec<NodeId> =
        outputs.iter().zip(which).filter(|(_, used)| **used).map(|(&value, _)| value).collect();
    let inputs = graph.inputs().to_vec();
    let of = mixed(&mut graph, &used);
    let first = gradient_or_zero(&mut graph, of, &inputs).expect("of one number");
    let of_first = mixed(&mut graph, &first);
    let second = gradient_or_zero(&mut graph, of_first, &inputs).expect("of one number");
    graph.set_outputs(Vec::new());
    let all = std::iter::once(of).chain(first).chain(second);
    all.for_each(|value| graph.add_output(value, None));
    verify(&graph).unwrap_or_else(|error| panic!("{error}"));
    graph
}

fn results(graph: &Graph) -> Vec<TensorData> {
    let types = graph.inputs().iter().map(|&input| graph.node(input).ty());
    let inputs: Vec<TensorData> =
        types.enumerate().map(|(i, ty)| random_data(ty, i as u64, -1.0..1.0)).collect();
    interpret(graph, &inputs).unwrap_or_else(|error| panic!("{error}"))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn loops_have_the_gradients_of_their_steps_written_out(
        words in proptest::collection::vec(any::<u32>(), 0..60),
        n_steps in 1usize..5,
        reverse in any::<bool>(),
        which in proptest::collection::vec(any::<bool>(), 4),
    ) {
        prop_assume!(which.contains(&true));
        let recipe = Recipe { words, n_steps, reverse };
        let written_out = differentiated(recipe.written_out(), &which);
        let looped = differentiated(recipe.looped(), &which);
        let mut optimized = looped.clone();
        Pipeline::standard().run(&mut optimized, &Options { check: true, ..Options::default() });
        let expected = results(&written_out);
        for (name, graph) in [("looped", &looped), ("optimized", &optimized)] {
            for (k, (got, expected)) in results(graph).iter().zip(&expected).enumerate() {
                // Sums in another order; second derivatives of four steps are some thousands.
                let largest = expected.to_f64_vec().into_iter().fold(1.0, |most: f64, x| most.max(x.abs()));
                let tolerance = Tolerance { relative: 0.0, absolute: 1e-9 * largest, ulps: 0 };
                let difference = compare(got, expected, tolerance);
                prop_assert!(difference.is_ok(), "{name}, output {k}: {}\n{}", difference.unwrap_err(), recipe.looped());
            }
        }
    }
}
