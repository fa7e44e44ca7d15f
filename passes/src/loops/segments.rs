//! Segments: how a walk over a block of elements is cut at block primitives.
//!
//! A block primitive computes, say, the exponential of a whole block of elements that lie in scratch memory. So within
//! a phase the values before it are computed for the whole block and stored, then the primitive runs, then the values
//! after it. A value's segment is the number of primitives, one after the other, that it waits for.

use super::body::*;
use kiln_ir::NodeId;

impl LoopBody {
    /// The segment of every value when it is computed in the given phase. `ready` says which block primitives were
    /// computed in an earlier phase and kept.
    pub fn segments(&self, ready: impl Fn(ValueId) -> bool) -> Vec<usize> {
        let mut segments: Vec<usize> = Vec::with_capacity(self.values.len());
        for id in 0..self.values.len() {
            let waits = self.operands(id).iter().map(|&operand| segments[operand]).max().unwrap_or(0);
            let by_index = self.index_of(id).map_or(0, |of| self.index_segment(of, &segments));
            let waits = waits.max(by_index);
            segments.push(match self.is_block_op(id) {
                true if ready(id) => 0,
                true => waits + 1,
                false => waits,
            });
        }
        segments
    }

    fn index_segment(&self, of: &super::Affine, segments: &[usize]) -> usize {
        use super::Derived;
        let each = of.terms.iter().map(|&(variable, _)| match self.variables.definition(variable) {
            None => 0,
            Some(
                Derived::Quotient { of, .. } | Derived::Remainder { of, .. } | Derived::Clamp { of, .. },
            ) => self.index_segment(of, segments),
            Some(Derived::Loaded { value, .. }) => segments[*value],
        });
        each.max().unwrap_or(0)
    }

    /// Whether the memory of `old`, which the loops read, may also be that of `new`, which they write: every element is
    /// read for the last time before, or in the same step as, its place is written.
    pub fn may_overwrite(&self, old: NodeId, new: NodeId) -> bool {
        let stores = || self.stores.iter().filter(|store| self.buffers[store.buffer] == new);
        // Stores write each element once, all of them together: what is read at the place of one of them is overwritten
        // in that step and in no other.
        let same_place = self.values.iter().all(|value| match &value.kind {
            ValueKind::Load { buffer, address } => {
                self.buffers[*buffer] != old || stores().any(|store| *address == store.address)
            }
            _ => true,
        });
        if !same_place || self.accumulate.is_some() || stores().next().is_none() {
            return false;
        }
        let segments = self.segments(|_| false);
        stores().all(|store| self.is_last_step(store, &segments))
    }

    /// Whether nothing is read that lies where this store writes, after the step in which it does.
    fn is_last_step(&self, store: &Store, segments: &[usize]) -> bool {
        if store.per_row {
            // Stores per row are all after the phases; among themselves they are cut at block primitives too.
            let rows = self.stores.iter().filter(|s| s.per_row).map(|s| segments[s.value]);
            return rows.max() == Some(segments[store.value]);
        }
        let in_last_phase = store.phase + 1 == self.n_phases();
        let sinks = self.stores.iter().filter(|s| !s.per_row && s.phase == store.phase).map(|s| s.value);
        let sinks = sinks.chain(self.reductions.iter().filter(|r| r.phase == store.phase).map(|r| r.operand));
        let last_segment = sinks.map(|value| segments[value]).max().unwrap_or(0);
        // What is stored per row comes after, but cannot read what lies along the reduced axes.
        let is_reduced = |axis: usize| self.axes[axis] == AxisKind::Reduced;
        let read_by_rows = !self.affine_varies(&store.address, is_reduced, &vec![true; self.values.len()]);
        let by_rows_after = read_by_rows && self.stores.iter().any(|s| s.per_row);
        in_last_phase && !by_rows_after && segments[store.value] == last_segment
    }
}
