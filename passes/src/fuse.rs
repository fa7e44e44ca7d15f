//! Fusion: groups nodes into kernels.
//!
//! Fusion is a grouping, not a rewrite: the graph stays as it is. Nodes are taken operands first, and each joins the
//! kernel of one of its operands when, inside that kernel's loops, every value it needs from there is computed at the
//! index at which it is needed, and when no path from the kernel to the node leads through another kernel. So a row
//! that is reduced and used again stays one kernel, and elementwise work after a matrix product becomes its epilogue.
//!
//! Movement ops, fills, iotas and a few ops on what lies in memory anyway belong to no kernel: they are folded into the addresses of those that use them,
//! unless their result must lie in memory. Comparisons and other cheap values are computed again where they are used
//! when that needs no more memory than reading them would.
//!
//! Cost: O(nodes * kernels) in the worst case, from the transitive dependencies between kernels.

mod group;
mod memory;

use crate::contraction;
use crate::loops::view::{self, IndexMap};
use crate::loops::{self, Variables};
use group::Groups;
use kiln_ir::kernel::{Kernel, KernelKind};
use kiln_ir::op::{Op, Window, WindowOp};
use kiln_ir::{Axes, Graph, NodeId, Shape};
use petgraph::graph::DiGraph;
use std::collections::HashMap;

/// Most nodes in a kernel: beyond, values no longer fit in registers and compile time grows.
const MAX_MEMBERS: usize = 96;

/// Most ops that a value which waits for its user may be made of.
const MAX_WAITING: usize = 16;

/// As many ops are computed again for each of several users.
const CHEAP_OPS: usize = 3;

/// A reduction to fewer elements than this leaves too little to share among threads...
const FEW_KEPT: usize = 64;

/// ...for it to be fused with elementwise work of more elements than this.
const MANY_ELEMENTS: usize = 1 << 15;

/// The kernels that compute the outputs of a graph, operands before users.
pub fn fuse(graph: &Graph) -> Vec<Kernel> {
    let kernels = group_nodes(graph, true);
    // A value that was left to its users, and is written out later for one of them, is then read by the others too: those
    // dependencies were not known when they were grouped, and on rare graphs they form a circle.
    if is_acyclic(&kernels) { kernels } else { group_nodes(graph, false) }
}

/// Whether the kernels can run one after the other.
fn is_acyclic(kernels: &[Kernel]) -> bool {
    let writes = |(i, kernel): (usize, &Kernel)| kernel.writes.iter().map(|&w| (w, i)).collect::<Vec<_>>();
    let writer: HashMap<NodeId, usize> = kernels.iter().enumerate().flat_map(writes).collect();
    let reads = |(i, kernel): (usize, &Kernel)| {
        let others = kernel.reads.iter().filter_map(|read| writer.get(read).copied());
        others.filter(|&other| other != i).map(|other| (other as u32, i as u32)).collect::<Vec<_>>()
    };
    let edges = kernels.iter().enumerate().flat_map(reads);
    !petgraph::algo::is_cyclic_directed(&DiGraph::<(), ()>::from_edges(edges))
}

/// Groups nodes; unless they may join, each into a kernel of its own.
fn group_nodes(graph: &Graph, joins: bool) -> Vec<Kernel> {
    let mut fusion = Fusion { graph, groups: Groups::new(graph), joins };
    let order = graph.topological_order();
    let wanted = memory::outputs_in_memory(graph);
    for &node in &order {
        fusion.place(node, wanted.contains(&node));
    }
    memory::finish(graph, fusion.groups, &order)
}

/// What is computed from memory by elementwise ops alone.
struct Tree {
    from_memory: bool,
    n_ops: usize,
    n_reads: usize,
}

impl Default for Tree {
    fn default() -> Tree {
        Tree { from_memory: true, n_ops: 0, n_reads: 0 }
    }
}

struct Fusion<'g> {
    graph: &'g Graph,
    groups: Groups,
    /// Whether nodes may join the kernels of their operands.
    joins: bool,
}

impl Fusion<'_> {
    fn place(&mut self, node: NodeId, is_output: bool) {
        let graph = self.graph;
        let shape = &graph.node(node).ty().shape;
        match graph.op(node) {
            Op::Input(_) | Op::Dense(_) => {}
            Op::Fill(..) | Op::Iota { .. } => {
                if is_output {
                    self.start(node, KernelKind::Loop, shape.clone(), Axes::new());
                }
            }
            Op::Reshape(_) | Op::Permute(_) | Op::Broadcast { .. } | Op::Slice(_) | Op::Reverse(_) => {
                if is_output && !self.groups.contains(node) {
                    self.join_or_start(node);
                }
            }
            Op::Unary(_) | Op::Binary(_) | Op::Compare(_) | Op::Logical(_) | Op::Select | Op::Cast(_) => {
                if is_output || !self.waits_for_a_user(node) {
                    self.join_or_start(node);
                }
            }
            Op::Pad(_) | Op::Concatenate(_) | Op::Gather(_) | Op::RandomBits(_) => {
                self.start(node, KernelKind::Loop, shape.clone(), Axes::new())
            }
            Op::Reduce(_, axes) => self.place_reduction(node, axes.clone()),
            Op::ArgReduce(_, axis) => self.place_reduction(node, Axes::from_slice(&[*axis])),
            Op::Dot(_) | Op::Conv(_) if contraction::is_large(graph, node) => {
                self.place_contraction(node, is_output)
            }
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
            Op::Loop(_) => self.place_loop(node),
            Op::LoopResult { .. } => {
                let group =
                    self.groups.of(graph.operands(node)[0]).expect("a loop stands before its results");
                self.groups.join(graph, node, group);
            }
            Op::ArgSort(_) => self.start_sort(node),
        }
    }

    /// Whether a node is left to those that use it: it is computed from what lies in memory before the program runs, so
    /// that a kernel of its own would only copy, and computing it where it is used costs no more than reading it there.
    fn waits_for_a_user(&self, node: NodeId) -> bool {
        let mut tree = Tree::default();
        self.measure(node, &mut tree);
        let once = self.graph.n_uses(node) == 1;
        let cheap = tree.n_ops <= CHEAP_OPS && tree.n_reads <= 1;
        tree.from_memory && tree.n_ops <= MAX_WAITING && (once || cheap)
    }

    /// Adds what a node is computed from, down to memory.
    fn measure(&self, node: NodeId, tree: &mut Tree) {
        let graph = self.graph;
        if memory::is_in_memory_already(graph, node) {
            tree.n_reads += 1;
            return;
        }
        let is_elementwise = graph.op(node).is_elementwise();
        let is_free = matches!(graph.op(node), Op::Fill(..) | Op::Iota { .. });
        let is_block_op = match graph.op(node) {
            Op::Unary(op) => loops::body::is_transcendental(*op),
            Op::Binary(op) => loops::body::is_block_binary(*op),
            _ => false,
        };
        tree.n_ops += usize::from(is_elementwise);
        let expands = is_elementwise || is_free || view::is_view(graph.op(node));
        tree.from_memory &=
            expands && !is_block_op && !self.groups.contains(node) && tree.n_ops <= MAX_WAITING;
        if tree.from_memory {
            graph.operands(node).iter().for_each(|&operand| self.measure(operand, tree));
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

    /// A sort reads its operand from memory: what is not there is written out first.
    fn start_sort(&mut self, node: NodeId) {
        let operand = self.graph.operands(node)[0];
        if !self.groups.contains(operand) && !memory::is_in_memory_already(self.graph, operand) {
            self.join_or_start(operand);
        }
        let domain = self.graph.node(node).ty().shape.clone();
        self.start(node, KernelKind::Sort(node), domain, Axes::new());
    }

    fn start(&mut self, node: NodeId, kind: KernelKind, domain: Shape, reduced: Axes) {
        let kernel = Kernel { kind, domain, reduced, members: vec![], reads: vec![], writes: vec![] };
        let group = self.groups.start(kernel);
        self.groups.join(self.graph, node, group);
    }

    /// A large dot or convolution: operands that strides cannot describe are written out first, and a permutation that
    /// is the only use of a convolution is absorbed in its result.
    fn place_contraction(&mut self, product: NodeId, is_output: bool) {
        let graph = self.graph;
        loop {
            let in_memory =
                |node: NodeId| self.groups.contains(node) || memory::is_in_memory_already(graph, node);
            let problem = match graph.op(product) {
                Op::Dot(_) => contraction::matrices(graph, product, &in_memory).err(),
                _ => contraction::conv_operands(graph, product, &in_memory).err(),
            };
            let Some(operand) = problem else { break };
            let operand = graph.operands(product)[operand];
            if in_memory(operand) {
                // Even contiguous, its axes are not in an order that the tiles can walk.
                return self.place_generic_product(product);
            }
            self.join_or_start(operand);
        }
        let [rows, columns] = contraction::rows_and_columns(graph, product);
        let root = if is_output { product } else { self.absorbed_permutation(product).unwrap_or(product) };
        self.start(product, KernelKind::Contraction(root), Shape::new(&[rows, columns]), Axes::new());
        if root != product {
            let group = self.groups.of(product).expect("the product was just placed");
            self.groups.join(graph, root, group);
        }
    }

    /// A loop: its operands lie in memory, where each step finds them.
    fn place_loop(&mut self, node: NodeId) {
        let graph = self.graph;
        for &operand in graph.operands(node) {
            let in_memory =
                |node: NodeId| self.groups.contains(node) || memory::is_in_memory_already(graph, node);
            let stored = view::stored(graph, operand, &in_memory);
            if !in_memory(stored) {
                self.join_or_start(stored);
            }
        }
        self.start(node, KernelKind::Repeat(node), Shape::scalar(), Axes::new());
    }

    /// The permutation of images and channels that is the only use of a convolution.
    fn absorbed_permutation(&self, product: NodeId) -> Option<NodeId> {
        let graph = self.graph;
        let users = graph.users(product);
        let (&[user], 1) = (users.as_slice(), graph.n_uses(product)) else { return None };
        let rank = graph.node(product).ty().rank();
        let swapped = [1, 0].into_iter().chain(2..rank);
        match (graph.op(product), graph.op(user)) {
            (Op::Conv(_), Op::Permute(permutation)) if permutation.iter().copied().eq(swapped) => Some(user),
            _ => None,
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
                }
                self.groups.join(self.graph, node, group);
                return;
            }
        }
        self.start(node, KernelKind::Loop, shape, Axes::new());
    }

    /// The kernels that compute operands of a node, latest first.
    fn producers(&self, node: NodeId) -> Vec<usize> {
        if !self.joins {
            return Vec::new();
        }
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
