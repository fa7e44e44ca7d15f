//! The text form of a graph. `parse` is its exact inverse.
//!
//! ```text
//! graph step(%x: f32[8, 3], %w: f32[3, 2]) {
//!     %y: f32[8, 2] = dot %x, %w { contract = [1:0] }
//!     %loss: f32[] = reduce_sum %y { axes = [0, 1] }
//!     return %loss
//! }
//! ```
//!
//! A line is `%name: type = op operands { attributes }`. Attributes stand in declaration order; those at their default
//! and those that the type on the same line tells (the shape of a `reshape`, the element type of a `cast`) are left
//! out. `detached` before an op marks a node that passes no gradient on to its operands. The body of a loop stands after
//! its attributes, as a graph of its own. An output that is the next value of an input prints as `%w.next => %w`.

use crate::names::{Names, sanitized};
use crate::{Graph, Node, NodeId, Op};
use std::fmt;

/// What the text shows besides the graph itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PrintOptions {
    /// Ends each line with the user's line it came from, as a comment: for people, off in snapshots.
    pub sources: bool,
}

/// The text of a graph.
pub fn print_with(graph: &Graph, options: PrintOptions) -> String {
    let mut text = String::new();
    write_graph(&mut text, graph, options, 0).expect("writing to a string cannot fail");
    text + "\n"
}

/// The line that defines one node, without indentation: `%y: f32[2] = exp %x`. The body of a loop is not shown.
pub fn line(graph: &Graph, names: &Names, id: NodeId) -> String {
    let node = graph.node(id);
    let mut text = format!("%{}: {} = {}{}", names.get(id), node.ty(), before_op(node), node.op().name());
    for (position, &operand) in node.operands().iter().enumerate() {
        text += if position == 0 { " %" } else { ", %" };
        text += names.get(operand);
    }
    let attributes = node.op().attributes();
    for (position, (name, value)) in attributes.iter().enumerate() {
        text += if position == 0 { " { " } else { ", " };
        text += &format!("{name} = {value}");
    }
    if !attributes.is_empty() {
        text += " }";
    }
    text
}

/// What stands before the op of a node that passes no gradient on.
pub(crate) const DETACHED: &str = "detached";

/// What is written before the op of a node.
pub(crate) fn before_op(node: &Node) -> String {
    if node.is_detached { format!("{DETACHED} ") } else { String::new() }
}

impl fmt::Display for Graph {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_graph(f, self, PrintOptions::default(), 0)?;
        writeln!(f)
    }
}

/// Writes a graph without the end of its last line; `depth` is that of loops around it.
fn write_graph(out: &mut dyn fmt::Write, graph: &Graph, options: PrintOptions, depth: usize) -> fmt::Result {
    let indent = "    ".repeat(depth);
    let names = Names::new(graph);
    write!(out, "graph {}(", sanitized(&graph.name))?;
    for (position, &input) in graph.inputs().iter().enumerate() {
        let comma = if position == 0 { "" } else { ", " };
        write!(out, "{comma}%{}: {}", names.get(input), graph.node(input).ty())?;
    }
    writeln!(out, ") {{")?;
    for &id in names.order().iter().filter(|id| !graph.inputs().contains(id)) {
        write!(out, "{indent}    {}", line(graph, &names, id))?;
        if let Op::Loop(looped) = graph.op(id) {
            write!(out, " ")?;
            write_graph(out, &looped.body, options, depth + 1)?;
        }
        match &graph.node(id).source {
            Some(source) if options.sources => writeln!(out, "  // {source}")?,
            Some(_) | None => writeln!(out)?,
        }
    }
    write!(out, "{indent}    return")?;
    for (position, output) in graph.outputs().iter().enumerate() {
        let comma = if position == 0 { "" } else { "," };
        write!(out, "{comma} %{}", names.get(output.value))?;
        if let Some(input) = output.updates {
            let input = graph.inputs().get(input).map_or("?", |&input| names.get(input));
            write!(out, " => %{input}")?;
        }
    }
    write!(out, "\n{indent}}}")
}
