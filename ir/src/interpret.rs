//! The reference interpreter: what every graph means, written for trust and not for speed.
//!
//! It shares no code with the kernels, so that tests can hold them to it. Floats accumulate in `f64` and round once,
//! so its sums are nearer to the truth than those of any kernel. It is also the constant folder's evaluator.

mod contraction;
mod elementwise;
mod index;
mod iteration;
mod movement;
mod number;
mod reduce;
mod sort;
mod taps;
mod walk;
mod window;

pub use iteration::{evaluate_loop, evaluate_loop_with};

use crate::{Graph, Literal, NodeId, Op, TensorData, TensorType, op};
use smallvec::SmallVec;
use std::collections::BTreeMap;

/// The values given do not suit the graph's inputs.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InterpretError {
    /// Another number of inputs.
    #[error("graph `{graph}` takes {expected} input{}, {found} were given", if *expected == 1 { "" } else { "s" })]
    InputCount {
        /// The graph's name.
        graph: String,
        /// How many it takes.
        expected: usize,
        /// How many were given.
        found: usize,
    },
    /// An input of another type.
    #[error("input {position} of graph `{graph}` is {expected}, the value given is {found}")]
    InputType {
        /// The graph's name.
        graph: String,
        /// Position of the input.
        position: usize,
        /// Its type.
        expected: TensorType,
        /// Type of the value.
        found: TensorType,
    },
}

/// The graph's outputs, in order, for these inputs, in order.
pub fn interpret(graph: &Graph, inputs: &[TensorData]) -> Result<Vec<TensorData>, InterpretError> {
    interpret_observed(graph, inputs, &mut |_| ())
}

/// The same; each node is told when its value is known.
pub fn interpret_observed(
    graph: &Graph,
    inputs: &[TensorData],
    observe: &mut dyn FnMut(NodeId),
) -> Result<Vec<TensorData>, InterpretError> {
    let mut uses: BTreeMap<NodeId, usize> = graph.ids().map(|id| (id, graph.n_uses(id))).collect();
    let mut values = input_values(graph, inputs)?;
    let mut loops = BTreeMap::new();
    for id in graph.topological_order() {
        evaluate_node(graph, id, &mut values, &mut loops);
        observe(id);
        // A value is dropped after its last use: the memory needed is that of the live values, not of all.
        for operand in graph.operands(id) {
            let left = uses.get_mut(operand).expect("an operand is a node");
            *left -= 1;
            if *left == 0 {
                values.remove(operand);
                loops.remove(operand);
            }
        }
    }
    Ok(graph.outputs().iter().map(|output| values[&output.value].clone()).collect())
}

/// The value of every node, for these inputs.
pub fn interpret_all(
    graph: &Graph,
    inputs: &[TensorData],
) -> Result<BTreeMap<NodeId, TensorData>, InterpretError> {
    let mut values = input_values(graph, inputs)?;
    let mut loops = BTreeMap::new();
    for id in graph.topological_order() {
        evaluate_node(graph, id, &mut values, &mut loops);
    }
    Ok(values)
}

fn input_values(
    graph: &Graph,
    inputs: &[TensorData],
) -> Result<BTreeMap<NodeId, TensorData>, InterpretError> {
    let (expected, found) = (graph.inputs().len(), inputs.len());
    if expected != found {
        return Err(InterpretError::InputCount { graph: graph.name.clone(), expected, found });
    }
    for (position, (&id, value)) in graph.inputs().iter().zip(inputs).enumerate() {
        let (expected, found) = (graph.node(id).ty().clone(), value.ty());
        if expected != found {
            return Err(InterpretError::InputType { graph: graph.name.clone(), position, expected, found });
        }
    }
    Ok(graph.inputs().iter().copied().zip(inputs.iter().cloned()).collect())
}

/// Computes a node's value. The results of a loop go to a list of their own, for its `loop_result`s to pick.
fn evaluate_node(
    graph: &Graph,
    id: NodeId,
    values: &mut BTreeMap<NodeId, TensorData>,
    loops: &mut BTreeMap<NodeId, Vec<TensorData>>,
) {
    let operands: SmallVec<[&TensorData; 3]> = graph.operands(id).iter().map(|o| &values[o]).collect();
    let value = match graph.op(id) {
        Op::Input(_) => return,
        Op::Loop(looped) => {
            loops.insert(id, evaluate_loop(looped, &operands));
            TensorData::zeros(graph.node(id).ty())
        }
        Op::LoopResult { position, .. } => loops[&graph.operands(id)[0]][*position].clone(),
        op => evaluate(op, &operands),
    };
    drop(operands);
    values.insert(id, value);
}

/// The result of one op.
///
/// # Panics
/// When the op is an input, which has no value of its own, or a loop, which has several
/// ([`evaluate_loop`] gives them), or the operands do not suit the op: a graph's always do.
pub fn evaluate(op: &Op, operands: &[&TensorData]) -> TensorData {
    let types: SmallVec<[TensorType; 3]> = operands.iter().map(|operand| operand.ty()).collect();
    let types: SmallVec<[&TensorType; 3]> = types.iter().collect();
    let result = op.infer(&types).unwrap_or_else(|error| {
        panic!(
            "internal error: `{}` is evaluated on operands it does not take: {error}; please report this",
            op.name()
        )
    });
    let x = operands;
    match op {
        Op::Input(ty) => panic!("internal error: an input {ty} is evaluated; please report this"),
        Op::Fill(value, shape) => TensorData::filled(shape.clone(), *value),
        Op::Dense(data) => TensorData::clone(data),
        Op::Iota { axis, .. } => movement::iota(*axis, &result),
        Op::Unary(op) => elementwise::unary(*op, x[0]),
        Op::Binary(op) => elementwise::binary(*op, x[0], x[1]),
        Op::Compare(op) => elementwise::compare(*op, x[0], x[1]),
        Op::Logical(op) => elementwise::logical(*op, x),
        Op::Select => elementwise::select(x[0], x[1], x[2]),
        Op::Cast(dtype) => elementwise::cast(*dtype, x[0]),
        Op::Reduce(op, axes) => reduce::reduce(*op, axes, x[0], &result),
        Op::ArgReduce(op, axis) => reduce::arg_reduce(*op, *axis, x[0], &result),
        Op::Cumulative(cumulative) => reduce::cumulative(*cumulative, x[0]),
        Op::ArgSort(op) => sort::argsort(*op, x[0]),
        Op::Reshape(_) => movement::reshape(x[0], &result),
        Op::Permute(permutation) => movement::permute(permutation, x[0], &result),
        Op::Broadcast { axes, .. } => movement::broadcast(axes, x[0], &result),
        Op::Slice(slice) => movement::slice(slice, x[0], &result),
        Op::Pad(pad) => movement::pad(pad, x[0], &result),
        Op::Concatenate(axis) => movement::concatenate(*axis, x, &result),
        Op::Reverse(axes) => movement::reverse(axes, x[0]),
        Op::Dot(dot) => contraction::dot(dot, x[0], x[1], &result),
        Op::Conv(conv) => contraction::conv(conv, x[0], x[1], &result),
        Op::Window(op, window) => window::window(*op, window, x, &result),
        Op::Gather(axis) => index::gather(*axis, x[0], x[1]),
        Op::ScatterAdd { axis, .. } => index::scatter_add(*axis, x[0], x[1], &result),
        Op::RandomBits(_) => random_bits(x[0], &result),
        Op::Loop(_) | Op::LoopResult { .. } => {
            panic!("internal error: a `{}` is evaluated by itself; please report this", op.name())
        }
    }
}

fn random_bits(state: &TensorData, result: &TensorType) -> TensorData {
    let state: &[i64] = number::elements(state);
    let (key, counter) = (state[0], state[1]);
    TensorData::from_fn(result, |i| Literal::I32(op::random::reference(key, counter, i)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::emit::EmitExt;
    use crate::{DType, Shape};

    fn square_and_double() -> Graph {
        let mut graph = Graph::new("square");
        let x = graph.add_input("x", TensorType::new(DType::F32, [3]));
        let square = graph.mul(x, x);
        let double = EmitExt::add(&mut graph, square, square);
        graph.add_output(double, None);
        graph.add_output(square, None);
        graph.add_output(double, Some(0));
        graph
    }

    #[test]
    fn outputs_come_in_order_and_may_repeat() {
        let x = TensorData::new([3], vec![1f32, -2.0, 3.0]);
        let outputs = interpret(&square_and_double(), &[x]).unwrap();
        let double = TensorData::new([3], vec![2f32, 8.0, 18.0]);
        assert_eq!(outputs, [double.clone(), TensorData::new([3], vec![1f32, 4.0, 9.0]), double]);
    }

    #[test]
    fn all_values_include_inputs_and_dead_nodes() {
        let mut graph = square_and_double();
        let dead = graph.neg(graph.inputs()[0]);
        let values = interpret_all(&graph, &[TensorData::new([3], vec![1f32, 2.0, 3.0])]).unwrap();
        assert_eq!(values.len(), graph.n_nodes());
        assert_eq!(values[&dead].to_f64_vec(), [-1.0, -2.0, -3.0]);
        assert_eq!(values[&graph.inputs()[0]].to_f64_vec(), [1.0, 2.0, 3.0]);
    }

    #[test]
    fn inputs_that_do_not_suit_are_errors() {
        let graph = square_and_double();
        let error = interpret(&graph, &[]).unwrap_err();
        assert_eq!(error.to_string(), "graph `square` takes 1 input, 0 were given");
        let error = interpret(&graph, &[TensorData::scalar(1f32)]).unwrap_err();
        assert_eq!(error.to_string(), "input 0 of graph `square` is f32[3], the value given is f32[]");
    }

    #[test]
    fn constants_are_their_values() {
        let fill = evaluate(&Op::Fill(Literal::U8(7), Shape::new(&[2, 0])), &[]);
        assert_eq!(fill, TensorData::new([2, 0], Vec::<u8>::new()));
        let data = TensorData::new([2], vec![true, false]);
        assert_eq!(evaluate(&Op::Dense(data.clone().into()), &[]), data);
    }

    #[test]
    fn random_bits_follow_the_state() {
        let state = TensorData::new([2], vec![0i64, 0]);
        let bits = evaluate(&Op::RandomBits(Shape::new(&[2, 3])), &[&state]);
        let words = bits.as_slice::<i32>().unwrap();
        assert_eq!(words[..4], [0x6627e8d5u32, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8].map(|w| w as i32));
        let next = evaluate(&Op::RandomBits(Shape::new(&[2])), &[&TensorData::new([2], vec![0i64, 1])]);
        assert_eq!(next.as_slice::<i32>().unwrap(), &words[4..]);
    }
}
