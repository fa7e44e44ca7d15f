//! Loops, step by step.

use super::interpret;
use crate::op::Loop;
use crate::op::iteration::Role;
use crate::{Graph, Literal, TensorData, TensorType};

/// The results of a loop, in order.
///
/// # Panics
/// When the operands do not suit the body: a graph's always do.
pub fn evaluate_loop(looped: &Loop, operands: &[&TensorData]) -> Vec<TensorData> {
    evaluate_loop_with(looped, operands, &mut |body, inputs| {
        interpret(body, &inputs).unwrap_or_else(|error| {
            panic!("internal error: a loop is evaluated on operands it does not take: {error}; please report this")
        })
    })
}

/// As [`evaluate_loop`], with a function that runs the body of one step.
pub fn evaluate_loop_with(
    looped: &Loop,
    operands: &[&TensorData],
    run_body: &mut dyn FnMut(&Graph, Vec<TensorData>) -> Vec<TensorData>,
) -> Vec<TensorData> {
    let n_carried = looped.n_carried();
    let mut carried: Vec<TensorData> = operands[..n_carried].iter().map(|&value| value.clone()).collect();
    let mut stacks: Vec<TensorData> = (n_carried..looped.n_results())
        .map(|k| TensorData::zeros(&looped.result_type(k).expect("a result of the body")))
        .collect();
    for step in 0..looped.n_steps {
        let index = looped.index(step);
        let of_step = |(i, &operand): (usize, &&TensorData)| match looped.operand_role(i) {
            Role::Carried => carried[i].clone(),
            Role::Stacked => part(operand, index),
            Role::Invariant => operand.clone(),
        };
        let inputs: Vec<TensorData> = operands.iter().enumerate().map(of_step).collect();
        let mut results = run_body(&looped.body, inputs);
        for (stack, part) in stacks.iter_mut().zip(results.split_off(n_carried)) {
            put(stack, index, &part);
        }
        carried = results;
    }
    carried.extend(stacks);
    carried
}

/// The part of a stack at an index of its first axis.
fn part(stack: &TensorData, index: usize) -> TensorData {
    let ty = TensorType::new(stack.dtype(), &stack.shape()[1..]);
    let n = ty.n_elements();
    TensorData::from_fn(&ty, |i| stack.get(index * n + i))
}

fn put(stack: &mut TensorData, index: usize, part: &TensorData) {
    let n = part.n_elements();
    for i in 0..n {
        let element: Literal = part.get(i);
        stack.set(index * n + i, element);
    }
}

#[cfg(test)]
mod tests {
    use crate::{TensorData, interpret, parse};

    /// Running the body by hand is the definition.
    fn decay(reverse: bool) -> Vec<Vec<f64>> {
        let reverse = if reverse { ", reverse = true" } else { "" };
        let text = format!(
            "graph f(%h: f32[1], %x: f32[3, 1], %r: f32[1]) {{
                %l: u8[0] = loop %h, %x, %r {{ steps = 3, stacked = 1{reverse} }} graph body(%h: f32[1], %x: f32[1], %r: f32[1]) {{
                    %kept: f32[1] = mul %h, %r
                    %next: f32[1] = add %kept, %x
                    return %next => %h, %kept, %next
                }}
                %kept: f32[3, 1] = loop_result %l {{ position = 1 }}
                %last: f32[1] = loop_result %l {{ position = 0 }}
                return %last, %kept
            }}"
        );
        let inputs = [
            TensorData::new([1], vec![8f32]),
            TensorData::new([3, 1], vec![1f32, 2.0, 3.0]),
            TensorData::new([1], vec![0.5f32]),
        ];
        interpret(&parse(&text).unwrap(), &inputs).unwrap().iter().map(TensorData::to_f64_vec).collect()
    }

    #[test]
    fn carried_stacked_and_invariant_values() {
        // 8 -> 4 + 1 = 5 -> 2.5 + 2 = 4.5 -> 2.25 + 3 = 5.25
        assert_eq!(decay(false), [vec![5.25], vec![4.0, 2.5, 2.25]]);
        // 8 -> 4 + 3 = 7 -> 3.5 + 2 = 5.5 -> 2.75 + 1 = 3.75, the first step at the last index
        assert_eq!(decay(true), [vec![3.75], vec![2.75, 3.5, 4.0]]);
    }

    #[test]
    fn a_loop_without_steps_returns_what_it_was_given() {
        let text = "graph f(%h: f32[2]) {
            %l: u8[0] = loop %h { steps = 0 } graph body(%h: f32[2]) {
                %next: f32[2] = exp %h
                return %next => %h, %next
            }
            %last: f32[2] = loop_result %l { position = 0 }
            %all: f32[0, 2] = loop_result %l { position = 1 }
            return %last, %all
        }";
        let results = interpret(&parse(text).unwrap(), &[TensorData::new([2], vec![1f32, 2.0])]).unwrap();
        assert_eq!(results[0].to_f64_vec(), [1.0, 2.0]);
        assert_eq!(results[1].n_elements(), 0);
    }
}
