//! The closed set of primitive operations.
//!
//! One family, one file: [`unary`], [`binary`], [`compare`], [`logical`], [`select`] (select and cast),
//! [`constant`] (constants and iota), [`reduce`], [`cumulative`], [`sort`], [`movement`], [`contraction`] (dot and
//! convolution), [`window`], [`index`] (gather and scatter-add), [`random`] and [`iteration`] (loops). A family's file
//! holds all that is true of its ops on every machine. Matches over ops have no `_` arm, so that a new op is a compile error
//! wherever work is missing.

pub mod binary;
pub mod compare;
pub mod constant;
pub mod contraction;
pub mod cumulative;
pub mod gradient;
pub mod index;
pub mod iteration;
pub mod logical;
pub mod movement;
pub mod random;
pub mod reduce;
pub mod rule;
pub mod select;
pub mod sort;
pub mod unary;
pub mod window;

pub use binary::BinaryOp;
pub use compare::CompareOp;
pub use contraction::{Conv, Dot};
pub use cumulative::Cumulative;
pub use gradient::OperandGradients;
pub use iteration::Loop;
pub use logical::LogicalOp;
pub use movement::{Pad, Slice};
pub use reduce::{ArgReduceOp, ReduceOp};
pub use sort::ArgSort;
pub use unary::UnaryOp;
pub use window::{Window, WindowOp};

use crate::{Axes, DType, Literal, Shape, TensorData, TensorType, TypeError};
use std::sync::Arc;

/// What a node computes. Attributes are part of the op; with the operand types they determine the result type.
#[derive(Clone, Debug, PartialEq)]
pub enum Op {
    /// An input of the graph: a parameter, a piece of state or a batch.
    Input(TensorType),
    /// Every element equal to one value.
    Fill(Literal, Shape),
    /// A constant tensor.
    Dense(Arc<TensorData>),
    /// Each element is its own index along `axis`.
    Iota {
        /// Element type (a number) and shape.
        ty: TensorType,
        /// The axis counted along.
        axis: usize,
    },
    /// One operand, elementwise.
    Unary(UnaryOp),
    /// Two operands of one type, elementwise.
    Binary(BinaryOp),
    /// Two operands of one type, elementwise, to `bool`.
    Compare(CompareOp),
    /// Bits and truth values, elementwise.
    Logical(LogicalOp),
    /// `select(condition, on_true, on_false)`, elementwise; the condition is `bool`.
    Select,
    /// Conversion of the element type.
    Cast(DType),
    /// Reduction over axes, which disappear.
    Reduce(ReduceOp, Axes),
    /// Index of the first greatest or least element along an axis, which disappears; `i64`.
    ArgReduce(ArgReduceOp, usize),
    /// Running sum along an axis.
    Cumulative(Cumulative),
    /// The indices of the elements along an axis in order; `i64`. Equal elements keep their order, NaN is the greatest.
    ArgSort(ArgSort),
    /// The same elements in row-major order under another shape.
    Reshape(Shape),
    /// Axes in another order: axis `i` of the result is axis `permutation[i]` of the operand.
    Permute(Axes),
    /// Repetition: axis `i` of the operand becomes axis `axes[i]` of the result (strictly increasing, equal
    /// extents); the other axes of the result are new.
    Broadcast {
        /// Shape of the result.
        shape: Shape,
        /// Where each operand axis goes.
        axes: Axes,
    },
    /// A part of each axis, with steps.
    Slice(Slice),
    /// A border around and between elements; negative amounts cut off.
    Pad(Pad),
    /// Operands one after the other along an axis.
    Concatenate(usize),
    /// The order of elements along these axes turned around.
    Reverse(Axes),
    /// Sum of products over contracted axes.
    Dot(Dot),
    /// Convolution (cross-correlation) with a kernel.
    Conv(Conv),
    /// Reductions over windows, and what their gradients need.
    Window(WindowOp, Window),
    /// `gather(x, indices)`: result element takes the operand's element whose index along `axis` it is given.
    Gather(usize),
    /// `scatter_add(updates, indices)`: the transpose of gather: adds updates into zeros.
    ScatterAdd {
        /// The axis indexed.
        axis: usize,
        /// Extent of that axis in the result.
        extent: usize,
    },
    /// `random_bits(state)`: Philox 4x32-10 words; the state is `i64[2]`: key and counter.
    RandomBits(Shape),
    /// A body graph run step after step, with values that go from each step to the next, values of which each step sees
    /// its own part, and values that do not vary. Its own value is a token.
    Loop(Arc<Loop>),
    /// `loop_result(loop)`: one of the results of a loop: a value after the last step, or the values of all steps stacked.
    LoopResult {
        /// The position among the results.
        position: usize,
        /// The type of the result.
        ty: TensorType,
    },
}

impl Op {
    /// The name in text, in errors and in dumps.
    pub fn name(&self) -> &'static str {
        match self {
            Op::Input(_) => "input",
            Op::Fill(..) => "fill",
            Op::Dense(_) => "dense",
            Op::Iota { .. } => "iota",
            Op::Unary(op) => op.name(),
            Op::Binary(op) => op.name(),
            Op::Compare(op) => op.name(),
            Op::Logical(op) => op.name(),
            Op::Select => "select",
            Op::Cast(_) => "cast",
            Op::Reduce(op, _) => op.name(),
            Op::ArgReduce(op, _) => op.name(),
            Op::Cumulative(op) => op.name(),
            Op::ArgSort(op) => op.name(),
            Op::Reshape(_) => "reshape",
            Op::Permute(_) => "permute",
            Op::Broadcast { .. } => "broadcast",
            Op::Slice(_) => "slice",
            Op::Pad(_) => "pad",
            Op::Concatenate(_) => "concatenate",
            Op::Reverse(_) => "reverse",
            Op::Dot(_) => "dot",
            Op::Conv(_) => "conv",
            Op::Window(op, _) => op.name(),
            Op::Gather(_) => "gather",
            Op::ScatterAdd { .. } => "scatter_add",
            Op::RandomBits(_) => "random_bits",
            Op::Loop(_) => "loop",
            Op::LoopResult { .. } => "loop_result",
        }
    }

    /// The result type of the op on operands of these types: the one place that says what is well typed.
    pub fn infer(&self, operands: &[&TensorType]) -> Result<TensorType, TypeError> {
        let ty = match self {
            Op::Input(ty) => rule::operands(self.name(), operands, []).map(|[]| ty.clone())?,
            Op::Fill(value, shape) => constant::infer_fill(*value, shape, operands)?,
            Op::Dense(data) => rule::operands(self.name(), operands, []).map(|[]| data.ty())?,
            Op::Iota { ty, axis } => constant::infer_iota(ty, *axis, operands)?,
            Op::Unary(op) => op.infer(operands)?,
            Op::Binary(op) => op.infer(operands)?,
            Op::Compare(op) => op.infer(operands)?,
            Op::Logical(op) => op.infer(operands)?,
            Op::Select => select::infer_select(operands)?,
            Op::Cast(dtype) => select::infer_cast(*dtype, operands)?,
            Op::Reduce(op, axes) => op.infer(axes, operands)?,
            Op::ArgReduce(op, axis) => op.infer(*axis, operands)?,
            Op::Cumulative(op) => op.infer(operands)?,
            Op::ArgSort(op) => op.infer(operands)?,
            Op::Reshape(shape) => movement::infer_reshape(shape, operands)?,
            Op::Permute(permutation) => movement::infer_permute(permutation, operands)?,
            Op::Broadcast { shape, axes } => movement::infer_broadcast(shape, axes, operands)?,
            Op::Slice(slice) => slice.infer(operands)?,
            Op::Pad(pad) => pad.infer(operands)?,
            Op::Concatenate(axis) => movement::infer_concatenate(*axis, operands)?,
            Op::Reverse(axes) => movement::infer_reverse(axes, operands)?,
            Op::Dot(dot) => dot.infer(operands)?,
            Op::Conv(conv) => conv.infer(operands)?,
            Op::Window(op, window) => op.infer(window, operands)?,
            Op::Gather(axis) => index::infer_gather(*axis, operands)?,
            Op::ScatterAdd { axis, extent } => index::infer_scatter_add(*axis, *extent, operands)?,
            Op::RandomBits(shape) => random::infer(shape, operands)?,
            Op::Loop(looped) => looped.infer(operands)?,
            Op::LoopResult { ty, .. } => iteration::infer_result(ty, operands)?,
        };
        let bytes = ty.shape.checked_n_elements().and_then(|n| n.checked_mul(ty.dtype.n_bytes()));
        match bytes.and_then(|n| isize::try_from(n).ok()) {
            Some(_) => Ok(ty),
            None => Err(TypeError::TooLarge { op: self.name(), result: ty }),
        }
    }

    /// Whether this is an input of the graph.
    pub fn is_input(&self) -> bool {
        matches!(self, Op::Input(_))
    }

    /// Whether the op computes each element of its result from the elements at the same index of its operands
    /// (which all have its shape), so that loops over several such ops can be one.
    pub fn is_elementwise(&self) -> bool {
        matches!(
            self,
            Op::Unary(_) | Op::Binary(_) | Op::Compare(_) | Op::Logical(_) | Op::Select | Op::Cast(_)
        )
    }

    /// Whether the op only moves elements: each element of the result is one of the operand's (or padding).
    pub fn is_movement(&self) -> bool {
        matches!(
            self,
            Op::Reshape(_)
                | Op::Permute(_)
                | Op::Broadcast { .. }
                | Op::Slice(_)
                | Op::Pad(_)
                | Op::Concatenate(_)
                | Op::Reverse(_)
        )
    }
}
