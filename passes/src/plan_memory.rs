//! Memory planning: one arena, with an offset for every value decided before the program runs.
//!
//! Kernels are taken in order. A value written takes the memory of a value that is read for the last time when the
//! kernel allows that; else the smallest gap between live values that it fits. A product that only its own kernel needs
//! gives its memory to what is made of it. A value's memory is free after the last
//! kernel that reads it. Outputs live on after the step. [`check`] proves the result without trusting how it was made.
//!
//! Cost: O(values * logarithm of those that live at once).

use crate::loop_bodies::LoweredLoop;
use crate::loops::LoopBody;
use crate::schedule::{Order, may_write_over};
use kiln_ir::kernel::{Copy, Kernel, KernelKind, MemoryPlan, Place, Placement};
use kiln_ir::{Graph, NodeId, Op};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Values begin at multiples of this many bytes: a cache line, and the widest vector.
pub const ALIGNMENT: usize = 64;

/// The size of the gap behind all blocks.
const ENDLESS: usize = usize::MAX;

/// Plans the memory of kernels that are in their final order.
pub fn plan_memory(
    graph: &Graph,
    kernels: &[Kernel],
    bodies: &[LoopBody],
    order: &Order,
    loops: &BTreeMap<NodeId, LoweredLoop>,
) -> MemoryPlan {
    let mut planner = Planner {
        graph,
        live: BTreeMap::new(),
        gaps: BTreeSet::from([(ENDLESS, 0)]),
        needed_up_to: HashMap::new(),
        arena_bytes: 0,
        placements: HashMap::new(),
    };
    planner.place_inputs_and_constants(kernels.len());
    let last_reads = last_reads(graph, kernels);
    let in_place: HashMap<NodeId, usize> = order.in_place.iter().copied().collect();
    let mut bytes_without_reuse = 0;
    for (k, (kernel, body)) in kernels.iter().zip(bodies).enumerate() {
        let own = own_product(kernel, &last_reads);
        let mut given_to = None;
        for &value in own.iter().chain(kernel.writes.iter().filter(|&&value| Some(value) != own)) {
            // A loop has no value of its own: what it takes is what the kernels of its body need between them.
            let n_bytes = match loops.get(&value) {
                Some(looped) => looped.lowered.plan.arena_bytes,
                None => graph.node(value).ty().n_bytes(),
            };
            let last = last_reads.get(&value).copied().unwrap_or(k).max(k);
            let place = match in_place.get(&value) {
                Some(&input) => Place::Input(input),
                None => {
                    bytes_without_reuse += n_bytes.next_multiple_of(ALIGNMENT);
                    let product =
                        own.filter(|&own| given_to.is_none() && may_become(graph, body, own, value));
                    let offset = match product {
                        Some(product) => {
                            given_to = Some(value);
                            planner.arena_offset(product)
                        }
                        None => planner.offset(kernel, body, value, n_bytes, k),
                    };
                    planner.keep(offset, k, last);
                    Place::Arena(offset)
                }
            };
            planner.placements.insert(value, Placement { node: value, place, n_bytes, first: Some(k), last });
        }
        planner.free_after(k);
    }
    let mut placements: Vec<Placement> = planner.placements.into_values().collect();
    placements.sort_unstable_by_key(|placement| placement.node);
    let copies = copies(graph, order);
    MemoryPlan { arena_bytes: planner.arena_bytes, bytes_without_reuse, placements, copies }
}

/// The product of a contraction, if no other kernel reads it.
fn own_product(kernel: &Kernel, last_reads: &HashMap<NodeId, usize>) -> Option<NodeId> {
    match kernel.kind {
        KernelKind::Contraction(root) if !last_reads.contains_key(&root) => Some(root),
        _ => None,
    }
}

/// Whether a value that is made of a product may lie where the product does: each region of it is finished once, and
/// then only the epilogue reads it.
fn may_become(graph: &Graph, body: &LoopBody, product: NodeId, value: NodeId) -> bool {
    let n_bytes = |node: NodeId| graph.node(node).ty().n_bytes();
    value != product && n_bytes(value) == n_bytes(product) && body.may_overwrite(product, value)
}

/// State whose next value could not be written in place.
fn copies(graph: &Graph, order: &Order) -> Vec<Copy> {
    let outputs =
        graph.outputs().iter().filter_map(|output| output.updates.map(|to| Copy { from: output.value, to }));
    let moved = outputs.filter(|copy| graph.inputs()[copy.to] != copy.from);
    moved.filter(|copy| !order.in_place.contains(&(copy.from, copy.to))).collect()
}

/// The last kernel that reads each value; one after the last kernel for outputs.
fn last_reads(graph: &Graph, kernels: &[Kernel]) -> HashMap<NodeId, usize> {
    let mut last = HashMap::new();
    for (k, kernel) in kernels.iter().enumerate() {
        last.extend(kernel.reads.iter().map(|&value| (value, k)));
    }
    last.extend(graph.outputs().iter().map(|output| (output.value, kernels.len())));
    last
}

/// A part of the arena that holds a value.
struct Block {
    size: usize,
    /// The kernel that wrote the value.
    since: usize,
    /// The last kernel that needs it.
    last: usize,
}

struct Planner<'g> {
    graph: &'g Graph,
    /// Blocks in use, by their offsets.
    live: BTreeMap<usize, Block>,
    /// The gaps before, between and after blocks: their sizes and starts. The last one has no end.
    gaps: BTreeSet<(usize, usize)>,
    /// The offsets of blocks that were needed up to a kernel when they were written.
    needed_up_to: HashMap<usize, Vec<usize>>,
    arena_bytes: usize,
    placements: HashMap<NodeId, Placement>,
}

impl Planner<'_> {
    fn place_inputs_and_constants(&mut self, end: usize) {
        let constants = self.graph.ids().filter(|&id| matches!(self.graph.op(id), Op::Dense(_)));
        let places = constants.map(|node| (node, Place::Constant));
        let inputs = self.graph.inputs().iter().enumerate().map(|(i, &node)| (node, Place::Input(i)));
        for (node, place) in places.chain(inputs) {
            let n_bytes = self.graph.node(node).ty().n_bytes();
            self.placements.insert(node, Placement { node, place, n_bytes, first: None, last: end });
        }
    }

    /// Where a value lies that was given a place in the arena.
    fn arena_offset(&self, value: NodeId) -> usize {
        match self.placements[&value].place {
            Place::Arena(offset) => offset,
            Place::Input(_) | Place::Constant => unreachable!("a product is no state"),
        }
    }

    fn offset(&mut self, kernel: &Kernel, body: &LoopBody, value: NodeId, n_bytes: usize, k: usize) -> usize {
        let size = n_bytes.next_multiple_of(ALIGNMENT).max(ALIGNMENT);
        for &old in &kernel.reads {
            let Some(&Placement { place: Place::Arena(offset), n_bytes: old_bytes, last, .. }) =
                self.placements.get(&old)
            else {
                continue;
            };
            let given_on = self.live.get(&offset).is_none_or(|block| block.since == k);
            if last == k
                && old_bytes == n_bytes
                && !given_on
                && may_write_over(self.graph, kernel, body, old, value)
            {
                return offset;
            }
        }
        let offset = self.take_gap(size);
        self.live.insert(offset, Block { size, since: k, last: k });
        self.arena_bytes = self.arena_bytes.max(offset + size);
        offset
    }

    /// Takes memory from the smallest gap that is large enough, the first of equal ones. Returns its start.
    fn take_gap(&mut self, size: usize) -> usize {
        let smallest = self.gaps.range((size, 0)..).next();
        let &(gap, start) = smallest.expect("the gap behind all blocks has no end");
        self.gaps.remove(&(gap, start));
        let rest = if gap == ENDLESS { ENDLESS } else { gap - size };
        if rest > 0 {
            self.gaps.insert((rest, start + size));
        }
        start
    }

    /// Gives the memory of a block back, as one gap with those beside it.
    fn release(&mut self, offset: usize) {
        let Some(block) = self.live.remove(&offset) else { return };
        let before = self.live.range(..offset).next_back().map_or(0, |(&offset, block)| offset + block.size);
        let behind = offset + block.size;
        let after = self.live.range(behind..).next().map(|(&offset, _)| offset);
        self.gaps.remove(&(offset - before, before));
        self.gaps.remove(&(after.map_or(ENDLESS, |after| after - behind), behind));
        self.gaps.insert((after.map_or(ENDLESS, |after| after - before), before));
    }

    /// Notes the value that a block holds from kernel `k` on.
    fn keep(&mut self, offset: usize, k: usize, last: usize) {
        let block = self.live.get_mut(&offset).expect("the block was just given to the value");
        (block.since, block.last) = (k, last);
        self.needed_up_to.entry(last).or_default().push(offset);
    }

    fn free_after(&mut self, k: usize) {
        for offset in self.needed_up_to.remove(&k).unwrap_or_default() {
            // A block that was given on in place lives as long as its last owner.
            if self.live.get(&offset).is_some_and(|block| block.last == k) {
                self.release(offset);
            }
        }
    }
}

/// Why a plan is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PlanError {
    /// Two values lie in the same memory while both are needed.
    Overlap(NodeId, NodeId),
    /// A value leaves the arena.
    OutsideArena(NodeId),
    /// A value is read by a kernel at a time at which the plan does not keep it.
    ReadWhenDead(NodeId, usize),
    /// The loops of a kernel load a value that is not among those it is known to read.
    ReadUnseen(NodeId, usize),
    /// State is overwritten while a later kernel still reads its old value.
    StateLost(NodeId, usize),
    /// State, by position among the inputs, does not get its next value, or gets something else too.
    WrongUpdate(usize),
}

/// Proves that no two values that are live at once share memory, that all lie in the arena, that every value lives
/// as long as it is read, and that state is not overwritten too early and gets its next value. Derives lifetimes anew from
/// the kernels, and holds what these say that they read to what their loops load.
pub fn check(
    graph: &Graph,
    kernels: &[Kernel],
    bodies: &[LoopBody],
    plan: &MemoryPlan,
) -> Result<(), PlanError> {
    let last_reads = last_reads(graph, kernels);
    let lives =
        |value: NodeId, first: usize| (first, last_reads.get(&value).copied().unwrap_or(first).max(first));
    let mut values = Vec::new();
    for (k, kernel) in kernels.iter().enumerate() {
        for &value in &kernel.writes {
            let placement = plan.placement(value);
            match placement.place {
                Place::Arena(offset) if offset + placement.n_bytes > plan.arena_bytes => {
                    return Err(PlanError::OutsideArena(value));
                }
                Place::Arena(offset) => {
                    values.push((value, offset..offset + placement.n_bytes, lives(value, k), k))
                }
                Place::Input(input) => check_state(graph, kernels, bodies, graph.inputs()[input], value, k)?,
                Place::Constant => return Err(PlanError::OutsideArena(value)),
            }
            if placement.first != Some(k) || placement.last < lives(value, k).1 {
                return Err(PlanError::ReadWhenDead(value, k));
            }
        }
    }
    check_reads(kernels, bodies, plan)?;
    for (i, (a, a_bytes, a_lives, _)) in values.iter().enumerate() {
        for (b, b_bytes, b_lives, b_kernel) in &values[i + 1..] {
            let bytes = a_bytes.start < b_bytes.end && b_bytes.start < a_bytes.end;
            let time = a_lives.0 <= b_lives.1 && b_lives.0 <= a_lives.1;
            // A value may take over memory in the very kernel that reads it for the last time.
            let taken_over = a_lives.1 == b_lives.0
                && a_lives.0 < b_lives.0
                && a_bytes == b_bytes
                && may_write_over(graph, &kernels[*b_kernel], &bodies[*b_kernel], *a, *b);
            let own = own_product(&kernels[*b_kernel], &last_reads);
            let becomes = |product: NodeId, value: NodeId| {
                own == Some(product) && may_become(graph, &bodies[*b_kernel], product, value)
            };
            let one_kernel = a_lives.0 == b_lives.0 && a_bytes == b_bytes;
            let becomes = one_kernel && (becomes(*a, *b) || becomes(*b, *a));
            if bytes && time && !taken_over && !becomes {
                return Err(PlanError::Overlap(*a, *b));
            }
        }
    }
    check_updates(graph, kernels, plan)
}

/// Every value is written before it is read, and every load is a read that lifetimes count with.
fn check_reads(kernels: &[Kernel], bodies: &[LoopBody], plan: &MemoryPlan) -> Result<(), PlanError> {
    for (k, (kernel, body)) in kernels.iter().zip(bodies).enumerate() {
        // Inputs and constants are there from the beginning.
        let is_late = |value: &&NodeId| plan.placement(**value).first.is_some_and(|first| first >= k);
        if let Some(&value) = kernel.reads.iter().find(is_late) {
            return Err(PlanError::ReadWhenDead(value, k));
        }
        let is_known = |value: &NodeId| kernel.reads.contains(value) || kernel.writes.contains(value);
        if let Some(value) = body.loaded().find(|value| !is_known(value)) {
            return Err(PlanError::ReadUnseen(value, k));
        }
    }
    Ok(())
}

/// Each piece of state that an output updates is written once, by a kernel or by a copy; the rest is not written.
fn check_updates(graph: &Graph, kernels: &[Kernel], plan: &MemoryPlan) -> Result<(), PlanError> {
    let written = kernels.iter().flat_map(|kernel| &kernel.writes);
    let in_place = written.filter_map(|&value| match plan.placement(value).place {
        Place::Input(input) => Some((value, input)),
        Place::Arena(_) | Place::Constant => None,
    });
    let updates = in_place.chain(plan.copies.iter().map(|copy| (copy.from, copy.to)));
    let mut updates: Vec<(NodeId, usize)> = updates.collect();
    let wanted = graph.outputs().iter().filter_map(|output| Some((output.value, output.updates?)));
    for (value, input) in wanted.filter(|&(value, input)| graph.inputs()[input] != value) {
        match updates.iter().position(|&update| update == (value, input)) {
            Some(i) => updates.swap_remove(i),
            None => return Err(PlanError::WrongUpdate(input)),
        };
    }
    updates.first().map_or(Ok(()), |&(_, input)| Err(PlanError::WrongUpdate(input)))
}

fn check_state(
    graph: &Graph,
    kernels: &[Kernel],
    bodies: &[LoopBody],
    state: NodeId,
    value: NodeId,
    k: usize,
) -> Result<(), PlanError> {
    let later = (k + 1..kernels.len()).find(|&other| kernels[other].reads.contains(&state));
    match later {
        Some(other) => Err(PlanError::StateLost(state, other)),
        None if !may_write_over(graph, &kernels[k], &bodies[k], state, value) => {
            Err(PlanError::StateLost(state, k))
        }
        None => Ok(()),
    }
}
