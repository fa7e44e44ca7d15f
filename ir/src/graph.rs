//! The dataflow graph. The only file that knows petgraph.
//!
//! A node's operands are edges that carry the operand's position; the ordered list in the node is the same fact in
//! the form that rules read, and [`Graph`] keeps the two equal. Node ids stay valid while other nodes come and go.

use crate::emit::Emit;
use crate::op::iteration::check_result;
use crate::{Op, Source, TensorType, TypeError};
use petgraph::Direction;
use petgraph::graph::NodeIndex;
use petgraph::stable_graph::StableDiGraph;
use petgraph::visit::{EdgeRef, IntoEdgeReferences};
use smallvec::SmallVec;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::fmt;
use std::sync::Arc;

/// Identifies a node and the value it computes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(u32);

impl NodeId {
    /// The id as a number, for side tables.
    pub fn index(self) -> usize {
        self.0 as usize
    }

    fn of(index: NodeIndex<u32>) -> NodeId {
        NodeId(index.index() as u32)
    }

    fn at(self) -> NodeIndex<u32> {
        NodeIndex::new(self.index())
    }
}

impl fmt::Debug for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}", self.0)
    }
}

/// The operands of a node, in order.
pub type Operands = SmallVec<[NodeId; 3]>;

/// One operation and its result.
#[derive(Clone, Debug)]
pub struct Node {
    op: Op,
    operands: Operands,
    ty: TensorType,
    /// How many of the graph's outputs are this value: models have thousands, too many to look through for each node.
    n_outputs: u32,
    /// The name the user or a rule gave the value, as in `fc1.weight`; the printer makes names unique.
    pub name: Option<Arc<str>>,
    /// The user's line this came from.
    pub source: Option<Source>,
    /// Whether no gradient flows through the node to its operands. Without meaning once gradients are derived, when
    /// [`Graph::forget_detached`] takes it away.
    pub is_detached: bool,
}

impl Node {
    /// What the node computes.
    pub fn op(&self) -> &Op {
        &self.op
    }

    /// The operands, in order.
    pub fn operands(&self) -> &[NodeId] {
        &self.operands
    }

    /// The type of the result.
    pub fn ty(&self) -> &TensorType {
        &self.ty
    }
}

/// A result of the graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Output {
    /// The value returned.
    pub value: NodeId,
    /// The position among the inputs of the state that this is the next value of.
    pub updates: Option<usize>,
}

/// A dataflow graph: inputs, operations, outputs. State is an input paired with the output that is its next value.
#[derive(Clone, Debug)]
pub struct Graph {
    /// The name, as in `graph mlp(...)`.
    pub name: String,
    nodes: StableDiGraph<Node, u32, u32>,
    inputs: Vec<NodeId>,
    outputs: Vec<Output>,
    /// Given to every node that is added, until it is changed: gradient rules and passes set it to the source of the
    /// node they work for.
    pub current_source: Option<Source>,
    /// A prefix for names of nodes that are added without one, as above.
    pub current_name: Option<Arc<str>>,
}

impl Graph {
    /// An empty graph.
    pub fn new(name: impl Into<String>) -> Graph {
        Graph {
            name: name.into(),
            nodes: StableDiGraph::default(),
            inputs: Vec::new(),
            outputs: Vec::new(),
            current_source: None,
            current_name: None,
        }
    }

    /// Adds an input after those there are.
    pub fn add_input(&mut self, name: &str, ty: TensorType) -> NodeId {
        let id = self.insert(Op::Input(ty.clone()), &[], ty);
        self.node_mut(id).name = Some(Arc::from(name));
        self.inputs.push(id);
        id
    }

    /// Adds a node, or says why its operands do not suit the op.
    pub fn add(&mut self, op: Op, operands: &[NodeId]) -> Result<NodeId, TypeError> {
        let ty = {
            let types: SmallVec<[&TensorType; 4]> = operands.iter().map(|&o| self.node(o).ty()).collect();
            op.infer(&types)?
        };
        if let Op::LoopResult { position, ty } = &op {
            check_result(*position, ty, self.op(operands[0]))?;
        }
        Ok(self.insert(op, operands, ty))
    }

    fn insert(&mut self, op: Op, operands: &[NodeId], ty: TensorType) -> NodeId {
        let node = Node {
            op,
            operands: SmallVec::from_slice(operands),
            ty,
            n_outputs: 0,
            name: self.current_name.clone(),
            source: self.current_source.clone(),
            is_detached: false,
        };
        let index = self.nodes.add_node(node);
        for (position, operand) in operands.iter().enumerate() {
            self.nodes.add_edge(operand.at(), index, position as u32);
        }
        NodeId::of(index)
    }

    /// Adds a result.
    pub fn add_output(&mut self, value: NodeId, updates: Option<usize>) {
        self.node_mut(value).n_outputs += 1;
        self.outputs.push(Output { value, updates });
    }

    /// The inputs, in order: the caller's signature.
    pub fn inputs(&self) -> &[NodeId] {
        &self.inputs
    }

    /// The results, in order.
    pub fn outputs(&self) -> &[Output] {
        &self.outputs
    }

    /// Replaces all results.
    pub fn set_outputs(&mut self, outputs: Vec<Output>) {
        // An output that is no node is for the verifier to report.
        for output in &self.outputs {
            self.nodes.node_weight_mut(output.value.at()).into_iter().for_each(|node| node.n_outputs -= 1);
        }
        for output in &outputs {
            self.nodes.node_weight_mut(output.value.at()).into_iter().for_each(|node| node.n_outputs += 1);
        }
        self.outputs = outputs;
    }

    /// A node.
    ///
    /// # Panics
    /// When there is no such node.
    pub fn node(&self, id: NodeId) -> &Node {
        self.nodes
            .node_weight(id.at())
            .unwrap_or_else(|| panic!("node {id:?} is not in graph `{}`", self.name))
    }

    /// A node, to change its name or source.
    pub fn node_mut(&mut self, id: NodeId) -> &mut Node {
        let name = &self.name;
        let node = self.nodes.node_weight_mut(id.at());
        node.unwrap_or_else(|| panic!("node {id:?} is not in graph `{name}`"))
    }

    /// Takes the mark of detached nodes away, in the bodies of loops too: for graphs whose gradients are derived, in which
    /// nodes that compute the same are the same.
    pub fn forget_detached(&mut self) {
        for node in self.nodes.node_weights_mut() {
            node.is_detached = false;
            if let Op::Loop(looped) = &mut node.op
                && looped.body.has_detached()
            {
                Arc::make_mut(looped).body.forget_detached();
            }
        }
    }

    /// Whether any node is detached, in the bodies of loops too.
    fn has_detached(&self) -> bool {
        let in_body = |op: &Op| matches!(op, Op::Loop(looped) if looped.body.has_detached());
        self.nodes.node_weights().any(|node| node.is_detached || in_body(&node.op))
    }

    /// The op of a node.
    pub fn op(&self, id: NodeId) -> &Op {
        &self.node(id).op
    }

    /// The operands of a node.
    pub fn operands(&self, id: NodeId) -> &[NodeId] {
        &self.node(id).operands
    }

    /// Whether the node is in the graph.
    pub fn contains(&self, id: NodeId) -> bool {
        self.nodes.contains_node(id.at())
    }

    /// Number of nodes, inputs included.
    pub fn n_nodes(&self) -> usize {
        self.nodes.node_count()
    }

    /// One more than the greatest index of a node: the size of a side table.
    pub fn id_bound(&self) -> usize {
        self.nodes.node_indices().next_back().map_or(0, |index| index.index() + 1)
    }

    /// All nodes by increasing id; not a topological order once a pass has replaced nodes.
    pub fn ids(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.nodes.node_indices().map(NodeId::of)
    }

    /// All nodes, operands before users; among nodes that are ready, the least id first, so that the order depends on
    /// nothing else.
    ///
    /// # Panics
    /// When the graph has a cycle, which the verifier excludes.
    pub fn topological_order(&self) -> Vec<NodeId> {
        let mut n_waiting_for = vec![0_u32; self.id_bound()];
        let mut ready = BinaryHeap::new();
        for id in self.ids() {
            // Edges, not operand lists: this order is asked for in reports about graphs where the two differ.
            match self.nodes.edges_directed(id.at(), Direction::Incoming).count() {
                0 => ready.push(Reverse(id)),
                n => n_waiting_for[id.index()] = n as u32,
            }
        }
        let mut order = Vec::with_capacity(self.n_nodes());
        while let Some(Reverse(id)) = ready.pop() {
            order.push(id);
            // One edge for each use: a node that uses a value twice waits for it twice.
            for edge in self.nodes.edges_directed(id.at(), Direction::Outgoing) {
                let user = NodeId::of(edge.target());
                let left = &mut n_waiting_for[user.index()];
                *left -= 1;
                if *left == 0 {
                    ready.push(Reverse(user));
                }
            }
        }
        assert_eq!(order.len(), self.n_nodes(), "graph `{}` has a cycle", self.name);
        order
    }

    /// Whether operands can be ordered before their users.
    pub fn is_acyclic(&self) -> bool {
        // Not `is_cyclic_directed`, which recurses as deep as the graph is long.
        petgraph::algo::toposort(&self.nodes, None).is_ok()
    }

    /// The nodes that use a value, by increasing id, each once.
    pub fn users(&self, id: NodeId) -> SmallVec<[NodeId; 4]> {
        let mut users: SmallVec<[NodeId; 4]> =
            self.nodes.neighbors_directed(id.at(), Direction::Outgoing).map(NodeId::of).collect();
        users.sort_unstable();
        users.dedup();
        users
    }

    /// How often a value is used by nodes (an op that takes it twice counts twice) and by outputs.
    pub fn n_uses(&self, id: NodeId) -> usize {
        self.nodes.edges_directed(id.at(), Direction::Outgoing).count() + self.node(id).n_outputs as usize
    }

    /// Whether an output is this value.
    pub fn is_output(&self, id: NodeId) -> bool {
        self.node(id).n_outputs > 0
    }

    /// Makes every user and output of `old` use `new` instead. `old` stays, unused.
    ///
    /// # Panics
    /// When the types differ: a rewrite that changes a type is a bug in the pass.
    pub fn replace_uses(&mut self, old: NodeId, new: NodeId) {
        assert_eq!(
            self.node(old).ty,
            self.node(new).ty,
            "a replacement for `{}` has another type",
            self.node(old).op.name()
        );
        for user in self.users(old) {
            let operands: Operands = self
                .operands(user)
                .iter()
                .map(|&operand| if operand == old { new } else { operand })
                .collect();
            self.set_operands(user, &operands);
        }
        let n_outputs = std::mem::take(&mut self.node_mut(old).n_outputs);
        if n_outputs > 0 {
            self.node_mut(new).n_outputs += n_outputs;
            self.outputs
                .iter_mut()
                .filter(|output| output.value == old)
                .for_each(|output| output.value = new);
        }
    }

    fn set_operands(&mut self, id: NodeId, operands: &[NodeId]) {
        let edges: SmallVec<[_; 4]> =
            self.nodes.edges_directed(id.at(), Direction::Incoming).map(|edge| edge.id()).collect();
        for edge in edges {
            self.nodes.remove_edge(edge);
        }
        for (position, operand) in operands.iter().enumerate() {
            self.nodes.add_edge(operand.at(), id.at(), position as u32);
        }
        self.node_mut(id).operands = SmallVec::from_slice(operands);
    }

    /// Removes the nodes that `keep` refuses; inputs always stay. Returns how many went.
    ///
    /// # Panics
    /// When a removed node is still used by one that stays or by an output.
    pub fn retain(&mut self, mut keep: impl FnMut(NodeId, &Node) -> bool) -> usize {
        let gone: Vec<NodeId> =
            self.ids().filter(|&id| !self.node(id).op.is_input() && !keep(id, self.node(id))).collect();
        let removed: std::collections::HashSet<NodeId> = gone.iter().copied().collect();
        for &id in &gone {
            let used = self.users(id).iter().any(|user| !removed.contains(user));
            assert!(!used && !self.is_output(id), "a node that is still used was removed");
        }
        for &id in &gone {
            self.nodes.remove_node(id.at());
        }
        gone.len()
    }

    /// Edges as petgraph holds them: (operand, user, position), sorted. The verifier compares them with the lists.
    pub fn edges(&self) -> Vec<(NodeId, NodeId, u32)> {
        let mut edges: Vec<_> = self
            .nodes
            .edge_references()
            .map(|edge| (NodeId::of(edge.source()), NodeId::of(edge.target()), *edge.weight()))
            .collect();
        edges.sort_unstable();
        edges
    }

    /// The graph in Graphviz's language; `label` makes the text of a node.
    pub fn to_graphviz(&self, label: impl Fn(NodeId, &Node) -> String) -> String {
        use petgraph::dot::{Config, Dot};
        let labels: BTreeMap<NodeIndex<u32>, String> =
            self.nodes.node_indices().map(|i| (i, label(NodeId::of(i), &self.nodes[i]))).collect();
        let attributes =
            |_: &_, (index, _): (NodeIndex<u32>, &Node)| format!("label={:?} shape=box", labels[&index]);
        let config = [Config::NodeNoLabel, Config::EdgeNoLabel];
        format!("{:?}", Dot::with_attr_getters(&self.nodes, &config, &|_, _| String::new(), &attributes))
    }
}

/// Ways to break a graph, which its public methods do not allow: for tests of the verifier.
#[cfg(test)]
impl Graph {
    pub(crate) fn corrupt_operands(&mut self, id: NodeId, operands: &[NodeId]) {
        self.set_operands(id, operands);
    }

    pub(crate) fn corrupt_node(
        &mut self,
        id: NodeId,
        change: impl FnOnce(&mut Op, &mut Operands, &mut TensorType),
    ) {
        let node = self.node_mut(id);
        change(&mut node.op, &mut node.operands, &mut node.ty);
    }

    pub(crate) fn corrupt_remove(&mut self, id: NodeId) {
        self.nodes.remove_node(id.at());
    }

    pub(crate) fn corrupt_inputs(&mut self, inputs: &[NodeId]) {
        self.inputs = inputs.to_vec();
    }
}

impl Emit for Graph {
    #[track_caller]
    fn emit(&mut self, op: Op, operands: &[NodeId]) -> NodeId {
        let name = op.name();
        match self.add(op, operands) {
            Ok(id) => id,
            Err(error) => {
                panic!("internal error: a rule emitted an ill-typed `{name}`: {error}; please report this")
            }
        }
    }

    fn graph(&self) -> &Graph {
        self
    }

    fn graph_mut(&mut self) -> &mut Graph {
        self
    }
}
