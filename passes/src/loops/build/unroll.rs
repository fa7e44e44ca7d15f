//! Reductions of few elements, written out: no loop, and accumulators in registers.

use super::Builder;
use crate::loops::affine::Affine;
use crate::loops::body::*;
use crate::loops::view::{self, IndexMap};
use kiln_ir::kernel::{Kernel, KernelKind};
use kiln_ir::op::{BinaryOp, CompareOp, LogicalOp, Op, ReduceOp, Window, WindowOp};
use kiln_ir::{DType, Graph, Literal, NodeId, Shape};
use smallvec::SmallVec;

/// Most indices of the reduced axes that are written out one by one...
const MAX_UNROLLED: usize = 16;

/// ...and most ops that this may make of a kernel.
const MAX_UNROLLED_OPS: usize = 128;

/// Whether a kernel's reductions are over so few elements that they are written out: no loop, and accumulators in
/// registers. Only where all that is written is per row.
pub fn is_unrolled(graph: &Graph, kernel: &Kernel) -> bool {
    let n: usize = kernel.reduced.iter().map(|&axis| kernel.domain[axis]).product();
    let per_row = |node: &NodeId| kernel.is_per_row(graph.node(*node).ty().n_elements());
    // A search that may find nothing, because its window lies in the padding, keeps more than a value.
    let is_search = |node: &NodeId| match graph.op(*node) {
        Op::ArgReduce(..) => true,
        Op::Window(WindowOp::Pick, window) => window.padding.iter().any(|&p| p != (0, 0)),
        _ => false,
    };
    kernel.kind == KernelKind::Loop
        && !kernel.reduced.is_empty()
        && (2..=MAX_UNROLLED).contains(&n)
        && n * kernel.members.len() <= MAX_UNROLLED_OPS
        && kernel.writes.iter().all(per_row)
        && !kernel.members.iter().any(is_search)
}

/// Whether windows cover an operand of this shape without gap or overlap, few elements each.
pub fn tiles_exactly(window: &Window, shape: &[usize]) -> bool {
    let n = window.sizes.len();
    let lead = shape.len() - n;
    window.sizes == window.strides
        && window.dilations.iter().all(|&d| d == 1)
        && window.padding.iter().all(|&p| p == (0, 0))
        && (0..n).all(|axis| shape[lead + axis].is_multiple_of(window.sizes[axis]))
        && window.sizes.iter().product::<usize>() <= MAX_UNROLLED
}

impl Builder<'_> {
    /// A reduction as operations on its elements, in row-major order.
    pub fn unrolled_reduction(&mut self, node: NodeId) -> ValueId {
        let dtype = self.graph.node(node).ty().dtype;
        let axes = self.kernel.reduced.clone();
        let extents: Shape = axes.iter().map(|&axis| self.kernel.domain[axis]).collect();
        let mut full: IndexMap =
            (0..self.kernel.domain.rank()).map(|a| self.body.variables.axis(a)).collect();
        let mut kept: Option<(ValueId, ValueId)> = None;
        for flat in 0..extents.n_elements() {
            for (&axis, i) in axes.iter().zip(unravel(flat, &extents)) {
                full[axis] = Affine::constant(i as i64);
            }
            let (kind, value) = self.reduced_at(node, &full);
            kept = Some(match (kind, kept) {
                (ReductionKind::Fold(op), Some((before, _))) => {
                    let both = self.fold(op, before, value, dtype);
                    (both, both)
                }
                (ReductionKind::Fold(_), None) => (value, value),
                (ReductionKind::Pick { payload, .. }, best) => self.better(best, (value, payload)),
                (ReductionKind::Arg(..) | ReductionKind::Running, _) => {
                    unreachable!("kernels with such reductions are not unrolled")
                }
            });
        }
        kept.expect("an unrolled reduction has elements").1
    }

    /// The greater of two values, each with what is kept of it; the first one when they are equal.
    fn better(&mut self, best: Option<(ValueId, ValueId)>, next: (ValueId, ValueId)) -> (ValueId, ValueId) {
        let Some(best) = best else { return next };
        let takes = self.beats(next.0, best.0);
        let mut choose = |next: ValueId, best: ValueId| {
            let dtype = self.body.values[best].dtype;
            self.push(ValueKind::Select(takes, next, best), dtype)
        };
        (choose(next.0, best.0), choose(next.1, best.1))
    }

    fn fold(&mut self, op: ReduceOp, x: ValueId, y: ValueId, dtype: DType) -> ValueId {
        let both = || SmallVec::from_slice(&[x, y]);
        let kind = match (op, dtype) {
            (ReduceOp::Max, DType::Bool) => ValueKind::Logical(LogicalOp::Or, both()),
            (ReduceOp::Min, DType::Bool) => ValueKind::Logical(LogicalOp::And, both()),
            (ReduceOp::Sum, _) => ValueKind::Binary(BinaryOp::Add, x, y),
            (ReduceOp::Prod, _) => ValueKind::Binary(BinaryOp::Mul, x, y),
            (ReduceOp::Max, _) => ValueKind::Binary(BinaryOp::Max, x, y),
            (ReduceOp::Min, _) => ValueKind::Binary(BinaryOp::Min, x, y),
        };
        self.push(kind, dtype)
    }

    /// Whether a value is greater than the best so far; NaN is, unless that is NaN already.
    fn beats(&mut self, value: ValueId, best: ValueId) -> ValueId {
        let greater = self.push(ValueKind::Compare(CompareOp::Gt, value, best), DType::Bool);
        if !self.body.values[value].dtype.is_float() {
            return greater;
        }
        let is_nan = self.push(ValueKind::Compare(CompareOp::Ne, value, value), DType::Bool);
        let was_number = self.push(ValueKind::Compare(CompareOp::Eq, best, best), DType::Bool);
        let first_nan = ValueKind::Logical(LogicalOp::And, SmallVec::from_slice(&[is_nan, was_number]));
        let first_nan = self.push(first_nan, DType::Bool);
        self.push(ValueKind::Logical(LogicalOp::Or, SmallVec::from_slice(&[greater, first_nan])), DType::Bool)
    }

    /// Windows that lie side by side: each element belongs to one, and gets its update or zero.
    pub fn window_put_tiled(&mut self, node: NodeId, window: &Window) {
        let operands = self.graph.operands(node);
        let ty = self.graph.node(node).ty().clone();
        let lead = ty.rank() - window.sizes.len();
        let taps = Shape::new(&window.sizes);
        for &axis in &self.kernel.reduced {
            self.body.variables.extents[axis] = 1;
        }
        let out: IndexMap = (0..ty.rank()).map(|axis| self.body.variables.axis(axis)).collect();
        let mut indices = Vec::new();
        let mut best: Option<(ValueId, ValueId)> = None;
        for flat in 0..taps.n_elements() {
            let mut index = out.clone();
            for (axis, tap) in unravel(flat, &taps).into_iter().enumerate() {
                index[lead + axis] =
                    out[lead + axis].times(window.sizes[axis] as i64).plus_constant(tap as i64);
            }
            let x = self.expand(operands[0], &index);
            let number = self.push(ValueKind::Constant(Literal::I32(flat as i32)), DType::I32);
            best = Some(self.better(best, (x, number)));
            indices.push((index, number));
        }
        let Some((_, place)) = best else { return };
        let update = self.expand(operands[1], &out);
        let zero = self.push(ValueKind::Constant(Literal::zero(ty.dtype)), ty.dtype);
        let buffer = self.buffer(node);
        for (index, number) in indices {
            let here = self.push(ValueKind::Compare(CompareOp::Eq, place, number), DType::Bool);
            let value = self.push(ValueKind::Select(here, update, zero), ty.dtype);
            let address = view::linear(&index, &ty.shape, &self.body.variables);
            self.body.stores.push(Store { buffer, address, value, per_row: false, phase: 0 });
        }
    }
}

/// The index along each axis of element `flat` in row-major order.
fn unravel(flat: usize, shape: &[usize]) -> SmallVec<[usize; 6]> {
    let mut rest = flat;
    let mut index = SmallVec::from_elem(0, shape.len());
    for (axis, &extent) in shape.iter().enumerate().rev() {
        index[axis] = rest % extent;
        rest /= extent;
    }
    index
}
