//! Rows about parts and borders: slice, pad and concatenate, and sums of pads.

use super::Row;
use crate::analysis::uniform;
use kiln_ir::emit::{Emit, EmitExt};
use kiln_ir::op::{BinaryOp, Pad, Slice};
use kiln_ir::{Axes, Graph, Literal, NodeId, Op, Shape};

/// Rows about `slice`.
pub const SLICE: &[Row] = &[
    Row { name: "slice_everything", text: "slice(x) => x if it takes all of it", apply: slice_everything },
    Row { name: "slice_of_slice", text: "slice(slice(x)) => slice(x)", apply: slice_of_slice },
    Row {
        name: "slice_of_broadcast",
        text: "slice(broadcast(x)) => broadcast(slice(x))",
        apply: slice_of_broadcast,
    },
    Row {
        name: "slice_of_pad",
        text: "slice(pad(x)) => pad(x) with smaller amounts if neither has steps",
        apply: slice_of_pad,
    },
    Row {
        name: "slice_of_concatenate",
        text: "slice(concatenate(x, y)) => slice(x) if it takes nothing of y",
        apply: slice_of_concatenate,
    },
];

/// Rows about `pad`.
pub const PAD: &[Row] = &[
    Row { name: "pad_nothing", text: "pad(x) => x if all amounts are 0", apply: pad_nothing },
    Row { name: "pad_only_cuts", text: "pad(x) => slice(x) if it adds nothing", apply: pad_only_cuts },
    Row {
        name: "pad_of_pad",
        text: "pad(pad(x)) => pad(x) if the values are the same and the outer one adds nothing that the inner one cut",
        apply: pad_of_pad,
    },
];

/// Rows about `add`.
pub const ADD: &[Row] = &[Row {
    name: "add_of_pads",
    text: "add(pad(x), pad(y)) => add(pad(concatenate(x, y)), 0) if they pad one axis with zeros and y begins where x ends",
    apply: add_of_pads,
}];

/// Rows about `concatenate`.
pub const CONCATENATE: &[Row] = &[
    Row { name: "concatenate_one", text: "concatenate(x) => x", apply: concatenate_one },
    Row {
        name: "concatenate_empty",
        text: "concatenate(x, y) => concatenate(x) if y has no elements",
        apply: concatenate_empty,
    },
    Row {
        name: "concatenate_of_concatenate",
        text: "concatenate(concatenate(x, y), z) => concatenate(x, y, z)",
        apply: concatenate_of_concatenate,
    },
    Row {
        name: "concatenate_neighbours",
        text: "concatenate(slice(x), slice(x)) => slice(x) if the second begins where the first ends",
        apply: concatenate_neighbours,
    },
];

fn operand(graph: &Graph, id: NodeId) -> NodeId {
    graph.operands(id)[0]
}

fn shape(graph: &Graph, id: NodeId) -> &Shape {
    &graph.node(id).ty().shape
}

fn slice_everything(graph: &mut Graph, id: NodeId) -> Option<NodeId> {
    let x = operand(graph, id);
    // A slice of all extents has nowhere to begin but at 0, and no step but 1 (or one that does not matter).
    (shape(graph, x) == shape(graph, id)).then_some(x)
}

fn slice_of_slice(graph: &mut Graph, id: NodeId) -> Option<NodeId> {
    let Op::Slice(outer) = graph.op(id) else { return None };
    let inner_id = operand(graph, id);
    let Op::Slice(inner) = graph.op(inner_id) else { return None };
    let axes = 0..outer.start.len();
    let extents = outer.extents();
    let start: Axes =
        axes.clone().map(|a| (inner.start[a] + outer.start[a] * inner.step[a]).min(inner.limit[a])).collect();
    let step: Axes = axes.clone().map(|a| inner.step[a] * outer.step[a]).collect();
    // One past the last element taken.
    let limit: Axes =
        axes.map(|a| start[a] + extents[a].checked_sub(1).map_or(0, |n| n * step[a] + 1)).collect();
    let slice = Slice { start, limit, step };
    let x = operand(graph, inner_id);
    Some(graph.emit(Op::Slice(slice), &[x]))
}

fn slice_of_broadcast(graph: &mut Graph, id: NodeId) -> Option<NodeId> {
    let Op::Slice(slice) = graph.op(id) else { return None };
    let inner = operand(graph, id);
    let Op::Broadcast { axes, .. } = graph.op(inner) else { return None };
    let of_old = |list: &Axes| -> Axes { axes.iter().map(|&axis| list[axis]).collect() };
    let part = Slice { start: of_old(&slice.start), limit: of_old(&slice.limit), step: of_old(&slice.step) };
    let (axes, to) = (axes.clone(), slice.extents());
    let x = operand(graph, inner);
    let x = graph.emit(Op::Slice(part), &[x]);
    Some(graph.broadcast(x, to, &axes))
}

fn slice_of_pad(graph: &mut Graph, id: NodeId) -> Option<NodeId> {
    let Op::Slice(slice) = graph.op(id) else { return None };
    let inner = operand(graph, id);
    let Op::Pad(pad) = graph.op(inner) else { return None };
    if slice.step.iter().any(|&step| step != 1) || pad.interior.iter().any(|&n| n != 0) {
        return None;
    }
    let x = operand(graph, inner);
    let (padded, extents) = (shape(graph, inner), shape(graph, x));
    let mut pad = pad.clone();
    for axis in 0..extents.rank() {
        pad.low[axis] -= slice.start[axis] as i64;
        pad.high[axis] -= (padded[axis] - slice.limit[axis]) as i64;
        // More cannot be cut off than there is: such a part holds padding only.
        let least = -(extents[axis] as i64);
        if pad.low[axis] < least || pad.high[axis] < least {
            return None;
        }
    }
    Some(graph.emit(Op::Pad(pad), &[x]))
}

fn slice_of_concatenate(graph: &mut Graph, id: NodeId) -> Option<NodeId> {
    let Op::Slice(slice) = graph.op(id) else { return None };
    let inner = operand(graph, id);
    let Op::Concatenate(axis) = *graph.op(inner) else { return None };
    let mut begin = 0;
    for &x in graph.operands(inner) {
        let end = begin + shape(graph, x)[axis];
        if begin <= slice.start[axis] && slice.limit[axis] <= end {
            let mut part = slice.clone();
            part.start[axis] -= begin;
            part.limit[axis] -= begin;
            return Some(graph.emit(Op::Slice(part), &[x]));
        }
        begin = end;
    }
    None
}

fn pad_nothing(graph: &mut Graph, id: NodeId) -> Option<NodeId> {
    let Op::Pad(pad) = graph.op(id) else { return None };
    let x = operand(graph, id);
    let spreads = (0..pad.interior.len()).any(|axis| pad.interior[axis] != 0 && shape(graph, x)[axis] > 1);
    let nothing = pad.low.iter().chain(&pad.high).all(|&amount| amount == 0) && !spreads;
    nothing.then_some(x)
}

fn pad_only_cuts(graph: &mut Graph, id: NodeId) -> Option<NodeId> {
    let Op::Pad(pad) = graph.op(id) else { return None };
    let x = operand(graph, id);
    let extents = shape(graph, x);
    let spreads = pad.interior.iter().any(|&n| n != 0);
    if spreads || pad.low.iter().chain(&pad.high).any(|&amount| amount > 0) {
        return None;
    }
    let start = pad.low.iter().map(|low| low.unsigned_abs() as usize).collect();
    let limit = (0..extents.rank()).map(|a| extents[a] - pad.high[a].unsigned_abs() as usize).collect();
    let slice = Slice { start, limit, step: Axes::from_elem(1, extents.rank()) };
    Some(graph.emit(Op::Slice(slice), &[x]))
}

fn pad_of_pad(graph: &mut Graph, id: NodeId) -> Option<NodeId> {
    let Op::Pad(outer) = graph.op(id) else { return None };
    let inner_id = operand(graph, id);
    let Op::Pad(inner) = graph.op(inner_id) else { return None };
    let cut_then_added =
        |inner: &[i64], outer: &[i64]| inner.iter().zip(outer).any(|(&i, &o)| i < 0 && o > 0);
    if outer.value != inner.value
        || outer.interior.iter().any(|&n| n != 0)
        || cut_then_added(&inner.low, &outer.low)
        || cut_then_added(&inner.high, &outer.high)
    {
        return None;
    }
    let sum = |a: &[i64], b: &[i64]| a.iter().zip(b).map(|(a, b)| a + b).collect();
    let pad = Pad {
        low: sum(&inner.low, &outer.low),
        high: sum(&inner.high, &outer.high),
        interior: inner.interior.clone(),
        value: inner.value,
    };
    let x = operand(graph, inner_id);
    Some(graph.emit(Op::Pad(pad), &[x]))
}

/// A part of an axis that is padded with zeros to the whole of it.
struct Part {
    x: NodeId,
    axis: usize,
    start: usize,
    end: usize,
}

impl Part {
    fn new(graph: &Graph, id: NodeId) -> Option<Part> {
        let Op::Pad(Pad { low, high, interior, value }) = graph.op(id) else { return None };
        let is_zero = *value == Literal::zero(value.dtype()) && interior.iter().all(|&n| n == 0);
        let mut padded = (0..low.len()).filter(|&axis| (low[axis], high[axis]) != (0, 0));
        let (Some(axis), None, true) = (padded.next(), padded.next(), is_zero) else { return None };
        let (start, high) = (usize::try_from(low[axis]).ok()?, usize::try_from(high[axis]).ok()?);
        Some(Part { x: operand(graph, id), axis, start, end: shape(graph, id)[axis] - high })
    }
}

/// The gradients of slices of one value, whose sum is the gradient of the value: they need not be written out to its size.
/// The zeros that each part was added to are added still, since they make `0` of `-0`.
fn add_of_pads(graph: &mut Graph, id: NodeId) -> Option<NodeId> {
    let mut parts = Vec::new();
    if !add_parts(graph, id, MOST_SUMS, &mut parts) {
        return None;
    }
    parts.sort_by_key(|part| part.start);
    let axis = parts.first()?.axis;
    let follow = |pair: &[Part]| pair[0].end == pair[1].start && pair[1].axis == axis;
    if parts.len() < 2 || !parts.windows(2).all(follow) {
        return None;
    }
    let whole = shape(graph, id).clone();
    let all: Vec<NodeId> = parts.iter().map(|part| part.x).collect();
    let joined = graph.emit(Op::Concatenate(axis), &all);
    let (first, last) = (&parts[0], &parts[parts.len() - 1]);
    let amount = |n: usize| (0..whole.rank()).map(|a| if a == axis { n as i64 } else { 0 }).collect();
    let pad = Pad {
        low: amount(first.start),
        high: amount(whole[axis] - last.end),
        interior: Axes::from_elem(0, whole.rank()),
        value: Literal::zero(graph.node(id).ty().dtype),
    };
    let padded = graph.emit(Op::Pad(pad), &[joined]);
    let zero = graph.constant_like(padded, 0.0);
    Some(graph.binary(BinaryOp::Add, padded, zero))
}

/// Sums within a sum in which parts are looked for.
const MOST_SUMS: usize = 64;

/// Collects the parts that a sum consists of; `false` if it has other terms than parts and zeros.
fn add_parts(graph: &Graph, sum: NodeId, n_left: usize, parts: &mut Vec<Part>) -> bool {
    let is_sum = |term: NodeId| matches!(graph.op(term), Op::Binary(BinaryOp::Add));
    let Some(n_left) = n_left.checked_sub(1).filter(|_| is_sum(sum)) else { return false };
    let is_inner = |term: NodeId| is_sum(term) && graph.n_uses(term) == 1;
    // Another term ends the search before it goes down a chain of sums, which may be as long as the graph.
    let terms = graph.operands(sum);
    let outer_fit = terms.iter().filter(|&&term| !is_inner(term)).all(|&term| {
        let part = Part::new(graph, term);
        let is_zero = || uniform(graph, term).is_some_and(|value| value == Literal::zero(value.dtype()));
        let fits = part.is_some() || is_zero();
        parts.extend(part);
        fits
    });
    outer_fit && terms.iter().all(|&term| !is_inner(term) || add_parts(graph, term, n_left, parts))
}

fn concatenate_one(graph: &mut Graph, id: NodeId) -> Option<NodeId> {
    (graph.operands(id).len() == 1).then(|| operand(graph, id))
}

fn concatenate_empty(graph: &mut Graph, id: NodeId) -> Option<NodeId> {
    let Op::Concatenate(axis) = *graph.op(id) else { return None };
    let operands = graph.operands(id);
    let full: Vec<NodeId> = operands.iter().copied().filter(|&x| shape(graph, x)[axis] != 0).collect();
    let some_empty = full.len() < operands.len() && !full.is_empty();
    some_empty.then(|| graph.emit(Op::Concatenate(axis), &full))
}

fn concatenate_of_concatenate(graph: &mut Graph, id: NodeId) -> Option<NodeId> {
    let Op::Concatenate(axis) = *graph.op(id) else { return None };
    let is_inner = |graph: &Graph, x: NodeId| *graph.op(x) == Op::Concatenate(axis) && graph.n_uses(x) == 1;
    let operands = graph.operands(id);
    if !operands.iter().any(|&x| is_inner(graph, x)) {
        return None;
    }
    let all: Vec<NodeId> = operands
        .iter()
        .flat_map(|&x| if is_inner(graph, x) { graph.operands(x).to_vec() } else { vec![x] })
        .collect();
    Some(graph.emit(Op::Concatenate(axis), &all))
}

fn concatenate_neighbours(graph: &mut Graph, id: NodeId) -> Option<NodeId> {
    let Op::Concatenate(axis) = *graph.op(id) else { return None };
    let operands = graph.operands(id).to_vec();
    let (first, x, joined) = operands
        .windows(2)
        .enumerate()
        .find_map(|(i, pair)| joined(graph, axis, pair[0], pair[1]).map(|(x, slice)| (i, x, slice)))?;
    let part = graph.emit(Op::Slice(joined), &[x]);
    let all = [&operands[..first], &[part], &operands[first + 2..]].concat();
    Some(graph.emit(Op::Concatenate(axis), &all))
}

/// The slice that two slices of one value make together, when the second one goes on where the first one ends.
fn joined(graph: &Graph, axis: usize, a: NodeId, b: NodeId) -> Option<(NodeId, Slice)> {
    let (Op::Slice(first), Op::Slice(second)) = (graph.op(a), graph.op(b)) else { return None };
    let x = operand(graph, a);
    let next = first.start[axis] + first.extents()[axis] * first.step[axis];
    let goes_on = operand(graph, b) == x && first.step == second.step && next == second.start[axis];
    let same_elsewhere = (0..first.start.len()).all(|other| {
        other == axis
            || (first.start[other], first.limit[other]) == (second.start[other], second.limit[other])
    });
    let whole = Slice { start: first.start.clone(), limit: second.limit.clone(), step: first.step.clone() };
    (goes_on && same_elsewhere).then_some((x, whole))
}

#[cfg(test)]
mod tests;
