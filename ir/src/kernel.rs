//! Kernels, their order and their memory, as plain data: what fusion, scheduling and planning decide and what code
//! generation follows. The graph itself stays flat: a kernel names the nodes it computes.

use crate::{Axes, NodeId, Shape};

/// What a kernel's loops do at the bottom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KernelKind {
    /// Elementwise work and reductions, over every index of the domain.
    Loop,
    /// A large matrix product or convolution computed by tiles; the other members are applied to each finished
    /// region of its result while that is in cache. The domain is `[rows, columns]` of the result.
    Contraction(NodeId),
    /// A scatter-add: the indexed axis is walked in order, the other axes in parallel.
    ScatterAdd(NodeId),
    /// The gradient of a window maximum: windows are walked in order, leading axes in parallel.
    WindowPut(NodeId),
    /// A running sum: its axis is walked in order, the other axes in parallel.
    Cumulative(NodeId),
    /// A loop of the graph: the kernels of its body, run in order for each step. The members are the loop and its
    /// results; the place of the loop itself is that of the memory its body's kernels need between them.
    Repeat(NodeId),
    /// A sort: a routine sorts each line of the operand, which lies in memory.
    Sort(NodeId),
}

/// A group of nodes that is computed by one loop nest.
///
/// Invariants: members are in topological order; each node is a member of at most one kernel; every value read is
/// an input of the graph, a constant or a write of an earlier kernel; movement ops, fills and iotas that are not
/// written belong to no kernel, they are folded into the addresses of those that use them.
#[derive(Clone, Debug, PartialEq)]
pub struct Kernel {
    /// What the loops do.
    pub kind: KernelKind,
    /// The iteration space. A member has as many elements as the domain or as its kept axes, in the same row-major
    /// order.
    pub domain: Shape,
    /// Axes of the domain that are reduced, increasing.
    pub reduced: Axes,
    /// The nodes computed, operands first.
    pub members: Vec<NodeId>,
    /// Values read from memory, by increasing id.
    pub reads: Vec<NodeId>,
    /// Members (and movement ops at the end of them) written to memory, by increasing id.
    pub writes: Vec<NodeId>,
}

impl Kernel {
    /// Axes of the domain that are not reduced.
    pub fn kept(&self) -> Axes {
        (0..self.domain.rank()).filter(|axis| !self.reduced.contains(axis)).collect()
    }

    /// The shape of a value per kept index.
    pub fn kept_shape(&self) -> Shape {
        self.domain.without(&self.reduced)
    }

    /// Whether a member of so many elements has one per kept index: a reduction's result or what follows it. Otherwise
    /// it has one per index of the domain.
    pub fn is_per_row(&self, n_elements: usize) -> bool {
        let kept = self.kept_shape().n_elements();
        !self.reduced.is_empty() && n_elements == kept && kept != self.domain.n_elements()
    }
}

/// The kernels in the order in which they run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Schedule {
    /// The kernels, first to last.
    pub kernels: Vec<Kernel>,
}

/// Where a value lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// In the buffer of an input of the graph (state or batch), by position among the inputs.
    Input(usize),
    /// In the arena, at this offset in bytes.
    Arena(usize),
    /// A constant of the program.
    Constant,
}

/// A value and its place in memory.
#[derive(Clone, Debug, PartialEq)]
pub struct Placement {
    /// The value.
    pub node: NodeId,
    /// Where it lives.
    pub place: Place,
    /// Its size in bytes.
    pub n_bytes: usize,
    /// First kernel that writes it; `None` for inputs and constants.
    pub first: Option<usize>,
    /// Last kernel that touches it; the number of kernels when it lives on after the step.
    pub last: usize,
}

/// A value copied into the state it is the next value of, after the last kernel: where it could not be written in
/// place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Copy {
    /// The new value.
    pub from: NodeId,
    /// Position of the state among the inputs.
    pub to: usize,
}

/// The addresses of all values, decided before the program runs.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MemoryPlan {
    /// Size of the arena in bytes.
    pub arena_bytes: usize,
    /// What the arena would take if no memory were used twice.
    pub bytes_without_reuse: usize,
    /// Every materialised value, by increasing id.
    pub placements: Vec<Placement>,
    /// State that is updated by a copy at the end.
    pub copies: Vec<Copy>,
}

impl MemoryPlan {
    /// Where a value lives.
    ///
    /// # Panics
    /// When the value has no place: it is never written to memory.
    pub fn placement(&self, node: NodeId) -> &Placement {
        match self.placements.binary_search_by_key(&node, |placement| placement.node) {
            Ok(i) => &self.placements[i],
            Err(_) => {
                panic!("internal error: value {node:?} has no place in the memory plan; please report this")
            }
        }
    }
}
