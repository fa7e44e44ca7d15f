//! What is written while the axes are walked in order: additions to loaded addresses, running sums.

use super::{Builder, unroll};
use crate::loops::affine::{Affine, Derived};
use crate::loops::body::*;
use crate::loops::view::{self, IndexMap};
use kiln_ir::op::{Op, WindowOp};
use kiln_ir::{DType, Literal, NodeId, Shape};

impl Builder<'_> {
    /// Domain: the shape of the updates; the indexed axis is ordered.
    pub(super) fn scatter_add(&mut self, node: NodeId) {
        let Op::ScatterAdd { axis, extent } = *self.graph.op(node) else { unreachable!("a scatter-add") };
        let operands = self.graph.operands(node);
        self.body.axes[axis] = AxisKind::Ordered;
        let full: IndexMap = (0..self.kernel.domain.rank()).map(|a| self.body.variables.axis(a)).collect();
        let value = self.expand(operands[0], &full);
        let at = self.expand(operands[1], &full);
        self.accumulate(node, value, at, extent.max(1), |loaded| {
            let mut index = full.clone();
            index[axis] = loaded;
            index
        });
    }

    /// Domain: leading axes, out positions (ordered), window positions (reduced).
    pub(super) fn window_put(&mut self, node: NodeId) {
        let Op::Window(WindowOp::Put, window) = self.graph.op(node) else { unreachable!("a window put") };
        let operands = self.graph.operands(node);
        let shape = self.graph.node(node).ty().shape.clone();
        let n = window.sizes.len();
        let lead = shape.rank() - n;
        if unroll::tiles_exactly(window, &shape) {
            return self.window_put_tiled(node, window);
        }
        self.body.axes[lead..lead + n].fill(AxisKind::Ordered);
        let full: IndexMap = (0..self.kernel.domain.rank()).map(|a| self.body.variables.axis(a)).collect();
        let (inside, index) = self.window_index(window, operands[0], &full);
        let dtype = self.graph.node(operands[0]).ty().dtype;
        let x = self.guarded(inside.clone(), operands[0], &index, Literal::lowest(dtype));
        let last: IndexMap = index[lead..].iter().cloned().collect();
        let plane = Shape::new(&shape[lead..]);
        let position = view::linear(&last, &plane, &self.body.variables);
        let position = self.push(ValueKind::Index(position), DType::I64);
        let phase = self.body.values[x].phase;
        let inside = self.conjunction(inside);
        // No position: nothing is added for a window that lies in the padding.
        let kind = ReductionKind::Pick { payload: position, inside, otherwise: Literal::I64(-1) };
        self.body.reductions.push(Reduction { kind, operand: x, dtype: DType::I64, phase });
        let best = self.push(ValueKind::Reduced(self.body.reductions.len() - 1), DType::I64);
        let out: IndexMap = full[..lead + n].iter().cloned().collect();
        let value = self.expand(operands[1], &out);
        let flat: Shape = shape[..lead].iter().copied().chain([plane.n_elements()]).collect();
        self.accumulate_in(node, value, best, &flat, lead, |loaded| {
            full[..lead].iter().cloned().chain([loaded]).collect()
        });
    }

    pub(super) fn accumulate(
        &mut self,
        node: NodeId,
        value: ValueId,
        at: ValueId,
        extent: usize,
        index: impl FnOnce(Affine) -> IndexMap,
    ) {
        let Op::ScatterAdd { axis, .. } = *self.graph.op(node) else { unreachable!("a scatter-add") };
        let shape = self.graph.node(node).ty().shape.with_extent(axis, extent);
        self.accumulate_in(node, value, at, &shape, axis, index);
    }

    pub(super) fn accumulate_in(
        &mut self,
        node: NodeId,
        value: ValueId,
        at: ValueId,
        shape: &Shape,
        axis: usize,
        index: impl FnOnce(Affine) -> IndexMap,
    ) {
        let (condition, _) = self.loaded_index(at, shape[axis]);
        // Not `derive`, which makes a constant of an axis of one element: the address must keep its variable.
        let derived = Derived::Loaded { value: at, max: shape[axis] as i64 - 1 };
        let variables = &mut self.body.variables;
        let i = variables.derived.iter().position(|d| *d == derived).unwrap_or_else(|| {
            variables.derived.push(derived);
            variables.derived.len() - 1
        });
        let loaded = variables.extents.len() + i;
        let address = view::linear(&index(Affine::variable(loaded)), shape, &self.body.variables);
        let buffer = self.buffer(node);
        let per_row = !self.body.reductions.is_empty();
        self.body.accumulate = Some(Accumulate { buffer, address, loaded, value, condition, per_row });
    }

    /// No loops: a routine sorts the lines. The buffers are its operand and its result.
    pub(super) fn sort(mut self, node: NodeId) -> LoopBody {
        self.buffer(self.graph.operands(node)[0]);
        self.buffer(node);
        self.body
    }

    /// Domain: the operand's shape; the summed axis is walked as a reduced one.
    pub(super) fn cumulative(&mut self, node: NodeId) {
        let Op::Cumulative(cumulative) = *self.graph.op(node) else { unreachable!("a running sum") };
        let shape = self.graph.node(node).ty().shape.clone();
        self.body.axes[cumulative.axis] = AxisKind::Reduced;
        let mut index: IndexMap = (0..shape.rank()).map(|a| self.body.variables.axis(a)).collect();
        if cumulative.reverse {
            let last = shape[cumulative.axis] as i64 - 1;
            index[cumulative.axis] = index[cumulative.axis].times(-1).plus_constant(last);
        }
        let operand = self.expand(self.graph.operands(node)[0], &index);
        let dtype = self.graph.node(node).ty().dtype;
        self.body.reductions.push(Reduction { kind: ReductionKind::Running, operand, dtype, phase: 0 });
        let value = self.push(ValueKind::Reduced(0), dtype);
        let address = view::linear(&index, &shape, &self.body.variables);
        let buffer = self.buffer(node);
        self.body.stores.push(Store { buffer, address, value, per_row: false, phase: 0 });
    }
}
