//! Products of matrices, and convolutions.

use super::shape::refs;
use crate::grad_cases::call::{NotSupported, Rest, functions, not_supported};
use kiln::nn::{ConvTranspose1d, ConvTranspose2d, ConvTranspose3d};
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
    "nn.Linear": [in_features: usize, out_features: usize, bias: bool = true] (x: Tensor) |call| => {
        let layer = Linear::new(in_features, out_features);
        call.layer(if bias { layer } else { layer.without_bias() }).forward(&x)
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
        in_channels: usize, out_channels: usize, kernel_size: Vec<usize>, stride: Vec<usize> = vec![1], padding: Value = 0.into(),
        dilation: Vec<usize> = vec![1], groups: usize = 1, bias: bool = true, padding_mode: String = "zeros".to_string()
    ] (x: Tensor) |call| => {
        let layer = Conv1d::grouped(in_channels, out_channels, &kernel_size[..], groups);
        let layer = layer.stride(&stride[..]).dilation(&dilation[..]).border(border(&padding_mode)?);
        let layer = match sides(&padding)? {
            Some(sides) => layer.padding(&sides[..]),
            None => layer.same_padding(),
        };
        call.layer(if bias { layer } else { layer.without_bias() }).forward(&x)
    };
    "nn.ConvTranspose1d": [
        in_channels: usize, out_channels: usize, kernel_size: Vec<usize>, stride: Vec<usize> = vec![1], padding: Vec<usize> = vec![0],
        output_padding: Vec<usize> = vec![0], groups: usize = 1, bias: bool = true, dilation: Vec<usize> = vec![1]
    ] (x: Tensor, _output_size: Option<Vec<usize>>) |call| => {
        let layer = ConvTranspose1d::grouped(in_channels, out_channels, &kernel_size[..], groups);
        let layer = layer.stride(&stride[..]).padding(&padding[..]).output_padding(&output_padding[..]);
        let layer = layer.dilation(&dilation[..]);
        call.layer(if bias { layer } else { layer.without_bias() }).forward(&x)
    };
    "nn.Conv2d": [
        in_channels: usize, out_channels: usize, kernel_size: Vec<usize>, stride: Vec<usize> = vec![1], padding: Value = 0.into(),
        dilation: Vec<usize> = vec![1], groups: usize = 1, bias: bool = true, padding_mode: String = "zeros".to_string()
    ] (x: Tensor) |call| => {
        let layer = Conv2d::grouped(in_channels, out_channels, &kernel_size[..], groups);
        let layer = layer.stride(&stride[..]).dilation(&dilation[..]).border(border(&padding_mode)?);
        let layer = match sides(&padding)? {
            Some(sides) => layer.padding(&sides[..]),
            None => layer.same_padding(),
        };
        call.layer(if bias { layer } else { layer.without_bias() }).forward(&x)
    };
    "nn.ConvTranspose2d": [
        in_channels: usize, out_channels: usize, kernel_size: Vec<usize>, stride: Vec<usize> = vec![1], padding: Vec<usize> = vec![0],
        output_padding: Vec<usize> = vec![0], groups: usize = 1, bias: bool = true, dilation: Vec<usize> = vec![1]
    ] (x: Tensor, _output_size: Option<Vec<usize>>) |call| => {
        let layer = ConvTranspose2d::grouped(in_channels, out_channels, &kernel_size[..], groups);
        let layer = layer.stride(&stride[..]).padding(&padding[..]).output_padding(&output_padding[..]);
        let layer = layer.dilation(&dilation[..]);
        call.layer(if bias { layer } else { layer.without_bias() }).forward(&x)
    };
    "nn.Conv3d": [
        in_channels: usize, out_channels: usize, kernel_size: Vec<usize>, stride: Vec<usize> = vec![1], padding: Value = 0.into(),
        dilation: Vec<usize> = vec![1], groups: usize = 1, bias: bool = true, padding_mode: String = "zeros".to_string()
    ] (x: Tensor) |call| => {
        let layer = Conv3d::grouped(in_channels, out_channels, &kernel_size[..], groups);
        let layer = layer.stride(&stride[..]).dilation(&dilation[..]).border(border(&padding_mode)?);
        let layer = match sides(&padding)? {
            Some(sides) => layer.padding(&sides[..]),
            None => layer.same_padding(),
        };
        call.layer(if bias { layer } else { layer.without_bias() }).forward(&x)
    };
    "nn.ConvTranspose3d": [
        in_channels: usize, out_channels: usize, kernel_size: Vec<usize>, stride: Vec<usize> = vec![1], padding: Vec<usize> = vec![0],
        output_padding: Vec<usize> = vec![0], groups: usize = 1, bias: bool = true, dilation: Vec<usize> = vec![1]
    ] (x: Tensor, _output_size: Option<Vec<usize>>) |call| => {
        let layer = ConvTranspose3d::grouped(in_channels, out_channels, &kernel_size[..], groups);
        let layer = layer.stride(&stride[..]).padding(&padding[..]).output_padding(&output_padding[..]);
        let layer = layer.dilation(&dilation[..]);
        call.layer(if bias { layer } else { layer.without_bias() }).forward(&x)
    };
}

/// A convolution whose padding may be `"same"` or `"valid"`.
fn conv(
    x: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    stride: &[usize],
    padding: &Value,
    dilation: &[usize],
    groups: usize,
) -> Result<Tensor, NotSupported> {
    let options = ConvOptions::new().stride(stride).dilation(dilation).groups(groups);
    let options = match sides(padding)? {
        Some(sides) => options.padding(&sides[..]),
        None => options.same_padding(),
    };
    Ok(match weight.rank() - 2 {
        1 => x.conv1d(weight, bias, options),
        2 => x.conv2d(weight, bias, options),
        _ => x.conv3d(weight, bias, options),
    })
}

/// The padding of each axis, or nothing if it is what keeps the extents.
fn sides(padding: &Value) -> Result<Option<Vec<usize>>, NotSupported> {
    let side = |side: &Value| side.as_u64().map(|side| side as usize);
    let sides = match padding {
        Value::String(kind) if kind == "valid" => Some(vec![0]),
        Value::String(kind) if kind == "same" => return Ok(None),
        Value::Array(sides) => sides.iter().map(side).collect(),
        padding => side(padding).map(|side| vec![side]),
    };
    sides.map_or_else(|| not_supported(format!("padding {padding}")), |sides| Ok(Some(sides)))
}

/// PyTorch's `padding_mode`.
fn border(mode: &str) -> Result<Border, NotSupported> {
    match mode {
        "zeros" => Ok(Border::Constant(0.0)),
        "reflect" => Ok(Border::Reflect),
        "replicate" => Ok(Border::Replicate),
        "circular" => Ok(Border::Circular),
        other => not_supported(format!("padding mode `{other}`")),
    }
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
    match weight.rank() - 2 {
        1 => x.conv_transpose1d(weight, bias, options),
        2 => x.conv_transpose2d(weight, bias, options),
        _ => x.conv_transpose3d(weight, bias, options),
    }
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
