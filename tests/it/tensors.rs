//! What tensors compute, on the reference interpreter. Expected values are PyTorch's or follow from a formula.

use super::support::{assert_close, counting, gradients, run, run_all, vector};
use kiln::Tensor;
use kiln::prelude::*;
use libm::erf;

#[test]
fn operators_take_tensors_and_numbers_on_both_sides() {
    let x = vector(&[1.0, 2.0, 4.0]);
    assert_close(&run(&[&x], |x| 1.0 - &x[0] * 2.0), &[-1.0, -3.0, -7.0]);
    assert_close(&run(&[&x], |x| 8 / &x[0] + 1), &[9.0, 5.0, 3.0]);
    assert_close(&run(&[&x], |x| -(&x[0] - x[0].clone() / 2f32)), &[-0.5, -1.0, -2.0]);
    assert_close(&run(&[x], |x| (2.0 * &x[0]).sqrt()), &[2f64.sqrt(), 2.0, 8f64.sqrt()]);
}

#[test]
fn shapes_broadcast_and_types_promote() {
    let (column, row) = (counting(&[2, 1]), counting(&[3]));
    let sum = run(&[column, row], |x| &x[0] * 10.0 + &x[1]);
    assert_eq!(sum.ty(), f32(&[2, 3]));
    assert_close(&sum, &[0.0, 1.0, 2.0, 10.0, 11.0, 12.0]);

    let tracer = Tracer::new("types");
    let (i, b) = (tracer.input("i", i64(&[3])), tracer.input("b", TensorType::new(DType::Bool, [3])));
    let (d, s) = (tracer.input("d", f64(&[])), tracer.input("s", f32(&[3])));
    assert_eq!((&i + &s).dtype(), DType::F32);
    assert_eq!((&i + 0.5).dtype(), DType::F32);
    assert_eq!((&i / &i).dtype(), DType::F32);
    assert_eq!((&b + 1).dtype(), DType::I64);
    // A tensor of rank 0 does not widen one of the same kind.
    assert_eq!((&s * &d).dtype(), DType::F32);
    assert_eq!((&d * 2f32).dtype(), DType::F64);
    assert_eq!(b.sum(..).dtype(), DType::I64);
    assert_eq!(i.exp().dtype(), DType::F32);
}

#[test]
fn reductions_take_one_axis_several_or_all() {
    let x = counting(&[2, 3]);
    assert_close(&run(&[&x], |x| x[0].sum(-1)), &[3.0, 12.0]);
    assert_close(&run(&[&x], |x| x[0].mean([0, 1])), &[2.5]);
    assert_close(&run(&[&x], |x| x[0].prod(0)), &[0.0, 4.0, 10.0]);
    assert_eq!(run(&[&x], |x| x[0].max(keep(0))).ty(), f32(&[1, 3]));
    assert_close(&run(&[&x], |x| x[0].argmax(..)), &[5.0]);
    assert_close(&run(&[&x], |x| x[0].argmin(-1)), &[0.0, 0.0]);
    assert_close(&run(&[&x], |x| x[0].var(1, 1.0)), &[1.0, 1.0]);
    assert_close(&run(&[&x], |x| x[0].std(.., 0.0)), &[(35f64 / 12.0).sqrt()]);
    assert_close(&run(&[&x], |x| x[0].cumsum(1)), &[0.0, 1.0, 3.0, 3.0, 7.0, 12.0]);
    assert_close(&run(&[&x], |x| x[0].gt(4).any(1)), &[0.0, 1.0]);
    assert_close(&run(&[x], |x| x[0].ne(0).all(0)), &[0.0, 1.0, 1.0]);
}

#[test]
fn logsumexp_neither_overflows_nor_loses_infinities() {
    let x = TensorData::new(
        [3, 2],
        vec![1000f32, 1000.0, f32::NEG_INFINITY, f32::NEG_INFINITY, 0.0, f32::INFINITY],
    );
    let expected = [1000.0 + 2f64.ln(), f64::NEG_INFINITY, f64::INFINITY];
    assert_close(&run(&[x], |x| x[0].logsumexp(-1)), &expected);
}

#[test]
fn norms_have_slope_zero_at_zero() {
    let x = vector(&[3.0, -4.0, 0.0]);
    let expected = [(2.0, 5.0), (1.0, 7.0), (0.0, 2.0), (f64::INFINITY, 4.0), (3.0, 91f64.cbrt())];
    for (p, expected) in expected {
        assert_close(&run(&[&x], |x| x[0].norm(p, ..)), &[expected]);
    }
    for p in [2.0, 3.0] {
        assert_close(&gradients(&[vector(&[0.0, 0.0])], |x| x[0].norm(p, ..))[0], &[0.0, 0.0]);
    }
    assert_close(&gradients(&[vector(&[2.0, 2.0])], |x| x[0].std(.., 1.0))[0], &[0.0, 0.0]);
}

#[test]
fn shapes_change_as_in_pytorch() {
    let tracer = Tracer::new("shapes");
    let x = tracer.input("x", f32(&[2, 1, 3, 4]));
    assert_eq!(x.reshape([-1, 6]).extents(), [4, 6]);
    assert_eq!(x.flatten(1, -2).extents(), [2, 3, 4]);
    assert_eq!(x.unflatten(-1, [2, -1]).extents(), [2, 1, 3, 2, 2]);
    assert_eq!(x.squeeze(..).extents(), [2, 3, 4]);
    assert_eq!(x.squeeze(0).extents(), [2, 1, 3, 4]);
    assert_eq!(x.unsqueeze(-1).extents(), [2, 1, 3, 4, 1]);
    assert_eq!(x.permute([3, 0, -2, 1]).extents(), [4, 2, 3, 1]);
    assert_eq!(x.movedim(0, -1).extents(), [1, 3, 4, 2]);
    assert_eq!(x.expand([5, -1, 7, -1, -1]).extents(), [5, 2, 7, 3, 4]);
    assert_eq!(x.chunk(3, -1).iter().map(|part| part.extents()[3]).collect::<Vec<_>>(), [2, 2]);
    assert_eq!(x.unbind(2).len(), 3);
}

#[test]
fn parts_and_wholes() {
    let x = counting(&[2, 3]);
    assert_close(&run(&[&x], |x| x[0].slice(1, -2..)), &[1.0, 2.0, 4.0, 5.0]);
    assert_close(&run(&[&x], |x| x[0].slice_step(1, .., 2)), &[0.0, 2.0, 3.0, 5.0]);
    assert_close(&run(&[&x], |x| x[0].select_index(0, -1)), &[3.0, 4.0, 5.0]);
    assert_close(&run(&[&x], |x| x[0].flip(1)), &[2.0, 1.0, 0.0, 5.0, 4.0, 3.0]);
    assert_close(&run(&[&x], |x| x[0].roll(1, -1)), &[2.0, 0.0, 1.0, 5.0, 3.0, 4.0]);
    assert_close(&run(&[&x], |x| x[0].pad(&[(1, -2)], 9.0)), &[9.0, 0.0, 9.0, 3.0]);
    assert_close(&run(&[&x], |x| x[0].tril(0)), &[0.0, 0.0, 0.0, 3.0, 4.0, 0.0]);
    assert_close(&run(&[&x], |x| x[0].triu(1)), &[0.0, 1.0, 2.0, 0.0, 0.0, 5.0]);
    assert_close(&run(&[&x], |x| x[0].repeat([2, 1]).select_index(0, 2)), &[0.0, 1.0, 2.0]);
    let stacked = run(&[&x], |x| stack(&[&x[0], &(&x[0] + 10)], 1));
    assert_eq!(stacked.ty(), f32(&[2, 2, 3]));
    assert_close(&stacked, &[0.0, 1.0, 2.0, 10.0, 11.0, 12.0, 3.0, 4.0, 5.0, 13.0, 14.0, 15.0]);
}

#[test]
fn products_follow_numpy() {
    let product = |a: &[usize], b: &[usize]| run(&[counting(a), counting(b)], |x| x[0].matmul(&x[1]));
    assert_close(&product(&[2, 3], &[3, 2]), &[10.0, 13.0, 28.0, 40.0]);
    assert_close(&product(&[3], &[3]), &[5.0]);
    assert_close(&product(&[2, 3], &[3]), &[5.0, 14.0]);
    assert_close(&product(&[3], &[3, 2]), &[10.0, 13.0]);
    assert_close(&product(&[3], &[2, 3, 1]), &[5.0, 14.0]);
    assert_eq!(product(&[4, 1, 2, 3], &[5, 3, 6]).ty(), f32(&[4, 5, 2, 6]));
    assert_eq!(product(&[4, 2, 3], &[3, 6]).ty(), f32(&[4, 2, 6]));
    let linear = run(&[counting(&[2, 3]), counting(&[2, 3]), vector(&[1.0, -1.0])], |x| {
        x[0].linear(&x[1], Some(&x[2]))
    });
    assert_close(&linear, &[6.0, 13.0, 15.0, 49.0]);
    let outer = run(&[vector(&[1.0, 2.0]), vector(&[3.0, 4.0])], |x| x[0].outer(&x[1]));
    assert_close(&outer, &[3.0, 4.0, 6.0, 8.0]);
}

#[test]
fn a_transposed_convolution_is_the_gradient_of_a_convolution() {
    // <conv(x, w), y> and <x, conv_transpose(y, w)> are one bilinear form: its gradient by x at `y`.
    let options = || ConvOptions::new().stride(2).padding([1, 0]).dilation([1, 2]).groups(2);
    let (x, w) = (counting(&[1, 4, 7, 9]), counting(&[6, 2, 3, 2]));
    let y = counting(&[1, 6, 4, 4]);
    let both = run_all(&[x, w, y], |x| {
        let form = (x[0].conv2d(&x[1], None, options()) * &x[2]).sum(..);
        let gradient = x[0].tracer().gradient(&form, &[&x[0]]).remove(0);
        let transposed = x[2].conv_transpose2d(&x[1], None, options().output_padding([0, 0]));
        vec![gradient, transposed]
    });
    assert_eq!(both[0].ty(), both[1].ty());
    assert_close(&both[0], &both[1].to_f64_vec());
}

#[test]
fn convolutions_add_a_bias_to_each_channel() {
    let inputs = [counting(&[1, 1, 3]), counting(&[2, 1, 2]), vector(&[0.0, 100.0])];
    let y = run(&inputs, |x| x[0].conv1d(&x[1], Some(&x[2]), ConvOptions::new()));
    assert_close(&y, &[1.0, 2.0, 103.0, 108.0]);
}

#[test]
fn pools_follow_pytorch() {
    let x = counting(&[1, 1, 1, 5]);
    let max = |options: PoolOptions| run(&[&x], |x| x[0].max_pool1d(options.clone()));
    assert_close(&max(2.into()), &[1.0, 3.0]);
    assert_close(&max(PoolOptions::new(2).ceil_mode(true)), &[1.0, 3.0, 4.0]);
    assert_close(&max(PoolOptions::new(3).stride(2).padding(1)), &[1.0, 3.0, 4.0]);
    let mean = |options: PoolOptions| run(&[&x], |x| x[0].avg_pool1d(options.clone()));
    assert_close(&mean(PoolOptions::new(3).stride(2).padding(1)), &[1.0 / 3.0, 2.0, 7.0 / 3.0]);
    assert_close(&mean(PoolOptions::new(3).stride(2).padding(1).count_include_pad(false)), &[0.5, 2.0, 3.5]);
    // What ceil mode adds beyond the padding does not count.
    assert_close(&mean(PoolOptions::new(2).ceil_mode(true)), &[0.5, 2.5, 4.0]);
    assert_close(&run(&[counting(&[4, 4])], |x| x[0].adaptive_avg_pool([2, 1])), &[3.5, 11.5]);
}

#[test]
fn a_pool_tells_where_its_elements_were() {
    let x = TensorData::new([1, 2, 3], vec![1f32, 5.0, 5.0, 7.0, 2.0, 0.0]);
    let both = run_all(&[x], |x| {
        let (values, indices) = x[0].max_pool_with_indices(2, PoolOptions::new([1, 2]).stride(1));
        vec![values, indices]
    });
    assert_close(&both[0], &[5.0, 5.0, 7.0, 2.0]);
    assert_close(&both[1], &[1.0, 1.0, 3.0, 4.0]);
}

#[test]
fn sums_of_products_follow_their_equation() {
    let (a, b) = (counting(&[2, 3]), counting(&[3, 2]));
    let product = |equation: &str| run(&[&a, &b], |x| einsum(equation, &[&x[0], &x[1]]));
    assert_close(&product("ij,jk->ki"), &[10.0, 28.0, 13.0, 40.0]);
    assert_close(&product("ij,jk"), &[10.0, 13.0, 28.0, 40.0]);
    assert_close(&product("ij,ji->"), &[0.0 + 2.0 + 8.0 + 3.0 + 12.0 + 25.0]);
    assert_close(&product("ij,jk->j"), &[3.0, 25.0, 63.0]);
    let one = |equation: &str, shape: &[usize]| run(&[counting(shape)], |x| einsum(equation, &[&x[0]]));
    assert_close(&one("ii->i", &[3, 3]), &[0.0, 4.0, 8.0]);
    assert_close(&one("ii", &[3, 3]), &[12.0]);
    assert_close(&one("...j->j...", &[2, 3]), &[0.0, 3.0, 1.0, 4.0, 2.0, 5.0]);
    let three = run(&[&a, &b, &a], |x| einsum("ij,jk,kl->il", &[&x[0], &x[1], &x[2]]));
    assert_close(&three, &[39.0, 62.0, 85.0, 120.0, 188.0, 256.0]);
    let batched = run(&[counting(&[2, 1, 2]), counting(&[3, 2])], |x| einsum("...i,...i", &[&x[0], &x[1]]));
    assert_eq!(batched.ty(), f32(&[2, 3]));
    assert_close(&batched, &[1.0, 3.0, 5.0, 3.0, 13.0, 23.0]);
    let dot = run(&[&a, &b], |x| x[0].tensordot(&x[1], [0, 1], [1, 0]));
    assert_close(&dot, &[50.0]);
}

#[test]
fn attention_is_a_softmax_between_products() {
    let (q, k, v) = (counting(&[2, 4]), counting(&[2, 4]), counting(&[2, 1]));
    let causal = run(&[&q, &k, &v], |x| x[0].attention(&x[1], &x[2], None, true));
    // Row 0 sees key 0 alone; row 1 has scores 19 and 63, far apart.
    assert_close(&causal, &[0.0, 1.0]);
    let mask = TensorData::new([2], vec![true, false]);
    let masked = run(&[q, k, v, mask], |x| x[0].attention(&x[1], &x[2], Some(&x[3]), false));
    assert_close(&masked, &[0.0, 0.0]);
}

#[test]
fn elements_are_found_by_index() {
    let x = counting(&[3, 2]);
    let index = |values: &[i64]| TensorData::new([values.len()], values.to_vec());
    assert_close(&run(&[x.clone(), index(&[2, 0])], |x| x[0].index_select(0, &x[1])), &[4.0, 5.0, 0.0, 1.0]);
    assert_close(&run(&[x.clone(), index(&[5, 1])], |x| x[0].take(&x[1])), &[5.0, 1.0]);
    let ids = TensorData::new([2, 1], vec![1i64, 1]);
    assert_eq!(run(&[x.clone(), ids.clone()], |x| x[0].embedding(&x[1])).ty(), f32(&[2, 1, 2]));
    assert_close(&run(&[x.clone(), ids.clone()], |x| x[0].gather(1, &x[1])), &[1.0, 3.0]);
    let updates = TensorData::new([2, 1], vec![10f32, 20.0]);
    let added = run(&[x, ids, updates], |x| x[0].scatter_add(0, &x[1], &x[2]));
    assert_close(&added, &[0.0, 1.0, 32.0, 3.0, 4.0, 5.0]);
    assert_close(&run(&[index(&[1, 0])], |x| x[0].one_hot(3)), &[0.0, 1.0, 0.0, 1.0, 0.0, 0.0]);
}

#[test]
fn remainders_have_the_sign_of_one_or_the_other() {
    let (a, b) = (vector(&[7.0, -7.0, 7.0, -7.0]), vector(&[3.0, 3.0, -3.0, -3.0]));
    assert_close(&run(&[a.clone(), b.clone()], |x| x[0].fmod(&x[1])), &[1.0, -1.0, 1.0, -1.0]);
    assert_close(&run(&[a, b], |x| x[0].remainder(&x[1])), &[1.0, 2.0, -2.0, -1.0]);
    let a = TensorData::new([4], vec![7i32, -7, 7, -7]);
    let b = TensorData::new([4], vec![3i32, 3, -3, -3]);
    assert_close(&run(&[a.clone(), b.clone()], |x| x[0].div_floor(&x[1])), &[2.0, -3.0, -3.0, 2.0]);
    assert_close(&run(&[a.clone(), b.clone()], |x| x[0].div_trunc(&x[1])), &[2.0, -2.0, -2.0, 2.0]);
    assert_close(&run(&[a, b], |x| x[0].remainder(&x[1])), &[1.0, 2.0, -2.0, -1.0]);
}

#[test]
fn the_gradient_of_softmax_does_not_pass_its_maximum() {
    let x = vector(&[1.0, 3.0, 2.0]);
    let e: Vec<f64> = [1.0, 3.0, 2.0f64].iter().map(|v| v.exp()).collect();
    let sum: f64 = e.iter().sum();
    let p: Vec<f64> = e.iter().map(|v| v / sum).collect();
    assert_close(&run(&[&x], |x| x[0].softmax(0)), &p);
    let tracer = Tracer::new("softmax");
    let y = tracer.input("x", f32(&[3]));
    let _ = tracer.gradient(&y.softmax(0).square().sum(..), &[&y]);
    let graph = tracer.finish(&[]).unwrap();
    // The gradient of a maximum compares; nothing else here does.
    assert!(graph.ids().all(|id| graph.op(id).name() != "eq"), "{graph}");
    let gradient = &gradients(&[x], |x| x[0].softmax(0).square())[0];
    let dot: f64 = p.iter().map(|p| 2.0 * p * p).sum();
    let expected: Vec<f64> = p.iter().map(|p| p * (2.0 * p - dot)).collect();
    assert_close(gradient, &expected);
}

#[test]
fn losses_follow_pytorch() {
    let (y, t) = (vector(&[0.5, -1.0, 2.0]), vector(&[1.0, 0.0, 1.0]));
    let loss =
        |f: fn(&Tensor, &Tensor) -> Tensor| run(&[y.clone(), t.clone()], |x| f(&x[0], &x[1])).item().unwrap();
    let check = |found: f64, expected: f64| assert!((found - expected).abs() < 1e-6, "{found}, {expected}");
    check(loss(mse), 2.25 / 3.0);
    check(loss(l1), 2.5 / 3.0);
    check(loss(|y, t| huber(y, t, 0.75)), (0.125 + 2.0 * 0.75 * 0.625) / 3.0);
    check(loss(|y, t| smooth_l1(y, t, 1.0)), (0.125 + 0.5 + 0.5) / 3.0);
    let bce_logits = |z: f64, t: f64| (1.0 + (-z).exp()).ln() + (1.0 - t) * z;
    let expected = (bce_logits(0.5, 1.0) + bce_logits(-1.0, 0.0) + bce_logits(2.0, 1.0)) / 3.0;
    check(loss(bce_with_logits), expected);
    check(loss(|y, t| bce(&y.sigmoid(), t)), expected);
}

#[test]
fn binary_cross_entropy_is_finite_at_certainty() {
    let (p, t) = (vector(&[0.0, 1.0, 0.0]), vector(&[0.0, 1.0, 1.0]));
    assert_close(&run(&[p.clone(), t.clone()], |x| bce(&x[0], &x[1])), &[100.0 / 3.0]);
    assert!(
        gradients(&[p, t], |x| bce(&x[0], &x[1]))
            .iter()
            .all(|g| g.to_f64_vec().iter().all(|v| v.is_finite()))
    );
    let (z, t) = (vector(&[200.0, -200.0, 0.0]), vector(&[1.0, 0.0, 0.5]));
    let gradient = &gradients(&[z, t], |x| bce_with_logits(&x[0], &x[1]))[0];
    assert_close(gradient, &[0.0, 0.0, 0.0]);
}

#[test]
fn cross_entropy_takes_labels_or_probabilities() {
    let y = TensorData::new([2, 3], vec![1f32, 2.0, 3.0, 1000.0, 0.0, 0.0]);
    let log_sum = [1f64, 2.0, 3.0].iter().map(|v| v.exp()).sum::<f64>().ln();
    let expected = ((log_sum - 3.0) + 1000.0) / 2.0;
    let label = TensorData::new([2], vec![2i64, 1]);
    assert_close(&run(&[y.clone(), label.clone()], |x| cross_entropy(&x[0], &x[1])), &[expected]);
    assert_close(&run(&[y.clone(), label], |x| nll(&x[0].log_softmax(1), &x[1])), &[expected]);
    let p = TensorData::new([2, 3], vec![0f32, 0.0, 1.0, 0.0, 1.0, 0.0]);
    assert_close(&run(&[y, p], |x| cross_entropy(&x[0], &x[1])), &[expected]);
    // Classes on axis 1, samples on the others.
    let y = counting(&[2, 3, 4]);
    let label = TensorData::new([2, 4], vec![0i32; 8]);
    let expected = [0f64, 4.0, 8.0].iter().map(|v| v.exp()).sum::<f64>().ln();
    assert_close(&run(&[y, label], |x| cross_entropy(&x[0], &x[1])), &[expected]);
}

/// An activation, and its formula in `f64`.
type Activation = (&'static str, fn(&Tensor) -> Tensor, fn(f64) -> f64);

const ACTIVATIONS: [Activation; 22] = [
    ("relu", Tensor::relu, |x| x.max(0.0)),
    ("leaky_relu", |x| x.leaky_relu(0.1), |x| if x > 0.0 { x } else { 0.1 * x }),
    ("elu", |x| x.elu(1.5), |x| if x > 0.0 { x } else { 1.5 * x.exp_m1() }),
    ("celu", |x| x.celu(2.0), |x| if x > 0.0 { x } else { 2.0 * (x / 2.0).exp_m1() }),
    ("selu", Tensor::selu, |x| {
        1.0507009873554805 * if x > 0.0 { x } else { 1.6732632423543772 * x.exp_m1() }
    }),
    ("gelu", Tensor::gelu, |x| x * 0.5 * (1.0 + erf(x / 2f64.sqrt()))),
    ("gelu_tanh", Tensor::gelu_tanh, |x| {
        x * 0.5 * (1.0 + ((2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x.powi(3))).tanh())
    }),
    ("silu", Tensor::silu, |x| x / (1.0 + (-x).exp())),
    ("mish", Tensor::mish, |x| x * softplus(x).tanh()),
    ("softplus", |x| x.softplus(2.0, 20.0), |x| softplus(2.0 * x) / 2.0),
    ("logsigmoid", Tensor::logsigmoid, |x| -softplus(-x)),
    ("hardtanh", |x| x.hardtanh(-0.5, 2.0), |x| x.clamp(-0.5, 2.0)),
    ("relu6", Tensor::relu6, |x| x.clamp(0.0, 6.0)),
    ("hardsigmoid", Tensor::hardsigmoid, |x| (x + 3.0).clamp(0.0, 6.0) / 6.0),
    ("hardswish", Tensor::hardswish, |x| x * (x + 3.0).clamp(0.0, 6.0) / 6.0),
    ("hardshrink", |x| x.hardshrink(0.5), |x| if x.abs() > 0.5 { x } else { 0.0 }),
    ("softshrink", |x| x.softshrink(0.5), |x| x.signum() * (x.abs() - 0.5).max(0.0)),
    ("threshold", |x| x.threshold(0.3, -7.0), |x| if x > 0.3 { x } else { -7.0 }),
    ("softsign", Tensor::softsign, |x| x / (1.0 + x.abs())),
    ("tanhshrink", Tensor::tanhshrink, |x| x - x.tanh()),
    ("asinh", Tensor::asinh, f64::asinh),
    ("trunc", Tensor::trunc, f64::trunc),
];

fn softplus(x: f64) -> f64 {
    x.max(0.0) + (-x.abs()).exp().ln_1p()
}

#[test]
fn activations_follow_their_formulas() {
    let points = [-100.0, -4.0, -1.25, -0.3, 0.4, 2.2, 100.0];
    let x = TensorData::new([points.len()], points.to_vec());
    for (name, function, formula) in ACTIVATIONS {
        let values = run(&[&x], |x| function(&x[0])).to_f64_vec();
        for (&x, value) in points.iter().zip(&values) {
            let expected = formula(x);
            assert!(
                (value - expected).abs() <= 1e-12 * expected.abs().max(1.0),
                "{name}({x}) = {value}, not {expected}"
            );
        }
        if name == "trunc" {
            continue;
        }
        let slopes = gradients(&[&x], |x| function(&x[0]))[0].to_f64_vec();
        for (&x, slope) in points.iter().zip(&slopes) {
            let h = 1e-5;
            let expected = (formula(x + h) - formula(x - h)) / (2.0 * h);
            // The rounding of the difference: 1e-14 * 100 / h.
            assert!((slope - expected).abs() <= 1e-7, "slope of {name} at {x}: {slope}, not {expected}");
        }
    }
}

/// An activation, where it has a kink, and the slope it has there.
type Kink = (&'static str, fn(&Tensor) -> Tensor, f32, f64);

#[test]
fn slopes_at_kinks_are_pytorchs() {
    let kinks: [Kink; 14] = [
        ("relu", Tensor::relu, 0.0, 0.0),
        ("leaky_relu", |x| x.leaky_relu(0.25), 0.0, 0.25),
        ("elu", |x| x.elu(1.5), 0.0, 1.5),
        ("hardtanh", |x| x.hardtanh(-1.0, 1.0), 1.0, 0.0),
        ("hardtanh", |x| x.hardtanh(-1.0, 1.0), -1.0, 0.0),
        ("clamp", |x| x.clamp(-1.0, 1.0), 1.0, 0.0),
        ("clamp", |x| x.clamp(-1.0, 1.0), -1.0, 0.0),
        ("hardsigmoid", Tensor::hardsigmoid, 3.0, 0.0),
        ("softplus", |x| x.softplus(1.0, 20.0), 0.0, 0.5),
        ("logsigmoid", Tensor::logsigmoid, 0.0, 0.5),
        ("threshold", |x| x.threshold(0.0, 5.0), 0.0, 0.0),
        ("abs", Tensor::abs, 0.0, 0.0),
        ("asinh", Tensor::asinh, 0.0, 1.0),
        ("softsign", Tensor::softsign, 0.0, 1.0),
    ];
    for (name, function, x, slope) in kinks {
        let found = gradients(&[vector(&[x])], |x| function(&x[0]))[0].to_f64_vec();
        assert_eq!(found, [slope], "slope of {name} at {x}");
    }
    let nan = run(&[vector(&[f32::NAN])], |x| x[0].relu());
    assert!(nan.to_f64_vec()[0].is_nan(), "relu keeps NaN");
}

#[test]
fn strided_places_take_other_values() {
    let (x, source) = (counting(&[3, 3]), TensorData::new([2, 2], vec![10f32, 20.0, 30.0, 40.0]));
    let scattered = |x: &[Tensor]| x[0].as_strided_scatter(&x[1], &[2, 2], &[3, 1], 1);
    let pair = [&x, &source];
    assert_close(&run(&pair, scattered), &[0.0, 10.0, 20.0, 3.0, 30.0, 40.0, 6.0, 7.0, 8.0]);
    // What stays passes its gradient on; PyTorch's is the opposite.
    let slopes = gradients(&pair, |x| scattered(x) * &x[0]);
    assert_close(&slopes[0], &[0.0, 10.0, 20.0, 6.0, 30.0, 40.0, 12.0, 14.0, 16.0]);
    assert_close(&slopes[1], &[1.0, 2.0, 4.0, 5.0]);
}
