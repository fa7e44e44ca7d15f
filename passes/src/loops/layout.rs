//! Shapes a loop nest for execution: drops indices that nothing uses and axes of one element, merges neighbouring axes
//! that every address walks as one, splits the last where its index is divided, and chooses the axis that vectors run
//! along.

use super::affine::{Affine, Derived, Variable};
use super::body::*;
use super::split::split;

/// Fewer elements than two vectors of four.
const SHORT: usize = 8;

/// Finishes a body that was just built. A contraction keeps its two axes: it is run on rectangles of them.
pub fn finish(body: &mut LoopBody, is_contraction: bool) {
    drop_unused(body);
    if !is_contraction {
        for axis in (0..body.axes.len()).rev() {
            if body.extent(axis) == 1 {
                remove_axis(body, axis);
            }
        }
        for axis in (1..body.axes.len()).rev() {
            if mergeable(body, axis - 1) {
                merge(body, axis - 1);
            }
        }
        split(body);
        // What the split put something else in the place of.
        drop_unused(body);
    }
    // A search of one element still is one: it walks an axis.
    let no_reduced = body.axes_of(AxisKind::Reduced).is_empty();
    if no_reduced && body.reductions.iter().any(Reduction::is_search) {
        insert_unit_axis(body, AxisKind::Reduced);
    } else if no_reduced && body.axes_of(AxisKind::Parallel).is_empty() {
        insert_unit_axis(body, AxisKind::Parallel);
    }
    body.vector_axis = choose_vector_axis(body);
}

/// Applies a function to every index expression of the body.
fn for_each_affine(body: &mut LoopBody, mut f: impl FnMut(&mut Affine)) {
    body.values.iter_mut().filter_map(|value| value.kind.index_mut()).for_each(&mut f);
    body.reductions.iter_mut().filter_map(Reduction::index_mut).for_each(&mut f);
    body.stores.iter_mut().for_each(|store| f(&mut store.address));
    body.accumulate.iter_mut().for_each(|accumulate| f(&mut accumulate.address));
    body.variables.derived.iter_mut().filter_map(Derived::operand_mut).for_each(f);
}

/// Removes the derived variables that nothing is made of: those that were only stations on the way to an address.
fn drop_unused(body: &mut LoopBody) {
    let is_used = used_derived(body);
    let n_axes = body.axes.len();
    let kept: Vec<Variable> = (0..is_used.len()).filter(|&i| is_used[i]).map(|i| n_axes + i).collect();
    if kept.len() == is_used.len() {
        return;
    }
    let place = |v: Variable| if v < n_axes { v } else { n_axes + kept.partition_point(|&k| k < v) };
    let mut used = is_used.iter();
    body.variables.derived.retain(|_| *used.next().expect("one for each"));
    for_each_affine(body, |of| *of = of.renamed(place));
    body.accumulate.iter_mut().for_each(|a| a.loaded = place(a.loaded));
}

/// By derived variable, whether an address, an index or another variable that is used is made of it.
fn used_derived(body: &LoopBody) -> Vec<bool> {
    let n_axes = body.axes.len();
    let mut is_used = vec![false; body.variables.derived.len()];
    let mut open: Vec<Variable> = body.accumulate.iter().map(|accumulate| accumulate.loaded).collect();
    let mut add = |of: &Affine| open.extend(of.terms.iter().map(|term| term.0));
    (0..body.values.len()).filter_map(|id| body.index_of(id)).for_each(&mut add);
    body.reductions.iter().filter_map(Reduction::index).for_each(&mut add);
    body.stores.iter().for_each(|store| add(&store.address));
    body.accumulate.iter().for_each(|accumulate| add(&accumulate.address));
    while let Some(variable) = open.pop() {
        let Some(derived) = body.variables.definition(variable) else { continue };
        if !std::mem::replace(&mut is_used[variable - n_axes], true)
            && let Some(of) = derived.operand()
        {
            open.extend(of.terms.iter().map(|term| term.0));
        }
    }
    is_used
}

/// Removes an axis of one element, on which no expression depends.
fn remove_axis(body: &mut LoopBody, axis: usize) {
    body.variables.extents.remove(axis);
    body.axes.remove(axis);
    for_each_affine(body, |of| *of = of.renamed(|v| if v > axis { v - 1 } else { v }));
    body.accumulate.iter_mut().for_each(|a| a.loaded -= 1);
}

/// Adds an axis of one element, the innermost.
fn insert_unit_axis(body: &mut LoopBody, kind: AxisKind) {
    let axis = body.axes.len();
    body.variables.extents.push(1);
    body.axes.push(kind);
    for_each_affine(body, |of| *of = of.renamed(|v| if v >= axis { v + 1 } else { v }));
    body.accumulate.iter_mut().for_each(|a| a.loaded += 1);
}

/// Whether an axis and the next one are walked as one by every expression.
fn mergeable(body: &mut LoopBody, axis: usize) -> bool {
    if body.axes[axis] != body.axes[axis + 1] {
        return false;
    }
    let inner = body.extent(axis + 1) as i64;
    let mut as_one = true;
    for_each_affine(body, |of| as_one &= of.coefficient(axis) == of.coefficient(axis + 1) * inner);
    as_one
}

fn merge(body: &mut LoopBody, axis: usize) {
    body.variables.extents[axis] *= body.variables.extents[axis + 1];
    // The merged index moves by what the inner one did.
    for_each_affine(body, |of| {
        let inner = of.coefficient(axis + 1);
        *of = of.without(axis).without(axis + 1).plus(&Affine::variable(axis).times(inner));
    });
    body.variables.extents.remove(axis + 1);
    body.axes.remove(axis + 1);
    for_each_affine(body, |of| *of = of.renamed(|v| if v > axis { v - 1 } else { v }));
    body.accumulate.iter_mut().for_each(|a| a.loaded -= 1);
}

/// The last parallel axis or the last reduced one, whichever lets more accesses be contiguous or uniform.
fn choose_vector_axis(body: &LoopBody) -> usize {
    let parallel = body.axes_of(AxisKind::Parallel).last().copied();
    let reduced = body.axes_of(AxisKind::Reduced).last().copied();
    let (parallel, reduced) = match (parallel, reduced) {
        (Some(p), Some(r)) => (p, r),
        (Some(axis), None) | (None, Some(axis)) => return axis,
        (None, None) => unreachable!("a loop nest has an axis"),
    };
    // A search keeps an index beside the value; it is done element by element along the reduced axis.
    if body.reductions.iter().any(Reduction::is_search) {
        return reduced;
    }
    // A walk of a few elements is all overhead.
    if body.extent(reduced) < SHORT && body.extent(parallel) >= SHORT {
        return parallel;
    }
    let (p, r) = (strided_accesses(body, parallel), strided_accesses(body, reduced));
    let longer = body.extent(parallel) >= body.extent(reduced);
    if p < r || (p == r && longer) { parallel } else { reduced }
}

/// Number of accesses that would need one load for each lane along this axis.
pub(super) fn strided_accesses(body: &LoopBody, axis: usize) -> usize {
    let is_axis = |a: usize| a == axis;
    let varies = body.varies_along(is_axis);
    let strided = |of: &Affine| {
        let by_itself = !matches!(of.coefficient(axis), 0 | 1);
        let by_others = body.affine_varies(&of.without(axis), is_axis, &varies);
        by_itself || by_others
    };
    let loads = body.values.iter().filter(|value| match &value.kind {
        ValueKind::Load { address: of, .. } | ValueKind::Random { element: of, .. } => strided(of),
        ValueKind::Constant(_)
        | ValueKind::Index(_)
        | ValueKind::InRange { .. }
        | ValueKind::Unary(..)
        | ValueKind::Binary(..)
        | ValueKind::Compare(..)
        | ValueKind::Logical(..)
        | ValueKind::Select(..)
        | ValueKind::Cast(_)
        | ValueKind::Reduced(_) => false,
    });
    // A store per row happens once for each walk over the reduced axes: it decides nothing.
    loads.count() + body.stores.iter().filter(|s| !s.per_row && strided(&s.address)).count()
}
