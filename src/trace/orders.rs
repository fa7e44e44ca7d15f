//! How often a trace differentiates what is known to second order only.
//!
//! Decompositions such as [`eigh`](Tensor::eigh) write the first two terms of a perturbation around values that no gradient
//! flows through. A third derivative of these terms would be a number, and a wrong one. So each such *expansion* is kept in
//! mind, each gradient that passes through it is counted, and a third one in sequence is an error.

use crate::tensor::Tensor;
use kiln_ir::{Graph, NodeId, Op, Source, TensorType};
use smallvec::SmallVec;
use std::collections::BTreeSet;
use std::ops::Range;

/// The greatest order of derivatives that an expansion has.
const GREATEST: u8 = 2;

/// Why a path through an expansion is cut, as in `Cut::reason`.
pub(super) const TOO_DEEP: &str =
    "this is a third derivative, and those of decompositions are known to the second order only";

/// The expansions of a trace, and the gradients that were taken through them.
#[derive(Default)]
pub(super) struct Orders {
    expansions: Vec<Expansion>,
    derivations: Vec<Derivation>,
}

/// Nodes that compute the value and two derivatives of a function of one operand.
#[derive(Clone)]
pub(super) struct Expansion {
    pub(super) function: &'static str,
    /// The operand, which has no user outside of `nodes`; of an expansion in the body of a loop, the loop.
    entry: NodeId,
    /// By index. What is detached among these depends on the entry all the same.
    nodes: Range<usize>,
    is_loop: bool,
    pub(super) source: Option<Source>,
}

/// The nodes of a gradient, and by index of expansion the order of the derivatives among them.
struct Derivation {
    nodes: Range<usize>,
    orders: Vec<(usize, u8)>,
}

/// What a gradient that is about to be taken passes.
pub(super) struct Passed {
    orders: Vec<(usize, u8)>,
    /// By position of what is differentiated for: the expansion that has no derivative of this order.
    pub(super) refused: Vec<Option<usize>>,
}

impl Orders {
    /// Remembers that the nodes of these indices are an expansion.
    pub(super) fn add(&mut self, graph: &Graph, function: &'static str, entry: NodeId, nodes: Range<usize>) {
        let source = graph.node(entry).source.clone();
        self.expansions.push(Expansion { function, entry, nodes, is_loop: false, source });
    }

    /// Remembers a loop in whose body nodes are that may be of an expansion.
    pub(super) fn add_loop(&mut self, looped: NodeId, body: &BTreeSet<NodeId>) {
        let is_inside = |expansion: &&Expansion| body.contains(&expansion.entry);
        let inside: Vec<Expansion> = self.expansions.iter().filter(is_inside).cloned().collect();
        let nodes = looped.index()..looped.index() + 1;
        let of_loop = |inside| Expansion { entry: looped, nodes: nodes.clone(), is_loop: true, ..inside };
        self.expansions.extend(inside.into_iter().map(of_loop));
    }

    pub(super) fn expansion(&self, index: usize) -> &Expansion {
        &self.expansions[index]
    }

    /// Which expansions lie between `of` and the values that it is differentiated for.
    pub(super) fn passed(&self, graph: &Graph, of: NodeId, with_respect_to: &[NodeId]) -> Passed {
        let mut passed = Passed { orders: Vec::new(), refused: vec![None; with_respect_to.len()] };
        let order = if self.expansions.is_empty() { Vec::new() } else { graph.topological_order() };
        for k in 0..self.expansions.len() {
            let Some(before) = self.depths(k, graph, &order)[of.index()] else { continue };
            let reaching = self.reaching(k, graph, &order);
            let mut is_passed = false;
            for (value, refused) in with_respect_to.iter().zip(&mut passed.refused) {
                if reaching[value.index()] {
                    is_passed = true;
                    *refused = refused.or((before >= GREATEST).then_some(k));
                }
            }
            if is_passed {
                passed.orders.push((k, before + 1));
            }
        }
        passed
    }

    /// Remembers the nodes of a gradient.
    pub(super) fn add_gradient(&mut self, nodes: Range<usize>, passed: Passed) {
        if !passed.orders.is_empty() {
            self.derivations.push(Derivation { nodes, orders: passed.orders });
        }
    }

    /// How often a node was differentiated through an expansion before: the order of its derivation.
    fn derived(&self, k: usize, node: NodeId) -> Option<u8> {
        let derivation = self.derivations.iter().find(|d| d.nodes.contains(&node.index()))?;
        derivation.orders.iter().find(|(passed, _)| *passed == k).map(|(_, order)| *order)
    }

    /// How often an expansion was differentiated where a node enters it. The gradient of a loop is loops beside it, which
    /// enter its body again.
    fn entered(&self, k: usize, graph: &Graph, node: NodeId) -> Option<u8> {
        let expansion = &self.expansions[k];
        if node == expansion.entry {
            return Some(0);
        }
        if !expansion.is_loop || !matches!(graph.op(node), Op::Loop(_)) {
            return None;
        }
        self.derived(k, node)
    }

    /// By node: how often what it depends on was differentiated through an expansion; nothing if it does not depend on it.
    fn depths(&self, k: usize, graph: &Graph, order: &[NodeId]) -> Vec<Option<u8>> {
        let mut depths: Vec<Option<u8>> = vec![None; graph.id_bound()];
        for &id in order {
            let passing = self.expansions[k].passing(graph, id);
            let before = passing.into_iter().filter_map(|operand| depths[operand.index()]).max();
            let depth = before.max(self.entered(k, graph, id));
            depths[id.index()] = depth.map(|depth| depth.max(self.derived(k, id).unwrap_or(0)));
        }
        depths
    }

    /// By node: whether an expansion depends on it.
    fn reaching(&self, k: usize, graph: &Graph, order: &[NodeId]) -> Vec<bool> {
        let mut reaching = vec![false; graph.id_bound()];
        for &id in order.iter().rev() {
            if reaching[id.index()] || self.entered(k, graph, id).is_some() {
                reaching[id.index()] = true;
                let operands = self.expansions[k].passing(graph, id);
                operands.into_iter().for_each(|operand| reaching[operand.index()] = true);
            }
        }
        reaching
    }
}

impl Expansion {
    /// The operands that a node passes a gradient on to, when nothing is detached within the expansion.
    fn passing(&self, graph: &Graph, id: NodeId) -> SmallVec<[NodeId; 3]> {
        if graph.node(id).is_detached && !self.nodes.contains(&id.index()) {
            return SmallVec::new();
        }
        let operands = graph.operands(id);
        let types: SmallVec<[&TensorType; 3]> = operands.iter().map(|&o| graph.node(o).ty()).collect();
        let is_passed = |i: usize| graph.op(id).blocked(&types, i).is_none();
        operands.iter().enumerate().filter(|&(i, _)| is_passed(i)).map(|(_, &operand)| operand).collect()
    }
}

impl Tensor {
    /// Traces a function of this operand that has derivatives up to the second order, with no more than the operand it is
    /// handed: further derivatives become errors.
    #[track_caller]
    pub(crate) fn expanded<R>(&self, function: &'static str, body: impl FnOnce(&Tensor) -> R) -> R {
        self.within(function, || {
            let entry = self.record(Op::Reshape(self.shape().clone()), &[]);
            let first = self.tracer().graph().id_bound();
            let result = body(&entry);
            if let Some(entry) = entry.id() {
                self.tracer().remember_expansion(function, entry, first);
            }
            result
        })
    }
}
