//! One op at a time, each compiled once: the kernels of compiled programs, without fusion and planning.
//!
//! Each result gets memory of its own, as in every eager framework. Views are written out: an eager value is always
//! contiguous.

use super::{Evaluator, Value};
use crate::compile::{CompileOptions, compile};
use crate::executable::Executable;
use kiln_ir::{Graph, Op, TensorData, TensorType};
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

/// Computes ops with compiled kernels, which it keeps.
pub struct CompiledEvaluator {
    options: CompileOptions,
    /// Kernels by a hash of op name and operand types; attributes decide among those of one hash.
    kernels: HashMap<u64, Vec<OneOp>>,
}

struct OneOp {
    op: Op,
    operands: Vec<TensorType>,
    executable: Executable,
}

impl CompiledEvaluator {
    /// An evaluator on the team and instruction set of these options.
    pub fn new(options: CompileOptions) -> CompiledEvaluator {
        let options =
            CompileOptions { n_state: 0, optimize: false, keep_text: false, profile: false, ..options };
        CompiledEvaluator { options, kernels: HashMap::new() }
    }
}

impl Evaluator for CompiledEvaluator {
    fn evaluate(&mut self, op: &Op, operands: &[&Value], result: &TensorType) -> Value {
        match op {
            Op::Dense(data) => return data.clone(),
            Op::Fill(value, shape) => return Arc::new(TensorData::filled(shape.clone(), *value)),
            _ => {}
        }
        let mut hasher = DefaultHasher::new();
        op.name().hash(&mut hasher);
        for operand in operands {
            (operand.dtype(), operand.shape()).hash(&mut hasher);
        }
        let same = |kernel: &OneOp| {
            let fits =
                |(ty, value): (&TensorType, &&Value)| ty.dtype == value.dtype() && ty.shape == *value.shape();
            kernel.op == *op
                && kernel.operands.len() == operands.len()
                && kernel.operands.iter().zip(operands).all(fits)
        };
        let kernels = self.kernels.entry(hasher.finish()).or_default();
        let position = kernels.iter().position(same).unwrap_or_else(|| {
            kernels.push(one_op(op, operands, result, &self.options));
            kernels.len() - 1
        });
        let mut value = TensorData::zeros(result);
        kernels[position].executable.run_into(operands.iter().map(|operand| &***operand), &mut value);
        Arc::new(value)
    }
}

/// The program of one op: it takes the operands and the result's memory, which is the last input.
fn one_op(op: &Op, operands: &[&Value], result: &TensorType, options: &CompileOptions) -> OneOp {
    let mut graph = Graph::new(op.name());
    let inputs: Vec<_> = operands
        .iter()
        .enumerate()
        .map(|(i, operand)| graph.add_input(&format!("x{i}"), operand.ty()))
        .collect();
    graph.add_input("result", result.clone());
    let value = graph.add(op.clone(), &inputs).expect("the op was recorded with these operands");
    graph.add_output(value, Some(inputs.len()));
    let executable = compile(graph, options);
    OneOp { op: op.clone(), operands: operands.iter().map(|operand| operand.ty()).collect(), executable }
}
