//! Random graphs keep what they promise, and what must hold for every graph holds for them.

use super::*;
use crate::op::*;
use crate::{Tolerance, compare, evaluate, evaluate_loop, interpret_all, parse, verify};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::sync::Arc;

fn words() -> impl Strategy<Value = Vec<u32>> {
    proptest::collection::vec(any::<u32>(), 0..300)
}

fn wild() -> RandomConfig {
    RandomConfig { smooth: false, finite: false, ..RandomConfig::default() }
}

/// Marks some nodes as detached, in the bodies of loops too.
fn detach_some(graph: &mut Graph, random: &mut SplitMix) {
    for id in graph.ids().collect::<Vec<_>>() {
        graph.node_mut(id).is_detached = random.next().is_multiple_of(4);
        graph.corrupt_node(id, |op, _, _| {
            if let Op::Loop(looped) = op {
                detach_some(&mut Arc::make_mut(looped).body, random);
            }
        });
    }
}

proptest! {
    #[test]
    fn text_round_trips(words in words()) {
        for config in [RandomConfig::default(), wild()] {
            let mut graph = random_graph(&config, &mut choices(&words));
            detach_some(&mut graph, &mut SplitMix(words.len() as u64));
            if let Err(error) = verify(&graph) {
                return Err(TestCaseError::fail(error.to_string()));
            }
            let text = graph.to_string();
            let again = parse(&text).map_err(|error| TestCaseError::fail(format!("{error}\n{text}")))?;
            prop_assert!(again.same_as(&graph), "{}", text);
            prop_assert_eq!(again.to_string(), text);
        }
    }

    #[test]
    fn finite_graphs_have_finite_values(words in words()) {
        let config = RandomConfig::default();
        let mut choose = choices(&words);
        let graph = random_graph(&config, &mut choose);
        let inputs = random_inputs(&graph, &config, &mut choose);
        let values = interpret_all(&graph, &inputs).map_err(|error| TestCaseError::fail(error.to_string()))?;
        for id in graph.ids().filter(|&id| graph.node(id).ty().dtype.is_float()) {
            let finite = values[&id].to_f64_vec().iter().all(|value| value.is_finite());
            let names = crate::Names::new(&graph);
            prop_assert!(finite, "%{} is not finite in\n{graph}", names.get(id));
        }
    }

    #[test]
    fn wild_graphs_can_be_interpreted(words in words()) {
        let mut choose = choices(&words);
        let graph = random_graph(&wild(), &mut choose);
        let inputs = random_inputs(&graph, &wild(), &mut choose);
        interpret_all(&graph, &inputs).map_err(|error| TestCaseError::fail(error.to_string()))?;
    }
}

/// Whether two right implementations may round a float result of the op differently.
fn rounds(op: &Op) -> bool {
    match op {
        Op::Unary(op) => !matches!(
            op,
            UnaryOp::Neg | UnaryOp::Abs | UnaryOp::Sign | UnaryOp::Floor | UnaryOp::Ceil | UnaryOp::Round
        ),
        Op::Binary(op) => !matches!(op, BinaryOp::Max | BinaryOp::Min | BinaryOp::Rem),
        Op::Reduce(op, _) => matches!(op, ReduceOp::Sum | ReduceOp::Prod),
        Op::Window(op, _) => matches!(op, WindowOp::Sum | WindowOp::Put),
        // What is known of an op by itself; a loop is off by what its operands are.
        Op::Cumulative(_) | Op::Dot(_) | Op::Conv(_) | Op::ScatterAdd { .. } => true,
        Op::Input(_)
        | Op::Fill(..)
        | Op::Dense(_)
        | Op::Iota { .. }
        | Op::Compare(_)
        | Op::Logical(_)
        | Op::Select
        | Op::Cast(_)
        | Op::ArgReduce(..)
        | Op::ArgSort(_)
        | Op::Reshape(_)
        | Op::Permute(_)
        | Op::Broadcast { .. }
        | Op::Slice(_)
        | Op::Pad(_)
        | Op::Concatenate(_)
        | Op::Reverse(_)
        | Op::Gather(_)
        | Op::RandomBits(_)
        | Op::Loop(_)
        | Op::LoopResult { .. } => false,
    }
}

/// The value of every node when each rounded element is off by a share of up to 2^-20, either way.
fn perturbed(graph: &Graph, inputs: &[TensorData], seed: u64) -> BTreeMap<NodeId, TensorData> {
    let mut random = SplitMix(seed);
    let mut values: BTreeMap<_, _> = graph.inputs().iter().copied().zip(inputs.iter().cloned()).collect();
    for id in graph.topological_order().into_iter().filter(|&id| !graph.op(id).is_input()) {
        let operands: Vec<&TensorData> = graph.operands(id).iter().map(|operand| &values[operand]).collect();
        let mut value = match graph.op(id) {
            Op::Loop(_) => TensorData::zeros(graph.node(id).ty()),
            Op::LoopResult { position, .. } => {
                let looped = graph.operands(id)[0];
                let Op::Loop(of) = graph.op(looped) else { panic!("a result is one of a loop") };
                let operands: Vec<&TensorData> = graph.operands(looped).iter().map(|o| &values[o]).collect();
                evaluate_loop(of, &operands).swap_remove(*position)
            }
            op => evaluate(op, &operands),
        };
        if rounds(graph.op(id)) && value.dtype().is_float() {
            for i in 0..value.n_elements() {
                let factor = 1.0 + (random.unit() - 0.5) / (1 << 19) as f64;
                value.set(i, Literal::from_f64(value.dtype(), value.get(i).as_f64() * factor));
            }
        }
        values.insert(id, value);
    }
    values
}

proptest! {
    #[test]
    fn smooth_graphs_do_not_amplify_rounding(words in words()) {
        let config = RandomConfig::default();
        let mut choose = choices(&words);
        let graph = random_graph(&config, &mut choose);
        let inputs = random_inputs(&graph, &config, &mut choose);
        let values = interpret_all(&graph, &inputs).map_err(|error| TestCaseError::fail(error.to_string()))?;
        let others = perturbed(&graph, &inputs, 1);
        let names = crate::Names::new(&graph);
        for id in graph.ids() {
            let difference = compare(&others[&id], &values[&id], Tolerance::mixed(1e-2));
            prop_assert!(difference.is_ok(), "%{}: {}\n{graph}", names.get(id), difference.unwrap_err());
        }
    }
}

/// Graphs of every op come up, with the odd attributes among them.
#[test]
fn every_op_occurs() {
    let mut n_found: BTreeMap<&str, usize> = BTreeMap::new();
    let (mut n_grouped, mut n_batched, mut n_cut, mut n_empty) = (0, 0, 0, 0);
    let mut random = SplitMix(1);
    for _ in 0..1000 {
        let words: Vec<u32> = (0..300).map(|_| random.next() as u32).collect();
        let graph = random_graph(&RandomConfig::default(), &mut choices(&words));
        for id in graph.ids() {
            let node = graph.node(id);
            *n_found.entry(node.op().name()).or_default() += 1;
            n_grouped += usize::from(matches!(node.op(), Op::Conv(conv) if conv.groups > 1));
            n_batched += usize::from(matches!(node.op(), Op::Dot(dot) if !dot.batch.is_empty()));
            n_cut += usize::from(matches!(node.op(), Op::Pad(pad) if pad.low.iter().any(|&low| low < 0)));
            n_empty += usize::from(node.ty().n_elements() == 0);
        }
    }
    let others = [
        "input",
        "fill",
        "dense",
        "iota",
        "select",
        "cast",
        "cumulative_sum",
        "argsort",
        "reshape",
        "permute",
        "broadcast",
        "slice",
        "pad",
        "concatenate",
        "reverse",
        "dot",
        "conv",
        "gather",
        "scatter_add",
        "random_bits",
        "loop",
        "loop_result",
    ];
    let named = UnaryOp::ALL.map(UnaryOp::name).into_iter().chain(BinaryOp::ALL.map(BinaryOp::name));
    let named = named.chain(CompareOp::ALL.map(CompareOp::name)).chain(LogicalOp::ALL.map(LogicalOp::name));
    let named = named.chain(ReduceOp::ALL.map(ReduceOp::name)).chain(ArgReduceOp::ALL.map(ArgReduceOp::name));
    for name in named.chain(WindowOp::ALL.map(WindowOp::name)).chain(others) {
        let n = n_found.get(name).copied().unwrap_or(0);
        assert!(n >= 10, "`{name}` occurred {n} times: {n_found:?}");
    }
    for n in [n_grouped, n_batched, n_cut, n_empty] {
        assert!(n >= 10, "{:?}", [n_grouped, n_batched, n_cut, n_empty]);
    }
}

#[test]
fn no_words_make_the_simplest_graph() {
    let graph = random_graph(&RandomConfig::default(), &mut choices(&[]));
    assert_eq!(graph.to_string(), "graph random(%x0: f32[]) {\n    return %x0\n}\n");
}

/// Breaks one thing about a node, or about the signature.
fn corrupt(graph: &mut Graph, random: &mut SplitMix) {
    let ids: Vec<NodeId> = graph.ids().collect();
    let mut any = || ids[random.next() as usize % ids.len()];
    let (id, other, third) = (any(), any(), any());
    match random.next() % 8 {
        0 => {
            let operands = vec![other; graph.operands(id).len()];
            graph.corrupt_operands(id, &operands);
        }
        1 => graph.corrupt_operands(id, &[other, third]),
        2 => graph.corrupt_node(id, |_, operands, _| operands.push(other)),
        3 => {
            let op = graph.op(other).clone();
            graph.corrupt_node(id, |place, _, _| *place = op);
        }
        4 => {
            let ty = graph.node(other).ty().clone();
            graph.corrupt_node(id, |_, _, place| *place = ty);
        }
        5 => graph.corrupt_remove(id),
        6 => {
            let inputs: Vec<NodeId> = graph.inputs().iter().copied().filter(|&input| input != id).collect();
            graph.corrupt_inputs(&[&inputs[..], &[other]].concat());
        }
        _ => {
            let updates = Some(random.next() as usize % 3);
            graph.set_outputs(vec![Output { value: id, updates }, Output { value: other, updates: None }]);
        }
    }
}

proptest! {
    /// What the verifier accepts has a text, which reads back, and a value; what it does not is told in words.
    #[test]
    fn graphs_with_a_mistake_are_refused_or_have_none(words in words(), seed in any::<u64>()) {
        let config = RandomConfig::default();
        let mut graph = random_graph(&config, &mut choices(&words));
        corrupt(&mut graph, &mut SplitMix(seed));
        match verify(&graph) {
            Err(error) => prop_assert!(error.to_string().contains("is not valid: ")),
            Ok(()) => {
                let text = graph.to_string();
                let again = parse(&text).map_err(|error| TestCaseError::fail(format!("{error}\n{text}")))?;
                prop_assert!(again.same_as(&graph), "{}", text);
                let inputs = random_inputs(&graph, &config, &mut choices(&words));
                interpret_all(&graph, &inputs).map_err(|error| TestCaseError::fail(error.to_string()))?;
            }
        }
    }
}
