//! Kernels while they grow, and which depends on which.

use crate::loops::view;
use kiln_ir::kernel::Kernel;
use kiln_ir::{Axes, Graph, NodeId, Shape};

/// A set of kernels, a bit for each. Most kernels depend on a good part of those before them: lists would be long.
#[derive(Clone, Default)]
struct Set {
    words: Vec<u64>,
}

impl Set {
    fn contains(&self, kernel: usize) -> bool {
        self.words.get(kernel / 64).is_some_and(|word| word >> (kernel % 64) & 1 == 1)
    }

    fn insert(&mut self, kernel: usize) {
        self.reserve(kernel / 64 + 1);
        self.words[kernel / 64] |= 1 << (kernel % 64);
    }

    fn extend(&mut self, other: &Set) {
        self.reserve(other.words.len());
        self.words.iter_mut().zip(&other.words).for_each(|(word, more)| *word |= more);
    }

    fn remove(&mut self, other: &Set) {
        self.words.iter_mut().zip(&other.words).for_each(|(word, less)| *word &= !less);
    }

    fn is_empty(&self) -> bool {
        self.words.iter().all(|&word| word == 0)
    }

    fn reserve(&mut self, n_words: usize) {
        if self.words.len() < n_words {
            self.words.resize(n_words, 0);
        }
    }

    fn iter(&self) -> impl Iterator<Item = usize> {
        self.words.iter().enumerate().flat_map(|(i, &word)| {
            let bits = std::iter::successors(Some(word), |word| Some(word & word.wrapping_sub(1)));
            bits.take_while(|&word| word != 0).map(move |word| 64 * i + word.trailing_zeros() as usize)
        })
    }
}

/// The kernels so far.
pub struct Groups {
    kernels: Vec<Kernel>,
    /// For each kernel, all kernels whose results it needs, directly or not...
    needs: Vec<Set>,
    /// ...and whether any kernel needs its results.
    is_needed: Vec<bool>,
    of_node: Vec<Option<usize>>,
}

impl Groups {
    pub fn new(graph: &Graph) -> Groups {
        Groups {
            kernels: Vec::new(),
            needs: Vec::new(),
            is_needed: Vec::new(),
            of_node: vec![None; graph.id_bound()],
        }
    }

    /// Adds a kernel.
    pub fn start(&mut self, kernel: Kernel) -> usize {
        self.kernels.push(kernel);
        self.needs.push(Set::default());
        self.is_needed.push(false);
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
        self.needs[group].contains(on)
    }

    /// Makes a node a member, and the kernels of its operands needed.
    pub fn join(&mut self, graph: &Graph, node: NodeId, group: usize) {
        self.kernels[group].members.push(node);
        self.of_node[node.index()] = Some(group);
        let mut needed = Set::default();
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
        debug_assert!(!needed.contains(group), "a kernel that needs itself");
        self.need(group, needed);
    }

    /// Makes the members of one kernel those of another, neither of which needs the other.
    pub fn merge(&mut self, group: usize, other: usize) {
        debug_assert!(
            !self.depends(group, other) && !self.depends(other, group),
            "kernels that wait for each other"
        );
        let members = std::mem::take(&mut self.kernels[other].members);
        members.iter().for_each(|member| self.of_node[member.index()] = Some(group));
        self.kernels[group].members.extend(members);
        let needed = std::mem::take(&mut self.needs[other]);
        // Those that needed the other kernel need this one, and what it needs.
        if std::mem::take(&mut self.is_needed[other]) {
            let mut of_group = self.needs[group].clone();
            of_group.insert(group);
            self.is_needed[group] = true;
            self.needs
                .iter_mut()
                .filter(|needs| needs.contains(other))
                .for_each(|needs| needs.extend(&of_group));
        }
        self.need(group, needed);
    }

    /// Makes these kernels needed by one, and by those that need it.
    fn need(&mut self, group: usize, mut needed: Set) {
        // Most nodes bring nothing new.
        needed.remove(&self.needs[group]);
        if needed.is_empty() {
            return;
        }
        needed.iter().for_each(|kernel| self.is_needed[kernel] = true);
        self.needs[group].extend(&needed);
        // Most kernels are not needed yet while they grow: then there is nobody to look for.
        if self.is_needed[group] {
            self.needs
                .iter_mut()
                .filter(|needs| needs.contains(group))
                .for_each(|needs| needs.extend(&needed));
        }
    }

    /// The kernels, in the order in which they were started.
    pub fn into_kernels(self) -> Vec<Kernel> {
        self.kernels
    }
}
