//! Parameters: what training changes.

use super::Init;
use crate::error::Problem;
use crate::tensor::Tensor;
use kiln_ir::{DType, Shape, TensorType};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Identifies a parameter within the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct ParamId(u64);

/// A parameter of a layer: its type, how it starts, and whether it is trained.
///
/// A parameter holds no value: the trainer does, and a trace looks it up.
#[derive(Debug)]
pub struct Param {
    id: ParamId,
    ty: TensorType,
    init: Init,
    frozen: bool,
}

impl Param {
    /// A parameter of `f32` that is trained.
    pub fn new(shape: impl Into<Shape>, init: Init) -> Param {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let id = ParamId(NEXT.fetch_add(1, Ordering::Relaxed));
        Param { id, ty: TensorType::new(DType::F32, shape), init, frozen: false }
    }

    /// The same with another element type.
    pub fn with_dtype(self, dtype: DType) -> Param {
        Param { ty: self.ty.with_dtype(dtype), ..self }
    }

    /// The same, not changed by training: it needs no gradient.
    pub fn frozen(self) -> Param {
        Param { frozen: true, ..self }
    }

    /// Element type and shape.
    pub fn ty(&self) -> &TensorType {
        &self.ty
    }

    /// How it starts.
    pub fn init(&self) -> &Init {
        &self.init
    }

    /// Whether training leaves it alone.
    pub fn is_frozen(&self) -> bool {
        self.frozen
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
                x.tracer().refuse(problem, &[])
            }
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
