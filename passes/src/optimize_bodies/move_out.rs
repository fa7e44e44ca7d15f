//! Moves work out of the body of one loop: what is known without it, what does not vary, and products over all steps.

use crate::analysis;
use crate::loop_bodies::{self, Carried, Form};
use crate::pass::{Changed, Rewrites};
use kiln_ir::emit::{Emit, EmitExt};
use kiln_ir::op::iteration::Role;
use kiln_ir::op::{Dot, Loop};
use kiln_ir::{Axes, Graph, NodeId, Op};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Rewrites a loop as far as its operands and results tell.
pub(super) fn move_out(graph: &mut Graph, id: NodeId, budget: &mut Rewrites) -> Changed {
    if budget.is_spent() {
        return Changed::No;
    }
    let mut mover = Mover::new(graph, id);
    mover.same_operands();
    mover.constant_operands();
    mover.known_results();
    mover.dots_before();
    mover.dots_after();
    mover.hoist();
    mover.dead();
    if !mover.changed || !budget.take("move out") {
        // What was emitted on the way is not used.
        analysis::remove_unreachable(graph);
        return Changed::No;
    }
    mover.finish();
    Changed::Yes
}

/// What a result of the loop is.
#[derive(Clone, Copy)]
pub(super) enum Result {
    /// What an input of the body carries, after the last step.
    Carried(NodeId),
    /// The stack of a node of the body.
    Stacked(NodeId),
    /// The stack of a node of the body, multiplied by an invariant value: the dot is a node of the body too.
    Dot { dot: NodeId, side: usize },
    /// A node around the loop.
    Known(NodeId),
}

/// A loop that is being rewritten.
pub(super) struct Mover<'g> {
    pub(super) graph: &'g mut Graph,
    id: NodeId,
    pub(super) looped: Arc<Loop>,
    pub(super) body: Graph,
    pub(super) form: Form,
    /// By position.
    results: Vec<Result>,
    /// Which results are used.
    used: Vec<bool>,
    /// Nodes of the body that do not vary, and the nodes around the loop that are the same, where there are any yet.
    outer: BTreeMap<NodeId, NodeId>,
    pub(super) invariant: BTreeSet<NodeId>,
    pub(super) changed: bool,
}

impl<'g> Mover<'g> {
    pub(super) fn new(graph: &'g mut Graph, id: NodeId) -> Mover<'g> {
        let Op::Loop(looped) = graph.op(id).clone() else { unreachable!("only loops have bodies") };
        let body = looped.body.clone();
        let mut form = Form::default();
        let mut used = vec![false; looped.n_results()];
        for user in graph.users(id) {
            if let Op::LoopResult { position, .. } = *graph.op(user) {
                used[position] |= graph.n_uses(user) > 0;
            }
        }
        for (i, (&input, &operand)) in body.inputs().iter().zip(graph.operands(id)).enumerate() {
            match looped.operand_role(i) {
                Role::Carried => {
                    form.carried.push(Carried { input, next: body.outputs()[i].value, first: operand });
                }
                Role::Stacked => form.stacked.push((input, operand)),
                Role::Invariant => form.invariant.push((input, operand)),
            }
        }
        let of_result = |(k, output): (usize, &kiln_ir::Output)| match looped.result_role(k) {
            Role::Carried => Result::Carried(body.inputs()[k]),
            Role::Stacked | Role::Invariant => Result::Stacked(output.value),
        };
        let results = body.outputs().iter().enumerate().map(of_result).collect();
        let mut mover = Mover {
            graph,
            id,
            looped,
            body,
            form,
            results,
            used,
            outer: BTreeMap::new(),
            invariant: BTreeSet::new(),
            changed: false,
        };
        mover.find_invariant();
        mover
    }

    fn find_invariant(&mut self) {
        self.outer = self.form.invariant.iter().copied().collect();
        self.invariant = self.outer.keys().copied().collect();
        for node in self.body.topological_order() {
            let operands = self.body.operands(node);
            if !self.body.op(node).is_input() && operands.iter().all(|o| self.invariant.contains(o)) {
                self.invariant.insert(node);
            }
        }
    }

    /// Makes the body use one node for another.
    pub(super) fn substitute(&mut self, old: NodeId, new: NodeId) {
        self.body.replace_uses(old, new);
        let replaced = |node: &mut NodeId| *node = if *node == old { new } else { *node };
        self.form.carried.iter_mut().for_each(|carried| replaced(&mut carried.next));
        for result in &mut self.results {
            if let Result::Stacked(value) = result {
                replaced(value);
            }
        }
        self.changed = true;
    }

    /// An operand that the loop takes twice is taken once.
    fn same_operands(&mut self) {
        for list in [self.form.stacked.clone(), self.form.invariant.clone()] {
            for (i, &(input, operand)) in list.iter().enumerate() {
                let first = list[..i].iter().find(|(_, other)| *other == operand);
                if let Some(&(first, _)) = first.filter(|_| self.body.n_uses(input) > 0) {
                    self.substitute(input, first);
                }
            }
        }
    }

    /// An operand that is one value everywhere is that value in the body.
    fn constant_operands(&mut self) {
        let operands: Vec<(NodeId, NodeId)> =
            self.form.stacked.iter().chain(&self.form.invariant).copied().collect();
        for (input, operand) in operands {
            if let Some(value) = analysis::uniform(self.graph, operand)
                && self.body.n_uses(input) > 0
            {
                let shape = self.body.node(input).ty().shape.clone();
                let fill = self.body.emit(Op::Fill(value, shape), &[]);
                self.invariant.insert(fill);
                self.substitute(input, fill);
            }
        }
    }

    /// Results that need no loop: what is carried unchanged, and stacks that are operands.
    fn known_results(&mut self) {
        for k in 0..self.form.carried.len() {
            let Carried { input, next, first } = self.form.carried[k];
            if next == input {
                self.results[k] = Result::Known(first);
                self.changed = true;
            }
        }
        for result in &mut self.results {
            let Result::Stacked(value) = *result else { continue };
            if let Some(&(_, operand)) = self.form.stacked.iter().find(|(input, _)| *input == value) {
                *result = Result::Known(operand);
                self.changed = true;
            }
        }
        // What is carried unchanged does not vary.
        let (unchanged, carried): (Vec<Carried>, Vec<Carried>) =
            self.form.carried.iter().partition(|carried| carried.next == carried.input);
        if !unchanged.is_empty() {
            self.form.carried = carried;
            self.form.invariant.extend(unchanged.iter().map(|carried| (carried.input, carried.first)));
            self.find_invariant();
            self.changed = true;
        }
    }

    /// Dots of a stacked input with an invariant value become stacked inputs.
    fn dots_before(&mut self) {
        for node in self.body.topological_order() {
            let Op::Dot(dot) = self.body.op(node).clone() else { continue };
            let operands = [self.body.operands(node)[0], self.body.operands(node)[1]];
            let stack = |value: NodeId| self.form.stacked.iter().find(|(input, _)| *input == value);
            let side = (0..2).find(|&side| {
                stack(operands[side]).is_some() && self.invariant.contains(&operands[1 - side])
            });
            let Some(side) = side.filter(|_| self.body.n_uses(node) > 0) else { continue };
            let stack = stack(operands[side]).expect("this side is stacked").1;
            let other = self.outside(operands[1 - side]);
            let whole = self.whole_dot(&dot, side, stack, other);
            let ty = self.body.node(node).ty().clone();
            let input = self.body.add_input("projected", ty);
            self.form.stacked.push((input, whole));
            self.substitute(node, input);
        }
    }

    /// Dots with an invariant value that are stacked, and nothing else, are done after the loop.
    fn dots_after(&mut self) {
        for k in 0..self.results.len() {
            let Result::Stacked(value) = self.results[k] else { continue };
            let is_next = self.form.carried.iter().any(|carried| carried.next == value);
            let is_only_stacked = !is_next && self.body.users(value).is_empty();
            let Op::Dot(_) = self.body.op(value) else { continue };
            let operands = self.body.operands(value);
            let side = (0..2).find(|&side| {
                !self.invariant.contains(&operands[side]) && self.invariant.contains(&operands[1 - side])
            });
            if let (Some(side), true, true) = (side, is_only_stacked, self.used[k]) {
                self.results[k] = Result::Dot { dot: value, side };
                self.changed = true;
            }
        }
    }

    /// The dot over all steps: one operand has a part for each, the other is the same for all. Axis 0 of the result counts
    /// the steps.
    fn whole_dot(&mut self, dot: &Dot, side: usize, stack: NodeId, other: NodeId) -> NodeId {
        let moved = |pairs: &[(usize, usize)]| {
            let moved = |&(l, r): &(usize, usize)| if side == 0 { (l + 1, r) } else { (l, r + 1) };
            pairs.iter().map(moved).collect()
        };
        let whole = Dot { batch: moved(&dot.batch), contract: moved(&dot.contract) };
        let operands = if side == 0 { [stack, other] } else { [other, stack] };
        let lhs_rank = self.graph.node(operands[0]).ty().rank();
        let before = if side == 0 { 0 } else { whole.lhs_free(lhs_rank).len() };
        let product = self.graph.emit(Op::Dot(whole), &operands);
        let rank = self.graph.node(product).ty().rank();
        let steps = dot.batch.len() + before;
        let order: Axes = std::iter::once(steps).chain((0..rank).filter(|&axis| axis != steps)).collect();
        self.graph.permute(product, &order)
    }

    /// The node around the loop that is an invariant node of the body.
    pub(super) fn outside(&mut self, node: NodeId) -> NodeId {
        if let Some(&outer) = self.outer.get(&node) {
            return outer;
        }
        let operands: Vec<NodeId> = self.body.operands(node).to_vec();
        let operands: Vec<NodeId> = operands.into_iter().map(|operand| self.outside(operand)).collect();
        let outer = self.graph.emit(self.body.op(node).clone(), &operands);
        let of = self.body.node(node);
        let (name, source) = (of.name.clone(), of.source.clone());
        (self.graph.node_mut(outer).name, self.graph.node_mut(outer).source) = (name, source);
        self.outer.insert(node, outer);
        outer
    }

    /// Moves invariant values out of the body, but for those that cost nothing there.
    fn hoist(&mut self) {
        let needed = self.needed();
        for node in self.body.topological_order() {
            let op = self.body.op(node);
            let stays =
                op.is_movement() || matches!(op, Op::Input(_) | Op::Fill(..) | Op::Iota { .. } | Op::Loop(_));
            if stays || !self.invariant.contains(&node) || !needed.contains(&node) {
                continue;
            }
            let users = self.body.users(node);
            let is_last = users.iter().any(|&user| {
                let op = self.body.op(user);
                !self.invariant.contains(&user) || op.is_movement() || matches!(op, Op::Loop(_))
            });
            let is_returned = self.returned().contains(&node);
            if is_last || is_returned {
                let outer = self.outside(node);
                let ty = self.body.node(node).ty().clone();
                let name = self.body.node(node).name.clone();
                let input = self.body.add_input(name.as_deref().unwrap_or("invariant"), ty);
                self.form.invariant.push((input, outer));
                self.invariant.insert(input);
                self.outer.insert(input, outer);
                self.substitute(node, input);
            }
        }
    }

    /// The nodes that a step returns for results that are used and for carried values.
    fn returned(&self) -> BTreeSet<NodeId> {
        let stacked = self.results.iter().zip(&self.used).filter(|(_, used)| **used);
        let stacked = stacked.filter_map(|(result, _)| match *result {
            Result::Stacked(value) => Some(value),
            Result::Dot { dot, side } => Some(self.body.operands(dot)[side]),
            Result::Carried(_) | Result::Known(_) => None,
        });
        stacked.chain(self.form.carried.iter().map(|carried| carried.next)).collect()
    }

    fn needed(&self) -> BTreeSet<NodeId> {
        let form = Form { results: self.returned().into_iter().collect(), ..self.form.clone() };
        form.needed(&self.body)
    }

    /// Leaves out carried values that no used result depends on.
    fn dead(&mut self) {
        let used = self.results.iter().zip(&self.used).filter(|(_, used)| **used);
        let of_result = |(result, _): (&Result, &bool)| match *result {
            Result::Carried(input) => Some(input),
            Result::Stacked(_) | Result::Dot { .. } | Result::Known(_) => None,
        };
        let mut live: BTreeSet<NodeId> = used.filter_map(of_result).collect();
        loop {
            let mut form = self.form.clone();
            form.carried.retain(|carried| live.contains(&carried.input));
            form.results = self.stacked_results();
            // Inputs of the others that are needed make these live too.
            let needed = form.needed(&self.body);
            let n_live = live.len();
            live.extend(self.form.carried.iter().map(|c| c.input).filter(|input| needed.contains(input)));
            if live.len() == n_live {
                break;
            }
        }
        let n_carried = self.form.carried.len();
        self.form.carried.retain(|carried| live.contains(&carried.input));
        self.changed |= self.form.carried.len() < n_carried;
        let needed = self.needed();
        let unneeded = |(input, _): &(NodeId, NodeId)| !needed.contains(input);
        let unused = (self.results.iter().zip(&self.used))
            .any(|(result, used)| !used && matches!(result, Result::Stacked(_) | Result::Dot { .. }));
        self.changed |= unused || self.form.stacked.iter().chain(&self.form.invariant).any(unneeded);
    }

    /// What is stacked for results that are used, each once.
    fn stacked_results(&self) -> Vec<NodeId> {
        let mut stacked = Vec::new();
        for (result, _) in self.results.iter().zip(&self.used).filter(|(_, used)| **used) {
            let value = match *result {
                Result::Stacked(value) => value,
                Result::Dot { dot, side } => self.body.operands(dot)[side],
                Result::Carried(_) | Result::Known(_) => continue,
            };
            if !stacked.contains(&value) {
                stacked.push(value);
            }
        }
        stacked
    }

    /// Puts the new loop in place of the old one.
    pub(super) fn finish(mut self) {
        self.form.results = self.stacked_results();
        let Loop { n_steps, reverse, .. } = *self.looped;
        let (looped, operands) = self.form.build(&self.body, &self.body.name, n_steps, reverse);
        let id = self.id;
        let needs_loop = looped.n_results() > 0 || self.graph.is_output(id);
        let new = analysis::emit_replacement(self.graph, id, |graph| {
            needs_loop.then(|| graph.emit(Op::Loop(Arc::new(looped)), &operands))
        });
        let n_carried = self.form.carried.len();
        let stack = |mover: &mut Self, value: NodeId| {
            let place = mover.form.results.iter().position(|&result| result == value);
            let new = new.expect("a loop with results");
            loop_bodies::add_result(mover.graph, new, n_carried + place.expect("a result that is stacked"))
        };
        for user in self.graph.users(id).to_vec() {
            let Op::LoopResult { position, .. } = *self.graph.op(user) else { continue };
            if !self.used[position] {
                continue;
            }
            let value = match self.results[position] {
                Result::Carried(input) => {
                    let place = self.form.carried.iter().position(|carried| carried.input == input);
                    let place = place.expect("what is used is carried");
                    loop_bodies::add_result(self.graph, new.expect("a loop that carries"), place)
                }
                Result::Stacked(value) => stack(&mut self, value),
                Result::Dot { dot, side } => {
                    let Op::Dot(op) = self.body.op(dot).clone() else { unreachable!("a dot") };
                    let stacked = self.body.operands(dot)[side];
                    let other = self.body.operands(dot)[1 - side];
                    let stacked = stack(&mut self, stacked);
                    let other = self.outside(other);
                    self.whole_dot(&op, side, stacked, other)
                }
                Result::Known(value) => value,
            };
            let name = self.graph.node(user).name.clone();
            if self.graph.node(value).name.is_none() {
                self.graph.node_mut(value).name = name;
            }
            self.graph.replace_uses(user, value);
        }
        if let Some(new) = new {
            self.graph.replace_uses(id, new);
        }
        analysis::remove_unreachable(self.graph);
    }
}
