//! From an optimized graph to what code generation reads: kernels in order, their loops, their memory.

use crate::fuse::fuse;
use crate::loop_bodies::{self, LoweredLoop};
use crate::loops::{self, LoopBody};
use crate::plan_memory::plan_memory;
use crate::schedule::schedule;
use kiln_ir::kernel::{MemoryPlan, Schedule};
use kiln_ir::{Graph, NodeId, Op};
use std::collections::{BTreeMap, HashSet};

/// A program before it is code.
#[derive(Clone, Debug)]
pub struct Lowered {
    /// The kernels in the order in which they run.
    pub schedule: Schedule,
    /// The loops of each kernel.
    pub bodies: Vec<LoopBody>,
    /// Where every value lies.
    pub plan: MemoryPlan,
    /// The body of each loop.
    pub loops: BTreeMap<NodeId, LoweredLoop>,
}

/// Gives every output a value of its own that a kernel writes: an output that is an input, a constant or the same as
/// another output becomes a copy. State that stays as it is needs none. Loops get all their results, and no constants in
/// their bodies.
pub fn separate_outputs(graph: &mut Graph) {
    loop_bodies::prepare(graph);
    let mut seen = HashSet::new();
    let mut outputs = graph.outputs().to_vec();
    for output in &mut outputs {
        let unchanged = output.updates.is_some_and(|input| graph.inputs()[input] == output.value);
        let in_memory = matches!(graph.op(output.value), Op::Input(_) | Op::Dense(_));
        if !unchanged && (in_memory || !seen.insert(output.value)) {
            let shape = graph.node(output.value).ty().shape.clone();
            let copy = graph.add(Op::Reshape(shape), &[output.value]);
            output.value = copy.expect("a reshape to the same shape");
        }
    }
    graph.set_outputs(outputs);
}

/// Groups a graph into kernels, orders them and places every value. The graph's outputs must be separate
/// ([`separate_outputs`]).
pub fn lower(graph: &Graph) -> Lowered {
    let kernels = fuse(graph);
    let written: HashSet<NodeId> = kernels.iter().flat_map(|kernel| &kernel.writes).copied().collect();
    let in_memory =
        |node: NodeId| written.contains(&node) || matches!(graph.op(node), Op::Input(_) | Op::Dense(_));
    let bodies: Vec<LoopBody> =
        kernels.iter().map(|kernel| loops::build(graph, kernel, &in_memory)).collect();
    let order = schedule(graph, &kernels, &bodies);
    let (kernels, bodies) = (in_order(kernels, &order.kernels), in_order(bodies, &order.kernels));
    let loops = loop_bodies::lower(graph);
    let plan = plan_memory(graph, &kernels, &bodies, &order, &loops);
    debug_assert_eq!(crate::plan_memory::check(graph, &kernels, &bodies, &plan), Ok(()));
    Lowered { schedule: Schedule { kernels }, bodies, plan, loops }
}

/// The items in the order of these positions, in which each is once.
fn in_order<T>(items: Vec<T>, order: &[usize]) -> Vec<T> {
    let mut items: Vec<Option<T>> = items.into_iter().map(Some).collect();
    order.iter().map(|&i| items[i].take().expect("an order has each position once")).collect()
}

#[cfg(test)]
mod tests;
