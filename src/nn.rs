//! Layers, and the parameters they hold.
//!
//! A model is a struct of layers. [`parameters!`](crate::parameters) lists its fields, which gives every parameter the
//! name it has in PyTorch's `state_dict`; [`Model::forward`] says what the model computes.
//!
//! ```
//! use kiln::prelude::*;
//!
//! struct Mlp {
//!     fc1: Linear,
//!     fc2: Linear,
//! }
//! kiln::parameters!(Mlp { fc1, fc2 });
//!
//! impl Model for Mlp {
//!     fn forward(&self, x: &Tensor) -> Tensor {
//!         self.fc2.forward(&self.fc1.forward(x).relu())
//!     }
//! }
//!
//! let model = Mlp { fc1: Linear::new(64, 32), fc2: Linear::new(32, 10) };
//! let names: Vec<String> = kiln::nn::parameters_of(&model).into_iter().map(|(name, _)| name).collect();
//! assert_eq!(names, ["fc1.weight", "fc1.bias", "fc2.weight", "fc2.bias"]);
//! ```
//!
//! Names of layers and parameters, defaults and how parameters start are those of `torch.nn`. A layer that is one method of
//! [`Tensor`](crate::Tensor) has that method's shapes, formula and source.

mod activation;
mod attention;
mod batch_norm;
mod conv;
mod embedding;
mod image;
mod init;
mod linear;
mod module;
mod norm;
mod param;
mod pool;
mod position;
mod recurrent;
mod regularize;
mod sequential;
mod simple;
mod transformer;

pub use activation::{
    Celu, Elu, Gelu, GeluTanh, Glu, Hardshrink, Hardsigmoid, Hardswish, Hardtanh, LeakyRelu, LogSigmoid,
    LogSoftmax, Mish, Prelu, Relu, Relu6, Rrelu, Selu, Sigmoid, Silu, Softmax, Softmax2d, Softmin, Softplus,
    Softshrink, Softsign, Step, Tanh, Tanhshrink, Threshold,
};
pub use attention::{Mask, MultiheadAttention};
pub use batch_norm::{BatchNorm, BatchNorm1d, BatchNorm2d, BatchNorm3d};
pub use conv::{
    Conv, Conv1d, Conv2d, Conv3d, ConvTranspose, ConvTranspose1d, ConvTranspose2d, ConvTranspose3d,
};
pub use embedding::Embedding;
pub use image::{Pad, PixelShuffle, PixelUnshuffle, Upsample};
pub use init::Init;
pub use linear::{Bilinear, Linear};
pub use module::{Model, Module, Visitor, parameters_of};
pub use norm::{
    GroupNorm, InstanceNorm, InstanceNorm1d, InstanceNorm2d, InstanceNorm3d, LayerNorm, LocalResponseNorm,
    RmsNorm,
};
pub use param::Param;
pub(crate) use param::ParamId;
pub use pool::{
    AdaptiveAvgPool, AdaptiveAvgPool1d, AdaptiveAvgPool2d, AdaptiveAvgPool3d, AdaptiveMaxPool,
    AdaptiveMaxPool1d, AdaptiveMaxPool2d, AdaptiveMaxPool3d, AvgPool, AvgPool1d, AvgPool2d, AvgPool3d,
    LpPool, LpPool1d, LpPool2d, LpPool3d, MaxPool, MaxPool1d, MaxPool2d, MaxPool3d,
};
pub use position::{LearnedPositions, RotaryEmbedding, SinusoidalPositions};
pub use recurrent::{
    CellKind, CellWeights, Gru, GruCell, Lstm, LstmCell, RecurrentOptions, Rnn, RnnCell, cell, recurrent,
};
pub use regularize::{ActivityRegularization, ChannelDropout, GaussianNoise, Residual};
pub use sequential::Sequential;
pub use simple::{Dropout, Flatten};
pub use transformer::{
    Transformer, TransformerDecoder, TransformerDecoderLayer, TransformerEncoder, TransformerEncoderLayer,
    TransformerMasks,
};
