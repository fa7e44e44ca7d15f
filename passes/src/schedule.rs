//! Scheduling: the order in which kernels run.
//!
//! A kernel runs after those whose results it reads. A kernel that writes the next value of some state into the state's
//! own memory also runs after all others that read the old value; where no order allows that, the new value gets memory
//! of its own and is copied at the end.
//!
//! Among kernels that are ready, the one started first in fusion goes first: the order in which the user wrote the
//! program, in which a value is used soon after it was computed. Cost: O(kernels + edges), and for each state with a reader
//! that comes after its writer in that order the same again.

use crate::loop_bodies;
use crate::loops::LoopBody;
use crate::loops::view;
use kiln_ir::kernel::{Kernel, KernelKind};
use kiln_ir::{Graph, NodeId};
use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap, HashMap, HashSet};

/// The order of kernels, and what is updated in place.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Order {
    /// Positions of the kernels as they run.
    pub kernels: Vec<usize>,
    /// Values that are written into the memory of the state they are the next value of: (value, input position).
    pub in_place: Vec<(NodeId, usize)>,
}

/// Orders kernels.
pub fn schedule(graph: &Graph, kernels: &[Kernel], bodies: &[LoopBody]) -> Order {
    let writer: HashMap<NodeId, usize> = kernels
        .iter()
        .enumerate()
        .flat_map(|(i, kernel)| kernel.writes.iter().map(move |&w| (w, i)))
        .collect();
    let mut before: Vec<BTreeSet<usize>> = kernels
        .iter()
        .enumerate()
        .map(|(i, kernel)| {
            kernel.reads.iter().filter_map(|r| writer.get(r)).copied().filter(|&w| w != i).collect()
        })
        .collect();
    let mut readers: HashMap<NodeId, Vec<usize>> = HashMap::new();
    for (i, kernel) in kernels.iter().enumerate() {
        kernel.reads.iter().for_each(|&read| readers.entry(read).or_default().push(i));
    }
    let mut in_place = Vec::new();
    let (mut values, mut inputs) = (HashSet::new(), HashSet::new());
    // A kernel stands behind all whose results it needs in this order; until one has to wait for a reader behind it, only
    // a reader behind the writer can need it.
    let mut rank = vec![0; kernels.len()];
    topological(&before).into_iter().enumerate().for_each(|(place, kernel)| rank[kernel] = place);
    let mut is_ranked = true;
    for output in graph.outputs() {
        let (Some(input), Some(&last)) = (output.updates, writer.get(&output.value)) else { continue };
        let state = graph.inputs()[input];
        let taken = values.contains(&output.value) || inputs.contains(&input);
        if taken || !may_write_over(graph, &kernels[last], &bodies[last], state, output.value) {
            continue;
        }
        let readers = readers.get(&state).map_or(&[][..], Vec::as_slice);
        let readers = || readers.iter().copied().filter(|&reader| reader != last);
        let is_behind = |reader: usize| rank[reader] > rank[last];
        if readers().any(|reader| (!is_ranked || is_behind(reader)) && reaches(&before, last, reader)) {
            continue;
        }
        is_ranked &= !readers().any(is_behind);
        before[last].extend(readers());
        in_place.push((output.value, input));
        values.insert(output.value);
        inputs.insert(input);
    }
    Order { kernels: topological(&before), in_place }
}

/// Whether a kernel may write a value into memory that it reads.
pub fn may_write_over(graph: &Graph, kernel: &Kernel, body: &LoopBody, old: NodeId, new: NodeId) -> bool {
    if !kernel.reads.contains(&old) {
        return true;
    }
    let in_other_order = match kernel.kind {
        // The tiles read their operands in blocks of their own, in an order that the body does not show.
        KernelKind::Contraction(root) => {
            let product = view::contraction_product(graph, root);
            new == root || graph.operands(product).iter().any(|&operand| reads_through(graph, operand, old))
        }
        // A line is read along its axis and written there by rank.
        KernelKind::Sort(_) => true,
        KernelKind::Loop | KernelKind::WindowPut(_) => false,
        KernelKind::Repeat(looped) => return loop_bodies::may_carry_over(graph, looped, old, new),
        KernelKind::ScatterAdd(_) | KernelKind::Cumulative(_) => true,
    };
    !in_other_order && body.may_overwrite(old, new)
}

fn reads_through(graph: &Graph, mut node: NodeId, of: NodeId) -> bool {
    while node != of && view::is_view(graph.op(node)) {
        node = graph.operands(node)[0];
    }
    node == of
}

/// Whether `from` must run before `to`.
fn reaches(before: &[BTreeSet<usize>], from: usize, to: usize) -> bool {
    let mut stack = vec![to];
    let mut seen = vec![false; before.len()];
    while let Some(kernel) = stack.pop() {
        if kernel == from {
            return true;
        }
        if !std::mem::replace(&mut seen[kernel], true) {
            stack.extend(&before[kernel]);
        }
    }
    false
}

/// The order in which each kernel comes after those before it, and else the first one first.
fn topological(before: &[BTreeSet<usize>]) -> Vec<usize> {
    let mut after = vec![Vec::new(); before.len()];
    let mut n_left: Vec<usize> = before.iter().map(BTreeSet::len).collect();
    for (kernel, needs) in before.iter().enumerate() {
        needs.iter().for_each(|&need| after[need].push(kernel));
    }
    let mut ready: BinaryHeap<Reverse<usize>> =
        (0..before.len()).filter(|&kernel| n_left[kernel] == 0).map(Reverse).collect();
    let mut order = Vec::with_capacity(before.len());
    while let Some(Reverse(next)) = ready.pop() {
        order.push(next);
        for &kernel in &after[next] {
            n_left[kernel] -= 1;
            if n_left[kernel] == 0 {
                ready.push(Reverse(kernel));
            }
        }
    }
    assert!(order.len() == before.len(), "internal error: kernels wait for each other; please report this");
    order
}
