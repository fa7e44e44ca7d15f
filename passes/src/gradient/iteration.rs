//! The gradient of a loop: a loop that runs the other way.
//!
//! One step backwards is the gradient of the body: from the gradients of what a step returned to those of what it took.
//! Gradients of carried values are carried, those of stacked values are stacked, and those of invariant values add up
//! over the steps.
//!
//! *What is stored.* A step backwards needs values of the step forwards. Invariant and stacked operands are at hand;
//! other values are stacked by a loop that is the forward one with more results (`merge_loops` makes one of both), or
//! computed again when that takes cheap ops on values that take no more memory together. The value that a step was
//! given in a carried input is what the step before returned, so the stack of the latter is shifted by one.
//!
//! *What is deferred.* A sum over steps of products is one product over all steps: where the gradient of an invariant
//! value is a dot or a sum, its operands are stacked, and one large dot after the loop replaces as many small ones as
//! there are steps. This is what makes the weights' gradients of a recurrent network cheap.

use super::vector_jacobian;
use crate::loop_bodies::{self, Carried, Form};
use crate::loops::body::is_transcendental;
use kiln_ir::emit::EmitExt;
use kiln_ir::op::iteration::Role;
use kiln_ir::op::{BinaryOp, Dot, Loop, ReduceOp, Slice};
use kiln_ir::{Axes, Emit, Graph, Literal, NodeId, Op, TensorType};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The gradients of a loop's operands, for each that is wanted and gets one, from those of its results.
pub fn gradient(
    e: &mut dyn Emit,
    id: NodeId,
    cotangents: &[Option<NodeId>],
    wanted: &[bool],
) -> Vec<Option<NodeId>> {
    let Op::Loop(looped) = e.graph().op(id).clone() else { unreachable!("the gradient of a loop") };
    let operands = e.graph().operands(id).to_vec();
    let backward = Backward::derive(&looped, cotangents, wanted);
    backward.emit(e, id, &operands, cotangents)
}

/// How the gradient of an invariant operand comes from what the loop backwards returns.
enum Total {
    /// Added up from step to step.
    Carried(NodeId),
    /// A dot over all steps.
    Dot(Dot, [NodeId; 2]),
    /// A sum over all steps.
    Sum(Axes, NodeId),
    Permute(Axes, Box<Total>),
    Add(Box<[Total; 2]>),
}

/// The body forwards and backwards in one graph, and what is to become of its values.
struct Backward<'a> {
    looped: &'a Loop,
    /// The body, followed by its gradient.
    graph: Graph,
    /// Nodes with lesser indices are the body's own.
    n_forward: usize,
    /// The input that holds the gradient of a result, for those that have one; of the next value, if it is carried.
    given: Vec<Option<NodeId>>,
    /// For each operand, the gradient of what a step takes of it.
    gradients: Vec<Option<NodeId>>,
    /// Values that are the same in every step.
    invariant: BTreeSet<NodeId>,
}

impl<'a> Backward<'a> {
    fn derive(looped: &'a Loop, cotangents: &[Option<NodeId>], wanted: &[bool]) -> Backward<'a> {
        let mut has_gradient: Vec<bool> = cotangents.iter().map(Option::is_some).collect();
        // A gradient may come to a carried value from the step after only: look until no more do.
        loop {
            let backward = Backward::with(looped, &has_gradient, wanted);
            let more = |&k: &usize| !has_gradient[k] && backward.gradients[k].is_some();
            let found: Vec<usize> = (0..looped.n_carried()).filter(more).collect();
            if found.is_empty() {
                return backward;
            }
            found.into_iter().for_each(|k| has_gradient[k] = true);
        }
    }

    /// The gradient of the body when these results have one.
    fn with(looped: &'a Loop, has_gradient: &[bool], wanted: &[bool]) -> Backward<'a> {
        let mut graph = looped.body.clone();
        graph.name += ".grad";
        graph.current_name = None;
        let n_forward = graph.id_bound();
        let mut given = vec![None; looped.n_results()];
        let mut results = Vec::new();
        for (k, output) in looped.body.outputs().iter().enumerate().filter(|(k, _)| has_gradient[*k]) {
            let ty = graph.node(output.value).ty().clone();
            let input = graph.add_input("grad", ty);
            given[k] = Some(input);
            results.push((output.value, input));
        }
        let asked = |i: &usize| {
            let is_float = looped.body.node(looped.body.inputs()[*i]).ty().dtype.is_float();
            is_float && (*i < looped.n_carried() || wanted[*i])
        };
        let asked: Vec<usize> = (0..looped.n_operands()).filter(asked).collect();
        let inputs: Vec<NodeId> = asked.iter().map(|&i| looped.body.inputs()[i]).collect();
        let found = vector_jacobian(&mut graph, &results, &inputs);
        let mut gradients = vec![None; looped.n_operands()];
        for (i, gradient) in asked.into_iter().zip(found) {
            gradients[i] = gradient.ok();
        }
        let invariant = invariant_nodes(looped, &graph);
        Backward { looped, graph, n_forward, given, gradients, invariant }
    }

    /// Emits the loop backwards, and the gradients of the operands.
    fn emit(
        mut self,
        e: &mut dyn Emit,
        id: NodeId,
        operands: &[NodeId],
        cotangents: &[Option<NodeId>],
    ) -> Vec<Option<NodeId>> {
        let n_carried = self.looped.n_carried();
        let carried: Vec<usize> = (0..n_carried).filter(|&k| self.given[k].is_some()).collect();
        let stacked: Vec<usize> =
            (n_carried..n_carried + self.looped.n_stacked).filter(|&i| self.gradients[i].is_some()).collect();
        let mut totals = Vec::new();
        let mut plan = Plan::default();
        for &k in &carried {
            // A value that a step does not pass on has no influence from there.
            let next = self.gradients[k];
            let next = next.unwrap_or_else(|| self.graph.constant_like(self.looped.body.inputs()[k], 0.0));
            let of = self.given[k].expect("a carried value with a gradient");
            let first = cotangents[k].unwrap_or_else(|| e.constant_like(operands[k], 0.0));
            plan.carry(of, next, first);
        }
        for &i in &stacked {
            plan.stack(self.gradients[i].expect("a gradient to stack"));
        }
        for i in n_carried + self.looped.n_stacked..self.looped.n_operands() {
            totals.push(self.gradients[i].map(|gradient| self.total(e, &mut plan, gradient)));
        }
        for (&input, &cotangent) in self.given.iter().zip(cotangents).skip(n_carried) {
            if let (Some(input), Some(cotangent)) = (input, cotangent) {
                plan.form.stacked.push((input, cotangent));
            }
        }
        let stored = self.stored(&plan);
        self.store(e, id, operands, &stored, &mut plan);
        let backward = self.emit_loop(e, operands, &mut plan);

        let mut result = vec![None; self.looped.n_operands()];
        for (position, &k) in carried.iter().enumerate() {
            result[k] = self.gradients[k].map(|_| loop_result(e, backward, position));
        }
        for &i in &stacked {
            let value = self.gradients[i].expect("a gradient that is stacked");
            result[i] = Some(plan.of_stack(e, backward, value));
        }
        for (i, total) in (n_carried + self.looped.n_stacked..).zip(totals) {
            result[i] = total.map(|total| plan.evaluate(e, backward, &total));
        }
        result
    }

    /// How the gradient of an invariant value adds up.
    fn total(&mut self, e: &mut dyn Emit, plan: &mut Plan, value: NodeId) -> Total {
        let operands = self.graph.operands(value).to_vec();
        match self.graph.op(value).clone() {
            Op::Binary(BinaryOp::Add) => {
                let [a, b] = [operands[0], operands[1]].map(|operand| self.total(e, plan, operand));
                Total::Add(Box::new([a, b]))
            }
            Op::Permute(permutation) => {
                Total::Permute(permutation, Box::new(self.total(e, plan, operands[0])))
            }
            Op::Dot(dot) => {
                operands.iter().for_each(|&operand| self.stack(plan, operand));
                Total::Dot(dot, [operands[0], operands[1]])
            }
            Op::Reduce(ReduceOp::Sum, axes) => {
                self.stack(plan, operands[0]);
                Total::Sum(axes, operands[0])
            }
            _ => {
                let ty = self.graph.node(value).ty().clone();
                let zero = e.emit(Op::Fill(Literal::zero(ty.dtype), ty.shape.clone()), &[]);
                let before = self.graph.add_input("total", ty);
                let after = EmitExt::add(&mut self.graph, before, value);
                plan.carry(before, after, zero);
                Total::Carried(before)
            }
        }
    }

    /// Makes the values of all steps available after the loop.
    fn stack(&self, plan: &mut Plan, value: NodeId) {
        // A value of the step forwards is stacked there, or lies there already.
        if self.is_forward(value) && !self.invariant.contains(&value) {
            plan.needed.insert(value);
        } else {
            plan.stack(value);
        }
    }

    fn is_forward(&self, node: NodeId) -> bool {
        node.index() < self.n_forward
    }

    fn role(&self, node: NodeId) -> Option<Role> {
        let position = self.looped.body.inputs().iter().position(|&input| input == node)?;
        Some(self.looped.operand_role(position))
    }

    /// The values of the step forwards that the loop backwards finds in stacks.
    fn stored(&self, plan: &Plan) -> BTreeSet<NodeId> {
        let cost = self.cost_again();
        let mut stored = BTreeSet::new();
        let mut seen = BTreeSet::new();
        let mut waiting: Vec<NodeId> = plan.form.returned().collect();
        for &value in &plan.needed {
            stored.insert(value);
        }
        while let Some(node) = waiting.pop() {
            if !seen.insert(node) || stored.contains(&node) {
                continue;
            }
            let is_stored = match self.role(node) {
                Some(role) => role == Role::Carried,
                None => self.is_forward(node) && cost[&node] > 0 && !self.is_cheaper_again(node, &cost),
            };
            if is_stored {
                stored.insert(node);
            } else {
                waiting.extend_from_slice(self.graph.operands(node));
            }
        }
        stored.retain(|&node| self.role(node) != Some(Role::Stacked));
        stored
    }

    /// Whether a value is computed again by cheap ops from values that take no more memory than it does.
    fn is_cheaper_again(&self, node: NodeId, cost: &BTreeMap<NodeId, usize>) -> bool {
        let operands = self.graph.operands(node).iter();
        is_cheap(self.graph.op(node))
            && operands.map(|operand| cost[operand]).sum::<usize>() <= self.graph.node(node).ty().n_bytes()
    }

    /// For each value of the step forwards, the bytes to store so that it can be had in the step backwards.
    fn cost_again(&self) -> BTreeMap<NodeId, usize> {
        let mut cost = BTreeMap::new();
        for node in self.looped.body.topological_order() {
            let op = self.graph.op(node);
            let n_bytes = self.graph.node(node).ty().n_bytes();
            let operands = || self.graph.operands(node).iter().map(|operand| cost[operand]).sum::<usize>();
            let of_node = match self.role(node) {
                Some(Role::Invariant | Role::Stacked) => 0,
                Some(Role::Carried) => n_bytes,
                None if operands() == 0 && (is_cheap(op) || self.invariant.contains(&node)) => 0,
                None if is_cheap(op) => operands().min(n_bytes),
                None => n_bytes,
            };
            cost.insert(node, of_node);
        }
        cost
    }

    /// Stacks values of the step forwards: inputs of the loop backwards.
    fn store(
        &self,
        e: &mut dyn Emit,
        id: NodeId,
        operands: &[NodeId],
        stored: &BTreeSet<NodeId>,
        plan: &mut Plan,
    ) {
        let looped = self.looped;
        let mut outputs = looped.body.outputs().to_vec();
        let n_results = outputs.len();
        let mut position_of = |value: NodeId| {
            let known = (looped.n_carried()..outputs.len()).find(|&k| outputs[k].value == value);
            known.unwrap_or_else(|| {
                outputs.push(kiln_ir::Output { value, updates: None });
                outputs.len() - 1
            })
        };
        let of_input = |node: NodeId| looped.body.inputs().iter().position(|&input| input == node);
        let mut positions = Vec::new();
        for &value in stored {
            let of = of_input(value).map_or(value, |k| looped.body.outputs()[k].value);
            positions.push((value, position_of(of)));
        }
        let longer = outputs.len() > n_results;
        let source = if longer {
            let mut body = looped.body.clone();
            body.set_outputs(outputs);
            e.emit(Op::Loop(Arc::new(Loop { body, ..looped.clone() })), operands)
        } else {
            id
        };
        for (value, position) in positions {
            let stack = loop_result(e, source, position);
            let stack = match of_input(value) {
                Some(k) => shifted(e, looped, operands[k], stack),
                None => stack,
            };
            plan.form.stacked.push((value, stack));
        }
        for (&input, &operand) in looped.body.inputs().iter().zip(operands) {
            if self.role(input) == Some(Role::Stacked) {
                plan.form.stacked.push((input, operand));
            }
        }
    }

    /// Emits the loop backwards.
    fn emit_loop(&self, e: &mut dyn Emit, operands: &[NodeId], plan: &mut Plan) -> NodeId {
        let inputs = self.looped.body.inputs().iter().copied().zip(operands.iter().copied());
        plan.form.invariant =
            inputs.filter(|(input, _)| self.role(*input) == Some(Role::Invariant)).collect();
        let (looped, operands) =
            plan.form.build(&self.graph, &self.graph.name, self.looped.n_steps, !self.looped.reverse);
        e.emit(Op::Loop(Arc::new(looped)), &operands)
    }
}

/// What the loop backwards is made of.
#[derive(Default)]
struct Plan {
    /// Its inputs and results, as nodes of the graph of both directions.
    form: Form,
    /// Values of the step forwards whose stacks are needed after the loop.
    needed: BTreeSet<NodeId>,
}

impl Plan {
    fn carry(&mut self, input: NodeId, next: NodeId, first: NodeId) {
        self.form.carried.push(Carried { input, next, first });
    }

    fn stack(&mut self, value: NodeId) {
        if !self.form.results.contains(&value) {
            self.form.results.push(value);
        }
    }

    /// The stack of a value, around the loop.
    fn of_stack(&self, e: &mut dyn Emit, backward: NodeId, value: NodeId) -> NodeId {
        if let Some(place) = self.form.results.iter().position(|&stacked| stacked == value) {
            return loop_result(e, backward, self.form.carried.len() + place);
        }
        let known = self.form.stacked.iter().find(|(input, _)| *input == value);
        known.expect("a value of the step forwards was stored").1
    }

    fn evaluate(&self, e: &mut dyn Emit, backward: NodeId, total: &Total) -> NodeId {
        match total {
            Total::Carried(input) => {
                let position = self.form.carried.iter().position(|carried| carried.input == *input);
                loop_result(e, backward, position.expect("a total is carried"))
            }
            Total::Dot(dot, operands) => {
                let stacks = operands.map(|operand| self.of_stack(e, backward, operand));
                e.emit(Op::Dot(over_steps(dot)), &stacks)
            }
            Total::Sum(axes, operand) => {
                let stack = self.of_stack(e, backward, *operand);
                let axes: Vec<usize> = std::iter::once(0).chain(axes.iter().map(|axis| axis + 1)).collect();
                e.sum(stack, &axes)
            }
            Total::Permute(permutation, total) => {
                let total = self.evaluate(e, backward, total);
                e.permute(total, permutation)
            }
            Total::Add(terms) => {
                let [a, b] = [&terms[0], &terms[1]].map(|term| self.evaluate(e, backward, term));
                e.add(a, b)
            }
        }
    }
}

/// The nodes that depend on nothing but invariant inputs.
fn invariant_nodes(looped: &Loop, graph: &Graph) -> BTreeSet<NodeId> {
    let first = looped.n_carried() + looped.n_stacked;
    let inputs = &looped.body.inputs()[first..];
    let mut invariant = BTreeSet::new();
    for node in graph.topological_order() {
        let is_invariant = match graph.op(node) {
            Op::Input(_) => inputs.contains(&node),
            _ => graph.operands(node).iter().all(|operand| invariant.contains(operand)),
        };
        if is_invariant {
            invariant.insert(node);
        }
    }
    invariant
}

/// The dot of two stacks that is the sum of the dots of their parts.
fn over_steps(dot: &Dot) -> Dot {
    let moved = |pairs: &[(usize, usize)]| pairs.iter().map(|&(l, r)| (l + 1, r + 1)).collect::<Vec<_>>();
    let contract = std::iter::once((0, 0)).chain(moved(&dot.contract));
    Dot { batch: moved(&dot.batch).into_iter().collect(), contract: contract.collect() }
}

/// What each step was given, from what it was given first and the stack of what each returned.
fn shifted(e: &mut dyn Emit, looped: &Loop, first: NodeId, returned: NodeId) -> NodeId {
    let ty: TensorType = e.ty(returned).clone();
    let n_steps = looped.n_steps;
    if n_steps == 0 {
        return returned;
    }
    let first = e.reshape(first, ty.shape.with_extent(0, 1));
    let rank = ty.rank();
    let mut slice = Slice {
        start: Axes::from_elem(0, rank),
        limit: ty.shape.iter().copied().collect(),
        step: Axes::from_elem(1, rank),
    };
    if looped.reverse {
        slice.start[0] = 1;
    } else {
        slice.limit[0] = n_steps - 1;
    }
    let others = e.emit(Op::Slice(slice), &[returned]);
    let parts = if looped.reverse { [others, first] } else { [first, others] };
    e.emit(Op::Concatenate(0), &parts)
}

fn loop_result(e: &mut dyn Emit, looped: NodeId, position: usize) -> NodeId {
    let ty = loop_bodies::result_type(e.graph(), looped, position);
    e.emit(Op::LoopResult { position, ty }, &[looped])
}

/// Whether computing a value again costs no more than reading it.
fn is_cheap(op: &Op) -> bool {
    match op {
        Op::Unary(op) => !is_transcendental(*op),
        Op::Binary(op) => !matches!(op, BinaryOp::Pow | BinaryOp::Atan2 | BinaryOp::Rem | BinaryOp::Div),
        Op::Fill(..)
        | Op::Dense(_)
        | Op::Iota { .. }
        | Op::Compare(_)
        | Op::Logical(_)
        | Op::Select
        | Op::Cast(_)
        | Op::Reshape(_)
        | Op::Permute(_)
        | Op::Broadcast { .. }
        | Op::Slice(_)
        | Op::Pad(_)
        | Op::Concatenate(_)
        | Op::Reverse(_) => true,
        Op::Input(_)
        | Op::Reduce(..)
        | Op::ArgReduce(..)
        | Op::Cumulative(_)
        | Op::ArgSort(_)
        | Op::Dot(_)
        | Op::Conv(_)
        | Op::Window(..)
        | Op::Gather(_)
        | Op::ScatterAdd { .. }
        | Op::RandomBits(_)
        | Op::Loop(_)
        | Op::LoopResult { .. } => false,
    }
}
