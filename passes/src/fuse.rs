//! Fusion: groups nodes into kernels.
//!
//! Fusion is a grouping, not a rewrite: the graph stays as it is. Nodes are taken operands first, and each joins the
//! kernel of one of its operands when, inside that kernel's loops, every value it needs from there is computed at the
//! index at which it is needed, and when no path from the kernel to the node leads through another kernel. So a row
//! that is reduced and used again stays one kernel, and elementwise work after a matrix product becomes its epilogue.
//!
//! Which nodes belong to a kernel at all is settled before (`fuse/placement`): movement ops, fills and the like are folded into
//! those that use them. Comparisons and other cheap values are computed again where they are used when that needs no more
//! memory than reading them would (`fuse/memory`).
//!
//! Cost: O(nodes * kernels) in the worst case, from the transitive dependencies between kernels.

mod group;
mod memory;
mod placement;

use crate::contraction;
use crate::loops::Variables;
use crate::loops::view::{self, IndexMap};
use group::Groups;
use kiln_ir::kernel::{Kernel, KernelKind};
use kiln_ir::op::{Op, Window, WindowOp};
use kiln_ir::{Axes, Graph, NodeId, Shape};
use placement::Placement;

/// Most nodes in a kernel: beyond, values no longer fit in registers and compile time grows.
const MAX_MEMBERS: usize = 96;

/// A reduction to fewer elements than this leaves too little to share among threads...
const FEW_KEPT: usize = 64;

/// ...for it to be fused with elementwise work of more elements than this.
const MANY_ELEMENTS: usize = 1 << 15;

/// The kernels that compute the outputs of a graph, operands before users.
pub fn fuse(graph: &Graph) -> Vec<Kernel> {
    let order = graph.topological_order();
    let placement = Placement::new(graph, &order);
    let mut fusion = Fusion { graph, groups: Groups::new(graph), placement };
    for &node in &order {
        // A permutation that its convolution absorbed is in that kernel already.
        if fusion.placement.is_computed(node) && !fusion.groups.contains(node) {
            fusion.place(node);
        }
    }
    memory::finish(graph, fusion.groups, &order)
}

struct Fusion<'g> {
    graph: &'g Graph,
    groups: Groups,
    placement: Placement<'g>,
}

impl Fusion<'_> {
    fn place(&mut self, node: NodeId) {
        let graph = self.graph;
        let shape = &graph.node(node).ty().shape;
        match graph.op(node) {
            Op::Input(_) | Op::Dense(_) => unreachable!("inputs and constants are in memory already"),
            Op::Fill(..)
            | Op::Iota { .. }
            | Op::Pad(_)
            | Op::Concatenate(_)
            | Op::Gather(_)
            | Op::RandomBits(_) => self.start(node, KernelKind::Loop, shape.clone(), Axes::new()),
            Op::Reshape(_)
            | Op::Permute(_)
            | Op::Broadcast { .. }
            | Op::Slice(_)
            | Op::Reverse(_)
            | Op::Unary(_)
            | Op::Binary(_)
            | Op::Compare(_)
            | Op::Logical(_)
            | Op::Select
            | Op::Cast(_) => self.join_or_start(node),
            Op::Reduce(_, axes) => self.place_reduction(node, axes.clone()),
            Op::ArgReduce(_, axis) => self.place_reduction(node, Axes::from_slice(&[*axis])),
            Op::Dot(_) | Op::Conv(_) if contraction::is_large(graph, node) => self.place_contraction(node),
            Op::Dot(_) | Op::Conv(_) => self.place_generic_product(node),
            Op::Window(WindowOp::Put, window) => self.start_window_put(node, window),
            Op::Window(WindowOp::Max | WindowOp::Sum | WindowOp::Pick, window) => {
                self.start_reduced(node, shape, window.sizes.iter().copied())
            }
            Op::ScatterAdd { .. } => {
                let updates = graph.node(graph.operands(node)[0]).ty().shape.clone();
                self.start(node, KernelKind::ScatterAdd(node), updates, Axes::new());
            }
            Op::Cumulative(_) => self.start(node, KernelKind::Cumulative(node), shape.clone(), Axes::new()),
            Op::Loop(_) => self.start(node, KernelKind::Repeat(node), Shape::scalar(), Axes::new()),
            Op::LoopResult { .. } => {
                let group =
                    self.groups.of(graph.operands(node)[0]).expect("a loop stands before its results");
                self.groups.join(graph, node, group);
            }
            Op::ArgSort(_) => self.start(node, KernelKind::Sort(node), shape.clone(), Axes::new()),
        }
    }

    /// A dot or convolution as a loop over all its indices.
    fn place_generic_product(&mut self, node: NodeId) {
        let shape = &self.graph.node(node).ty().shape;
        let operand = |i: usize| &self.graph.node(self.graph.operands(node)[i]).ty().shape;
        let summed: Axes = match self.graph.op(node) {
            Op::Dot(dot) => dot.contract.iter().map(|pair| operand(0)[pair.0]).collect(),
            _ => operand(1)[1..].iter().copied().collect(),
        };
        self.start_reduced(node, shape, summed.into_iter());
    }

    /// A kernel whose domain is a result's shape followed by reduced axes.
    fn start_reduced(&mut self, node: NodeId, shape: &Shape, reduced: impl Iterator<Item = usize>) {
        let domain: Shape = shape.iter().copied().chain(reduced).collect();
        let axes = (shape.rank()..domain.rank()).collect();
        self.start(node, KernelKind::Loop, domain, axes);
    }

    fn start_window_put(&mut self, node: NodeId, window: &Window) {
        let updates = &self.graph.node(self.graph.operands(node)[1]).ty().shape;
        let domain: Shape = updates.iter().chain(&window.sizes).copied().collect();
        let reduced = (updates.rank()..domain.rank()).collect();
        self.start(node, KernelKind::WindowPut(node), domain, reduced);
    }

    fn start(&mut self, node: NodeId, kind: KernelKind, domain: Shape, reduced: Axes) {
        let kernel = Kernel { kind, domain, reduced, members: vec![], reads: vec![], writes: vec![] };
        let group = self.groups.start(kernel);
        self.groups.join(self.graph, node, group);
    }

    /// A large dot or convolution, with the permutation of its result that it absorbs.
    fn place_contraction(&mut self, product: NodeId) {
        if self.placement.unreadable_operand(product).is_some() {
            return self.place_generic_product(product);
        }
        let [rows, columns] = contraction::rows_and_columns(self.graph, product);
        let absorbed = self.placement.absorbed_permutation(product);
        let root = absorbed.unwrap_or(product);
        self.start(product, KernelKind::Contraction(root), Shape::new(&[rows, columns]), Axes::new());
        if let (Some(root), Some(group)) = (absorbed, self.groups.of(product)) {
            self.groups.join(self.graph, root, group);
        }
    }

    fn place_reduction(&mut self, node: NodeId, axes: Axes) {
        let operand = self.graph.operands(node)[0];
        let domain = self.graph.node(operand).ty().shape.clone();
        for group in self.producers(node) {
            let kernel = &self.groups.kernel(group);
            let fits = kernel.kind == KernelKind::Loop
                && kernel.domain == domain
                && (kernel.reduced == axes || kernel.reduced.is_empty())
                && (domain.without(&axes).n_elements() >= FEW_KEPT || domain.n_elements() <= MANY_ELEMENTS);
            if !fits || !self.may_join(node, group) {
                continue;
            }
            let mut reduced = (*kernel).clone();
            reduced.reduced = axes.clone();
            let mut variables = Variables::new(&domain);
            let full: IndexMap = (0..domain.rank()).map(|axis| variables.axis(axis)).collect();
            if self.available(&reduced, group, operand, full, &mut variables) {
                self.groups.set_reduced(group, axes);
                self.groups.join(self.graph, node, group);
                return;
            }
        }
        self.start(node, KernelKind::Loop, domain, axes);
    }

    /// Places an elementwise op (or a view that must lie in memory).
    fn join_or_start(&mut self, node: NodeId) {
        let shape = self.graph.node(node).ty().shape.clone();
        for group in self.producers(node) {
            if self.may_join(node, group) && self.fits(node, &shape, group) {
                let kernel = self.groups.kernel(group);
                let finer = kernel.kind == KernelKind::Loop
                    && kernel.reduced.is_empty()
                    && shape.rank() > kernel.domain.rank();
                if finer {
                    self.groups.set_domain(group, shape);
                } else {
                    self.merge_siblings(node, group);
                }
                self.groups.join(self.graph, node, group);
                return;
            }
        }
        self.start(node, KernelKind::Loop, shape, Axes::new());
    }

    /// Merges other kernels that compute operands of a node into one that the node is about to join, where they have the
    /// same loops and neither needs the other: what they compute is then used where it was computed.
    fn merge_siblings(&mut self, node: NodeId, group: usize) {
        let shape = &self.graph.node(node).ty().shape;
        for other in self.producers(node) {
            let [kernel, sibling] = [group, other].map(|group| self.groups.kernel(group));
            let same_loops = (&kernel.kind, &sibling.kind) == (&KernelKind::Loop, &KernelKind::Loop)
                && (&kernel.domain, &kernel.reduced) == (&sibling.domain, &sibling.reduced);
            let room = kernel.members.len() + sibling.members.len() < MAX_MEMBERS;
            let independent = !self.groups.depends(group, other) && !self.groups.depends(other, group);
            if other != group && same_loops && room && independent && self.fits(node, shape, other) {
                self.groups.merge(group, other);
            }
        }
    }

    /// The kernels that compute operands of a node, latest first.
    fn producers(&self, node: NodeId) -> Vec<usize> {
        let operands = self.graph.operands(node).iter();
        let mut groups: Vec<usize> =
            operands.filter_map(|&operand| self.groups.of(self.base(operand))).collect();
        groups.sort_unstable_by(|a, b| b.cmp(a));
        groups.dedup();
        groups
    }

    /// The value that views are views of.
    fn base(&self, mut node: NodeId) -> NodeId {
        while view::is_view(self.graph.op(node)) && !self.groups.contains(node) {
            node = self.graph.operands(node)[0];
        }
        node
    }

    /// Whether a node can be computed after this kernel began and no other kernel stands in between.
    fn may_join(&self, node: NodeId, group: usize) -> bool {
        let takes_more =
            matches!(self.groups.kernel(group).kind, KernelKind::Loop | KernelKind::Contraction(_));
        let room = self.groups.kernel(group).members.len() < MAX_MEMBERS;
        let operands = self.graph.operands(node).iter();
        let mut others =
            operands.filter_map(|&o| self.groups.of(self.base(o))).filter(|&other| other != group);
        takes_more && room && others.all(|other| !self.groups.depends(other, group))
    }

    /// Whether a node of this shape has a place in the kernel's loops, and finds its operands there.
    fn fits(&self, node: NodeId, shape: &Shape, group: usize) -> bool {
        let kernel = self.groups.kernel(group);
        let n_elements = kernel.domain.n_elements();
        let full = shape.n_elements() == n_elements;
        let shares = kernel.reduced.is_empty() || kernel.kept_shape().n_elements() >= FEW_KEPT;
        if full && !shares && n_elements > MANY_ELEMENTS {
            return false;
        }
        if !full && !kernel.is_per_row(shape.n_elements()) {
            return false;
        }
        let mut variables = Variables::new(&kernel.domain);
        let index = view::own_index(self.graph, kernel, shape, &mut variables);
        if view::is_view(self.graph.op(node)) {
            return self.available(kernel, group, node, index, &mut variables);
        }
        let operands = self.graph.operands(node).iter();
        let mut operands = operands.map(|&operand| (operand, index.clone()));
        operands.all(|(operand, index)| self.available(kernel, group, operand, index, &mut variables))
    }

    /// Whether a value is available at an index: computed there by the kernel itself, or by none of its members.
    fn available(
        &self,
        kernel: &Kernel,
        group: usize,
        mut node: NodeId,
        mut index: IndexMap,
        variables: &mut Variables,
    ) -> bool {
        while view::is_view(self.graph.op(node)) && !self.groups.contains(node) {
            index = view::through(self.graph, node, &index, variables);
            node = self.graph.operands(node)[0];
        }
        if self.groups.of(node) != Some(group) {
            return true;
        }
        let shape = &self.graph.node(node).ty().shape;
        index == view::own_index(self.graph, kernel, shape, variables)
    }
}
