//! How rules speak: they emit ops, and do not care whether those are recorded or computed at once.

use crate::op::*;
use crate::{Axes, DType, Graph, Literal, NodeId, Op, Shape, TensorType};
use smallvec::SmallVec;

/// Takes the ops that a gradient rule, a decomposition or an optimizer emits. The graph builder records them, the
/// eager executor computes them, so that each rule is written once.
///
/// Emitting is for code that knows its types: an op that does not type-check is a bug in the rule, and panics.
pub trait Emit {
    /// Emits one op and returns its value.
    fn emit(&mut self, op: Op, operands: &[NodeId]) -> NodeId;

    /// The graph that holds everything emitted so far. Under eager execution it is the tape.
    fn graph(&self) -> &Graph;

    /// The same graph, to set the source and name that the next nodes get.
    fn graph_mut(&mut self) -> &mut Graph;

    /// Whether each op is computed at once, so that what is emitted and not used costs time.
    fn is_immediate(&self) -> bool {
        false
    }

    /// The type of a value emitted before.
    fn ty(&self, value: NodeId) -> &TensorType {
        self.graph().node(value).ty()
    }
}

/// The vocabulary of rules: one method for each op, on any [`Emit`].
pub trait EmitExt: Emit {
    /// The shape of a value.
    fn shape(&self, x: NodeId) -> Shape {
        self.ty(x).shape.clone()
    }

    /// A unary op.
    fn unary(&mut self, op: UnaryOp, x: NodeId) -> NodeId {
        self.emit(Op::Unary(op), &[x])
    }

    /// A binary op.
    fn binary(&mut self, op: BinaryOp, lhs: NodeId, rhs: NodeId) -> NodeId {
        self.emit(Op::Binary(op), &[lhs, rhs])
    }

    /// `lhs + rhs`.
    fn add(&mut self, lhs: NodeId, rhs: NodeId) -> NodeId {
        self.binary(BinaryOp::Add, lhs, rhs)
    }

    /// `lhs - rhs`.
    fn sub(&mut self, lhs: NodeId, rhs: NodeId) -> NodeId {
        self.binary(BinaryOp::Sub, lhs, rhs)
    }

    /// `lhs * rhs`.
    fn mul(&mut self, lhs: NodeId, rhs: NodeId) -> NodeId {
        self.binary(BinaryOp::Mul, lhs, rhs)
    }

    /// `lhs / rhs`.
    fn div(&mut self, lhs: NodeId, rhs: NodeId) -> NodeId {
        self.binary(BinaryOp::Div, lhs, rhs)
    }

    /// `-x`.
    fn neg(&mut self, x: NodeId) -> NodeId {
        self.unary(UnaryOp::Neg, x)
    }

    /// A comparison.
    fn compare(&mut self, op: CompareOp, lhs: NodeId, rhs: NodeId) -> NodeId {
        self.emit(Op::Compare(op), &[lhs, rhs])
    }

    /// `condition ? on_true : on_false`.
    fn select(&mut self, condition: NodeId, on_true: NodeId, on_false: NodeId) -> NodeId {
        self.emit(Op::Select, &[condition, on_true, on_false])
    }

    /// Conversion to an element type; nothing when it is that already.
    fn cast(&mut self, dtype: DType, x: NodeId) -> NodeId {
        if self.ty(x).dtype == dtype { x } else { self.emit(Op::Cast(dtype), &[x]) }
    }

    /// A constant in the type of `like`.
    fn constant_like(&mut self, like: NodeId, value: f64) -> NodeId {
        let ty = self.ty(like).clone();
        self.emit(Op::Fill(Literal::from_f64(ty.dtype, value), ty.shape), &[])
    }

    /// `x + c`.
    fn add_constant(&mut self, x: NodeId, c: f64) -> NodeId {
        let c = self.constant_like(x, c);
        self.add(x, c)
    }

    /// `x * c`.
    fn mul_constant(&mut self, x: NodeId, c: f64) -> NodeId {
        let c = self.constant_like(x, c);
        self.mul(x, c)
    }

    /// `1 - x`.
    fn one_minus(&mut self, x: NodeId) -> NodeId {
        let one = self.constant_like(x, 1.0);
        self.sub(one, x)
    }

    /// A reduction over axes; nothing when there are none.
    fn reduce(&mut self, op: ReduceOp, x: NodeId, axes: &[usize]) -> NodeId {
        if axes.is_empty() { x } else { self.emit(Op::Reduce(op, SmallVec::from_slice(axes)), &[x]) }
    }

    /// The sum over axes.
    fn sum(&mut self, x: NodeId, axes: &[usize]) -> NodeId {
        self.reduce(ReduceOp::Sum, x, axes)
    }

    /// The same elements in another shape; nothing when it has that already.
    fn reshape(&mut self, x: NodeId, shape: Shape) -> NodeId {
        if self.ty(x).shape == shape { x } else { self.emit(Op::Reshape(shape), &[x]) }
    }

    /// Axes in another order; nothing when it is the same.
    fn permute(&mut self, x: NodeId, permutation: &[usize]) -> NodeId {
        if permutation.iter().copied().eq(0..permutation.len()) {
            return x;
        }
        self.emit(Op::Permute(SmallVec::from_slice(permutation)), &[x])
    }

    /// Repetition: operand axis `i` becomes result axis `axes[i]`; nothing when no axis is new.
    fn broadcast(&mut self, x: NodeId, shape: Shape, axes: &[usize]) -> NodeId {
        if self.ty(x).shape == shape {
            return x;
        }
        self.emit(Op::Broadcast { shape, axes: SmallVec::from_slice(axes) }, &[x])
    }

    /// Undoes a reduction: the removed `axes` come back, with the extents of `shape`.
    fn broadcast_back(&mut self, x: NodeId, shape: Shape, axes: &[usize]) -> NodeId {
        let kept: Axes = (0..shape.rank()).filter(|a| !axes.contains(a)).collect();
        self.broadcast(x, shape, &kept)
    }

    /// Turns axes around; nothing when there are none.
    fn reverse(&mut self, x: NodeId, axes: &[usize]) -> NodeId {
        if axes.is_empty() { x } else { self.emit(Op::Reverse(SmallVec::from_slice(axes)), &[x]) }
    }
}

impl<E: Emit + ?Sized> EmitExt for E {}
