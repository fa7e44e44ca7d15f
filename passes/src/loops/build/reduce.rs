//! Reductions: the operand of each at the full index, products of dots and convolutions, windows.

use super::{Builder, Condition};
use crate::loops::affine::Affine;
use crate::loops::body::*;
use crate::loops::view::IndexMap;
use kiln_ir::op::{BinaryOp, Conv, Dot, Op, ReduceOp, Window, WindowOp};
use kiln_ir::{Literal, NodeId};
use smallvec::SmallVec;

impl Builder<'_> {
    /// The reduction that computes a node over the domain's reduced axes.
    pub(super) fn reduction(&mut self, node: NodeId) -> usize {
        if let Some(&i) = self.reductions.get(&node) {
            return i;
        }
        let full: IndexMap = (0..self.kernel.domain.rank()).map(|a| self.body.variables.axis(a)).collect();
        let (kind, operand) = self.reduced_at(node, &full);
        let graph = self.graph;
        let dtype = graph.node(node).ty().dtype;
        let phase = self.body.values[operand].phase;
        self.body.reductions.push(Reduction { kind, operand, dtype, phase });
        self.reductions.insert(node, self.body.reductions.len() - 1);
        self.body.reductions.len() - 1
    }

    /// What a reduction keeps, and its operand at one index of the domain.
    pub(super) fn reduced_at(&mut self, node: NodeId, full: &IndexMap) -> (ReductionKind, ValueId) {
        let graph = self.graph;
        let operands = graph.operands(node);
        match graph.op(node) {
            Op::Reduce(op, _) => (ReductionKind::Fold(*op), self.expand(operands[0], full)),
            Op::ArgReduce(op, axis) => {
                (ReductionKind::Arg(*op, full[*axis].clone()), self.expand(operands[0], full))
            }
            Op::Dot(dot) => (ReductionKind::Fold(ReduceOp::Sum), self.dot_product(dot, operands, full)),
            Op::Conv(conv) => (ReductionKind::Fold(ReduceOp::Sum), self.conv_product(conv, operands, full)),
            Op::Window(op, window) => self.window_reduction(*op, window, operands, full),
            op => unreachable!("`{}` is no reduction", op.name()),
        }
    }

    /// The product at an index of a dot's domain: batch axes, free axes of the left operand, of the right one, contracted
    /// axes.
    pub(super) fn dot_product(&mut self, dot: &Dot, operands: &[NodeId], full: &IndexMap) -> ValueId {
        let ranks = [self.graph.node(operands[0]).ty().rank(), self.graph.node(operands[1]).ty().rank()];
        let (lhs_free, rhs_free) = (dot.lhs_free(ranks[0]), dot.rhs_free(ranks[1]));
        let mut lhs: IndexMap = SmallVec::from_elem(Affine::default(), ranks[0]);
        let mut rhs: IndexMap = SmallVec::from_elem(Affine::default(), ranks[1]);
        let mut axes = full.iter();
        for &(l, r) in &dot.batch {
            let index = axes.next().expect("the domain has the batch axes");
            (lhs[l], rhs[r]) = (index.clone(), index.clone());
        }
        lhs_free.iter().for_each(|&l| lhs[l] = axes.next().expect("the domain has the free axes").clone());
        rhs_free.iter().for_each(|&r| rhs[r] = axes.next().expect("the domain has the free axes").clone());
        for &(l, r) in &dot.contract {
            let index = axes.next().expect("the domain has the contracted axes");
            (lhs[l], rhs[r]) = (index.clone(), index.clone());
        }
        let (a, b) = (self.expand(operands[0], &lhs), self.expand(operands[1], &rhs));
        self.push(ValueKind::Binary(BinaryOp::Mul, a, b), self.graph.node(operands[0]).ty().dtype)
    }

    /// Domain of a convolution: image, out channel, out positions, channel in the group, kernel positions.
    pub(super) fn conv_product(&mut self, conv: &Conv, operands: &[NodeId], full: &IndexMap) -> ValueId {
        let n = conv.n_spatial();
        let (x, kernel) =
            (self.graph.node(operands[0]).ty().clone(), self.graph.node(operands[1]).ty().clone());
        let per_group = (kernel.shape[0] / conv.groups) as i64;
        let (group, _) = self.body.variables.divide(&full[1], per_group.max(1));
        let channel = group.times(kernel.shape[1] as i64).plus(&full[2 + n]);
        let mut x_index: IndexMap = [full[0].clone(), channel].into_iter().collect();
        let mut kernel_index: IndexMap = [full[1].clone(), full[2 + n].clone()].into_iter().collect();
        let mut inside = Condition::default();
        for axis in 0..n {
            let (out, k) = (&full[2 + axis], &full[3 + n + axis]);
            let position = out
                .times(conv.strides[axis] as i64)
                .plus(&k.times(conv.rhs_dilation[axis] as i64))
                .plus_constant(-conv.padding[axis].0);
            let step = conv.lhs_dilation[axis] as i64;
            x_index.push(self.dilated(&position, x.shape[2 + axis], step, &mut inside));
            kernel_index.push(k.clone());
        }
        let a = self.guarded(inside, operands[0], &x_index, Literal::zero(x.dtype));
        let b = self.expand(operands[1], &kernel_index);
        self.push(ValueKind::Binary(BinaryOp::Mul, a, b), x.dtype)
    }

    /// Domain of a window op: leading axes, out positions, window positions.
    pub(super) fn window_reduction(
        &mut self,
        op: WindowOp,
        window: &Window,
        operands: &[NodeId],
        full: &IndexMap,
    ) -> (ReductionKind, ValueId) {
        let (inside, index) = self.window_index(window, operands[0], full);
        let dtype = self.graph.node(operands[0]).ty().dtype;
        match op {
            WindowOp::Sum => {
                let x = self.guarded(inside, operands[0], &index, Literal::zero(dtype));
                (ReductionKind::Fold(ReduceOp::Sum), x)
            }
            WindowOp::Max => {
                let x = self.guarded(inside, operands[0], &index, Literal::lowest(dtype));
                (ReductionKind::Fold(ReduceOp::Max), x)
            }
            WindowOp::Pick => {
                let x = self.guarded(inside.clone(), operands[0], &index, Literal::lowest(dtype));
                let payload = self.guarded(inside.clone(), operands[1], &index, Literal::zero(dtype));
                let inside = self.conjunction(inside);
                (ReductionKind::Pick { payload, inside, otherwise: Literal::zero(dtype) }, x)
            }
            WindowOp::Put => unreachable!("window_put is a kernel of its own"),
        }
    }

    pub(super) fn window_index(
        &mut self,
        window: &Window,
        operand: NodeId,
        full: &IndexMap,
    ) -> (Condition, IndexMap) {
        let x = self.graph.node(operand).ty().clone();
        let n = window.sizes.len();
        let lead = x.rank() - n;
        let mut index: IndexMap = full[..lead].iter().cloned().collect();
        let mut inside = Condition::default();
        for axis in 0..n {
            let position = full[lead + axis]
                .times(window.strides[axis] as i64)
                .plus(&full[lead + n + axis].times(window.dilations[axis] as i64))
                .plus_constant(-window.padding[axis].0);
            index.push(self.dilated(&position, x.shape[lead + axis], 1, &mut inside));
        }
        (inside, index)
    }
}
