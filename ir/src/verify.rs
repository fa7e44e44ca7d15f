//! The verifier: what holds for every graph between two passes. It trusts no bookkeeping of [`Graph`].
//!
//! 1. Every operand of a node is in the graph.
//! 2. The edges of the graph are the operand lists, with the positions in them.
//! 3. No value depends on itself.
//! 4. The type of a node is the one that its op's type rule gives for its operands' types.
//! 5. The inputs of the signature are input nodes, each named once, and there are no other input nodes.
//! 6. Every output is a value of the graph.
//! 7. An output that updates state names an input of the signature, has its type, and is the only one to do so.
//! 8. The body of a loop holds all this too, and a `loop_result` takes a loop that has a result of its type there.
//!
//! Cost: O(nodes + edges), with the logarithm of sorting edges.

use crate::names::Names;
use crate::op::iteration::check_result;
use crate::print::{before_op, line};
use crate::{Graph, NodeId, Op, TensorType, TypeError};
use std::fmt;

/// A graph that does not hold what every graph holds: the pass before is wrong, not the user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifyError {
    /// The name of the graph.
    pub graph: String,
    /// What does not hold.
    pub violation: Violation,
    /// The node in question and its operands as text, with a mark under the wrong part.
    pub neighbourhood: String,
}

/// What does not hold.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// Against 1.
    #[error("operand {0} is not in the graph")]
    OperandMissing(usize),
    /// Against 2.
    #[error("the edges of the graph differ from the operand list")]
    EdgesDiffer,
    /// Against 3.
    #[error("the value depends on itself")]
    Cycle,
    /// Against 4: the op does not accept its operands.
    #[error(transparent)]
    IllTyped(TypeError),
    /// Against 4: the rule gives another type.
    #[error("the type rule of the op gives {0}")]
    OtherType(TensorType),
    /// Against 8: in the body of a loop.
    #[error("in the body of the loop: {0}")]
    Body(Box<VerifyError>),
    /// Against 5: a position of the signature.
    #[error("input {0} of the signature is no input node")]
    NotAnInput(usize),
    /// Against 5.
    #[error("the input stands in the signature {0} times, not once")]
    InputCount(usize),
    /// Against 6: a position among the outputs.
    #[error("output {0} is not in the graph")]
    OutputMissing(usize),
    /// Against 7: a position among the outputs.
    #[error("output {0} updates an input that the signature does not have")]
    StateMissing(usize),
    /// Against 7: a position among the outputs and the type of the state.
    #[error("output {0} updates state of type {1}")]
    StateType(usize, TensorType),
    /// Against 7: a position among the outputs.
    #[error("output {0} updates state that another output updates")]
    UpdatedTwice(usize),
}

impl fmt::Display for VerifyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "graph `{}` is not valid: {}", self.graph, self.violation)?;
        for line in self.neighbourhood.lines() {
            write!(f, "\n   {line}")?;
        }
        Ok(())
    }
}

impl std::error::Error for VerifyError {}

/// Checks all invariants of the module's list, and reports the first that does not hold.
pub fn verify(graph: &Graph) -> Result<(), VerifyError> {
    check_operands(graph)?;
    check_acyclic(graph)?;
    check_types(graph)?;
    check_inputs(graph)?;
    check_outputs(graph)?;
    check_loops(graph)
}

fn check_operands(graph: &Graph) -> Result<(), VerifyError> {
    let mut expected = Vec::new();
    for id in graph.ids() {
        for (position, &operand) in graph.operands(id).iter().enumerate() {
            if !graph.contains(operand) {
                return Err(at(graph, id, Violation::OperandMissing(position), Mark::Operand(position)));
            }
            expected.push((operand, id, position as u32));
        }
    }
    expected.sort_unstable();
    let found = graph.edges();
    if found == expected {
        return Ok(());
    }
    // The first place where the sorted lists part is about the user of the lesser edge.
    let parting = expected.iter().zip(&found).find(|(e, f)| e != f).map(|(e, f)| *e.min(f));
    let longer = if expected.len() > found.len() { &expected } else { &found };
    let (_, user, _) = parting.unwrap_or_else(|| longer[expected.len().min(found.len())]);
    Err(at(graph, user, Violation::EdgesDiffer, Mark::Node))
}

fn check_acyclic(graph: &Graph) -> Result<(), VerifyError> {
    if graph.is_acyclic() {
        return Ok(());
    }
    let cycle = find_cycle(graph);
    let names = Names::new(graph);
    let lines: Vec<String> = cycle.iter().map(|&id| line(graph, &names, id)).collect();
    Err(VerifyError {
        graph: graph.name.clone(),
        violation: Violation::Cycle,
        neighbourhood: lines.join("\n"),
    })
}

/// The nodes of one cycle. Quadratic, but only ever run on a broken graph.
fn find_cycle(graph: &Graph) -> Vec<NodeId> {
    let mut left: Vec<NodeId> = graph.ids().collect();
    loop {
        let n = left.len();
        let before = left.clone();
        left.retain(|&id| graph.operands(id).iter().any(|operand| before.contains(operand)));
        if left.len() == n {
            break;
        }
    }
    // Each node that is left has an operand that is left: going from operand to operand comes back in the end.
    let mut path = vec![left[0]];
    loop {
        let last = path[path.len() - 1];
        let next = graph.operands(last).iter().copied().find(|operand| left.contains(operand));
        let next = next.expect("a node that waits for no other was left");
        if let Some(start) = path.iter().position(|&id| id == next) {
            return path.split_off(start);
        }
        path.push(next);
    }
}

fn check_types(graph: &Graph) -> Result<(), VerifyError> {
    for id in graph.ids() {
        let node = graph.node(id);
        let types: Vec<&TensorType> = node.operands().iter().map(|&o| graph.node(o).ty()).collect();
        match node.op().infer(&types) {
            Err(error) => return Err(at(graph, id, Violation::IllTyped(error), Mark::Node)),
            Ok(ty) if ty != *node.ty() => return Err(at(graph, id, Violation::OtherType(ty), Mark::Type)),
            Ok(_) => {}
        }
    }
    Ok(())
}

fn check_loops(graph: &Graph) -> Result<(), VerifyError> {
    for id in graph.ids() {
        let violation = match graph.op(id) {
            Op::Loop(looped) => verify(&looped.body).err().map(|error| Violation::Body(Box::new(error))),
            Op::LoopResult { position, ty } => {
                check_result(*position, ty, graph.op(graph.operands(id)[0])).err().map(Violation::IllTyped)
            }
            _ => continue,
        };
        if let Some(violation) = violation {
            return Err(at(graph, id, violation, Mark::Node));
        }
    }
    Ok(())
}

fn check_inputs(graph: &Graph) -> Result<(), VerifyError> {
    for (position, &id) in graph.inputs().iter().enumerate() {
        if !graph.contains(id) || !graph.op(id).is_input() {
            return Err(of_graph(graph, Violation::NotAnInput(position)));
        }
    }
    let mut n_times = vec![0usize; graph.id_bound()];
    for id in graph.inputs() {
        n_times[id.index()] += 1;
    }
    for id in graph.ids().filter(|&id| graph.op(id).is_input()) {
        let n = n_times[id.index()];
        if n != 1 {
            return Err(at(graph, id, Violation::InputCount(n), Mark::Node));
        }
    }
    Ok(())
}

fn check_outputs(graph: &Graph) -> Result<(), VerifyError> {
    let mut updated = vec![false; graph.inputs().len()];
    for (position, output) in graph.outputs().iter().enumerate() {
        if !graph.contains(output.value) {
            return Err(of_graph(graph, Violation::OutputMissing(position)));
        }
        let Some(state) = output.updates else { continue };
        let Some(&input) = graph.inputs().get(state) else {
            return Err(at(graph, output.value, Violation::StateMissing(position), Mark::Node));
        };
        let ty = graph.node(input).ty();
        if graph.node(output.value).ty() != ty {
            let violation = Violation::StateType(position, ty.clone());
            return Err(at(graph, output.value, violation, Mark::Type));
        }
        if std::mem::replace(&mut updated[state], true) {
            return Err(at(graph, output.value, Violation::UpdatedTwice(position), Mark::Node));
        }
    }
    Ok(())
}

/// The part of a node's line that is wrong.
#[derive(Clone, Copy)]
enum Mark {
    Node,
    Type,
    Operand(usize),
}

fn of_graph(graph: &Graph, violation: Violation) -> VerifyError {
    VerifyError { graph: graph.name.clone(), violation, neighbourhood: String::new() }
}

fn at(graph: &Graph, id: NodeId, violation: Violation, mark: Mark) -> VerifyError {
    let names = Names::new(graph);
    let node = graph.node(id);
    let (start, n) = marked(graph, &names, id, mark);
    let text = line(graph, &names, id);
    let mut lines = vec![text, format!("{}{}", " ".repeat(start), "^".repeat(n))];
    for &operand in node.operands() {
        let text = graph.contains(operand).then(|| line(graph, &names, operand));
        lines.extend(text.filter(|text| !lines.contains(text)));
    }
    VerifyError { graph: graph.name.clone(), violation, neighbourhood: lines.join("\n") }
}

/// Where the marked part of a node's line begins and how long it is. Names and types are ASCII.
fn marked(graph: &Graph, names: &Names, id: NodeId, mark: Mark) -> (usize, usize) {
    let node = graph.node(id);
    let name = names.get(id).len() + 1;
    let ty = node.ty().to_string().len();
    match mark {
        Mark::Node => (0, name),
        Mark::Type => (name + 2, ty),
        Mark::Operand(position) => {
            let head = name + 2 + ty + 3 + before_op(node).len() + node.op().name().len() + 1;
            let before = &node.operands()[..position];
            let skipped: usize = before.iter().map(|&operand| names.get(operand).len() + 3).sum();
            (head + skipped, names.get(node.operands()[position]).len() + 1)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::op::BinaryOp;
    use crate::{DType, Op, Output, parse};
    use std::sync::Arc;

    const VALID: &str = "graph f(%x: f32[2, 3], %w: f32[2]) {
        %a: f32[2, 3] = exp %x
        %b: f32[2] = reduce_sum %a { axes = [1] }
        %c: f32[2] = sub %b, %w
        return %b, %c => %w
    }";

    /// Breaks a valid graph, whose nodes are `x w a b c`, and compares the report.
    fn check(break_it: impl FnOnce(&mut Graph, [NodeId; 5]), expected: &str) {
        let mut graph = parse(VALID).unwrap();
        assert_eq!(verify(&graph), Ok(()));
        let ids: Vec<NodeId> = graph.ids().collect();
        break_it(&mut graph, ids.try_into().unwrap());
        let error = verify(&graph).expect_err("the graph is broken").to_string();
        assert_eq!(error, expected.trim_start(), "\n{error}");
        // What prints in an error must print for a broken graph as well.
        assert!(graph.to_string().starts_with("graph f("));
    }

    #[test]
    fn an_operand_that_is_gone() {
        check(
            |graph, [.., b, _]| graph.corrupt_remove(b),
            "
graph `f` is not valid: operand 0 is not in the graph
   %c: f32[2] = sub %?, %w
                    ^^
   %w: f32[2] = input",
        );
    }

    #[test]
    fn an_operand_that_is_gone_of_a_detached_node() {
        check(
            |graph, [.., b, c]| {
                graph.node_mut(c).is_detached = true;
                graph.corrupt_remove(b);
            },
            "
graph `f` is not valid: operand 0 is not in the graph
   %c: f32[2] = detached sub %?, %w
                             ^^
   %w: f32[2] = input",
        );
    }

    #[test]
    fn a_body_that_is_not_valid() {
        let text = "graph f(%h: f32[2]) {
            %l: u8[0] = loop %h { steps = 3 } graph step(%h: f32[2]) {
                %y: f32[2] = exp %h
                return %y => %h
            }
            %r: f32[2] = loop_result %l { position = 0 }
            return %r
        }";
        let mut graph = parse(text).unwrap();
        let [_, l, _] = graph.ids().collect::<Vec<_>>().try_into().unwrap();
        graph.corrupt_node(l, |op, _, _| {
            let Op::Loop(looped) = op else { unreachable!("the loop") };
            let body = &mut Arc::make_mut(looped).body;
            let y = body.outputs()[0].value;
            body.corrupt_operands(y, &[y]);
        });
        let error = verify(&graph).expect_err("the body is broken").to_string();
        let expected = "graph `f` is not valid: in the body of the loop: graph `step` is not valid: the value depends \
                        on itself\n   %y: f32[2] = exp %y\n   %l: u8[0] = loop %h { steps = 3 }\n   ^^\n   %h: f32[2] = input";
        assert_eq!(error, expected, "\n{error}");
    }

    #[test]
    fn edges_that_differ_from_operands() {
        check(
            |graph, [_, w, _, b, c]| {
                graph.corrupt_node(c, |_, operands, _| *operands = [w, b].into_iter().collect())
            },
            "
graph `f` is not valid: the edges of the graph differ from the operand list
   %c: f32[2] = sub %w, %b
   ^^
   %w: f32[2] = input
   %b: f32[2] = reduce_sum %a { axes = [1] }",
        );
        check(
            |graph, [_, _, _, b, c]| {
                graph.corrupt_node(c, |_, operands, _| *operands = [b].into_iter().collect())
            },
            "
graph `f` is not valid: the edges of the graph differ from the operand list
   %c: f32[2] = sub %b
   ^^
   %b: f32[2] = reduce_sum %a { axes = [1] }",
        );
    }

    #[test]
    fn a_cycle() {
        check(
            |graph, [x, _, a, b, _]| {
                let d = graph
                    .add(Op::Broadcast { shape: [2, 3].into(), axes: [0].into_iter().collect() }, &[b])
                    .unwrap();
                let e = graph.add(Op::Binary(BinaryOp::Add), &[x, d]).unwrap();
                graph.corrupt_operands(a, &[e]);
            },
            "
graph `f` is not valid: the value depends on itself
   %a: f32[2, 3] = exp %add
   %add: f32[2, 3] = add %x, %broadcast
   %broadcast: f32[2, 3] = broadcast %b { axes = [0] }
   %b: f32[2] = reduce_sum %a { axes = [1] }",
        );
    }

    #[test]
    fn operands_that_do_not_suit() {
        check(
            |graph, [_, w, a, _, c]| graph.corrupt_operands(c, &[a, w]),
            "
graph `f` is not valid: operands of `sub` have different shapes: f32[2, 3] and f32[2]
   %c: f32[2] = sub %a, %w
   ^^
   %a: f32[2, 3] = exp %x
   %w: f32[2] = input",
        );
    }

    #[test]
    fn a_type_that_the_rule_does_not_give() {
        check(
            |graph, [.., b, _]| graph.corrupt_node(b, |_, _, ty| *ty = TensorType::new(DType::F32, [3])),
            "
graph `f` is not valid: the type rule of the op gives f32[2]
   %b: f32[3] = reduce_sum %a { axes = [1] }
       ^^^^^^
   %a: f32[2, 3] = exp %x",
        );
    }

    #[test]
    fn inputs_that_do_not_fit_the_signature() {
        check(
            |graph, [x, _, a, ..]| graph.corrupt_inputs(&[x, a]),
            "graph `f` is not valid: input 1 of the signature is no input node",
        );
        check(
            |graph, [x, ..]| graph.corrupt_inputs(&[x]),
            "
graph `f` is not valid: the input stands in the signature 0 times, not once
   %w: f32[2] = input
   ^^",
        );
        check(
            |graph, [x, w, ..]| graph.corrupt_inputs(&[x, w, x]),
            "
graph `f` is not valid: the input stands in the signature 2 times, not once
   %x: f32[2, 3] = input
   ^^",
        );
    }

    #[test]
    fn outputs_that_do_not_fit() {
        check(
            |graph, [_, _, _, b, c]| {
                graph.corrupt_remove(c);
                graph.set_outputs(vec![
                    Output { value: b, updates: None },
                    Output { value: c, updates: None },
                ]);
            },
            "graph `f` is not valid: output 1 is not in the graph",
        );
        check(
            |graph, [_, _, a, ..]| graph.set_outputs(vec![Output { value: a, updates: Some(2) }]),
            "
graph `f` is not valid: output 0 updates an input that the signature does not have
   %a: f32[2, 3] = exp %x
   ^^
   %x: f32[2, 3] = input",
        );
        check(
            |graph, [_, _, a, ..]| graph.set_outputs(vec![Output { value: a, updates: Some(1) }]),
            "
graph `f` is not valid: output 0 updates state of type f32[2]
   %a: f32[2, 3] = exp %x
       ^^^^^^^^^
   %x: f32[2, 3] = input",
        );
        check(
            |graph, [_, _, a, ..]| graph.set_outputs(vec![Output { value: a, updates: Some(0) }; 2]),
            "
graph `f` is not valid: output 1 updates state that another output updates
   %a: f32[2, 3] = exp %x
   ^^
   %x: f32[2, 3] = input",
        );
    }
}
