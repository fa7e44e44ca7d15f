//! Facts about nodes that several passes need, in side tables: nothing is stored on the nodes themselves.

use kiln_ir::{Graph, Literal, NodeId, Op};
use std::sync::Arc;

/// A set of nodes, as a bit for each id.
#[derive(Clone, Debug, Default)]
pub struct NodeSet {
    members: Vec<bool>,
}

impl NodeSet {
    /// The empty set, with room for the nodes of this graph.
    pub fn of(graph: &Graph) -> NodeSet {
        NodeSet { members: vec![false; graph.id_bound()] }
    }

    /// Adds a node; `false` when it was a member.
    pub fn insert(&mut self, id: NodeId) -> bool {
        if id.index() >= self.members.len() {
            self.members.resize(id.index() + 1, false);
        }
        !std::mem::replace(&mut self.members[id.index()], true)
    }

    /// Whether the node is a member; nodes added to the graph after the set was made are not.
    pub fn contains(&self, id: NodeId) -> bool {
        self.members.get(id.index()).copied().unwrap_or(false)
    }
}

/// The nodes from which an output can be reached: those that matter. Cost: O(nodes + edges).
pub fn reachable(graph: &Graph) -> NodeSet {
    let mut live = NodeSet::of(graph);
    let mut waiting: Vec<NodeId> = graph.outputs().iter().map(|output| output.value).collect();
    while let Some(id) = waiting.pop() {
        if live.insert(id) {
            waiting.extend_from_slice(graph.operands(id));
        }
    }
    live
}

/// Removes the nodes from which no output can be reached; inputs stay. Returns how many went.
pub fn remove_unreachable(graph: &mut Graph) -> usize {
    let live = reachable(graph);
    graph.retain(|id, _| live.contains(id))
}

/// The value of a node that has one value everywhere and is known to.
pub fn uniform(graph: &Graph, id: NodeId) -> Option<Literal> {
    if let Op::Fill(value, _) = graph.op(id) { Some(*value) } else { None }
}

/// The value that `emit` puts in place of `origin`. All nodes that are emitted on the way take over its source; the
/// replacement, if it has no name yet, takes over its name.
pub fn emit_replacement(
    graph: &mut Graph,
    origin: NodeId,
    emit: impl FnOnce(&mut Graph) -> Option<NodeId>,
) -> Option<NodeId> {
    let source = graph.node(origin).source.clone();
    let old_name = graph.current_name.take();
    let old_source = std::mem::replace(&mut graph.current_source, source);
    let replacement = emit(graph);
    graph.current_name = old_name;
    graph.current_source = old_source;
    if let Some(id) = replacement
        && graph.node(id).name.is_none()
    {
        graph.node_mut(id).name = name_for_replacement(graph, origin, id);
    }
    replacement
}

/// The name of `origin` for its replacement. A name that only says which op it is, as in `fc1.linear.dot`, says the new
/// op instead.
fn name_for_replacement(graph: &Graph, origin: NodeId, replacement: NodeId) -> Option<Arc<str>> {
    let name = graph.node(origin).name.clone()?;
    let (old, new) = (graph.op(origin).name(), graph.op(replacement).name());
    match name.rsplit_once('.') {
        Some((function, last)) if last == old => Some(Arc::from(format!("{function}.{new}"))),
        Some(_) | None => Some(name),
    }
}
