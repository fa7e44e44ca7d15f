//! Activations and what follows them: softmax, dropout.

use crate::grad_cases::call::functions;
use kiln::prelude::*;

functions! {
    "log_softmax": (x: Tensor, dim: i64) => on_axis(&x, |x| x.log_softmax(dim));
    "nn.functional.celu": (x: Tensor, alpha: f64 = 1.0) => x.celu(alpha);
    "nn.functional.dropout": (x: Tensor, p: f64 = 0.5, training: bool = true) => {
        x.tracer().set_training(training);
        x.dropout(p)
    };
    "nn.functional.elu": (x: Tensor, alpha: f64 = 1.0) => x.elu(alpha);
    "nn.functional.gelu": (x: Tensor, approximate: String = "none".to_string()) => {
        if approximate == "tanh" { x.gelu_tanh() } else { x.gelu() }
    };
    "nn.functional.glu": (x: Tensor, dim: i64 = -1) => x.glu(dim);
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
    "nn.functional.softmin": (x: Tensor, dim: i64) => x.softmin(dim);
    "nn.functional.softplus": (x: Tensor, beta: f64 = 1.0, threshold: f64 = 20.0) => x.softplus(beta, threshold);
    "nn.functional.softshrink": (x: Tensor, lambd: f64 = 0.5) => x.softshrink(lambd);
    "nn.functional.softsign": (x: Tensor) => x.softsign();
    "nn.functional.tanhshrink": (x: Tensor) => x.tanhshrink();
    "nn.functional.threshold": (x: Tensor, threshold: f64, value: f64) => x.threshold(threshold, value);
    "softmax": (x: Tensor, dim: i64) => on_axis(&x, |x| x.softmax(dim));
}

/// A function along an axis; PyTorch lets 0 and -1 stand for the axis that a scalar does not have.
pub fn on_axis(x: &Tensor, function: impl Fn(&Tensor) -> Tensor) -> Tensor {
    if x.rank() > 0 { function(x) } else { function(&x.reshape([1])).reshape([]) }
}
