//! Names of values in text: those the user or a rule gave, made unique and fit for the text form.
//!
//! Promises: every node of a graph has a name, no two have the same, and names that are unique and fit already
//! stay as they are. Works on broken graphs too, since error messages need names most.

use crate::{Graph, NodeId};
use std::collections::{HashMap, HashSet};

/// The printed name of every node of a graph, without the `%`, and the order in which nodes print.
///
/// A node is called by its own name, or else by its op's name within its scope, as in `fc1.dot`. Characters other
/// than `A-Z a-z 0-9 _ . / ' -` become `_`. The second node of a name gets the suffix `.2`, the third `.3`.
#[derive(Clone, Debug)]
pub struct Names {
    names: Vec<String>,
    order: Vec<NodeId>,
}

impl Names {
    /// Names all nodes: inputs first, then in topological order.
    pub fn new(graph: &Graph) -> Names {
        let order = print_order(graph);
        let mut names = vec![String::new(); graph.id_bound()];
        let mut taken = HashSet::new();
        let mut next_suffix = HashMap::new();
        for &id in &order {
            let base = base_name(graph, id);
            let mut name = base.clone();
            while taken.contains(&name) {
                let suffix = next_suffix.entry(base.clone()).or_insert(2);
                name = format!("{base}.{suffix}");
                *suffix += 1;
            }
            taken.insert(name.clone());
            names[id.index()] = name;
        }
        Names { names, order }
    }

    /// The name of a node. An id that was not in the graph is called by its number.
    pub fn get(&self, id: NodeId) -> &str {
        match self.names.get(id.index()).map(String::as_str) {
            None | Some("") => "?",
            Some(name) => name,
        }
    }

    /// All nodes in the order in which they print: the inputs, then every operand before its users.
    pub fn order(&self) -> &[NodeId] {
        &self.order
    }
}

/// Inputs in the order of the signature, then the other nodes in topological order; by id in a graph with a cycle.
fn print_order(graph: &Graph) -> Vec<NodeId> {
    let sorted = if graph.is_acyclic() { graph.topological_order() } else { graph.ids().collect() };
    let mut seen = HashSet::new();
    let nodes = graph.inputs().iter().copied().chain(sorted);
    nodes.filter(|&id| graph.contains(id) && seen.insert(id)).collect()
}

fn base_name(graph: &Graph, id: NodeId) -> String {
    let node = graph.node(id);
    if let Some(name) = &node.name
        && !name.is_empty()
    {
        return sanitized(name);
    }
    match &node.source {
        Some(source) if !source.scope.is_empty() => {
            sanitized(&format!("{}.{}", source.scope, node.op().name()))
        }
        Some(_) | None => node.op().name().to_string(),
    }
}

/// The name with characters that the text form has no place for replaced by `_`; never empty.
pub(crate) fn sanitized(name: &str) -> String {
    let mut clean = String::with_capacity(name.len());
    for c in name.chars() {
        // Two slashes would begin a comment.
        let fits = is_name_char(c) && !(c == '/' && clean.ends_with('/'));
        clean.push(if fits { c } else { '_' });
    }
    if clean.is_empty() { "_".to_string() } else { clean }
}

/// Whether a name may hold this character.
pub(crate) fn is_name_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '/' | '\'' | '-')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::op::UnaryOp;
    use crate::{DType, Op, TensorType};

    fn named(graph: &mut Graph, x: NodeId, name: Option<&str>) -> NodeId {
        let id = graph.add(Op::Unary(UnaryOp::Exp), &[x]).unwrap();
        graph.node_mut(id).name = name.map(Into::into);
        id
    }

    #[test]
    fn equal_names_get_suffixes_that_collide_with_no_other_name() {
        let mut graph = Graph::new("f");
        let x = graph.add_input("a", TensorType::scalar(DType::F32));
        let given = [Some("a"), Some("a.2"), Some("a"), None, None, Some("b c"), Some("")];
        let ids: Vec<NodeId> = given.iter().map(|name| named(&mut graph, x, *name)).collect();
        let names = Names::new(&graph);
        let printed: Vec<&str> = ids.iter().map(|&id| names.get(id)).collect();
        assert_eq!(names.get(x), "a");
        assert_eq!(printed, ["a.2", "a.2.2", "a.3", "exp", "exp.2", "b_c", "exp.3"]);
    }

    #[test]
    fn a_name_cannot_begin_a_comment() {
        assert_eq!(sanitized("a//b///c"), "a/_b/_/c");
        assert_eq!(sanitized(""), "_");
        assert_eq!(sanitized("größe: 5%"), "gr__e__5_");
    }
}
