//! Derives gradients in reverse mode: more graph, from the ops' rules.
//!
//! Only nodes on a path from a value asked for to a differentiated one get a gradient, and only along operands that
//! pass one on. Contributions to a value are added in a fixed order: that of its users from last to first, factors that
//! they share outside (`gradient/sum`). A gradient node keeps the source of the forward node it belongs to and is named after it,
//! `fc1.dot.grad`.
//!
//! Everything is emitted through [`Emit`], so the same function extends a traced graph and runs over the tape of eager
//! execution; what it emits can be differentiated again. Promises: no node there was is changed. Cost: O(nodes +
//! edges), and once more for each value that no gradient reaches.

mod iteration;
mod sum;

use kiln_ir::emit::EmitExt;
use kiln_ir::{Emit, Graph, NodeId, Op, TensorType};
use smallvec::SmallVec;
use std::fmt;
use std::sync::Arc;

/// Why gradients cannot be derived.
#[derive(Clone, Debug, PartialEq)]
pub enum GradientError {
    /// The value to differentiate is not one floating-point number.
    NotAScalar {
        /// The value.
        value: NodeId,
        /// Its type.
        ty: TensorType,
    },
    /// No gradient reaches some of the values asked for: all of these, in the order asked for.
    NotReached(Vec<Unreached>),
}

/// A value that no gradient reaches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreached {
    /// The value.
    pub value: NodeId,
    /// The nodes that cut its paths, with the reason; none when there is no path at all.
    pub cuts: Vec<Cut>,
}

/// A node that passes no gradient on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cut {
    /// The node.
    pub node: NodeId,
    /// The name of its op, or `detach`.
    pub op: &'static str,
    /// Why: words that go after "`op` cuts the path: ".
    pub reason: &'static str,
}

impl fmt::Display for GradientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            GradientError::NotAScalar { value, ty } => {
                write!(f, "a gradient is taken of one f32 or f64 number, {value:?} is {ty}")
            }
            GradientError::NotReached(all) => {
                for (i, unreached) in all.iter().enumerate() {
                    write!(f, "{}{unreached}", if i == 0 { "" } else { "\n" })?;
                }
                Ok(())
            }
        }
    }
}

impl fmt::Display for Unreached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no gradient reaches {:?}: ", self.value)?;
        if self.cuts.is_empty() {
            return f.write_str("nothing that is differentiated depends on it");
        }
        for (i, Cut { node, op, reason }) in self.cuts.iter().enumerate() {
            let separator = if i == 0 { "" } else { "; " };
            write!(f, "{separator}`{op}` ({node:?}) cuts the path: {reason}")?;
        }
        Ok(())
    }
}

impl std::error::Error for GradientError {}

/// The gradients of the scalar `of` with respect to these values, one for each. It is an error when no gradient
/// reaches one of them.
pub fn gradient(
    e: &mut dyn Emit,
    of: NodeId,
    with_respect_to: &[NodeId],
) -> Result<Vec<NodeId>, GradientError> {
    let (mut gradients, mut unreached) = (Vec::new(), Vec::new());
    for result in scalar_gradient(e, of, with_respect_to)? {
        match result {
            Ok(gradient) => gradients.push(gradient),
            Err(value) => unreached.push(value),
        }
    }
    if unreached.is_empty() { Ok(gradients) } else { Err(GradientError::NotReached(unreached)) }
}

/// Like [`gradient`], with zeros for values that no gradient reaches.
pub fn gradient_or_zero(
    e: &mut dyn Emit,
    of: NodeId,
    with_respect_to: &[NodeId],
) -> Result<Vec<NodeId>, GradientError> {
    let results = scalar_gradient(e, of, with_respect_to)?;
    let or_zero = |result: Result<NodeId, Unreached>| {
        result.unwrap_or_else(|unreached| e.constant_like(unreached.value, 0.0))
    };
    Ok(results.into_iter().map(or_zero).collect())
}

/// The gradients of the scalar `of`, or for each value why none reaches it.
pub fn scalar_gradient(
    e: &mut dyn Emit,
    of: NodeId,
    with_respect_to: &[NodeId],
) -> Result<Vec<Result<NodeId, Unreached>>, GradientError> {
    let ty = e.ty(of).clone();
    if ty.rank() != 0 || !ty.dtype.is_float() {
        return Err(GradientError::NotAScalar { value: of, ty });
    }
    let one = e.constant_like(of, 1.0);
    Ok(vector_jacobian(e, &[(of, one)], with_respect_to))
}

/// The product of the outputs' cotangents with their Jacobian: for each value of `with_respect_to`, the gradient of
/// the sum of `output * cotangent` over `outputs`, or why none reaches it.
///
/// [Detached](kiln_ir::Node::is_detached) nodes pass nothing on to their operands, as if they were inputs; they may be asked for.
///
/// # Panics
/// When a cotangent has another type than its output.
pub fn vector_jacobian(
    e: &mut dyn Emit,
    outputs: &[(NodeId, NodeId)],
    with_respect_to: &[NodeId],
) -> Vec<Result<NodeId, Unreached>> {
    for &(output, cotangent) in outputs {
        assert_eq!(e.ty(output), e.ty(cotangent), "a cotangent needs the type of its output {output:?}");
    }
    let paths = Paths::new(e.graph(), outputs, with_respect_to);
    let saved = (e.graph().current_name.clone(), e.graph().current_source.clone());
    let totals = propagate(e, &paths, outputs);
    (e.graph_mut().current_name, e.graph_mut().current_source) = saved;
    let result = |&value: &NodeId| {
        totals[value.index()].ok_or_else(|| Unreached { value, cuts: paths.cuts(e.graph(), value) })
    };
    with_respect_to.iter().map(result).collect()
}

/// Walks from the outputs to the values asked for; returns the gradient of each node that got one.
fn propagate(e: &mut dyn Emit, paths: &Paths, outputs: &[(NodeId, NodeId)]) -> Vec<Option<NodeId>> {
    let bound = paths.is_active.len();
    let mut contributions: Vec<SmallVec<[NodeId; 2]>> = vec![SmallVec::new(); bound];
    let mut totals = vec![None; bound];
    for &(output, cotangent) in outputs {
        contributions[output.index()].push(cotangent);
    }
    for &id in paths.order.iter().rev().filter(|id| paths.is_active[id.index()]) {
        if let Op::Loop(_) = e.graph().op(id) {
            propagate_loop(e, paths, id, &totals, &mut contributions);
            continue;
        }
        let Some((&first, rest)) = contributions[id.index()].split_first() else { continue };
        name_after(e, id);
        let total = sum::total(e, &|node| paths.is_forward(node), first, rest);
        totals[id.index()] = Some(total);

        let wanted = paths.passing(e.graph(), id);
        // The gradient of a loop's result waits for those of the others.
        if !wanted.contains(&true) || matches!(e.graph().op(id), Op::LoopResult { .. }) {
            continue;
        }
        let node = e.graph().node(id);
        let (op, operands) = (node.op().clone(), SmallVec::<[NodeId; 3]>::from_slice(node.operands()));
        let gradients = op.gradient(e, &operands, id, total, &wanted);
        for (operand, gradient) in operands.iter().zip(gradients) {
            let Some(gradient) = gradient else { continue };
            debug_assert_eq!(
                e.ty(gradient),
                e.ty(*operand),
                "internal error: the gradient rule of `{}` gives another type than its operand's",
                op.name()
            );
            contributions[operand.index()].push(gradient);
        }
    }
    totals
}

/// Passes the gradients of all results of a loop on to its operands.
fn propagate_loop(
    e: &mut dyn Emit,
    paths: &Paths,
    id: NodeId,
    totals: &[Option<NodeId>],
    contributions: &mut [SmallVec<[NodeId; 2]>],
) {
    let Op::Loop(looped) = e.graph().op(id) else { return };
    let mut cotangents = vec![None; looped.n_results()];
    name_after(e, id);
    for user in e.graph().users(id) {
        let Some(total) = totals.get(user.index()).copied().flatten() else { continue };
        if let Op::LoopResult { position, .. } = *e.graph().op(user) {
            let sum = cotangents[position].map_or(total, |before| e.add(before, total));
            cotangents[position] = Some(sum);
        }
    }
    if cotangents.iter().all(Option::is_none) {
        return;
    }
    let operands = e.graph().operands(id).to_vec();
    let wanted = paths.passing(e.graph(), id);
    let gradients = iteration::gradient(e, id, &cotangents, &wanted);
    for ((operand, gradient), wanted) in operands.iter().zip(gradients).zip(wanted) {
        if let (Some(gradient), true) = (gradient, wanted) {
            contributions[operand.index()].push(gradient);
        }
    }
}

/// Makes the nodes emitted next carry the source of a forward node, and its name with `.grad`.
fn name_after(e: &mut dyn Emit, id: NodeId) {
    let node = e.graph().node(id);
    let name = node.name.as_deref().unwrap_or(node.op().name());
    let (name, source) = (Arc::from(format!("{name}.grad")), node.source.clone());
    let graph = e.graph_mut();
    graph.current_name = Some(name);
    graph.current_source = source;
}

/// Which nodes gradients can pass.
struct Paths {
    /// All nodes, operands before users.
    order: Vec<NodeId>,
    /// By node: whether an output depends on it.
    is_used: Vec<bool>,
    /// By node: whether it is used, and a gradient it gets reaches a value asked for.
    is_active: Vec<bool>,
}

impl Paths {
    fn new(graph: &Graph, outputs: &[(NodeId, NodeId)], with_respect_to: &[NodeId]) -> Paths {
        let order = graph.topological_order();
        let mut is_used = vec![false; graph.id_bound()];
        for &(output, _) in outputs {
            is_used[output.index()] = true;
        }
        for &id in order.iter().rev() {
            if is_used[id.index()] {
                graph.operands(id).iter().for_each(|operand| is_used[operand.index()] = true);
            }
        }
        let mut paths = Paths { order, is_active: vec![false; is_used.len()], is_used };
        for &value in with_respect_to {
            paths.is_active[value.index()] = paths.is_used[value.index()];
        }
        for at in 0..paths.order.len() {
            let id = paths.order[at];
            if paths.is_used[id.index()] && paths.passing(graph, id).contains(&true) {
                paths.is_active[id.index()] = true;
            }
        }
        paths
    }

    /// Whether a node is there without the gradient: what is emitted for it and what was given as cotangent is not.
    fn is_forward(&self, node: NodeId) -> bool {
        self.is_used.get(node.index()).copied().unwrap_or(false)
    }

    /// For each operand of a node whether it is active and the node passes a gradient on to it.
    fn passing(&self, graph: &Graph, id: NodeId) -> SmallVec<[bool; 3]> {
        let is_passed = |(i, operand): (usize, &NodeId)| {
            self.is_active[operand.index()] && self.blocked(graph, id, i).is_none()
        };
        graph.operands(id).iter().enumerate().map(is_passed).collect()
    }

    /// Why a node passes nothing on to an operand.
    fn blocked(&self, graph: &Graph, id: NodeId, operand: usize) -> Option<&'static str> {
        if graph.node(id).is_detached {
            return Some("its result was detached");
        }
        let types: SmallVec<[&TensorType; 3]> =
            graph.operands(id).iter().map(|&o| graph.node(o).ty()).collect();
        graph.op(id).blocked(&types, operand)
    }

    /// The first nodes after a value that pass nothing on, on its ways to the outputs.
    fn cuts(&self, graph: &Graph, value: NodeId) -> Vec<Cut> {
        let mut is_after = vec![false; self.is_used.len()];
        is_after[value.index()] = true;
        let mut cuts: Vec<Cut> = Vec::new();
        for &id in self.order.iter().filter(|id| self.is_used[id.index()]) {
            for (i, operand) in graph.operands(id).iter().enumerate() {
                if !is_after[operand.index()] {
                    continue;
                }
                match self.blocked(graph, id, i) {
                    None => is_after[id.index()] = true,
                    Some(reason) if cuts.last().is_none_or(|cut| cut.node != id) => {
                        let op = if graph.node(id).is_detached { "detach" } else { graph.op(id).name() };
                        cuts.push(Cut { node: id, op, reason });
                    }
                    Some(_) => {}
                }
            }
        }
        cuts
    }
}
