//! A picture of a graph in Graphviz's language, with the names and attributes of the text form.
//!
//! `dot -Tsvg` draws it. Each box holds the name and type of a value and the op with its attributes; an output also
//! says which one it is.

use crate::names::Names;
use crate::print::before_op;
use crate::{Graph, NodeId};

/// The graph in Graphviz's language.
pub fn graphviz(graph: &Graph) -> String {
    let names = Names::new(graph);
    graph.to_graphviz(|id, _| label(graph, &names, id))
}

fn label(graph: &Graph, names: &Names, id: NodeId) -> String {
    let node = graph.node(id);
    let op = format!("{}{}", before_op(node), node.op().name());
    let mut lines = vec![format!("%{}: {}", names.get(id), node.ty()), op];
    lines.extend(node.op().attributes().iter().map(|(name, value)| format!("{name} = {}", shortened(value))));
    for (position, output) in graph.outputs().iter().enumerate().filter(|(_, output)| output.value == id) {
        lines.push(match output.updates.and_then(|input| graph.inputs().get(input)) {
            Some(&input) => format!("output {position}, next %{}", names.get(input)),
            None => format!("output {position}"),
        });
    }
    lines.join("\n")
}

/// The value of an attribute, cut where it would make the box too wide: a constant has any number of elements.
fn shortened(value: &str) -> String {
    const N_CHARS: usize = 40;
    if value.len() <= N_CHARS { value.to_string() } else { format!("{}...", &value[..N_CHARS]) }
}

#[cfg(test)]
mod tests {
    use crate::{graphviz, parse};

    #[test]
    fn boxes_hold_name_type_op_attributes_and_outputs() {
        let graph = parse(
            "graph f(%x: f32[2, 3], %s: f32[2]) {
                %ones: f32[30] = dense { data = [1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0,
                    1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0] }
                %y: f32[2] = reduce_sum %x { axes = [1] }
                return %ones, %y => %s
            }",
        )
        .unwrap();
        let expected = r#"digraph {
    0 [ label="%x: f32[2, 3]\ninput" shape=box]
    1 [ label="%s: f32[2]\ninput" shape=box]
    2 [ label="%ones: f32[30]\ndense\ndata = [1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0,...\noutput 0" shape=box]
    3 [ label="%y: f32[2]\nreduce_sum\naxes = [1]\noutput 1, next %s" shape=box]
    0 -> 3 [ ]
}
"#;
        assert_eq!(graphviz(&graph), expected);
    }
}
