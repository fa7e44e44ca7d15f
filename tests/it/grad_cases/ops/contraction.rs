//! Products of matrices, and convolutions.

use crate::grad_cases::call::{NotSupported, functions, not_supported};
use kiln::prelude::*;
use serde_json::Value;

functions! {
    "addbmm": (x: Tensor, batch1: Tensor, batch2: Tensor, beta: f64 = 1.0, alpha: f64 = 1.0) => {
        weighed(&x, beta) + batch1.bmm(&batch2).sum(0) * alpha
    };
    "addmm": (x: Tensor, mat1: Tensor, mat2: Tensor, beta: f64 = 1.0, alpha: f64 = 1.0) => {
        x.addmm(&mat1, &mat2, beta, alpha)
    };
    "addmm/decomposed": (x: Tensor, mat1: Tensor, mat2: Tensor, beta: f64 = 1.0, alpha: f64 = 1.0) => {
        x.addmm(&mat1, &mat2, beta, alpha)
    };
    "addmv": (x: Tensor, mat: Tensor, vec: Tensor, beta: f64 = 1.0, alpha: f64 = 1.0) => {
        weighed(&x, beta) + mat.mv(&vec) * alpha
    };
    "addr": (x: Tensor, vec1: Tensor, vec2: Tensor, beta: f64 = 1.0, alpha: f64 = 1.0) => {
        weighed(&x, beta) + vec1.outer(&vec2) * alpha
    };
    "baddbmm": (x: Tensor, batch1: Tensor, batch2: Tensor, beta: f64 = 1.0, alpha: f64 = 1.0) => {
        x.baddbmm(&batch1, &batch2, beta, alpha)
    };
    "bmm": (x: Tensor, mat2: Tensor) => x.bmm(&mat2);
    "cdist": (x1: Tensor, x2: Tensor, p: f64 = 2.0, _compute_mode: Option<String>) => x1.cdist(&x2, p);
    "cross": (x: Tensor, other: Tensor, dim: i64 = -1) => {
        x.roll(-1, dim) * other.roll(-2, dim) - x.roll(-2, dim) * other.roll(-1, dim)
    };
    "dot": (x: Tensor, tensor: Tensor) => x.dot(&tensor);
    "einsum": (tensors: Vec<Tensor>, equation: String) => einsum(&equation, &tensors);
    "inner": (x: Tensor, other: Tensor) => match (x.rank(), other.rank()) {
        (0, _) | (_, 0) => x * other,
        (_, 1) => x.matmul(&other),
        _ => x.matmul(&other.transpose(-1, -2)),
    };
    "kron": (x: Tensor, other: Tensor) => {
        let product = x.unsqueeze(1).unsqueeze(3) * other.unsqueeze(0).unsqueeze(2);
        product.flatten(2, 3).flatten(0, 1)
    };
    "linalg.vecdot": (x: Tensor, other: Tensor, dim: i64 = -1) => (x * other).sum(dim);
    "matmul": (x: Tensor, other: Tensor) => x.matmul(&other);
    "mm": (x: Tensor, mat2: Tensor) => x.mm(&mat2);
    "mv": (x: Tensor, vec: Tensor) => x.mv(&vec);
    "nn.functional.bilinear": (x: Tensor, input2: Tensor, weight: Tensor, bias: Option<Tensor>) => {
        bilinear(&x, &input2, &weight, bias.as_ref())
    };
    "nn.functional.linear": (x: Tensor, weight: Tensor, bias: Option<Tensor>) => {
        if weight.rank() == 2 {
            x.linear(&weight, bias.as_ref())
        } else {
            bias.iter().fold(x.matmul(&weight), |y, bias| y + bias)
        }
    };
    "tensordot": (x: Tensor, other: Tensor, dims: Value) => tensordot(&x, &other, &dims);
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
}

/// `beta x`; a weight of 0 makes it 0, whatever the elements are.
fn weighed(x: &Tensor, beta: f64) -> Tensor {
    if beta == 0.0 { x.zeros_like() } else { x * beta }
}

/// `x1[.., i] weight[o, i, j] x2[.., j]`, summed over `i` and `j`.
pub fn bilinear(x1: &Tensor, x2: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Tensor {
    let by_first = (x1.unsqueeze(-2).unsqueeze(-1) * weight).sum(-2);
    let product = (by_first * x2.unsqueeze(-2)).sum(-1);
    bias.into_iter().fold(product, |y, bias| y + bias)
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

/// A function of a batch of images of `n` spatial axes; PyTorch takes a single image too.
pub fn on_batch(x: &Tensor, n: usize, function: impl Fn(&Tensor) -> Tensor) -> Tensor {
    if x.rank() == n + 2 { function(x) } else { function(&x.unsqueeze(0)).squeeze(0) }
}

/// Sum of products over the letters that the result does not have: all operands are brought to one shape with an axis
/// for each letter. The axes of an ellipsis get capital letters from `A`, counted from the last.
fn einsum(equation: &str, tensors: &[Tensor]) -> Tensor {
    let equation = equation.replace(' ', "");
    let (left, right) = equation.split_once("->").expect("an explicit result");
    let letters = |term: &str, rank: usize| -> Vec<char> {
        let n_named = term.replace("...", "").len();
        let hidden: String =
            (0..rank.saturating_sub(n_named)).rev().map(|i| (b'A' + i as u8) as char).collect();
        term.replace("...", &hidden).chars().collect()
    };
    let operands: Vec<Vec<char>> =
        left.split(',').zip(tensors).map(|(term, x)| letters(term, x.rank())).collect();
    let mut all: Vec<char> = operands.concat();
    all.sort_unstable();
    all.dedup();
    let n_hidden = all.iter().filter(|c| c.is_ascii_uppercase()).count();
    let result =
        letters(right, right.replace("...", "").len() + if right.contains("...") { n_hidden } else { 0 });
    // The letters of the result in their order, then those that are summed over.
    let mut order = result.clone();
    order.extend(all.into_iter().filter(|c| !result.contains(c)));
    let spread = |(x, letters): (&Tensor, &Vec<char>)| {
        let (mut present, mut shape) = (Vec::new(), Vec::new());
        for letter in &order {
            let axis = letters.iter().position(|l| l == letter);
            present.extend(axis.map(|axis| axis as i64));
            shape.push(axis.map_or(1, |axis| x.extents()[axis] as i64));
        }
        x.permute(present).reshape(shape)
    };
    let product =
        tensors.iter().zip(&operands).map(spread).reduce(|product, x| product * x).expect("an operand");
    let summed: Vec<i64> = (result.len() as i64..order.len() as i64).collect();
    product.sum(&summed[..])
}

/// Sum of products over pairs of axes, given as two lists, or as a number of last and first axes.
fn tensordot(x: &Tensor, other: &Tensor, dims: &Value) -> Result<Tensor, NotSupported> {
    let axes = |list: &Value, rank: usize| -> Option<Vec<i64>> {
        let axes = list.as_array()?.iter().map(|axis| axis.as_i64().map(|axis| axis.rem_euclid(rank as i64)));
        axes.collect()
    };
    let pairs = match dims.as_i64() {
        Some(n) => Some(((x.rank() as i64 - n..x.rank() as i64).collect(), (0..n).collect())),
        None => axes(&dims[0], x.rank()).zip(axes(&dims[1], other.rank())),
    };
    let Some((left, right)): Option<(Vec<i64>, Vec<i64>)> = pairs else {
        return not_supported(format!("dims {dims}"));
    };
    let free = |x: &Tensor, used: &[i64]| -> Vec<i64> {
        (0..x.rank() as i64).filter(|axis| !used.contains(axis)).collect()
    };
    let extents = |x: &Tensor, axes: &[i64]| -> Vec<i64> {
        axes.iter().map(|&axis| x.extents()[axis as usize] as i64).collect()
    };
    let (rows, columns) = (free(x, &left), free(other, &right));
    let inner: i64 = extents(x, &left).iter().product();
    let shape = [extents(x, &rows), extents(other, &columns)].concat();
    let size = |axes: Vec<i64>| axes.iter().product::<i64>();
    let a = x.permute([rows.clone(), left].concat()).reshape([size(extents(x, &rows)), inner]);
    let b = other.permute([right, columns.clone()].concat()).reshape([inner, size(extents(other, &columns))]);
    Ok(a.mm(&b).reshape(shape))
}
