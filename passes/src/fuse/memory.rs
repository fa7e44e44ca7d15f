//! Which values lie in memory between kernels, once it is known which kernel computes what.

use super::group::Groups;
use crate::loops::view;
use kiln_ir::kernel::{Kernel, KernelKind};
use kiln_ir::{DType, Graph, NodeId, Op};
use std::collections::{BTreeSet, HashSet};

/// The outputs that a kernel must write: all but inputs and constants that are returned as they are.
pub fn outputs_in_memory(graph: &Graph) -> HashSet<NodeId> {
    let outputs = graph.outputs().iter().map(|output| output.value);
    outputs.filter(|&value| !is_in_memory_already(graph, value)).collect()
}

/// Whether a node's value is in memory before the program runs.
pub fn is_in_memory_already(graph: &Graph, node: NodeId) -> bool {
    matches!(graph.op(node), Op::Input(_) | Op::Dense(_))
}

/// Decides what each kernel writes and reads.
pub fn finish(graph: &Graph, groups: Groups, order: &[NodeId]) -> Vec<Kernel> {
    let mut position = vec![0; graph.id_bound()];
    order.iter().enumerate().for_each(|(i, node)| position[node.index()] = i);
    let written = written(graph, &groups, order);
    let mut kernels = groups.into_kernels();
    for kernel in &mut kernels {
        kernel.members.sort_unstable_by_key(|node| position[node.index()]);
        let is_root = |node| match kernel.kind {
            KernelKind::Contraction(root) => root == node,
            // Each result is memory that the body writes; what the loop itself takes is its body's arena.
            KernelKind::Repeat(_) => true,
            KernelKind::Loop
            | KernelKind::ScatterAdd(_)
            | KernelKind::WindowPut(_)
            | KernelKind::Cumulative(_)
            | KernelKind::Sort(_) => false,
        };
        kernel.writes =
            kernel.members.iter().copied().filter(|&n| written.contains(&n) || is_root(n)).collect();
        kernel.writes.sort_unstable();
        kernel.reads = reads(graph, kernel, &written);
    }
    // A kernel of which nobody needs anything any more, because its values are cheaper computed again.
    kernels.retain(|kernel| !kernel.writes.is_empty());
    kernels
}

/// The nodes that a kernel writes to memory: outputs, and what other kernels read.
fn written(graph: &Graph, groups: &Groups, order: &[NodeId]) -> HashSet<NodeId> {
    let mut written = outputs_in_memory(graph);
    // Users first, so that it is known of every user whether it is computed again elsewhere.
    for &node in order.iter().rev() {
        let Some(group) = groups.of(node) else { continue };
        if !written.contains(&node) && is_read_by_others(graph, groups, node, group) {
            written.insert(node);
        }
    }
    // Operands first: what is computed again must find its own operands in memory.
    for &node in order {
        if written.contains(&node) && is_cheap_again(graph, groups, node, &written) {
            written.remove(&node);
        }
    }
    written
}

fn is_read_by_others(graph: &Graph, groups: &Groups, node: NodeId, group: usize) -> bool {
    graph.users(node).iter().any(|&user| match groups.of(user) {
        Some(other) => other != group,
        // A view that no kernel writes: its users read this node.
        None => is_read_by_others(graph, groups, user, group),
    })
}

/// Whether the users of a value are better off computing it again: it is a truth value (or a cast of one) that takes
/// one operation on what lies in memory anyway, and no user needs it to lie there itself.
fn is_cheap_again(graph: &Graph, groups: &Groups, node: NodeId, written: &HashSet<NodeId>) -> bool {
    let cheap = match graph.op(node) {
        Op::Compare(_) => true,
        Op::Cast(_) => graph.node(graph.operands(node)[0]).ty().dtype != DType::F64,
        _ => false,
    };
    if !cheap || graph.is_output(node) {
        return false;
    }
    let mut in_memory = 0;
    for &operand in graph.operands(node) {
        let mut base = operand;
        while view::is_view(graph.op(base)) && !groups.contains(base) {
            base = graph.operands(base)[0];
        }
        match graph.op(base) {
            Op::Fill(..) => {}
            _ if is_in_memory_already(graph, base) || written.contains(&base) => in_memory += 1,
            _ => return false,
        }
    }
    in_memory <= 1 && users_are_loops(graph, groups, node)
}

/// Whether all users compute element by element, so that they can expand a value instead of reading it.
fn users_are_loops(graph: &Graph, groups: &Groups, node: NodeId) -> bool {
    graph.users(node).iter().all(|&user| match groups.of(user).map(|group| groups.kernel(group)) {
        Some(kernel) => match kernel.kind {
            KernelKind::Contraction(root) => user != root && user != view::contraction_product(graph, root),
            KernelKind::Repeat(_) | KernelKind::Sort(_) => false,
            KernelKind::Loop
            | KernelKind::ScatterAdd(_)
            | KernelKind::WindowPut(_)
            | KernelKind::Cumulative(_) => true,
        },
        None => users_are_loops(graph, groups, user),
    })
}

/// The values that a kernel loads: the first ones in memory on the way down from its members.
fn reads(graph: &Graph, kernel: &Kernel, written: &HashSet<NodeId>) -> Vec<NodeId> {
    let members: HashSet<NodeId> = kernel.members.iter().copied().collect();
    let mut reads = BTreeSet::new();
    let mut seen = HashSet::new();
    let mut stack: Vec<NodeId> =
        kernel.members.iter().flat_map(|&node| graph.operands(node)).copied().collect();
    while let Some(node) = stack.pop() {
        if members.contains(&node) || !seen.insert(node) {
            continue;
        }
        if is_in_memory_already(graph, node) || written.contains(&node) {
            reads.insert(node);
        } else {
            stack.extend(graph.operands(node));
        }
    }
    reads.into_iter().collect()
}
