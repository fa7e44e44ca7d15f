//! Tensors as a user writes with them: values of a trace.
//!
//! A [`Tensor`] is a node of the trace's graph and its type. Methods have the names and meanings that they have in
//! PyTorch and NumPy, negative axes included. Broadcasting, promotion of element types and negative axes end here:
//! in the graph they are ops and plain numbers.
//!
//! Element types promote as in PyTorch: `bool` < `u8` < `i32` < `i64` < `f32` < `f64`, where a scalar of the program
//! (`x * 2.0`) and a tensor of rank 0 only count when their kind (truth value, integer, float) is the greater one.

mod activation;
mod advanced_index;
mod arrange;
mod batch_norm;
mod bessel;
mod bessel_jy;
mod binary;
mod border;
mod compare;
mod contraction;
mod conv;
mod convert;
mod create;
mod diagonal;
mod distance;
mod eigen;
mod einsum;
mod embedding;
mod erfinv;
mod fractional_pool;
mod incomplete_gamma;
mod indefinite;
mod index;
mod interpolate;
mod jacobi;
mod linalg;
mod matrix;
mod normalize;
mod number;
mod operand;
mod operators;
mod orthogonal;
mod packed;
mod pool;
mod pseudo_inverse;
mod random;
mod reduce;
mod running;
mod scan;
mod scatter;
mod scatter_lines;
mod search;
mod segment;
mod shape;
mod singular;
mod slice;
mod sort;
mod special;
mod statistics;
mod unary;
mod unfold;

pub use advanced_index::Index;
pub use arrange::{broadcast_tensors, cartesian_prod, column_stack, dstack, hstack, meshgrid, vstack};
pub use batch_norm::Normalized;
pub use border::Border;
pub use conv::ConvOptions;
pub use convert::{f32, f64, i32, i64};
pub use diagonal::block_diag;
pub use einsum::einsum;
pub use interpolate::Resample;
pub use matrix::multi_dot;
pub use operand::{Operand, Over, PerAxis, keep};
pub use orthogonal::Polynomial;
pub use pool::PoolOptions;
pub use scan::{Scan, Scanned};
pub use scatter::Combine;
pub use slice::{cat, stack, where_};
pub use sort::Interpolation;

use crate::eager::Value;
use crate::trace::Tracer;
use kiln_ir::{DType, NodeId, Op, Shape, TensorData, TensorType};
use std::fmt;

/// A value of a trace: element type, shape, and the op that computes it.
///
/// Cheap to clone: a clone is the same value.
///
/// ```
/// use kiln::prelude::*;
///
/// let tracer = Tracer::new("example");
/// let x = tracer.input("x", f32(&[4, 3]));
/// let y = (&x * 2.0 + 1.0).tanh().mean(-1);
/// assert_eq!(y.extents(), [4]);
/// ```
#[derive(Clone)]
pub struct Tensor {
    tracer: Tracer,
    /// Nothing when the tensor is poisoned: it stands for the result of a mistake.
    id: Option<NodeId>,
    ty: TensorType,
}

impl Tensor {
    pub(crate) fn new(tracer: &Tracer, id: Option<NodeId>, ty: TensorType) -> Tensor {
        Tensor { tracer: tracer.clone(), id, ty }
    }

    /// The trace that the tensor belongs to.
    pub fn tracer(&self) -> &Tracer {
        &self.tracer
    }

    /// Element type and shape. After a mistake: those of the mistaken op's first operand.
    pub fn ty(&self) -> &TensorType {
        &self.ty
    }

    /// The element type.
    pub fn dtype(&self) -> DType {
        self.ty.dtype
    }

    /// The extents of the axes.
    pub fn shape(&self) -> &Shape {
        &self.ty.shape
    }

    /// The extents of the axes, as a slice.
    pub fn extents(&self) -> &[usize] {
        &self.ty.shape
    }

    /// Number of axes.
    pub fn rank(&self) -> usize {
        self.ty.rank()
    }

    /// Number of elements.
    pub fn n_elements(&self) -> usize {
        self.ty.n_elements()
    }

    /// The node, or nothing after a mistake.
    pub fn id(&self) -> Option<NodeId> {
        self.id
    }

    /// The node of a tensor whose trace has been checked.
    pub(crate) fn expect_id(&self) -> NodeId {
        self.id.expect("the trace was checked, so no tensor is poisoned")
    }

    /// The value of a tensor of an eager trace; nothing in a traced run, or after a mistake.
    pub fn value(&self) -> Option<Value> {
        self.tracer.value(self.id?)
    }

    /// The same value, through which no gradient flows.
    ///
    /// ```
    /// # use kiln::prelude::*;
    /// # let tracer = Tracer::new("detached");
    /// # let x = tracer.input("x", f32(&[2]));
    /// let shifted = &x - x.max(..).detach();
    /// ```
    #[track_caller]
    pub fn detach(&self) -> Tensor {
        // A node of its own, so that only this use is cut off and not every use of the value. The simplifier
        // removes it once the gradient is derived.
        let detached = self.record(Op::Reshape(self.shape().clone()), &[]);
        self.tracer.set_detached(&detached, true);
        detached
    }

    /// Adds this number to the loss of a program of training; elsewhere nothing happens. For penalties on activations:
    ///
    /// ```
    /// # use kiln::prelude::*;
    /// fn sparse(hidden: Tensor) -> Tensor {
    ///     (hidden.abs().mean(..) * 1e-4).add_to_loss();
    ///     hidden
    /// }
    /// ```
    ///
    /// Errors: it is not one floating-point number.
    #[track_caller]
    pub fn add_to_loss(&self) {
        if self.rank() != 0 || !self.dtype().is_float() {
            self.refuse("add_to_loss", "a loss is one floating-point number");
        } else {
            self.tracer.add_penalty(self);
        }
    }

    /// A constant tensor in the same trace.
    #[track_caller]
    pub fn constant(&self, data: TensorData) -> Tensor {
        self.tracer.constant(data)
    }

    /// Zeros of the same type.
    #[track_caller]
    pub fn zeros_like(&self) -> Tensor {
        self.full_like(0.0)
    }

    /// Ones of the same type.
    #[track_caller]
    pub fn ones_like(&self) -> Tensor {
        self.full_like(1.0)
    }

    /// A tensor of the same type with every element equal to `value`.
    #[track_caller]
    pub fn full_like(&self, value: f64) -> Tensor {
        self.fill(self.dtype(), self.shape().clone(), value)
    }

    /// Records an op on this tensor and others.
    #[track_caller]
    pub(crate) fn record(&self, op: Op, others: &[&Tensor]) -> Tensor {
        let operands: smallvec::SmallVec<[&Tensor; 3]> =
            std::iter::once(self).chain(others.iter().copied()).collect();
        self.tracer.record(op, &operands)
    }

    /// Equal elements, in the same trace.
    #[track_caller]
    pub(crate) fn fill(&self, dtype: DType, shape: Shape, value: f64) -> Tensor {
        self.tracer.record(Op::Fill(kiln_ir::Literal::from_f64(dtype, value), shape), &[])
    }

    /// The index of each element along `axis`, in a shape.
    #[track_caller]
    pub(crate) fn iota(&self, dtype: DType, shape: Shape, axis: usize) -> Tensor {
        self.tracer.record(Op::Iota { ty: TensorType { dtype, shape }, axis }, &[])
    }

    /// Traces a composed function; see [`Tracer::within`].
    #[track_caller]
    pub(crate) fn within<R>(&self, function: &'static str, body: impl FnOnce() -> R) -> R {
        self.tracer.within(function, body)
    }

    /// Traces a function that is another one with other arguments.
    #[track_caller]
    pub(crate) fn called<R>(&self, function: &'static str, body: impl FnOnce() -> R) -> R {
        self.tracer.called(function, body)
    }

    /// A poisoned tensor in place of an op that refuses this operand for a reason of its own.
    #[track_caller]
    pub(crate) fn refuse(&self, op: &'static str, problem: impl Into<String>) -> Tensor {
        let problem = kiln_ir::TypeError::Attribute { op, operand: self.ty.clone(), problem: problem.into() };
        self.tracer.refuse(problem.into(), &[("operand", self)])
    }

    /// The same mistake in the place of a tensor of this type.
    pub(crate) fn poisoned_as(&self, ty: TensorType) -> Tensor {
        Tensor { tracer: self.tracer.clone(), id: None, ty }
    }

    /// Where the value came from, for errors.
    pub(crate) fn origin(&self) -> String {
        let Some(id) = self.id else { return "result of a mistake".to_string() };
        let graph = self.tracer.graph();
        let node = graph.node(id);
        if node.op().is_input() {
            let name = node.name.as_deref().unwrap_or("");
            let kind = if self.tracer.is_parameter(id) { "parameter" } else { "input" };
            return format!("{kind} `{name}`");
        }
        let line = node.source.as_ref().map_or(String::new(), |s| {
            format!(", {}:{}:{}", s.location.file(), s.location.line(), s.location.column())
        });
        format!("result of `{}`{line}", node.op().name())
    }
}

impl fmt::Debug for Tensor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.id {
            Some(id) => write!(f, "{id:?}: {}", self.ty),
            None => f.write_str("result of a mistake"),
        }
    }
}
