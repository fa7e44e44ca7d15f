//! What most programs use: `use kiln::prelude::*`.

pub use crate::loss::{
    Reduction, bce, bce_with_logits, cross_entropy, huber, kl_div, l1, mse, nll, smooth_l1,
};
pub use crate::nn::{
    AvgPool2d, Conv1d, Conv2d, Conv3d, Dropout, Embedding, Flatten, Gelu, Gru, Init, LayerNorm, Linear, Lstm,
    MaxPool2d, Model, Module, Param, Relu, Rnn, Sequential, Sigmoid, Silu, Tanh,
};
pub use crate::optim::{
    Adadelta, Adagrad, Adam, AdamW, Cosine, Lion, NAdam, Optimizer, RmsProp, Schedule, Sgd,
};
pub use crate::tensor::{
    ConvOptions, Operand, Over, PerAxis, PoolOptions, Scan, Scanned, Tensor, cat, einsum, f32, f64, i32, i64,
    keep, stack, where_,
};
pub use crate::trace::Tracer;
pub use crate::trainer::{EarlyStopping, Trainer};
pub use kiln_ir::{DType, TensorData, TensorType};
