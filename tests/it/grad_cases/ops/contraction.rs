//! Products of matrices, and convolutions.

use super::attention::weight;
use super::pool::on_batch;
use super::shape::refs;
use crate::grad_cases::call::{Call, NotSupported, Rest, functions, not_supported};
use kiln::prelude::*;
use kiln::{Border, multi_dot};
use serde_json::Value;

functions! {
    "addbmm": (x: Tensor, batch1: Tensor, batch2: Tensor, beta: f64 = 1.0, alpha: f64 = 1.0) => x.addbmm(&batch1, &batch2, beta, alpha);
    "addmm": (x: Tensor, mat1: Tensor, mat2: Tensor, beta: f64 = 1.0, alpha: f64 = 1.0) => {
        x.addmm(&mat1, &mat2, beta, alpha)
    };
    "addmm/decomposed": (x: Tensor, mat1: Tensor, mat2: Tensor, beta: f64 = 1.0, alpha: f64 = 1.0) => {
        x.addmm(&mat1, &mat2, beta, alpha)
    };
    "addmv": (x: Tensor, mat: Tensor, vec: Tensor, beta: f64 = 1.0, alpha: f64 = 1.0) => x.addmv(&mat, &vec, beta, alpha);
    "addr": (x: Tensor, vec1: Tensor, vec2: Tensor, beta: f64 = 1.0, alpha: f64 = 1.0) => x.addr(&vec1, &vec2, beta, alpha);
    "baddbmm": (x: Tensor, batch1: Tensor, batch2: Tensor, beta: f64 = 1.0, alpha: f64 = 1.0) => {
        x.baddbmm(&batch1, &batch2, beta, alpha)
    };
    "bmm": (x: Tensor, mat2: Tensor) => x.bmm(&mat2);
    "cdist": (x1: Tensor, x2: Tensor, p: f64 = 2.0, _compute_mode: Option<String>) => x1.cdist(&x2, p);
    "cross": (x: Tensor, other: Tensor, dim: i64 = -1) => x.cross(&other, dim);
    "linalg.cross": (x: Tensor, other: Tensor, dim: i64 = -1) => x.cross(&other, dim);
    "linalg.matrix_power": (x: Tensor, n: i64) => {
        if n < 0 { x.inverse().matrix_power(n.unsigned_abs() as usize) } else { x.matrix_power(n as usize) }
    };
    "bmm/triton_optimized": (x: Tensor, mat2: Tensor) => x.bmm(&mat2);
    "linalg.multi_dot": (tensors: Vec<Tensor>) => multi_dot(&refs(&tensors));
    "chain_matmul": (tensors: Rest<Tensor>) => multi_dot(&refs(&tensors.0));
    "linalg.vander": (x: Tensor, n: Option<usize>) => x.vander(n.unwrap_or(x.extents().last().copied().unwrap_or(1)), true);
    "outer": (x: Tensor, vec2: Tensor) => x.outer(&vec2);
    "__rmatmul__": (x: Tensor, other: Tensor) => other.matmul(&x);
    "dot": (x: Tensor, tensor: Tensor) => x.dot(&tensor);
    "einsum": (tensors: Vec<Tensor>, equation: String) => einsum(&equation, &refs(&tensors));
    "inner": (x: Tensor, other: Tensor) => x.inner(&other);
    "kron": (x: Tensor, other: Tensor) => x.kron(&other);
    "linalg.vecdot": (x: Tensor, other: Tensor, dim: i64 = -1) => x.vecdot(&other, dim);
    "matmul": (x: Tensor, other: Tensor) => x.matmul(&other);
    "mm": (x: Tensor, mat2: Tensor) => x.mm(&mat2);
    "mv": (x: Tensor, vec: Tensor) => x.mv(&vec);
    "nn.functional.bilinear": (x: Tensor, input2: Tensor, weight: Tensor, bias: Option<Tensor>) => {
        x.bilinear(&input2, &weight, bias.as_ref())
    };
    "nn.Linear": [_in_features: usize, _out_features: usize, _bias: bool = true] (x: Tensor) |call| => {
        x.linear(&weight(call, "weight")?, call.state("bias").as_ref())
    };
    "nn.functional.linear": (x: Tensor, weight: Tensor, bias: Option<Tensor>) => {
        if weight.rank() == 2 {
            x.linear(&weight, bias.as_ref())
        } else {
            bias.iter().fold(x.matmul(&weight), |y, bias| y + bias)
        }
    };
    "tensordot": (x: Tensor, other: Tensor, dims: Value = 2.into()) => tensordot(&x, &other, &dims)?;
    "vdot": (x: Tensor, other: Tensor) => x.dot(&other);

    "nn.functional.conv1d": (
        x: Tensor, weight: Tensor, bias: Option<Tensor>, stride: Vec<usize> = vec![1], padding: Value = 0.into(),
        dilation: Vec<usize> = vec![1], groups: usize = 1
    ) => conv(&x, &weight, bias.as_ref(), &stride, &padding, &dilation, groups);
    "nn.functional.conv2d": (
        x: Tensor, weight: Tensor, bias: Option<Tensor>, stride: Vec<usize> = vec![1], padding: Value = 0.into(),
        dilation: Vec<usize> = vec![1], groups: usize = 1
    ) => conv(&x, &weight, bias.as_ref(), &stride, &padding, &dilation, groups);
    "nn.functional.conv3d": (
        x: Tensor, weight: Tensor, bias: Option<Tensor>, stride: Vec<usize> = vec![1], padding: Value = 0.into(),
        dilation: Vec<usize> = vec![1], groups: usize = 1
    ) => conv(&x, &weight, bias.as_ref(), &stride, &padding, &dilation, groups);
    "nn.functional.conv_transpose1d": (
        x: Tensor, weight: Tensor, bias: Option<Tensor>, stride: Vec<usize> = vec![1], padding: Vec<usize> = vec![0],
        output_padding: Vec<usize> = vec![0], groups: usize = 1, dilation: Vec<usize> = vec![1]
    ) => conv_transpose(&x, &weight, bias.as_ref(), transposed(&stride, &padding, &output_padding, groups, &dilation));
    "nn.functional.conv_transpose2d": (
        x: Tensor, weight: Tensor, bias: Option<Tensor>, stride: Vec<usize> = vec![1], padding: Vec<usize> = vec![0],
        output_padding: Vec<usize> = vec![0], groups: usize = 1, dilation: Vec<usize> = vec![1]
    ) => conv_transpose(&x, &weight, bias.as_ref(), transposed(&stride, &padding, &output_padding, groups, &dilation));
    "nn.functional.conv_transpose3d": (
        x: Tensor, weight: Tensor, bias: Option<Tensor>, stride: Vec<usize> = vec![1], padding: Vec<usize> = vec![0],
        output_padding: Vec<usize> = vec![0], groups: usize = 1, dilation: Vec<usize> = vec![1]
    ) => conv_transpose(&x, &weight, bias.as_ref(), transposed(&stride, &padding, &output_padding, groups, &dilation));
    "nn.Conv1d": [
        _in_channels: usize, _out_channels: usize, _kernel_size: Value, stride: Vec<usize> = vec![1], padding: Value = 0.into(),
        dilation: Vec<usize> = vec![1], groups: usize = 1, _bias: bool = true, padding_mode: String = "zeros".to_string()
    ] (x: Tensor) |call| => conv_module(call, &x, &stride, padding, &dilation, groups, &padding_mode);
    "nn.ConvTranspose1d": [
        _in_channels: usize, _out_channels: usize, _kernel_size: Value, stride: Vec<usize> = vec![1], padding: Vec<usize> = vec![0],
        output_padding: Vec<usize> = vec![0], groups: usize = 1, _bias: bool = true, dilation: Vec<usize> = vec![1]
    ] (x: Tensor, _output_size: Option<Vec<usize>>) |call| => {
        let options = transposed(&stride, &padding, &output_padding, groups, &dilation);
        conv_transpose(&x, &weight(call, "weight")?, call.state("bias").as_ref(), options)
    };
    "nn.Conv2d": [
        _in_channels: usize, _out_channels: usize, _kernel_size: Value, stride: Vec<usize> = vec![1], padding: Value = 0.into(),
        dilation: Vec<usize> = vec![1], groups: usize = 1, _bias: bool = true, padding_mode: String = "zeros".to_string()
    ] (x: Tensor) |call| => conv_module(call, &x, &stride, padding, &dilation, groups, &padding_mode);
    "nn.ConvTranspose2d": [
        _in_channels: usize, _out_channels: usize, _kernel_size: Value, stride: Vec<usize> = vec![1], padding: Vec<usize> = vec![0],
        output_padding: Vec<usize> = vec![0], groups: usize = 1, _bias: bool = true, dilation: Vec<usize> = vec![1]
    ] (x: Tensor, _output_size: Option<Vec<usize>>) |call| => {
        let options = transposed(&stride, &padding, &output_padding, groups, &dilation);
        conv_transpose(&x, &weight(call, "weight")?, call.state("bias").as_ref(), options)
    };
    "nn.Conv3d": [
        _in_channels: usize, _out_channels: usize, _kernel_size: Value, stride: Vec<usize> = vec![1], padding: Value = 0.into(),
        dilation: Vec<usize> = vec![1], groups: usize = 1, _bias: bool = true, padding_mode: String = "zeros".to_string()
    ] (x: Tensor) |call| => conv_module(call, &x, &stride, padding, &dilation, groups, &padding_mode);
    "nn.ConvTranspose3d": [
        _in_channels: usize, _out_channels: usize, _kernel_size: Value, stride: Vec<usize> = vec![1], padding: Vec<usize> = vec![0],
        output_padding: Vec<usize> = vec![0], groups: usize = 1, _bias: bool = true, dilation: Vec<usize> = vec![1]
    ] (x: Tensor, _output_size: Option<Vec<usize>>) |call| => {
        let options = transposed(&stride, &padding, &output_padding, groups, &dilation);
        conv_transpose(&x, &weight(call, "weight")?, call.state("bias").as_ref(), options)
    };
}

/// A convolution whose padding may be `"same"` or `"valid"`, of a batch or of a single image.
fn conv(
    x: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    stride: &[usize],
    padding: &Value,
    dilation: &[usize],
    groups: usize,
) -> Result<Tensor, NotSupported> {
    let n = weight.rank() - 2;
    let options = ConvOptions::new().stride(stride).dilation(dilation).groups(groups);
    let (padded, options) = match padding {
        Value::String(kind) if kind == "valid" => (x.clone(), options),
        Value::String(kind) if kind == "same" => {
            let total = |a: usize| dilation[a % dilation.len()] * (weight.extents()[a + 2] - 1);
            let sides = |a: usize| ((total(a) / 2) as i64, (total(a) - total(a) / 2) as i64);
            (x.pad(&(0..n).map(sides).collect::<Vec<_>>(), 0.0), options)
        }
        Value::Array(amounts) => {
            let amounts = amounts.iter().map(|v| v.as_u64().map(|v| v as usize));
            (x.clone(), options.padding(&amounts.collect::<Option<Vec<usize>>>().unwrap_or_default()[..]))
        }
        Value::Number(amount) => (x.clone(), options.padding(amount.as_u64().unwrap_or(0) as usize)),
        other => return not_supported(format!("padding {other}")),
    };
    Ok(on_batch(&padded, n, |x| match n {
        1 => x.conv1d(weight, bias, options.clone()),
        2 => x.conv2d(weight, bias, options.clone()),
        _ => x.conv3d(weight, bias, options.clone()),
    }))
}

fn transposed(
    stride: &[usize],
    padding: &[usize],
    output_padding: &[usize],
    groups: usize,
    dilation: &[usize],
) -> ConvOptions {
    let options = ConvOptions::new().stride(stride).padding(padding).dilation(dilation);
    options.output_padding(output_padding).groups(groups)
}

fn conv_transpose(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>, options: ConvOptions) -> Tensor {
    on_batch(x, weight.rank() - 2, |x| match weight.rank() - 2 {
        1 => x.conv_transpose1d(weight, bias, options.clone()),
        2 => x.conv_transpose2d(weight, bias, options.clone()),
        _ => x.conv_transpose3d(weight, bias, options.clone()),
    })
}

/// Sum of products over pairs of axes, given as two lists, or as a number of last and first axes.
fn tensordot(x: &Tensor, other: &Tensor, dims: &Value) -> Result<Tensor, NotSupported> {
    let axes = |list: &Value| -> Option<Vec<i64>> { list.as_array()?.iter().map(Value::as_i64).collect() };
    let pairs = match dims.as_i64() {
        Some(n) => Some(((x.rank() as i64 - n..x.rank() as i64).collect(), (0..n).collect())),
        None => axes(&dims[0]).zip(axes(&dims[1])),
    };
    match pairs {
        Some((left, right)) => Ok(x.tensordot(other, left, right)),
        None => not_supported(format!("dims {dims}")),
    }
}

/// A convolution with the parameters of a module; padding that is not of zeros comes first.
fn conv_module(
    call: &Call,
    x: &Tensor,
    stride: &[usize],
    padding: Value,
    dilation: &[usize],
    groups: usize,
    mode: &str,
) -> Result<Tensor, NotSupported> {
    let (weight, bias) = (weight(call, "weight")?, call.state("bias"));
    let border = match mode {
        "zeros" => return conv(x, &weight, bias.as_ref(), stride, &padding, dilation, groups),
        "reflect" => Border::Reflect,
        "replicate" => Border::Replicate,
        "circular" => Border::Circular,
        other => return not_supported(format!("padding mode `{other}`")),
    };
    let n = weight.rank() - 2;
    let side = |a: usize| match &padding {
        Value::Array(sides) => sides[a % sides.len()].as_i64(),
        Value::String(kind) if kind == "same" => {
            let total = dilation[a % dilation.len()] * (weight.extents()[a + 2] - 1);
            total.is_multiple_of(2).then_some(total as i64 / 2)
        }
        Value::String(_) => Some(0),
        side => side.as_i64(),
    };
    let Some(sides) = (0..n).map(|a| side(a).map(|side| (side, side))).collect::<Option<Vec<_>>>() else {
        return not_supported("uneven padding of a module");
    };
    conv(&x.pad_with(&sides, border), &weight, bias.as_ref(), stride, &0.into(), dilation, groups)
}
