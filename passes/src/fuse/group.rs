//! Kernels while they grow, and which depends on which.

use crate::loops::view;
use kiln_ir::kernel::Kernel;
use kiln_ir::{Axes, Graph, NodeId, Shape};
use std::collections::BTreeSet;

/// The kernels so far.
pub struct Groups {
    kernels: Vec<Kernel>,
    /// For each kernel, all kernels whose results it needs, directly or not.
    needs: Vec<BTreeSet<usize>>,
    of_node: Vec<Option<usize>>,
}

impl Groups {
    pub fn new(graph: &Graph) -> Groups {
        Groups { kernels: Vec::new(), needs: Vec::new(), of_node: vec![None; graph.id_bound()] }
    }

    /// Adds a kernel.
    pub fn start(&mut self, kernel: Kernel) -> usize {
        self.kernels.push(kernel);
        self.needs.push(BTreeSet::new());
        self.kernels.len() - 1
    }

    /// The kernel that computes a node.
    pub fn of(&self, node: NodeId) -> Option<usize> {
        self.of_node[node.index()]
    }

    /// Whether a kernel computes this node.
    pub fn contains(&self, node: NodeId) -> bool {
        self.of(node).is_some()
    }

    pub fn kernel(&self, group: usize) -> &Kernel {
        &self.kernels[group]
    }

    pub fn set_reduced(&mut self, group: usize, axes: Axes) {
        self.kernels[group].reduced = axes;
    }

    pub fn set_domain(&mut self, group: usize, domain: Shape) {
        self.kernels[group].domain = domain;
    }

    /// Whether a kernel needs the results of another.
    pub fn depends(&self, group: usize, on: usize) -> bool {
        self.needs[group].contains(&on)
    }

    /// Makes a node a member, and the kernels of its operands needed.
    pub fn join(&mut self, graph: &Graph, node: NodeId, group: usize) {
        self.kernels[group].members.push(node);
        self.of_node[node.index()] = Some(group);
        let mut needed = BTreeSet::new();
        for &operand in graph.operands(node) {
            let mut base = operand;
            while view::is_view(graph.op(base)) && !self.contains(base) {
                base = graph.operands(base)[0];
            }
            if let Some(other) = self.of(base).filter(|&other| other != group) {
                needed.insert(other);
                needed.extend(&self.needs[other]);
            }
        }
        debug_assert!(!needed.contains(&group), "a kernel that needs itself");
        for (other, needs) in self.needs.iter_mut().enumerate() {
            if other == group || needs.contains(&group) {
                needs.extend(&needed);
            }
        }
    }

    /// The kernels, in the order in which they were started.
    pub fn into_kernels(self) -> Vec<Kernel> {
        self.kernels
    }
}
