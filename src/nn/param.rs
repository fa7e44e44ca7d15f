//! Parameters: what training changes. Buffers: what a model computes for itself from step to step.

use super::Init;
use crate::error::Problem;
use crate::tensor::Tensor;
use kiln_ir::{DType, Shape, TensorType};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Identifies a parameter within the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct ParamId(u64);

/// A parameter or a buffer of a layer: its type, how it starts, and what changes it.
///
/// It holds no value: the trainer does, and a trace looks it up.
#[derive(Debug)]
pub struct Param {
    id: ParamId,
    ty: TensorType,
    init: Init,
    role: Role,
}

/// What changes a parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    /// The optimizer.
    Trained,
    /// Nothing.
    Frozen,
    /// The model, with [`Param::set`].
    Buffer,
}

impl Param {
    /// A parameter of `f32` that is trained.
    pub fn new(shape: impl Into<Shape>, init: Init) -> Param {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let id = ParamId(NEXT.fetch_add(1, Ordering::Relaxed));
        Param { id, ty: TensorType::new(DType::F32, shape), init, role: Role::Trained }
    }

    /// A buffer of `f32`: state that is no parameter, such as running statistics. It gets no gradient; the model sets
    /// its next value with [`set`](Param::set).
    pub fn buffer(shape: impl Into<Shape>, init: Init) -> Param {
        Param { role: Role::Buffer, ..Param::new(shape, init) }
    }

    /// The same with another start.
    pub fn with_init(self, init: Init) -> Param {
        Param { init, ..self }
    }

    /// The same with another element type.
    pub fn with_dtype(self, dtype: DType) -> Param {
        Param { ty: self.ty.with_dtype(dtype), ..self }
    }

    /// The same, not changed by training: it needs no gradient.
    pub fn frozen(self) -> Param {
        Param { role: Role::Frozen, ..self }
    }

    /// Element type and shape.
    pub fn ty(&self) -> &TensorType {
        &self.ty
    }

    /// How it starts.
    pub fn init(&self) -> &Init {
        &self.init
    }

    /// Whether the optimizer leaves it alone.
    pub fn is_frozen(&self) -> bool {
        self.role != Role::Trained
    }

    /// Whether it is a buffer.
    pub fn is_buffer(&self) -> bool {
        self.role == Role::Buffer
    }

    pub(crate) fn id(&self) -> ParamId {
        self.id
    }

    /// The parameter's value in the trace of `x`.
    ///
    /// Errors: the model does not list the parameter in [`parameters!`](crate::parameters).
    #[track_caller]
    pub fn of(&self, x: &Tensor) -> Tensor {
        match x.tracer().parameter(self.id) {
            Some((value, _)) => value,
            None => {
                let problem = Problem::UnlistedParameter { shape: self.ty.shape.clone() };
                // Of the parameter's type, so that layers can go on with their parts of it.
                x.tracer().refuse(problem, &[]).poisoned_as(self.ty.clone())
            }
        }
    }

    /// Makes `value` what this buffer holds: for the rest of the trace, and, if that is a step of training, from then
    /// on. No gradient flows through it.
    ///
    /// Errors: it is no buffer; the value has another type; the model does not list it.
    #[track_caller]
    pub fn set(&self, value: &Tensor) {
        if !self.is_buffer() {
            value.refuse("set", "only buffers can be set, and this is a parameter");
        } else if *value.ty() != self.ty {
            value.refuse("set", format!("the buffer is of type {}", self.ty));
        } else if value.tracer().parameter(self.id).is_none() {
            self.of(value);
        } else {
            value.tracer().rebind_parameter(self.id, &value.detach());
        }
    }

    /// The name in the trace of `x` of the layer that holds the parameter.
    fn layer_name(&self, x: &Tensor) -> Option<Arc<str>> {
        let (_, name) = x.tracer().parameter(self.id)?;
        name.rsplit_once('.').map(|(layer, _)| Arc::from(layer))
    }

    /// Traces the layer that holds this parameter: ops get the layer's name and the caller's line.
    #[track_caller]
    pub(crate) fn in_layer(&self, x: &Tensor, body: impl FnOnce() -> Tensor) -> Tensor {
        x.tracer().in_layer(self.layer_name(x).as_deref(), body)
    }
}
