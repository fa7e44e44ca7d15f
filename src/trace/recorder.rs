//! What a trace holds: the graph, the place in the user's program, and in an eager run the values.

use super::orders::Orders;
use crate::eager::{SharedEvaluator, Value};
use crate::error::Mistake;
use crate::nn::ParamId;
use crate::tensor::Tensor;
use kiln_ir::{Emit, Graph, NodeId, Op, Source, TensorData};
use smallvec::SmallVec;
use std::collections::HashMap;
use std::panic::Location;
use std::sync::Arc;

/// The state of a trace.
pub(super) struct Recorder {
    pub(super) graph: Graph,
    pub(super) mistakes: Vec<Mistake>,
    /// The line and the composed function of the last mistake, if it was made in one.
    pub(super) told: Option<(Source, &'static str)>,
    pub(super) frame: Frame,
    pub(super) training: bool,
    pub(super) parameters: HashMap<ParamId, Bound>,
    /// What is added to the loss.
    pub(super) penalties: Vec<NodeId>,
    /// Values whose norm is asked for, with their names.
    pub(super) watched: Vec<(String, NodeId)>,
    pub(super) random: Option<Random>,
    pub(super) orders: Orders,
    pub(super) eager: Option<Tape>,
}

/// Where the trace stands in the user's program.
#[derive(Clone)]
pub(super) struct Frame {
    /// Layer names, outermost first, joined with dots.
    pub(super) scope: Arc<str>,
    /// The composed function that is being traced, if any: the outermost one.
    pub(super) function: Option<&'static str>,
    /// The function that the user called, for errors: the outermost one that calls others.
    pub(super) called: Option<&'static str>,
    /// The user's line that all ops get, if it is pinned.
    pub(super) pinned: Option<&'static Location<'static>>,
    /// The user's line that handed a function to be called: it stands for lines of the standard library, which is who calls
    /// `mse` in `loss(mse)`.
    pub(super) given: Option<&'static Location<'static>>,
}

/// The value of a parameter at this point of the trace.
pub(super) struct Bound {
    pub(super) name: Arc<str>,
    pub(super) value: NodeId,
}

/// The random state of the program, and how far this trace has advanced it.
pub(super) struct Random {
    pub(super) state: NodeId,
    pub(super) n_blocks: i64,
}

/// Values beside the nodes, by index of node.
pub(super) struct Tape {
    evaluator: SharedEvaluator,
    values: Vec<Option<Value>>,
    /// The results of loops.
    loops: HashMap<NodeId, Vec<Value>>,
}

impl Recorder {
    pub(super) fn new(name: &str, eager: Option<Tape>) -> Recorder {
        Recorder {
            graph: Graph::new(name),
            mistakes: Vec::new(),
            told: None,
            frame: Frame { scope: Arc::from(""), function: None, called: None, pinned: None, given: None },
            training: false,
            parameters: HashMap::new(),
            penalties: Vec::new(),
            watched: Vec::new(),
            random: None,
            orders: Orders::default(),
            eager,
        }
    }

    /// The source of an op at this line: where the frame pins one, that.
    pub(super) fn source(&self, location: &'static Location<'static>) -> Source {
        let location = self.frame.pinned.unwrap_or(location);
        let given = self.frame.given.filter(|_| is_in_standard_library(location));
        Source { location: given.unwrap_or(location), scope: self.frame.scope.clone() }
    }

    /// Sets the source and the name of the next node.
    pub(super) fn locate(&mut self, location: &'static Location<'static>, op: &str) {
        self.graph.current_source = Some(self.source(location));
        // Names are for dumps, which an eager trace has none of; there their cost would be paid at each op.
        self.graph.current_name = if self.eager.is_some() { None } else { self.name(op) };
    }

    /// `fc1.softmax.exp`: the layer, the composed function, the op; nothing outside of both.
    fn name(&self, op: &str) -> Option<Arc<str>> {
        let scope: &str = &self.frame.scope;
        match (scope, self.frame.function) {
            ("", None) => None,
            ("", Some(function)) => Some(Arc::from(format!("{function}.{op}"))),
            (scope, None) => Some(Arc::from(format!("{scope}.{op}"))),
            (scope, Some(function)) => Some(Arc::from(format!("{scope}.{function}.{op}"))),
        }
    }
}

/// Whether a line is one of Rust's own library: in a path that the compiler was built in, or in its source where that is
/// installed.
fn is_in_standard_library(location: &Location<'_>) -> bool {
    let file = location.file();
    file.starts_with("/rustc/") || file.contains("rustlib/src/rust/library/")
}

impl Emit for Recorder {
    #[track_caller]
    fn emit(&mut self, op: Op, operands: &[NodeId]) -> NodeId {
        let id = self.graph.emit(op, operands);
        if let Some(tape) = &mut self.eager {
            tape.compute(&self.graph, id);
        }
        id
    }

    fn is_immediate(&self) -> bool {
        self.eager.is_some()
    }

    fn graph(&self) -> &Graph {
        &self.graph
    }

    fn graph_mut(&mut self) -> &mut Graph {
        &mut self.graph
    }
}

impl Tape {
    pub(super) fn new(evaluator: SharedEvaluator) -> Tape {
        Tape { evaluator, values: Vec::new(), loops: HashMap::new() }
    }

    fn compute(&mut self, graph: &Graph, id: NodeId) {
        let node = graph.node(id);
        let value = match node.op() {
            // A constant is its own value: nothing to compute.
            Op::Dense(data) => data.clone(),
            Op::Loop(looped) => {
                let operands: Vec<&Value> =
                    node.operands().iter().map(|&operand| self.get(operand)).collect();
                let results = self.evaluator.borrow_mut().evaluate_loop(looped, &operands);
                self.loops.insert(id, results);
                Arc::new(TensorData::zeros(node.ty()))
            }
            Op::LoopResult { position, .. } => self.loops[&node.operands()[0]][*position].clone(),
            op => {
                let operands: SmallVec<[&Value; 3]> =
                    node.operands().iter().map(|&operand| self.get(operand)).collect();
                self.evaluator.borrow_mut().evaluate(op, &operands, node.ty())
            }
        };
        self.set(id, value);
    }

    /// The value of a node, if it has one.
    pub(super) fn value(&self, id: NodeId) -> Option<&Value> {
        self.values.get(id.index())?.as_ref()
    }

    fn get(&self, id: NodeId) -> &Value {
        self.value(id).unwrap_or_else(|| panic!("node {id:?} of an eager trace has no value"))
    }

    pub(super) fn set(&mut self, id: NodeId, value: Value) {
        if self.values.len() <= id.index() {
            self.values.resize(id.index() + 1, None);
        }
        self.values[id.index()] = Some(value);
    }
}

/// What each operand of an op is called in errors.
pub(super) fn roles<'a>(op: &Op, operands: &[&'a Tensor]) -> Vec<(&'static str, &'a Tensor)> {
    let names: &[&'static str] = match op {
        Op::Input(_) | Op::Fill(..) | Op::Dense(_) | Op::Iota { .. } => &[],
        Op::Unary(_)
        | Op::Cast(_)
        | Op::Reduce(..)
        | Op::ArgReduce(..)
        | Op::Cumulative(_)
        | Op::ArgSort(_)
        | Op::Reshape(_)
        | Op::Permute(_)
        | Op::Broadcast { .. }
        | Op::Slice(_)
        | Op::Pad(_)
        | Op::Reverse(_) => &["operand"],
        Op::Binary(_) | Op::Compare(_) | Op::Logical(_) | Op::Dot(_) => &["lhs", "rhs"],
        Op::Select => &["condition", "on_true", "on_false"],
        Op::Concatenate(_) => &[],
        Op::Conv(_) => &["x", "kernel"],
        Op::Window(..) => &["x", "values"],
        Op::Gather(_) => &["x", "indices"],
        Op::ScatterAdd { .. } => &["updates", "indices"],
        Op::RandomBits(_) => &["state"],
        Op::Loop(_) => &[],
        Op::LoopResult { .. } => &["loop"],
    };
    let name = |i: usize| names.get(i).copied().unwrap_or("operand");
    operands.iter().enumerate().map(|(i, &t)| (name(i), t)).collect()
}
