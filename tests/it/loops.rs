//! Loops: compiled beside the interpreter, their gradients beside differences, and what does not grow with their steps.

use kiln::compile::{CompileOptions, compile};
use kiln::prelude::*;
use kiln::state::State;
use kiln_ir::emit::EmitExt;
use kiln_ir::{Graph, NodeId, Op, Tolerance, compare, interpret, parse, random_data};
use kiln_passes::gradient::gradient;
use kiln_passes::pipeline::Pipeline;
use std::time::Instant;

/// A recurrent layer of `h.next = tanh(x w + h u + b)`, with the sum of all `h` as its result.
fn recurrent(n_steps: usize, batch: usize, width: usize, reverse: bool) -> Graph {
    let reverse = if reverse { ", reverse = true" } else { "" };
    let text = format!(
        "graph recurrent(%h: f32[{batch}, {width}], %x: f32[{n_steps}, {batch}, {width}], %w: f32[{width}, {width}], %u: f32[{width}, {width}], %b: f32[{width}]) {{
            %l: u8[0] = loop %h, %x, %w, %u, %b {{ steps = {n_steps}, stacked = 1{reverse} }} graph cell(%h: f32[{batch}, {width}], %x: f32[{batch}, {width}], %w: f32[{width}, {width}], %u: f32[{width}, {width}], %b: f32[{width}]) {{
                %xw: f32[{batch}, {width}] = dot %x, %w {{ contract = [1:0] }}
                %hu: f32[{batch}, {width}] = dot %h, %u {{ contract = [1:0] }}
                %sum: f32[{batch}, {width}] = add %xw, %hu
                %bs: f32[{batch}, {width}] = broadcast %b {{ axes = [1] }}
                %z: f32[{batch}, {width}] = add %sum, %bs
                %next: f32[{batch}, {width}] = tanh %z
                return %next => %h, %next
            }}
            %last: f32[{batch}, {width}] = loop_result %l {{ position = 0 }}
            %all: f32[{n_steps}, {batch}, {width}] = loop_result %l {{ position = 1 }}
            %square: f32[{n_steps}, {batch}, {width}] = mul %all, %all
            %sum: f32[] = reduce_sum %square {{ axes = [0, 1, 2] }}
            return %sum, %last
        }}"
    );
    parse(&text).unwrap_or_else(|error| panic!("{error}"))
}

/// The graph with the gradients of its first result as further results.
fn with_gradients(graph: &Graph) -> Graph {
    let mut graph = graph.clone();
    let of = graph.outputs()[0].value;
    let inputs = graph.inputs().to_vec();
    let gradients = gradient(&mut graph, of, &inputs).unwrap_or_else(|error| panic!("{error}"));
    gradients.into_iter().for_each(|gradient| graph.add_output(gradient, None));
    graph
}

fn inputs(graph: &Graph) -> Vec<TensorData> {
    let types = graph.inputs().iter().map(|&input| graph.node(input).ty());
    types.enumerate().map(|(i, ty)| random_data(ty, i as u64, -0.5..0.5)).collect()
}

fn run(graph: &Graph, inputs: &[TensorData], threads: usize, optimize: bool) -> Vec<TensorData> {
    let options = CompileOptions { shared_from: 1, optimize, ..CompileOptions::new(0, threads).unwrap() };
    let mut executable = compile(graph.clone(), &options);
    executable.run(&mut State::new(&[]), &inputs.iter().collect::<Vec<_>>());
    (0..graph.outputs().len()).map(|k| executable.output(k)).collect()
}

/// Compiled programs give what the interpreter gives of the graph as it is, and the same bits on each team.
fn check(graph: &Graph) {
    let inputs = inputs(graph);
    let expected = interpret(graph, &inputs).unwrap();
    for optimize in [false, true] {
        let first = run(graph, &inputs, 1, optimize);
        for (k, (got, expected)) in first.iter().zip(&expected).enumerate() {
            compare(got, expected, Tolerance::mixed(2e-4))
                .unwrap_or_else(|problem| panic!("output {k}: {problem}\n{graph}"));
        }
        for threads in [2, 3] {
            let same = run(graph, &inputs, threads, optimize).iter().zip(&first).all(|(a, b)| a.same_bits(b));
            assert!(same, "other bits with {threads} threads (optimize: {optimize})");
        }
    }
}

#[test]
fn recurrent_layers_are_compiled_as_interpreted() {
    for (n_steps, batch, width) in [(1, 1, 1), (5, 3, 17), (4, 16, 64)] {
        for reverse in [false, true] {
            check(&with_gradients(&recurrent(n_steps, batch, width, reverse)));
        }
    }
}

#[test]
fn gradients_are_those_of_the_loop_written_out() {
    for reverse in [false, true] {
        let graph = recurrent(3, 2, 4, reverse);
        let mut plain = Graph::new("unrolled");
        let inputs: Vec<NodeId> =
            graph.inputs().iter().map(|&i| plain.add_input("x", graph.node(i).ty().clone())).collect();
        let [mut h, x, w, u, b] = inputs[..] else { panic!("five inputs") };
        let mut total = None;
        for step in 0..3 {
            let at = if reverse { 2 - step } else { step };
            let part = kiln_ir::op::Slice {
                start: [at, 0, 0].into_iter().collect(),
                limit: [at + 1, 2, 4].into_iter().collect(),
                step: [1, 1, 1].into_iter().collect(),
            };
            let part = kiln_ir::Emit::emit(&mut plain, Op::Slice(part), &[x]);
            let part = plain.reshape(part, [2, 4].into());
            let dot =
                kiln_ir::op::Dot { batch: Default::default(), contract: [(1, 0)].into_iter().collect() };
            let xw = kiln_ir::Emit::emit(&mut plain, Op::Dot(dot.clone()), &[part, w]);
            let hu = kiln_ir::Emit::emit(&mut plain, Op::Dot(dot), &[h, u]);
            let sum = EmitExt::add(&mut plain, xw, hu);
            let bias = plain.broadcast(b, [2, 4].into(), &[1]);
            let z = EmitExt::add(&mut plain, sum, bias);
            h = plain.unary(kiln_ir::op::UnaryOp::Tanh, z);
            let square = plain.mul(h, h);
            let of_step = plain.sum(square, &[0, 1]);
            total = Some(total.map_or(of_step, |before| EmitExt::add(&mut plain, before, of_step)));
        }
        plain.add_output(total.expect("three steps"), None);
        plain.add_output(h, None);
        let values = self::inputs(&graph);
        let (plain, looped) = (with_gradients(&plain), with_gradients(&graph));
        let expected = interpret(&plain, &values).unwrap();
        for (k, (got, expected)) in interpret(&looped, &values).unwrap().iter().zip(&expected).enumerate() {
            compare(got, expected, Tolerance::mixed(1e-5))
                .unwrap_or_else(|p| panic!("output {k}: {p}\n{looped}"));
        }
        // Once more: the gradient of the norm of the gradient of `u`.
        let second = |graph: &Graph| {
            let mut graph = graph.clone();
            let of = graph.outputs()[2 + 3].value;
            let square = graph.mul(of, of);
            let norm = graph.sum(square, &[0, 1]);
            let inputs = graph.inputs().to_vec();
            let gradients = gradient(&mut graph, norm, &inputs).unwrap_or_else(|error| panic!("{error}"));
            graph.set_outputs(Vec::new());
            gradients.into_iter().for_each(|gradient| graph.add_output(gradient, None));
            graph
        };
        let (plain, looped) = (second(&plain), second(&looped));
        let expected = interpret(&plain, &values).unwrap();
        for (k, (got, expected)) in interpret(&looped, &values).unwrap().iter().zip(&expected).enumerate() {
            compare(got, expected, Tolerance::mixed(1e-5))
                .unwrap_or_else(|p| panic!("second order, output {k}: {p}"));
        }
        check(&looped);
    }
}

/// What compiling a program costs.
#[derive(Debug)]
struct Cost {
    code_bytes: f64,
    /// Nodes of the graph and of the bodies of its loops, after all passes.
    n_nodes: usize,
    seconds: f64,
}

impl Cost {
    /// Of the training step of a layer of so many steps; the least time of some, since other programs run beside this one.
    fn of(n_steps: usize) -> Cost {
        let options = CompileOptions::new(0, 2).unwrap();
        let mut graph = with_gradients(&recurrent(n_steps, 2, 8, false));
        let compile_once = |_| {
            let start = Instant::now();
            let executable = compile(graph.clone(), &options);
            (start.elapsed().as_secs_f64(), executable.code_bytes() as f64)
        };
        let times: Vec<(f64, f64)> = (0..5).map(compile_once).collect();
        let seconds = times.iter().map(|(seconds, _)| *seconds).fold(f64::INFINITY, f64::min);
        Pipeline::standard().run(&mut graph, &options.passes);
        Cost { code_bytes: times[0].1, n_nodes: n_nodes(&graph), seconds }
    }
}

/// The nodes of a graph and of the bodies in it.
fn n_nodes(graph: &Graph) -> usize {
    let bodies =
        graph.ids().map(|id| if let Op::Loop(looped) = graph.op(id) { n_nodes(&looped.body) } else { 0 });
    graph.n_nodes() + bodies.sum::<usize>()
}

#[test]
fn compiling_does_not_grow_with_the_number_of_steps() {
    let costs = [16, 256, 4096].map(Cost::of);
    for cost in &costs[1..] {
        // The sum of the loss over all steps becomes one of two stages when it is long.
        assert!(cost.code_bytes < 1.5 * costs[0].code_bytes, "{costs:?}");
        assert!(cost.n_nodes <= costs[0].n_nodes + 8, "{costs:?}");
        // 256 times as many steps; twice the time is noise of a busy machine.
        assert!(cost.seconds < 2.0 * costs[0].seconds + 0.02, "{costs:?}");
    }
}

/// What a function that is looped over gets wrong, as the user is told.
fn mistake(run: impl FnOnce(&Tensor, &Tensor) -> Scanned) -> String {
    let tracer = Tracer::new("mistake");
    let (x, h) = (tracer.input("x", f32(&[5, 3])), tracer.input("h", f32(&[3])));
    let scanned = run(&x, &h);
    let outputs: Vec<&Tensor> = scanned.carried.iter().chain(&scanned.stacked).collect();
    tracer.finish(&outputs).expect_err("this is a mistake").to_string()
}

#[test]
fn mistakes_in_scans_are_reported_at_the_call() {
    let message =
        mistake(|x, h| Scan::over(&[x]).carry(&[h]).run(|h, x| (vec![h[0].sum(..)], vec![x[0].clone()])));
    assert!(message.contains("carried value 0 is f32[3], the function returns f32[] for it"), "{message}");
    assert!(message.contains("loops.rs"), "{message}");
    let message = mistake(|x, h| Scan::over(&[x]).carry(&[h]).run(|_, x| (vec![], vec![x[0].clone()])));
    assert!(message.contains("1 values are carried, the function returns 0"), "{message}");
    let message = mistake(|x, h| Scan::over(&[x, h]).run(|_, x| (vec![], vec![x[0].clone()])));
    assert!(message.contains("there are 5 steps, but 3 parts of f32[3] along its first axis"), "{message}");
    let message = mistake(|_, h| Scan::steps(0).carry(&[h]).run(|h, _| (h.to_vec(), vec![])));
    assert!(message.contains("there is no step"), "{message}");
}

#[test]
fn values_are_detached_in_a_step() {
    // A softmax detaches the greatest of its operands, as attention in a recurrent decoder does. Numbers: PyTorch.
    let values = [
        TensorData::new([3], vec![0.5f32, -1.0, 0.25]),
        TensorData::new([3, 3], vec![1f32, 0.5, -0.5, 0.25, 2.0, 1.0, -1.0, 0.5, 0.75]),
    ];
    let tracer = Tracer::new("detached");
    let [h, x] = [0, 1].map(|i| tracer.input("x", values[i].ty()));
    let scanned = Scan::over(&[&x]).carry(&[&h]).run(|h, x| {
        let product = &h[0] * &x[0];
        let next = product.softmax(0) + product.detach();
        (vec![next.clone()], vec![next])
    });
    let sum = scanned.stacked[0].square().sum(..);
    let gradients = tracer.gradient(&sum, &[&h, &x]);
    let graph = tracer.finish(&[&sum, &gradients[0], &gradients[1]]).unwrap();
    let expected: [&[f32]; 3] = [
        &[3.281_081],
        &[0.599_738_4, -0.226_814_24, 0.073_054_96],
        &[
            0.299_869_18,
            0.453_628_48,
            -0.036_527_48,
            0.249_398_93,
            0.117_011_09,
            0.021_610_854,
            -0.231_383_68,
            0.090_377_025,
            0.297_697_54,
        ],
    ];
    for (got, expected) in interpret(&graph, &values).unwrap().iter().zip(expected) {
        let expected = TensorData::new(got.shape().clone(), expected.to_vec());
        compare(got, &expected, Tolerance::mixed(1e-5)).unwrap_or_else(|problem| panic!("{problem}"));
    }
    check(&graph);
}

#[test]
fn scans_take_what_is_around_them_and_run_in_each_other() {
    // Powers of a matrix times a vector, three at a time: the matrix is not among the operands.
    let tracer = Tracer::new("powers");
    let (m, v) = (tracer.input("m", f32(&[4, 4])), tracer.input("v", f32(&[4])));
    let scanned = Scan::steps(5).carry(&[&v]).run(|v, _| {
        let inner = Scan::steps(3).carry(&[&v[0]]).run(|v, _| (vec![m.mv(&v[0])], vec![]));
        (inner.carried.clone(), inner.carried)
    });
    let graph = tracer.finish(&[&scanned.stacked[0]]).unwrap();
    let values = inputs(&graph);
    let (m, v) = (values[0].to_f64_vec(), values[1].to_f64_vec());
    let mut expected = v;
    for _ in 0..15 {
        expected = (0..4).map(|i| (0..4).map(|j| m[4 * i + j] * expected[j]).sum()).collect();
    }
    let last = &interpret(&graph, &values).unwrap()[0].to_f64_vec()[16..];
    assert!(last.iter().zip(&expected).all(|(a, b)| (a - b).abs() < 1e-6), "{last:?} {expected:?}");
    check(&graph);
}

#[test]
fn recurrent_layers_have_the_names_of_pytorch() {
    let lstm = Lstm::new(3, 4).layers(2).bidirectional().projected(2);
    let parameters = kiln::nn::parameters_of(&lstm);
    let found: Vec<String> = parameters.iter().map(|(name, p)| format!("{name} {}", p.ty().shape)).collect();
    let of = |layer: &str, n_in: usize| {
        [
            ("weight_ih", format!("[16, {n_in}]")),
            ("weight_hh", "[16, 2]".into()),
            ("bias_ih", "[16]".into()),
            ("bias_hh", "[16]".into()),
            ("weight_hr", "[2, 4]".into()),
        ]
        .map(|(name, shape)| format!("{name}{layer} {shape}"))
    };
    let expected = [of("_l0", 3), of("_l0_reverse", 3), of("_l1", 4), of("_l1_reverse", 4)].concat();
    assert_eq!(found, expected);
    let gru = Gru::new(3, 4).without_bias();
    let names: Vec<String> = kiln::nn::parameters_of(&gru).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["weight_ih_l0", "weight_hh_l0"]);
}
