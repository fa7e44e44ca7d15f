//! Reductions over axes, which disappear from the shape.
//!
//! The order of summation is not part of an op's meaning; a compiled program fixes one that depends on the
//! shape alone. Maximum and minimum are NaN when any element is.

use super::movement;
use super::rule::{self, Accepts};
use crate::emit::{Emit, EmitExt};
use crate::op::CompareOp;
use crate::{Axes, DType, Literal, NodeId, Shape, TensorType, TypeError};
use smallvec::SmallVec;

/// A reduction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ReduceOp {
    /// Sum; 0 of nothing.
    Sum,
    /// Greatest element; the least value of the type of nothing. On `bool`: any.
    Max,
    /// Least element; the greatest value of the type of nothing. On `bool`: all.
    Min,
    /// Product; 1 of nothing.
    Prod,
}

/// A search along one axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ArgReduceOp {
    /// Index of the first greatest element; of the first NaN if there is one.
    ArgMax,
    /// Index of the first least element; of the first NaN if there is one.
    ArgMin,
}

impl ReduceOp {
    /// All reductions, in declaration order.
    pub const ALL: [ReduceOp; 4] = [ReduceOp::Sum, ReduceOp::Max, ReduceOp::Min, ReduceOp::Prod];

    /// The name in text and in errors.
    pub fn name(self) -> &'static str {
        match self {
            ReduceOp::Sum => "reduce_sum",
            ReduceOp::Max => "reduce_max",
            ReduceOp::Min => "reduce_min",
            ReduceOp::Prod => "reduce_prod",
        }
    }

    /// The value of a reduction of nothing, which changes no other value either.
    pub fn identity(self, dtype: DType) -> Literal {
        match self {
            ReduceOp::Sum => Literal::zero(dtype),
            ReduceOp::Max => Literal::lowest(dtype),
            ReduceOp::Min => Literal::highest(dtype),
            ReduceOp::Prod => Literal::one(dtype),
        }
    }

    /// The result type: the operand's without the axes, which must be different and increasing.
    pub fn infer(self, axes: &Axes, operands: &[&TensorType]) -> Result<TensorType, TypeError> {
        let accepts = match self {
            ReduceOp::Sum | ReduceOp::Prod => Accepts::Number,
            ReduceOp::Max | ReduceOp::Min => Accepts::Any,
        };
        let [x] = rule::operands(self.name(), operands, [accepts])?;
        rule::increasing_axes(self.name(), axes, x)?;
        Ok(x.with_shape(x.shape.without(axes)))
    }
}

impl ArgReduceOp {
    /// Both, in declaration order.
    pub const ALL: [ArgReduceOp; 2] = [ArgReduceOp::ArgMax, ArgReduceOp::ArgMin];

    /// The name in text and in errors.
    pub fn name(self) -> &'static str {
        match self {
            ArgReduceOp::ArgMax => "argmax",
            ArgReduceOp::ArgMin => "argmin",
        }
    }

    /// The result type: `i64` without the axis, which must not be empty.
    pub fn infer(self, axis: usize, operands: &[&TensorType]) -> Result<TensorType, TypeError> {
        let [x] = rule::operands(self.name(), operands, [Accepts::Number])?;
        rule::axis(self.name(), axis, x)?;
        if x.shape[axis] == 0 {
            return Err(rule::attribute(
                self.name(),
                x,
                format!("axis {axis} is empty: it has no greatest element"),
            ));
        }
        Ok(TensorType { dtype: DType::I64, shape: x.shape.without(&[axis]) })
    }
}

/// Gradient rules.
impl ReduceOp {
    /// The gradient of the operand `x` from the result `y` and its gradient `dy`.
    pub fn gradient(self, e: &mut dyn Emit, axes: &Axes, x: NodeId, y: NodeId, dy: NodeId) -> NodeId {
        match self {
            ReduceOp::Sum => {
                let shape = e.shape(x);
                e.broadcast_back(dy, shape, axes)
            }
            ReduceOp::Max | ReduceOp::Min => extremum_gradient(e, axes, x, y, dy),
            ReduceOp::Prod => product_gradient(e, axes, x, dy),
        }
    }
}

impl ArgReduceOp {
    /// Why no gradient flows to the operand.
    pub fn blocked(self) -> &'static str {
        "it gives an index, which has no derivative"
    }
}

/// The gradient of a greatest or least element, in equal parts to all elements that equal it, as `torch.amax` does.
fn extremum_gradient(e: &mut dyn Emit, axes: &Axes, x: NodeId, y: NodeId, dy: NodeId) -> NodeId {
    let shape = e.shape(x);
    let dtype = e.ty(x).dtype;
    let extremum = e.broadcast_back(y, shape.clone(), axes);
    let is_extremum = e.compare(CompareOp::Eq, x, extremum);
    let ones = e.cast(dtype, is_extremum);
    let count = e.sum(ones, axes);
    let share = e.div(dy, count);
    let share = e.broadcast_back(share, shape, axes);
    let zero = e.constant_like(x, 0.0);
    e.select(is_extremum, share, zero)
}

/// The gradient of a product: for each element, `dy` times the product of the others, without a division, so that it
/// (and its own gradient) is right where elements are zero.
///
/// A tree of products of pairs is built upwards; downwards, what surrounds a node is what surrounds its parent times
/// its sibling (the exclusive scan of Blelloch, *Prefix sums and their applications*, 1990, with both sides at once).
fn product_gradient(e: &mut dyn Emit, axes: &Axes, x: NodeId, dy: NodeId) -> NodeId {
    let shape = e.shape(x);
    if shape.n_elements() == 0 {
        return e.constant_like(x, 0.0);
    }
    let order: Axes = (0..shape.rank()).filter(|a| !axes.contains(a)).chain(axes.iter().copied()).collect();
    let rows = e.permute(x, &order);
    let permuted = e.shape(rows);
    let n: usize = axes.iter().map(|&axis| shape[axis]).product();
    let n_rows = shape.n_elements() / n;
    let rows = e.reshape(rows, Shape::new(&[n_rows, n]));

    let mut levels: SmallVec<[NodeId; 16]> = SmallVec::new();
    let mut level = rows;
    while e.ty(level).shape[1] > 1 {
        let pairs = paired(e, level);
        levels.push(pairs);
        if e.ty(pairs).shape[1] == 1 {
            break;
        }
        level = e.reduce(ReduceOp::Prod, pairs, &[2]);
    }
    let mut around = e.reshape(dy, Shape::new(&[n_rows, 1]));
    for (depth, &pairs) in levels.iter().enumerate().rev() {
        let siblings = e.reverse(pairs, &[2]);
        let parents = e.shape(pairs);
        let around_parents = e.broadcast(around, parents.clone(), &[0, 1]);
        let product = e.mul(around_parents, siblings);
        let children = e.reshape(product, Shape::new(&[n_rows, 2 * parents[1]]));
        let n_children = if depth == 0 { n } else { e.ty(levels[depth - 1]).shape[1] };
        around = movement::first(e, children, 1, n_children);
    }
    let gradient = e.reshape(around, permuted);
    e.permute(gradient, &movement::inverse(&order))
}

/// Neighbours of `[rows, n]` side by side, `[rows, n / 2 rounded up, 2]`; a last one without a neighbour gets a 1.
fn paired(e: &mut dyn Emit, level: NodeId) -> NodeId {
    let shape = e.shape(level);
    let n_pairs = shape[1].div_ceil(2);
    let one = Literal::one(e.ty(level).dtype);
    let even = movement::padded(e, level, &[0, 0], &[0, (shape[1] % 2) as i64], one);
    e.reshape(even, Shape::new(&[shape[0], n_pairs, 2]))
}
