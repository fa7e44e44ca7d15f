//! The work of kernels, counted from the graph: floating-point operations and bytes that cross memory.
//!
//! A multiply-add counts as two operations; any other arithmetic on a float, a transcendental function too, as one.
//! Comparisons, selections, conversions, integers and movement count nothing. Each value a kernel reads or writes is
//! counted once and whole, whatever part of it caches save or loops read twice.

use crate::contraction::n_multiply_adds;
use kiln_ir::kernel::Kernel;
use kiln_ir::{Graph, NodeId, Op};
use std::fmt;

/// Work of a kernel or of a program.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// Floating-point operations.
    pub flops: u64,
    /// Bytes read and written.
    pub bytes: u64,
}

impl std::iter::Sum for Cost {
    fn sum<I: Iterator<Item = Cost>>(costs: I) -> Cost {
        costs.fold(Cost::default(), |sum, cost| Cost {
            flops: sum.flops + cost.flops,
            bytes: sum.bytes + cost.bytes,
        })
    }
}

/// The work of a kernel.
pub fn of_kernel(graph: &Graph, kernel: &Kernel) -> Cost {
    let n_bytes = |&node: &NodeId| graph.node(node).ty().n_bytes() as u64;
    Cost {
        flops: kernel.members.iter().map(|&node| flops(graph, node)).sum(),
        bytes: kernel.reads.iter().chain(&kernel.writes).map(n_bytes).sum(),
    }
}

/// The floating-point operations of one node.
pub fn flops(graph: &Graph, node: NodeId) -> u64 {
    if let Op::Loop(looped) = graph.op(node) {
        let step: u64 = looped.body.ids().map(|id| flops(&looped.body, id)).sum();
        return looped.n_steps as u64 * step;
    }
    let ty = graph.node(node).ty();
    if !ty.dtype.is_float() {
        return 0;
    }
    let operand_elements = || graph.node(graph.operands(node)[0]).ty().n_elements() as u64;
    let n_elements = ty.n_elements() as u64;
    match graph.op(node) {
        Op::Unary(_) | Op::Binary(_) | Op::Cumulative(_) => n_elements,
        Op::Reduce(..) | Op::ScatterAdd { .. } => operand_elements(),
        Op::Dot(_) | Op::Conv(_) => 2 * n_multiply_adds(graph, node) as u64,
        Op::Window(_, window) => n_elements * window.sizes.iter().product::<usize>() as u64,
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
        | Op::LoopResult { .. } => 0,
    }
}

/// A number of floating-point operations in text: `102.8 MFLOP`.
#[derive(Clone, Copy, Debug)]
pub struct Flops(pub u64);

/// A number of bytes in text: `256 KiB`.
#[derive(Clone, Copy, Debug)]
pub struct Bytes(pub u64);

impl fmt::Display for Flops {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&scaled(self.0, 1000, &["FLOP", "kFLOP", "MFLOP", "GFLOP", "TFLOP"]))
    }
}

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&scaled(self.0, 1024, &["B", "KiB", "MiB", "GiB", "TiB"]))
    }
}

/// The number in the largest unit of which it is at least one, with one decimal where there is one.
fn scaled(number: u64, step: u64, units: &[&str]) -> String {
    let (mut value, mut unit) = (number as f64, 0);
    while value >= step as f64 && unit + 1 < units.len() {
        (value, unit) = (value / step as f64, unit + 1);
    }
    format!("{} {}", (value * 10.0).round() / 10.0, units[unit])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lower::{lower, separate_outputs};
    use kiln_ir::parse;

    #[test]
    fn products_count_twice_and_values_once() {
        let mut graph = parse(
            "graph f(%x: f32[128, 64], %w: f32[32, 64]) {
                %y: f32[128, 32] = dot %x, %w { contract = [1:1] }
                %e: f32[128, 32] = exp %y
                %sum: f32[128] = reduce_sum %e { axes = [1] }
                %m: f32[64, 32] = permute %w { permutation = [1, 0] }
                return %e, %sum, %m
            }",
        )
        .unwrap();
        separate_outputs(&mut graph);
        let lowered = lower(&graph);
        let whole: Cost = lowered.schedule.kernels.iter().map(|kernel| of_kernel(&graph, kernel)).sum();
        assert_eq!(whole.flops, 2 * 128 * 64 * 32 + 128 * 32 + 128 * 32);
    }

    #[test]
    fn units_grow_with_numbers() {
        let bytes = [0, 1023, 1024, 1536, 262_144, 3 << 30].map(|n| Bytes(n).to_string());
        assert_eq!(bytes, ["0 B", "1023 B", "1 KiB", "1.5 KiB", "256 KiB", "3 GiB"]);
        assert_eq!(Flops(102_760_448).to_string(), "102.8 MFLOP");
        assert_eq!(Flops(999).to_string(), "999 FLOP");
    }
}
