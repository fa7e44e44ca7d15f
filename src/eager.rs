//! Eager execution: each op is computed when it is recorded.
//!
//! The trace is the tape: the same graph that a compiled program is made of, with a value beside each node. So the
//! gradient rules and the optimizers are the same code in both modes.

pub mod compiled;

pub use compiled::CompiledEvaluator;

use kiln_ir::op::Loop;
use kiln_ir::{Graph, NodeId, Op, TensorData, TensorType, evaluate_loop_with};
use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

/// A value computed eagerly. Shared: a tensor, the tape and the state hold the same buffer.
pub type Value = Arc<TensorData>;

/// Computes one op at a time.
pub trait Evaluator {
    /// The value of `op` on these operands; `result` is the type it has by the op's type rule.
    fn evaluate(&mut self, op: &Op, operands: &[&Value], result: &TensorType) -> Value;

    /// The results of a loop: its body, op by op, for each step.
    fn evaluate_loop(&mut self, looped: &Loop, operands: &[&Value]) -> Vec<Value> {
        let operands: Vec<&TensorData> = operands.iter().map(|&value| &**value).collect();
        let mut run_body = |body: &Graph, inputs: Vec<TensorData>| self.evaluate_body(body, inputs);
        evaluate_loop_with(looped, &operands, &mut run_body).into_iter().map(Arc::new).collect()
    }

    /// The results of a graph, op by op.
    fn evaluate_body(&mut self, body: &Graph, inputs: Vec<TensorData>) -> Vec<TensorData> {
        let values = self.evaluate_nodes(body, inputs);
        body.outputs().iter().map(|output| TensorData::clone(&values[&output.value])).collect()
    }

    /// The value of every node of a graph, op by op.
    fn evaluate_nodes(&mut self, body: &Graph, inputs: Vec<TensorData>) -> HashMap<NodeId, Value> {
        let mut values: HashMap<NodeId, Value> =
            body.inputs().iter().copied().zip(inputs.into_iter().map(Arc::new)).collect();
        let mut loops: HashMap<NodeId, Vec<Value>> = HashMap::new();
        for id in body.topological_order() {
            let operands: Vec<&Value> = body.operands(id).iter().map(|operand| &values[operand]).collect();
            let value = match body.op(id) {
                Op::Input(_) => continue,
                Op::Loop(looped) => {
                    let results = self.evaluate_loop(looped, &operands);
                    loops.insert(id, results);
                    Arc::new(TensorData::zeros(body.node(id).ty()))
                }
                Op::LoopResult { position, .. } => loops[&body.operands(id)[0]][*position].clone(),
                op => self.evaluate(op, &operands, body.node(id).ty()),
            };
            values.insert(id, value);
        }
        values
    }
}

/// An evaluator that several traces use one after the other: it keeps what it compiled.
pub type SharedEvaluator = Rc<RefCell<dyn Evaluator>>;
