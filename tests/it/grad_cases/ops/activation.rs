//! Activations and what follows them: softmax, dropout.

use crate::grad_cases::call::{NotSupported, Type, functions, not_supported, typed};
use kiln::nn;
use kiln::prelude::*;

functions! {
    "log_softmax": (x: Tensor, dim: i64, dtype: Option<Type>) => typed(&x, dtype).log_softmax(dim);
    "log_softmax/with_dtype": (x: Tensor, dim: i64, dtype: Option<Type>) => typed(&x, dtype).log_softmax(dim);
    "softmax/with_dtype": (x: Tensor, dim: i64, dtype: Option<Type>) => typed(&x, dtype).softmax(dim);
    "nn.functional.softmin/with_dtype": (x: Tensor, dim: i64, dtype: Option<Type>) => typed(&x, dtype).softmin(dim);
    "nn.functional.dropout2d": (x: Tensor, p: f64 = 0.5, training: bool = true) => not_dropped(&x, p, training)?;
    "nn.functional.dropout3d": (x: Tensor, p: f64 = 0.5, training: bool = true) => not_dropped(&x, p, training)?;
    "nn.functional.alpha_dropout": (x: Tensor, p: f64 = 0.5, training: bool = false) => not_dropped(&x, p, training)?;
    "nn.functional.feature_alpha_dropout/with_train": (x: Tensor, p: f64 = 0.5, training: bool = true) => not_dropped(&x, p, training)?;
    "nn.functional.feature_alpha_dropout/without_train": (x: Tensor, p: f64 = 0.5, training: bool = false) => {
        not_dropped(&x, p, training)?
    };
    "nn.functional.celu": (x: Tensor, alpha: f64 = 1.0) => x.celu(alpha);
    "nn.functional.dropout": (x: Tensor, p: f64 = 0.5, training: bool = true) => {
        x.tracer().set_training(training);
        x.dropout(p)
    };
    "nn.functional.elu": (x: Tensor, alpha: f64 = 1.0) => x.elu(alpha);
    "nn.functional.gelu": (x: Tensor, approximate: String = "none".to_string()) => gelu(&x, &approximate);
    "nn.functional.glu": (x: Tensor, dim: i64 = -1) => x.glu(dim);
    "nn.functional.hardtanh": (x: Tensor, min_val: f64 = -1.0, max_val: f64 = 1.0) => x.hardtanh(min_val, max_val);
    "nn.functional.rrelu": (x: Tensor, lower: f64 = 1.0 / 8.0, upper: f64 = 1.0 / 3.0, training: bool = false) => {
        x.tracer().set_training(training);
        x.rrelu(lower, upper)
    };
    "torch.ops.aten._safe_softmax.default": (x: Tensor, dim: i64) => {
        let hidden = if x.rank() == 0 { x.eq(f64::NEG_INFINITY) } else { x.eq(f64::NEG_INFINITY).all(keep(dim)) };
        hidden.select(0.0, hidden.select(0.0, &x).softmax(dim))
    };
    "nn.functional.hardshrink": (x: Tensor, lambd: f64 = 0.5) => x.hardshrink(lambd);
    "nn.functional.hardsigmoid": (x: Tensor) => x.hardsigmoid();
    "nn.functional.hardswish": (x: Tensor) => x.hardswish();
    "nn.functional.leaky_relu": (x: Tensor, negative_slope: f64 = 0.01) => x.leaky_relu(negative_slope);
    "nn.functional.logsigmoid": (x: Tensor) => x.logsigmoid();
    "nn.functional.mish": (x: Tensor) => x.mish();
    "nn.functional.prelu": (x: Tensor, weight: Tensor) => x.prelu(&weight);
    "nn.functional.relu": (x: Tensor) => x.relu();
    "nn.functional.relu6": (x: Tensor) => x.relu6();
    "nn.functional.selu": (x: Tensor) => x.selu();
    "nn.functional.silu": (x: Tensor) => x.silu();
    "nn.functional.softmin": (x: Tensor, dim: i64, dtype: Option<Type>) => typed(&x, dtype).softmin(dim);
    "nn.functional.softplus": (x: Tensor, beta: f64 = 1.0, threshold: f64 = 20.0) => x.softplus(beta, threshold);
    "nn.functional.softshrink": (x: Tensor, lambd: f64 = 0.5) => x.softshrink(lambd);
    "nn.functional.softsign": (x: Tensor) => x.softsign();
    "nn.functional.tanhshrink": (x: Tensor) => x.tanhshrink();
    "nn.functional.threshold": (x: Tensor, threshold: f64, value: f64) => x.threshold(threshold, value);
    "softmax": (x: Tensor, dim: i64, dtype: Option<Type>) => typed(&x, dtype).softmax(dim);

    "nn.CELU": [alpha: f64 = 1.0] (x: Tensor) => nn::Celu(alpha).forward(&x);
    "nn.ELU": [alpha: f64 = 1.0] (x: Tensor) => nn::Elu(alpha).forward(&x);
    "nn.GELU": [approximate: String = "none".to_string()] (x: Tensor) => gelu(&x, &approximate);
    "nn.GLU": [dim: i64 = -1] (x: Tensor) => nn::Glu(dim).forward(&x);
    "nn.Hardshrink": [lambd: f64 = 0.5] (x: Tensor) => nn::Hardshrink(lambd).forward(&x);
    "nn.Hardsigmoid": [] (x: Tensor) => nn::Hardsigmoid.forward(&x);
    "nn.Hardswish": [] (x: Tensor) => nn::Hardswish.forward(&x);
    "nn.Hardtanh": [min_val: f64 = -1.0, max_val: f64 = 1.0] (x: Tensor) => nn::Hardtanh(min_val, max_val).forward(&x);
    "nn.LeakyReLU": [negative_slope: f64 = 0.01] (x: Tensor) => nn::LeakyRelu(negative_slope).forward(&x);
    "nn.LogSigmoid": [] (x: Tensor) => nn::LogSigmoid.forward(&x);
    "nn.LogSoftmax": [dim: i64] (x: Tensor) => nn::LogSoftmax(dim).forward(&x);
    "nn.Mish": [] (x: Tensor) => nn::Mish.forward(&x);
    "nn.PReLU": [num_parameters: usize = 1, _init: f64 = 0.25] (x: Tensor) |call| => {
        call.layer(nn::Prelu::new(num_parameters)).forward(&x)
    };
    "nn.ReLU": [] (x: Tensor) => Relu.forward(&x);
    "nn.ReLU6": [] (x: Tensor) => nn::Relu6.forward(&x);
    "nn.RReLU": [lower: f64 = 1.0 / 8.0, upper: f64 = 1.0 / 3.0] (x: Tensor) => nn::Rrelu(lower, upper).forward(&x);
    "nn.SELU": [] (x: Tensor) => nn::Selu.forward(&x);
    "nn.SiLU": [] (x: Tensor) => Silu.forward(&x);
    "nn.Sigmoid": [] (x: Tensor) => Sigmoid.forward(&x);
    "nn.Softmax": [dim: i64] (x: Tensor) => nn::Softmax(dim).forward(&x);
    "nn.Softmax2d": [] (x: Tensor) => nn::Softmax2d.forward(&x);
    "nn.Softmin": [dim: i64] (x: Tensor) => nn::Softmin(dim).forward(&x);
    "nn.Softplus": [beta: f64 = 1.0, threshold: f64 = 20.0] (x: Tensor) => nn::Softplus(beta, threshold).forward(&x);
    "nn.Softshrink": [lambd: f64 = 0.5] (x: Tensor) => nn::Softshrink(lambd).forward(&x);
    "nn.Softsign": [] (x: Tensor) => nn::Softsign.forward(&x);
    "nn.Tanh": [] (x: Tensor) => Tanh.forward(&x);
    "nn.Tanhshrink": [] (x: Tensor) => nn::Tanhshrink.forward(&x);
    "nn.Threshold": [threshold: f64, value: f64] (x: Tensor) => nn::Threshold(threshold, value).forward(&x);
}

fn gelu(x: &Tensor, approximate: &str) -> Tensor {
    if approximate == "tanh" { nn::GeluTanh.forward(x) } else { Gelu.forward(x) }
}

/// What dropout of any kind leaves when it draws nothing.
fn not_dropped(x: &Tensor, p: f64, training: bool) -> Result<Tensor, NotSupported> {
    if training && p > 0.0 {
        return not_supported("the numbers drawn by PyTorch's dropout");
    }
    Ok(x.clone())
}
