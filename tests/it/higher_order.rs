//! Gradients of gradients of whole layers, against PyTorch 2.15 in `f64`, interpreted and compiled: of convolutions, norms,
//! recurrent layers and attention. And third derivatives: right, or an error where they are not known.
//!
//! Of each layer with the result `y`, the loss is `sum(w y y) / 2`; half the squared norm of its gradient is a penalty, as
//! in Gulrajani and others, *Improved Training of Wasserstein GANs*, 2017; and the gradient `h` of that is compared by
//! `sum(w h)`, for each operand. The weights are `w[i] = cos(0.7 i + 0.3)`, the elements of operand `k` are
//! `0.8 sin(12.9898 i + k)`.

use crate::support::assert_within;
use kiln::compile::{CompileOptions, compile};
use kiln::nn::{CellKind, CellWeights, RecurrentOptions, recurrent};
use kiln::prelude::*;
use kiln::state::State;
use kiln_ir::interpret;

fn elements(extents: &[usize], k: usize) -> TensorData {
    let n = extents.iter().product::<usize>();
    let element = |i: usize| 0.8 * (i as f64 * 12.9898 + k as f64).sin();
    TensorData::new(extents, (0..n).map(element).collect::<Vec<_>>())
}

/// `sum(w x)`.
fn weighted(x: &Tensor) -> Tensor {
    let weight = |i: usize| (i as f64 * 0.7 + 0.3).cos();
    let weights = (0..x.n_elements()).map(weight).collect::<Vec<_>>();
    (x.constant(TensorData::new(x.extents(), weights)) * x).sum(..)
}

/// Compares the loss, the penalty, and the gradient of the penalty for each operand.
#[track_caller]
fn check(operands: &[&[usize]], expected: &[f64], layer: impl Fn(&[Tensor]) -> Tensor) {
    let inputs: Vec<TensorData> = operands.iter().enumerate().map(|(k, shape)| elements(shape, k)).collect();
    let tracer = Tracer::new("second order");
    let x: Vec<Tensor> = inputs.iter().map(|input| tracer.input("x", input.ty())).collect();
    let all: Vec<&Tensor> = x.iter().collect();
    let loss = weighted_square(&layer(&x));
    let slopes = tracer.gradient(&loss, &all);
    let penalty = slopes.iter().map(|slope| slope.square().sum(..) * 0.5).reduce(|a, b| a + b);
    let penalty = penalty.expect("a layer has operands");
    let mut outputs = tracer.gradient(&penalty, &all).iter().map(weighted).collect::<Vec<_>>();
    outputs.splice(0..0, [loss, penalty]);
    let graph = tracer.finish(&outputs.iter().collect::<Vec<_>>()).unwrap_or_else(|error| panic!("{error}"));

    let mut executable = compile(graph.clone(), &CompileOptions::new(0, 2).unwrap());
    executable.run(&mut State::new(&[]), &inputs.iter().collect::<Vec<_>>());
    let interpreted = interpret(&graph, &inputs).unwrap();
    assert_eq!(interpreted.len(), expected.len());
    for (k, (interpreted, &expected)) in interpreted.iter().zip(expected).enumerate() {
        assert_within(interpreted, &[expected], 2e-9);
        assert_within(&executable.output(k), &[expected], 2e-9);
    }
}

/// `sum(w y y) / 2`.
fn weighted_square(y: &Tensor) -> Tensor {
    weighted(&y.square()) * 0.5
}

#[test]
fn of_convolutions() {
    check(
        &[&[2, 3, 9], &[4, 3, 3], &[4]],
        &[-2.912408264, 64.00302709, 6.221444203, 54.87091215, 57.63753467],
        |x| x[0].conv1d(&x[1], Some(&x[2]), ConvOptions::new().stride(2).padding(1)),
    );
    let options = ConvOptions::new().stride([2, 1]).padding([1, 0]).dilation([1, 2]).groups(2);
    check(
        &[&[2, 4, 6, 5], &[6, 2, 3, 2], &[6]],
        &[4.290351349, 251.3581275, 108.519559, -290.5933988, 187.0836019],
        move |x| x[0].conv2d(&x[1], Some(&x[2]), options.clone()),
    );
    check(
        &[&[1, 2, 3, 4, 3], &[2, 2, 2, 2, 2], &[2]],
        &[-35.91400931, 968.6160078, -22.63562649, -252.0492037, 528.6613762],
        |x| x[0].conv3d(&x[1], Some(&x[2]), ConvOptions::new().padding(1)),
    );
    let options = ConvOptions::new().stride(2).padding(1).output_padding(1);
    check(
        &[&[2, 4, 3, 4], &[4, 3, 3, 2]],
        &[-5.089072152, 246.3653068, -30.96240345, -94.22537552],
        move |x| x[0].conv_transpose2d(&x[1], None, options.clone()),
    );
}

#[test]
fn of_convolutions_with_activations_and_pools() {
    let conv = |x: &[Tensor]| x[0].conv2d(&x[1], None, ConvOptions::new());
    let operands: [&[usize]; 2] = [&[1, 2, 7, 7], &[3, 2, 2, 2]];
    check(&operands, &[0.1446115623, 2.865183342, -1.667071987, 4.277024245], |x| {
        conv(x).tanh().max_pool2d(2)
    });
    check(&operands, &[0.2615857906, 0.6049093149, 0.3284564402, 1.6835217], |x| {
        conv(x).gelu().avg_pool2d(PoolOptions::new(3).stride(2))
    });
}

#[test]
fn of_norms() {
    const EPS: f64 = 1e-5;
    check(
        &[&[3, 2, 2, 3], &[2], &[2]],
        &[-0.4843965839, 25.19397674, -23.01047082, 59.22890993, 21.0120583],
        |x| x[0].batch_norm(Some(&x[1]), Some(&x[2]), EPS).output,
    );
    check(
        &[&[2, 4, 3], &[4], &[4]],
        &[0.1070989468, 12.62635939, 25.99256918, 8.962014139, 4.818532551],
        |x| x[0].group_norm(2, Some(&x[1]), Some(&x[2]), EPS),
    );
    check(
        &[&[2, 2, 5], &[2], &[2]],
        &[-2.947185177, 32.85758769, 9.932707777, 55.46477932, 45.90713837],
        |x| x[0].instance_norm(Some(&x[1]), Some(&x[2]), EPS).output,
    );
    check(
        &[&[3, 2, 4], &[2, 4], &[2, 4]],
        &[0.3007105613, 17.25064721, 28.79514216, 23.21143065, 15.35636807],
        |x| x[0].layer_norm(2, Some(&x[1]), Some(&x[2]), EPS),
    );
    check(&[&[3, 5], &[5]], &[-1.087619705, 2.649982306, 4.305012662, 0.1732433604], |x| {
        x[0].rms_norm(1, Some(&x[1]), EPS)
    });
}

/// The results of recurrent layers whose operands are a sequence and the weights in PyTorch's order.
fn recurrence(kind: CellKind, n_layers: usize, bidirectional: bool) -> impl Fn(&[Tensor]) -> Tensor {
    let options = RecurrentOptions { kind, n_layers, bidirectional, batch_first: false, dropout: 0.0 };
    move |x| {
        let weights = x[1..].chunks(4).map(|w| CellWeights {
            weight_ih: w[0].clone(),
            weight_hh: w[1].clone(),
            bias_ih: Some(w[2].clone()),
            bias_hh: Some(w[3].clone()),
            weight_hr: None,
        });
        recurrent(&options, &x[0], None, &weights.collect::<Vec<_>>()).0
    }
}

#[test]
fn of_recurrent_layers() {
    check(
        &[&[5, 2, 3], &[4, 3], &[4, 4], &[4], &[4]],
        &[-0.4574466952, 3.211296003, 0.260161805, -5.353148037, -2.11166761, -6.827286843, -6.827286843],
        recurrence(CellKind::RnnTanh, 1, false),
    );
    check(
        &[&[5, 2, 3], &[16, 3], &[16, 4], &[16], &[16], &[16, 3], &[16, 4], &[16], &[16]],
        &[
            -0.1155605618,
            0.1139895087,
            0.03221082357,
            0.03646578087,
            -0.0009392832355,
            0.03366406458,
            0.03366406458,
            -0.05899950225,
            0.1308026161,
            -0.0840174104,
            -0.0840174104,
        ],
        recurrence(CellKind::Lstm, 1, true),
    );
    check(
        &[&[5, 2, 3], &[12, 3], &[12, 4], &[12], &[12], &[12, 4], &[12, 4], &[12], &[12]],
        &[
            -0.2182720633,
            0.496411202,
            0.1906703791,
            -0.01395856231,
            -0.1261941168,
            -0.3894897594,
            -0.1806838684,
            0.5947117725,
            -0.5401179236,
            0.02864865894,
            -0.2715462858,
        ],
        recurrence(CellKind::Gru, 2, false),
    );
}

#[test]
fn of_attention() {
    const OPERANDS: [&[usize]; 4] = [&[2, 3, 4], &[2, 5, 4], &[2, 5, 3], &[3, 5]];
    check(
        &OPERANDS[..3],
        &[-0.08335744223, 0.09070914243, 0.03648674796, 0.0111110858, 0.06758594333],
        |x| x[0].attention(&x[1], &x[2], None, false),
    );
    let by_added_mask =
        [-0.06324611334, 0.1521370832, -0.02275123769, 0.07163477112, -0.07697261083, 0.0948613198];
    check(&OPERANDS, &by_added_mask, |x| x[0].attention(&x[1], &x[2], Some(&x[3]), false));
    const ATTENDED: [u8; 15] = [1, 1, 0, 1, 0, 0, 1, 1, 1, 1, 1, 0, 0, 0, 0];
    check(&OPERANDS[..3], &[-0.1015306721, 0.1919721375, 0.06205898487, -0.03151852004, 0.36832705], |x| {
        let mask = TensorData::new([3, 5], ATTENDED.map(|attended| attended == 1).to_vec());
        x[0].attention(&x[1], &x[2], Some(&x[0].constant(mask)), false)
    });
    check(&OPERANDS[..3], &[0.7067861509, 0.415590844, -0.08414719153, 0.07601135798, 0.1800437426], |x| {
        x[0].attention(&x[1], &x[2], None, true)
    });
}

/// Derivatives of the weighted sum of a function's results, of the weighted sum of these, and so on: the mistakes.
fn mistakes(n_times: usize, function: impl Fn(&Tensor) -> Tensor) -> Option<String> {
    let tracer = Tracer::new("derivatives");
    let x = tracer.input("x", f64(&[3, 3]));
    let mut y = function(&x);
    for _ in 0..n_times {
        y = tracer.gradient(&weighted(&y), &[&x]).remove(0);
    }
    tracer.finish(&[&y]).err().map(|error| error.to_string())
}

#[test]
fn third_derivatives_of_decompositions_are_errors() {
    type Function = fn(&Tensor) -> Tensor;
    let functions: [(&str, Function); 7] = [
        ("eigh", |x| x.eigh().0),
        ("eigh", |x| x.exp().eigh().1.square()),
        ("svd", |x| x.svdvals()),
        ("matrix_sqrth", |x| x.matmul(&x.transpose(0, 1)).matrix_sqrth()),
        ("pinverse", Tensor::pinverse),
        ("polar", |x| x.polar().0),
        ("svd", |x| x.cond(2.0)),
    ];
    for (name, function) in functions {
        for n_times in 0..=2 {
            assert_eq!(mistakes(n_times, function), None, "{name}, derivative {n_times}");
        }
        let message = mistakes(3, function).unwrap_or_else(|| panic!("{name}: no error"));
        let expected = format!("`{name}` cuts the path: this is a third derivative");
        assert!(message.contains(&expected) && message.contains("higher_order.rs"), "{message}");
    }
}

#[test]
fn decompositions_in_a_loop_have_as_many_derivatives() {
    // Each matrix in a step of its own, or all at once: the value and two derivatives, and a third one that is refused.
    let in_steps =
        |x: &Tensor| Scan::over(&[x]).run(|_, x| (vec![], vec![x[0].eigvalsh()])).stacked.remove(0);
    let ways: [&dyn Fn(&Tensor) -> Tensor; 2] = [&Tensor::eigvalsh, &in_steps];
    let [expected, found] = ways.map(|function| {
        let tracer = Tracer::new("eigenvalues");
        let x = tracer.input("x", f64(&[2, 3, 3]));
        let mut values = vec![function(&x)];
        for order in 0..2 {
            let next = tracer.gradient(&weighted_square(&values[order]), &[&x]).remove(0);
            values.push(next);
        }
        let graph = tracer.finish(&values.iter().collect::<Vec<_>>()).unwrap();
        let message = {
            let tracer = Tracer::new("eigenvalues");
            let x = tracer.input("x", f64(&[2, 3, 3]));
            let derive = |y: &Tensor| tracer.gradient(&weighted_square(y), &[&x]).remove(0);
            let third = derive(&derive(&derive(&function(&x))));
            tracer.finish(&[&third]).expect_err("a third derivative").to_string()
        };
        assert!(message.contains("`eigh` cuts the path: this is a third derivative"), "{message}");
        interpret(&graph, &[elements(&[2, 3, 3], 0)]).unwrap()
    });
    for (found, expected) in found.iter().zip(&expected) {
        assert_within(found, &expected.to_f64_vec(), 1e-8);
    }
}

#[test]
fn only_derivatives_in_sequence_count() {
    // Three gradients of one value are three first derivatives.
    let tracer = Tracer::new("often");
    let x = tracer.input("x", f64(&[3, 3]));
    let values = x.eigvalsh();
    let slopes: Vec<Tensor> =
        (0..3).map(|i| tracer.gradient(&values.select_index(0, i), &[&x]).remove(0)).collect();
    // A second derivative beside them, of which a third one is asked for only past the decomposition.
    let curvature = tracer.gradient(&weighted(&slopes[0]), &[&x]).remove(0);
    let scale = tracer.input("scale", f64(&[3, 3]));
    let all = slopes.iter().fold(curvature * &scale, |sum, slope| sum + slope);
    let of_scale = tracer.gradient(&weighted(&all), &[&scale]).remove(0);
    assert!(tracer.finish(&[&of_scale, &slopes[2]]).is_ok());
}

#[test]
fn third_derivatives_of_smooth_functions_are_right() {
    // Of `x^5` with the weights `w`: `60 w^3 x^2`; and of the determinant of a product, whose gradients are loops.
    assert_eq!(mistakes(3, |x| x.matmul(x).det()), None);
    let tracer = Tracer::new("power");
    let x = tracer.input("x", f64(&[4]));
    let mut y = x.pow(5.0).sum(..);
    for _ in 0..3 {
        y = tracer.gradient(&y, &[&x]).remove(0).sum(..);
    }
    let graph = tracer.finish(&[&y]).unwrap();
    let found = interpret(&graph, &[TensorData::new([4], vec![1.0, -2.0, 0.5, 3.0])]).unwrap();
    assert_within(&found[0], &[60.0 * (1.0 + 4.0 + 0.25 + 9.0)], 1e-12);
}
