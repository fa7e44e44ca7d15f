//! Which nodes kernels compute, and which are left to those that use them.
//!
//! Movement ops, fills and iotas are folded into the addresses of those that use them, and elementwise ops on what lies in
//! memory before the program runs are computed again by each user: a kernel of their own would only copy. All of them are
//! computed by a kernel after all when the program returns them, or when a matrix product, a loop or a sort needs them in
//! memory. This is settled for the whole graph before any kernel is formed: were a value written out after
//! others had counted on computing it themselves, kernels would depend on each other without fusion knowing.

use super::memory;
use crate::contraction;
use crate::loops;
use crate::loops::view;
use kiln_ir::op::Op;
use kiln_ir::{Graph, NodeId};
use std::collections::HashSet;

/// Most ops that a value which is left to its user may be made of.
const MAX_LEFT: usize = 16;

/// As many ops are computed again for each of several users.
const CHEAP_OPS: usize = 3;

/// The nodes that kernels compute.
pub struct Placement<'g> {
    graph: &'g Graph,
    /// What must lie in memory: outputs, and what products, loops and sorts need there.
    stored: HashSet<NodeId>,
    /// By index of the node.
    computed: Vec<bool>,
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

impl<'g> Placement<'g> {
    /// Settles the nodes of a graph, which are given operands first.
    pub fn new(graph: &'g Graph, order: &[NodeId]) -> Placement<'g> {
        let stored = memory::outputs_in_memory(graph);
        let mut placement = Placement { graph, stored, computed: Vec::new() };
        loop {
            placement.settle(order);
            let n_before = placement.stored.len();
            order.iter().for_each(|&node| placement.store_operands(node));
            // What has to be stored now was left to its users before: what is made of it may no longer be.
            if placement.stored.len() == n_before {
                return placement;
            }
        }
    }

    /// Whether some kernel computes a node.
    pub fn is_computed(&self, node: NodeId) -> bool {
        self.computed[node.index()]
    }

    /// Whether a node's value lies in memory for products, loops and sorts: some kernel computes it, or it is there
    /// before the program runs.
    pub fn in_memory(&self, node: NodeId) -> bool {
        self.is_computed(node) || memory::is_in_memory_already(self.graph, node)
    }

    /// The permutation of images and channels that is the only use of a large convolution: the convolution writes its
    /// result in that order.
    pub fn absorbed_permutation(&self, product: NodeId) -> Option<NodeId> {
        let graph = self.graph;
        let Op::Conv(_) = graph.op(product) else { return None };
        let users = graph.users(product);
        let (&[user], 1) = (users.as_slice(), graph.n_uses(product)) else { return None };
        let swapped = [1, 0].into_iter().chain(2..graph.node(product).ty().rank());
        let swaps =
            matches!(graph.op(user), Op::Permute(permutation) if permutation.iter().copied().eq(swapped));
        let is_output = self.stored.contains(&product);
        (swaps && !is_output && contraction::is_large(graph, product)).then_some(user)
    }

    /// The operand of a large product that must be written out for the tiles to walk it.
    pub fn unreadable_operand(&self, product: NodeId) -> Option<NodeId> {
        let in_memory = |node: NodeId| self.in_memory(node);
        let problem = match self.graph.op(product) {
            Op::Dot(_) => contraction::matrices(self.graph, product, &in_memory).err(),
            _ => contraction::conv_operands(self.graph, product, &in_memory).err(),
        };
        problem.map(|operand| self.graph.operands(product)[operand])
    }

    /// Decides on each node, operands first.
    fn settle(&mut self, order: &[NodeId]) {
        self.computed = vec![false; self.graph.id_bound()];
        for &node in order {
            self.computed[node.index()] = self.stored.contains(&node) || !self.is_left(node);
        }
    }

    /// Whether a node needs no kernel that computes it.
    fn is_left(&self, node: NodeId) -> bool {
        match self.graph.op(node) {
            Op::Input(_) | Op::Dense(_) | Op::Fill(..) | Op::Iota { .. } => true,
            Op::Permute(_) => self.absorbed_permutation(self.graph.operands(node)[0]) != Some(node),
            Op::Reshape(_) | Op::Broadcast { .. } | Op::Slice(_) | Op::Reverse(_) => true,
            Op::Unary(_) | Op::Binary(_) | Op::Compare(_) | Op::Logical(_) | Op::Select | Op::Cast(_) => {
                self.is_left_to_its_users(node)
            }
            Op::Pad(_)
            | Op::Concatenate(_)
            | Op::Gather(_)
            | Op::ScatterAdd { .. }
            | Op::RandomBits(_)
            | Op::Reduce(..)
            | Op::ArgReduce(..)
            | Op::Cumulative(_)
            | Op::Window(..)
            | Op::Dot(_)
            | Op::Conv(_)
            | Op::ArgSort(_)
            | Op::Loop(_)
            | Op::LoopResult { .. } => false,
        }
    }

    /// Whether an elementwise node is made of what lies in memory before the program runs, and computing it where it is
    /// used costs no more than reading it there.
    fn is_left_to_its_users(&self, node: NodeId) -> bool {
        let mut tree = Tree::default();
        self.measure(node, &mut tree);
        let once = self.graph.n_uses(node) == 1;
        let cheap = tree.n_ops <= CHEAP_OPS && tree.n_reads <= 1;
        tree.from_memory && tree.n_ops <= MAX_LEFT && (once || cheap)
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
        tree.from_memory &= expands && !is_block_op && !self.is_computed(node) && tree.n_ops <= MAX_LEFT;
        if tree.from_memory {
            graph.operands(node).iter().for_each(|&operand| self.measure(operand, tree));
        }
    }

    /// Stores the operands that a node must find in memory.
    fn store_operands(&mut self, node: NodeId) {
        let graph = self.graph;
        if contraction::is_large(graph, node) {
            // An operand that is in memory, and cannot be walked even so, makes the product a loop nest.
            while let Some(operand) = self.unreadable_operand(node).filter(|&o| !self.in_memory(o)) {
                self.store(operand);
            }
        } else if let Op::Loop(_) = graph.op(node) {
            // Each step finds them there.
            for &operand in graph.operands(node) {
                let stored = view::stored(graph, operand, &|node| self.in_memory(node));
                self.store(stored);
            }
        } else if let Op::ArgSort(_) = graph.op(node) {
            self.store(graph.operands(node)[0]);
        }
    }

    fn store(&mut self, node: NodeId) {
        if !self.in_memory(node) {
            self.stored.insert(node);
            self.computed[node.index()] = true;
        }
    }
}
