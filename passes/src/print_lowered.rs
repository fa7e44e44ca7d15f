//! Kernels and schedules as text: what fusion, scheduling and planning decided, in the names of the graph's text.
//!
//! ```text
//! kernels f: 1
//! k0 contraction over [128, 512], 102.8 MFLOP
//!     read %x: f32[128, 784]
//!     %y: f32[128, 512] = dot %x, %w { contract = [1:1] }
//!     %z: f32[128, 512] = max %y, %zero
//!     write %z: f32[128, 512]
//!
//! schedule f: 1 kernel, arena 256 KiB (256 KiB without reuse)
//!     k0 contraction  %x, %w -> %z [0..262144]   dot, max   102.8 MFLOP
//! ```

use crate::cost::{self, Bytes, Flops};
use crate::lower::Lowered;
use kiln_ir::kernel::{Kernel, KernelKind, MemoryPlan, Place};
use kiln_ir::{Graph, Names, NodeId, print};
use std::fmt::Write;

/// The kernels of a program: of each its loops, what it reads, computes and writes.
pub fn kernels(graph: &Graph, lowered: &Lowered) -> String {
    let kernels = &lowered.schedule.kernels;
    let mut text = format!("kernels {}: {}\n", graph.name, kernels.len());
    write_kernels(&mut text, graph, lowered, "");
    text
}

/// Writes the kernels of a graph; those of loops in it stand further to the right.
fn write_kernels(text: &mut String, graph: &Graph, lowered: &Lowered, indent: &str) {
    let names = Names::new(graph);
    let kernels = &lowered.schedule.kernels;
    for (k, kernel) in kernels.iter().enumerate() {
        let mut line = |line: String| {
            text.push_str(indent);
            text.push_str(&line);
            text.push('\n');
        };
        let flops = Flops(cost::of_kernel(graph, kernel).flops);
        let reduced = if kernel.reduced.is_empty() {
            String::new()
        } else {
            format!(", axes {:?} reduced", &kernel.reduced[..])
        };
        line(format!("k{k} {} over {}{reduced}, {flops}", kind(kernel), kernel.domain));
        let value = |node: NodeId| format!("%{}: {}", names.get(node), graph.node(node).ty());
        kernel.reads.iter().for_each(|&node| line(format!("    read {}", value(node))));
        kernel.members.iter().for_each(|&node| line(format!("    {}", print::line(graph, &names, node))));
        kernel.writes.iter().for_each(|&node| line(format!("    write {}", value(node))));
        if let KernelKind::Repeat(node) = kernel.kind {
            let of = &lowered.loops[&node];
            write_kernels(text, &of.body, &of.lowered, &format!("{indent}        "));
        }
    }
}

/// The order of the kernels and the place of every value they write: bytes of the arena, or the state that is updated in
/// place.
pub fn schedule(graph: &Graph, lowered: &Lowered) -> String {
    let names = Names::new(graph);
    let Lowered { schedule, plan, .. } = lowered;
    let n = schedule.kernels.len();
    let mut text = format!(
        "schedule {}: {n} kernel{}, arena {} ({} without reuse)\n",
        graph.name,
        if n == 1 { "" } else { "s" },
        Bytes(plan.arena_bytes as u64),
        Bytes(plan.bytes_without_reuse as u64),
    );
    for (k, kernel) in schedule.kernels.iter().enumerate() {
        let reads: Vec<String> = kernel.reads.iter().map(|&node| format!("%{}", names.get(node))).collect();
        let writes: Vec<String> =
            kernel.writes.iter().map(|&node| written(graph, plan, &names, kernel, node)).collect();
        let flops = Flops(cost::of_kernel(graph, kernel).flops);
        let (kind, reads, writes) = (kind(kernel), reads.join(", "), writes.join(", "));
        let fused = fused(graph, kernel).join(", ");
        writeln!(text, "    k{k} {kind}  {reads} -> {writes}   {fused}   {flops}")
            .expect("writing to a string cannot fail");
    }
    for copy in &plan.copies {
        let state = names.get(graph.inputs()[copy.to]);
        writeln!(text, "    copy %{} -> %{state}", names.get(copy.from)).expect("as above");
    }
    text
}

/// What a kernel's loops do, in a word.
pub fn kind(kernel: &Kernel) -> &'static str {
    match kernel.kind {
        KernelKind::Loop => "loop",
        KernelKind::Contraction(_) => "contraction",
        KernelKind::ScatterAdd(_) => "scatter-add",
        KernelKind::WindowPut(_) => "window-put",
        KernelKind::Cumulative(_) => "cumulative",
        KernelKind::Repeat(_) => "repeat",
        KernelKind::Sort(_) => "sort",
    }
}

/// The ops that a kernel computes together, in order; those that occur several times with their number.
pub fn fused(graph: &Graph, kernel: &Kernel) -> Vec<String> {
    let mut counts: Vec<(&'static str, usize)> = Vec::new();
    for &node in &kernel.members {
        let name = graph.op(node).name();
        match counts.iter_mut().find(|(of, _)| *of == name) {
            Some((_, n)) => *n += 1,
            None => counts.push((name, 1)),
        }
    }
    let with_count = |(name, n)| if n == 1 { String::from(name) } else { format!("{n} {name}") };
    counts.into_iter().map(with_count).collect()
}

/// A value that a kernel writes, with its place, and the value whose memory it takes over in this kernel, if any.
fn written(graph: &Graph, plan: &MemoryPlan, names: &Names, kernel: &Kernel, node: NodeId) -> String {
    let placement = plan.placement(node);
    let name = names.get(node);
    match placement.place {
        Place::Input(i) => format!("%{name} in %{}", names.get(graph.inputs()[i])),
        Place::Constant => format!("%{name}"),
        Place::Arena(offset) => {
            let product = match kernel.kind {
                KernelKind::Contraction(root) if root != node => Some(root),
                _ => None,
            };
            let mut before = kernel.reads.iter().chain(&product);
            let over = before.find(|&&other| plan.placement(other).place == placement.place);
            let over = over.map_or(String::new(), |&read| format!(" over %{}", names.get(read)));
            format!("%{name} [{offset}..{}]{over}", offset + placement.n_bytes)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lower::{lower, separate_outputs};
    use insta::assert_snapshot;
    use kiln_ir::parse;

    #[test]
    fn kernels_and_schedule_of_a_step() {
        let mut graph = parse(
            "graph step(%w: f32[32, 64], %x: f32[128, 64], %v: f32[32]) {
                %y: f32[128, 32] = dot %x, %w { contract = [1:1] }
                %t: f32[128, 32] = tanh %y
                %e: f32[128, 32] = exp %t
                %s: f32[128] = reduce_sum %e { axes = [1] }
                %g: f32[32, 64] = dot %t, %x { contract = [0:0] }
                %w.next: f32[32, 64] = sub %w, %g
                return %s, %w.next => %w, %v => %v
            }",
        )
        .unwrap();
        separate_outputs(&mut graph);
        let lowered = lower(&graph);
        assert_snapshot!(kernels(&graph, &lowered), @"
        kernels step: 3
        k0 contraction over [128, 32], 532.5 kFLOP
            read %w: f32[32, 64]
            read %x: f32[128, 64]
            %y: f32[128, 32] = dot %x, %w { contract = [1:1] }
            %t: f32[128, 32] = tanh %y
            %e: f32[128, 32] = exp %t
            write %y: f32[128, 32]
            write %t: f32[128, 32]
            write %e: f32[128, 32]
        k1 loop over [128, 32], axes [1] reduced, 4.1 kFLOP
            read %e: f32[128, 32]
            %s: f32[128] = reduce_sum %e { axes = [1] }
            write %s: f32[128]
        k2 contraction over [32, 64], 526.3 kFLOP
            read %w: f32[32, 64]
            read %x: f32[128, 64]
            read %t: f32[128, 32]
            %g: f32[32, 64] = dot %t, %x { contract = [0:0] }
            %w.next: f32[32, 64] = sub %w, %g
            write %g: f32[32, 64]
            write %w.next: f32[32, 64]
        ");
        assert_snapshot!(schedule(&graph, &lowered), @"
        schedule step: 3 kernels, arena 32.5 KiB (56.5 KiB without reuse)
            k0 contraction  %w, %x -> %y [0..16384], %t [16384..32768], %e [0..16384] over %y   dot, tanh, exp   532.5 kFLOP
            k1 loop  %e -> %s [32768..33280]   reduce_sum   4.1 kFLOP
            k2 contraction  %w, %x, %t -> %g [0..8192], %w.next in %w   dot, sub   526.3 kFLOP
        ");
    }
}
