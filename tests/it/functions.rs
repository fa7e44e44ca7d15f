//! Functions that the golden cases beside the workspace leave out, against PyTorch 2.15 in `f64`: special functions, counts,
//! orders, and the loss of sequences without alignment.

use crate::support::{assert_within, run, run_all};
use kiln::loss::{Ctc, Hinge, Reduction};
use kiln::prelude::*;
use kiln::{Combine, Polynomial, Tensor};

/// A function of tensors.
pub type Function = fn(&[Tensor]) -> Tensor;

/// A tensor of `f64`.
pub fn data(extents: &[usize], values: &[f64]) -> TensorData {
    TensorData::new(extents, values.to_vec())
}

/// Checks the result of a function.
#[track_caller]
fn check(function: Function, inputs: &[TensorData], expected: &[f64], tolerance: f64) {
    assert_within(&run(inputs, function), expected, tolerance);
}

#[test]
fn special_functions() {
    // bessel_j0
    check(
        |x| x[0].bessel_j0(),
        &[data(&[9], &[-9.5, -3.0, -0.5, 0.25, 1.0, 2.5, 7.5, 8.5, 20.0])],
        &[
            -0.1939287475,
            -0.2600519549,
            0.9384698072,
            0.9844359293,
            0.7651976866,
            -0.0483837765,
            0.2663396601,
            0.041939253,
            0.1670246643,
        ],
        1e-6,
    );
    // bessel_j1
    check(
        |x| x[0].bessel_j1(),
        &[data(&[9], &[-9.5, -3.0, -0.5, 0.25, 1.0, 2.5, 7.5, 8.5, 20.0])],
        &[
            -0.1612644303,
            -0.3390589585,
            -0.2422684577,
            0.1240259773,
            0.4400505857,
            0.4970941025,
            0.1352484383,
            0.273121964,
            0.0668331242,
        ],
        1e-6,
    );
    // bessel_y0
    check(
        |x| x[0].bessel_y0(),
        &[data(&[7], &[0.05, 0.5, 1.0, 2.5, 7.5, 8.5, 20.0])],
        &[-1.9793110008, -0.4445187335, 0.0882569642, 0.4980703596, 0.1173132814, 0.2702051052, 0.0626405968],
        1e-6,
    );
    // bessel_y1
    check(
        |x| x[0].bessel_y1(),
        &[data(&[7], &[0.05, 0.5, 1.0, 2.5, 7.5, 8.5, 20.0])],
        &[
            -12.7898551712,
            -1.4714723927,
            -0.7812128213,
            0.145918138,
            -0.2591285056,
            -0.0261686768,
            -0.1655116144,
        ],
        1e-6,
    );
    // bessel_k0
    check(
        |x| x[0].bessel_k0(),
        &[data(&[7], &[0.05, 0.5, 1.0, 2.5, 7.5, 8.5, 20.0])],
        &[3.1142340295, 0.9244190712, 0.4210244382, 0.0623475532, 0.0002491776, 8.62576e-05, 6e-10],
        1e-6,
    );
    // bessel_k0e
    check(
        |x| x[0].bessel_k0e(),
        &[data(&[7], &[0.05, 0.5, 1.0, 2.5, 7.5, 8.5, 20.0])],
        &[3.2739042225, 1.5241093858, 1.1444630798, 0.7595486903, 0.4505236991, 0.4239359993, 0.2785448767],
        1e-6,
    );
    // bessel_k1
    check(
        |x| x[0].bessel_k1(),
        &[data(&[7], &[0.05, 0.5, 1.0, 2.5, 7.5, 8.5, 20.0])],
        &[19.9096743259, 1.65644112, 0.6019072302, 0.0738908163, 0.0002652974, 9.11972e-05, 6e-10],
        1e-6,
    );
    // bessel_k1e
    check(
        |x| x[0].bessel_k1e(),
        &[data(&[7], &[0.05, 0.5, 1.0, 2.5, 7.5, 8.5, 20.0])],
        &[20.9304651571, 2.7310097082, 1.6361534863, 0.9001744239, 0.4796689338, 0.4482133916, 0.2854254969],
        1e-6,
    );
    // spherical_bessel_j0
    check(
        |x| x[0].spherical_bessel_j0(),
        &[data(&[9], &[-9.5, -3.0, -0.5, 0.25, 1.0, 2.5, 7.5, 8.5, 20.0])],
        &[
            -0.0079106443,
            0.0470400027,
            0.9588510772,
            0.989615837,
            0.8414709848,
            0.2393888576,
            0.1250666636,
            0.0939396603,
            0.0456472625,
        ],
        1e-6,
    );
    // igamma
    check(
        |x| x[0].igamma(&x[1]),
        &[
            data(&[7], &[0.5, 0.5, 1.0, 3.0, 10.0, 10.0, 100.0]),
            data(&[7], &[0.1, 4.0, 1.0, 2.0, 5.0, 30.0, 110.0]),
        ],
        &[0.345279154, 0.995322265, 0.6321205588, 0.3233235838, 0.0318280573, 0.9999928782, 0.8417213298],
        1e-6,
    );
    // igammac
    check(
        |x| x[0].igammac(&x[1]),
        &[
            data(&[7], &[0.5, 0.5, 1.0, 3.0, 10.0, 10.0, 100.0]),
            data(&[7], &[0.1, 4.0, 1.0, 2.0, 5.0, 30.0, 110.0]),
        ],
        &[0.654720846, 0.004677735, 0.3678794412, 0.6766764162, 0.9681719427, 7.1218e-06, 0.1582786702],
        1e-6,
    );
    // zeta
    check(
        |x| x[0].zeta(&x[1]),
        &[data(&[4], &[1.5, 2.0, 3.0, 8.0]), data(&[4], &[1.0, 0.5, 3.0, 2.0])],
        &[2.6123753487, 4.9348022005, 0.0770569032, 0.0040773562],
        1e-6,
    );
    // ChebyshevT
    check(
        |x| x[0].orthogonal(Polynomial::ChebyshevT, 5),
        &[data(&[4], &[-0.9, -0.25, 0.3, 0.75])],
        &[0.63216, -0.953125, 0.99888, -0.890625],
        1e-6,
    );
    // ChebyshevU
    check(
        |x| x[0].orthogonal(Polynomial::ChebyshevU, 5),
        &[data(&[4], &[-0.9, -0.25, 0.3, 0.75])],
        &[-0.96768, -1.03125, 1.01376, -1.40625],
        1e-6,
    );
    // ChebyshevV
    check(
        |x| x[0].orthogonal(Polynomial::ChebyshevV, 5),
        &[data(&[4], &[-0.9, -0.25, 0.3, 0.75])],
        &[-2.74528, -1.34375, 0.96416, -0.71875],
        1e-6,
    );
    // ChebyshevW
    check(
        |x| x[0].orthogonal(Polynomial::ChebyshevW, 5),
        &[data(&[4], &[-0.9, -0.25, 0.3, 0.75])],
        &[0.80992, -0.71875, 1.06336, -2.09375],
        1e-6,
    );
    // HermiteH
    check(
        |x| x[0].orthogonal(Polynomial::HermiteH, 5),
        &[data(&[4], &[-0.9, -0.25, 0.3, 0.75])],
        &[-10.25568, -27.53125, 31.75776, 30.09375],
        1e-6,
    );
    // HermiteHe
    check(
        |x| x[0].orthogonal(Polynomial::HermiteHe, 5),
        &[data(&[4], &[-0.9, -0.25, 0.3, 0.75])],
        &[-6.80049, -3.5947265625, 4.23243, 7.2685546875],
        1e-6,
    );
    // Laguerre
    check(
        |x| x[0].orthogonal(Polynomial::Laguerre, 5),
        &[data(&[4], &[-0.9, -0.25, 0.3, 0.75])],
        &[10.90660825, 2.5893636068, -0.09333275, -0.5766845703],
        1e-6,
    );
    // Legendre
    check(
        |x| x[0].orthogonal(Polynomial::Legendre, 5),
        &[data(&[4], &[-0.9, -0.25, 0.3, 0.75])],
        &[0.04114125, -0.3397216797, 0.34538625, -0.4163818359],
        1e-6,
    );
}

/// The approximation of `J` and `Y` changes at 8, that of `K` at 2: both sides agree there.
#[test]
fn approximations_meet() {
    let meets = |function: Function, at: f64| {
        let y = run(&[data(&[2], &[at, at + 1e-9])], function).to_f64_vec();
        assert!((y[0] - y[1]).abs() < 1e-6, "{y:?} at {at}");
    };
    meets(|x| x[0].bessel_j0(), 8.0);
    meets(|x| x[0].bessel_j1(), 8.0);
    meets(|x| x[0].bessel_y0(), 8.0);
    meets(|x| x[0].bessel_y1(), 8.0);
    meets(|x| x[0].bessel_k0(), 2.0);
    meets(|x| x[0].bessel_k1(), 2.0);
}

#[test]
fn whole_numbers_and_parts_of_numbers() {
    let a = TensorData::new([5], vec![12i64, -18, 0, 7, 0]);
    let b = TensorData::new([5], vec![18i64, 12, 5, -13, 0]);
    let pair = [a, b];
    assert_eq!(run(&pair, |x| x[0].gcd(&x[1])), TensorData::new([5], vec![6i64, 6, 5, 1, 0]));
    assert_eq!(run(&pair, |x| x[0].lcm(&x[1])), TensorData::new([5], vec![36i64, 36, 0, 91, 0]));
    let x = TensorData::new([5], vec![8f32, -0.3, 0.0, 1e-40, 1.0]);
    let parts = run_all(&[&x], |x| {
        let (fraction, exponent) = x[0].frexp();
        vec![fraction, exponent]
    });
    assert_eq!(parts[1], TensorData::new([5], vec![4i32, -1, 0, -132, 1]));
    assert_within(&parts[0], &[0.5, -0.6, 0.0, 0.5444488525390625, 0.5], 1e-6);
    let up = run(&[x], |x| x[0].nextafter(f64::INFINITY));
    let next = [8f32, -0.3, 0.0, 1e-40, 1.0].map(f32::next_up).map(f64::from);
    assert_eq!(up.to_f64_vec(), next);
    let negative = TensorData::new([3], vec![-7i64, 7, -1]);
    assert_eq!(run(&[negative], |x| x[0].shift_right(1)), TensorData::new([3], vec![-4i64, 3, -1]));
}

#[test]
fn comparisons_of_what_is_not_finite() {
    let (inf, nan) = (f64::INFINITY, f64::NAN);
    let x = data(&[6], &[1.0, inf, inf, nan, -0.0, 100.0]);
    let y = data(&[6], &[1.0 + 1e-6, inf, -inf, nan, 0.0, 101.0]);
    let pair = [x, y];
    let close = |equal_nan: bool| run(&pair, |x| x[0].isclose(&x[1], 1e-5, 1e-8, equal_nan)).to_f64_vec();
    assert_eq!(close(false), [1.0, 1.0, 0.0, 0.0, 1.0, 0.0]);
    assert_eq!(close(true), [1.0, 1.0, 0.0, 1.0, 1.0, 0.0]);
    assert_eq!(run(&pair, |x| x[0].signbit()).to_f64_vec(), [0.0, 0.0, 0.0, 0.0, 1.0, 0.0]);
    let ones = [data(&[6], &[1.0; 6]), pair[0].clone()];
    assert_eq!(run(&ones, |x| x[0].copysign(&x[1])).to_f64_vec()[4], -1.0);
    let truths = run_all(&pair, |x| {
        let one = x[0].slice(0, ..1);
        vec![
            one.allclose(&x[1].slice(0, ..1), 1e-5, 1e-8, false),
            x[0].allclose(&x[1], 1e-5, 1e-8, true),
            one.equal(&one),
            one.equal(&x[1].slice(0, ..1)),
            one.equal(&x[1]),
        ]
    });
    assert_eq!(
        truths.iter().map(|truth| truth.to_f64_vec()[0]).collect::<Vec<_>>(),
        [1.0, 0.0, 1.0, 0.0, 0.0]
    );
}

#[test]
fn places_and_counts() {
    let edges = data(&[4], &[0.0, 1.0, 1.0, 3.0]);
    let x = data(&[5], &[-1.0, 1.0, 2.0, 3.0, 4.0]);
    let places =
        |right: bool| run(&[edges.clone(), x.clone()], |x| x[0].searchsorted(&x[1], right)).to_f64_vec();
    assert_eq!(places(false), [0.0, 1.0, 3.0, 3.0, 4.0]);
    assert_eq!(places(true), [0.0, 3.0, 3.0, 4.0, 4.0]);
    let bins = data(&[3], &[0.0, 2.0, 3.0]);
    let counts = |density: bool| {
        run(&[x.clone(), bins.clone()], |x| x[0].histogram(&x[1], None, density)).to_f64_vec()
    };
    assert_eq!(counts(false), [1.0, 2.0]);
    assert_within(
        &run(&[x.clone(), bins.clone()], |x| x[0].histogram(&x[1], None, true)),
        &[1.0 / 6.0, 2.0 / 3.0],
        1e-12,
    );
    assert_eq!(run(&[&x], |x| x[0].histc(5, 0.0, 5.0)).to_f64_vec(), [0.0, 1.0, 1.0, 1.0, 1.0]);
    assert_eq!(run(&[x.clone(), edges], |x| x[0].isin(&x[1])).to_f64_vec(), [0.0, 1.0, 0.0, 1.0, 0.0]);
    let n = TensorData::new([4], vec![1i64, 3, 1, 0]);
    assert_eq!(run(&[n], |x| x[0].bincount(5, None)), TensorData::new([5], vec![1i64, 2, 0, 1, 0]));
}

/// PyTorch orders NaN as the greatest number; equal elements keep their order.
#[test]
fn orders_with_nan_and_ties() {
    let x = TensorData::new([6], vec![2.0f32, f32::NAN, -0.0, 2.0, 0.0, f32::INFINITY]);
    let index = |descending: bool| run(&[&x], |x| x[0].argsort(0, descending)).to_f64_vec();
    assert_eq!(index(false), [2.0, 4.0, 0.0, 3.0, 5.0, 1.0]);
    assert_eq!(index(true), [1.0, 5.0, 0.0, 3.0, 2.0, 4.0]);
    let middle = run_all(&[&x], |x| {
        let ((a, i), (b, j)) = (x[0].median(0, false), x[0].nanmedian(0, false));
        vec![a, i, b, j, x[0].topk(2, 0, true).1]
    });
    assert!(middle[0].to_f64_vec()[0].is_nan());
    assert_eq!(middle[1].to_f64_vec(), [1.0]);
    assert_eq!((middle[2].to_f64_vec(), middle[3].to_f64_vec()), (vec![2.0], vec![0.0]));
    assert_eq!(middle[4].to_f64_vec(), [1.0, 5.0]);
}

#[test]
fn sequences_without_alignment() {
    let logits = data(
        &[6, 2, 4],
        &[
            -0.22, 0.15, 0.67, -0.51, -1.59, -0.75, 0.65, 0.91, 0.15, -0.81, 1.59, -0.35, 0.55, 1.15, -0.12,
            0.55, -0.46, 1.06, -2.22, -0.47, -1.35, -0.28, 0.17, 0.76, 0.18, 0.63, 1.0, -0.22, -0.58, -1.22,
            -0.27, 0.2, -0.09, -0.35, -0.42, -1.66, -0.35, -0.77, -0.7, -1.91, -0.03, 0.29, 0.33, -1.08,
            0.54, 0.79, -0.91, -1.1,
        ],
    );
    let targets = TensorData::new([2, 3], vec![1i64, 2, 2, 3, 1, 1]);
    let inputs = TensorData::new([2], vec![6i64, 4]);
    let lengths = TensorData::new([2], vec![3i64, 2]);
    let all = [logits, targets, inputs, lengths];
    let losses =
        run(&all, |x| Ctc::new().reduction(Reduction::None).of(&x[0].log_softmax(-1), &x[1], &x[2], &x[3]));
    assert_within(&losses, &[4.9458280062, 3.3888722902], 1e-9);
    let found = run_all(&all, |x| {
        let loss = Ctc::new().of(&x[0].log_softmax(-1), &x[1], &x[2], &x[3]);
        let gradient = loss.tracer().gradient(&loss, &[&x[0]]).remove(0);
        vec![loss, gradient]
    });
    assert_within(&found[0], &[1.6715227403], 1e-9);
    assert_within(
        &found[1],
        &[
            -0.0061972306,
            -0.0880228887,
            0.0720734734,
            0.022146646,
            -0.0010220594,
            0.0232639913,
            0.0943401369,
            -0.1165820688,
            -0.0072630022,
            -0.0187390941,
            0.0097240769,
            0.0162780194,
            0.0050889875,
            0.0071950573,
            0.0295182833,
            -0.0418023282,
            -0.0804017245,
            0.0667788239,
            -0.0108796933,
            0.0245025939,
            -0.0138391462,
            -0.1277734393,
            0.0682998816,
            0.0733127039,
            -0.0085222198,
            0.0474458337,
            -0.0592026718,
            0.0202790578,
            -0.0808435932,
            -0.093878643,
            0.0672010102,
            0.107521226,
            -0.0445302861,
            0.0476306972,
            -0.0159521286,
            0.0128517174,
            0.0,
            0.0,
            0.0,
            0.0,
            -0.0070685275,
            0.0551681506,
            -0.0621182342,
            0.014018611,
            0.0,
            0.0,
            0.0,
            0.0,
        ],
        1e-9,
    );
    // Two equal labels need a blank between them: two steps are too few for this target.
    let short =
        [all[0].clone(), TensorData::new([2, 2], vec![1i64, 1, 1, 2]), TensorData::new([2], vec![2i64, 2])];
    let short = [&short[0], &short[1], &short[2], &short[2]];
    let losses =
        run(&short, |x| Ctc::new().reduction(Reduction::None).of(&x[0].log_softmax(-1), &x[1], &x[2], &x[3]));
    assert!(losses.to_f64_vec()[0].is_infinite() && losses.to_f64_vec()[1].is_finite());
    let found = run_all(&short, |x| {
        let loss = Ctc::new().zero_infinity(true).of(&x[0].log_softmax(-1), &x[1], &x[2], &x[3]);
        let gradient = loss.tracer().gradient(&loss, &[&x[0]]).remove(0);
        vec![loss, gradient]
    });
    assert!(found.iter().flat_map(TensorData::to_f64_vec).all(f64::is_finite));
}

#[test]
fn extrema_and_means_of_what_is_sent_to_many_places() {
    // More places than are compared with each index; each gets several elements, some of them equal, and some none.
    let (n, m) = (80, 200);
    let of = |rows: usize, value: &dyn Fn(usize) -> f64| {
        data(&[rows, 2], &(0..2 * rows).map(value).collect::<Vec<_>>())
    };
    let mut inputs = [
        of(n, &|i| (i * 11 % 29) as f64 / 4.0 - 3.0),
        of(m, &|i| (i * 37 % 23) as f64 / 4.0 - 2.0),
        TensorData::new([m, 2], (0..2 * m as i64).map(|i| (i * i * 7 + i + 3) % 70).collect::<Vec<_>>()),
        of(n, &|i| (i % 7) as f64 - 3.0),
        of(n, &|i| (i % 3) as f64 - 0.5),
        of(m, &|i| (i % 5) as f64 - 1.0),
    ];
    // A weighted sum of the results, and one of each gradient: PyTorch's `scatter_reduce`.
    let expected = [
        (Combine::Max, true, [-37.0, 0.5, 16.0]),
        (Combine::Max, false, [-31.125, -3.5, 12.0]),
        (Combine::Min, true, [-35.25, -6.5, -2.0]),
        (Combine::Min, false, [-35.875, -3.5, -13.0]),
        (Combine::Mean, true, [-36.628_66, -2.751_499, -0.432_984]),
        (Combine::Mean, false, [-34.867_043, -3.5, -0.545_455]),
        (Combine::Sum, true, [-70.0, -2.5, 4.0]),
        (Combine::Sum, false, [-62.375, -3.5, 4.0]),
    ];
    for (combine, include_self, expected) in expected {
        // PyTorch shares the gradient with what is at the place also where that does not count: it is equal to nothing.
        let other = if include_self { 0.0 } else { 0.125 };
        inputs[0] = of(n, &|i| (i * 11 % 29) as f64 / 4.0 - 3.0 + other);
        let got = run_all(&inputs, |x| {
            let result = x[0].scatter_reduce(0, &x[2], &x[1], combine, include_self);
            let loss = (result * &x[3]).sum(..);
            let gradients = loss.tracer().gradient(&loss, &[&x[0], &x[1]]);
            let of = |k: usize| (&gradients[k] * &x[4 + k]).sum(..);
            vec![stack(&[&loss, &of(0), &of(1)], 0)]
        });
        assert_within(&got[0], &expected, 1e-5);
    }
}

#[test]
fn extrema_of_what_is_sent_are_nan_where_something_is() {
    let n = 70;
    let source = data(&[4], &[1.0, f64::NAN, -2.0, f64::INFINITY]);
    let inputs = [data(&[n], &vec![0.5; n]), source, TensorData::new([4], vec![3i64, 3, 5, 6])];
    for (combine, expected) in [(Combine::Max, [0.5, f64::INFINITY]), (Combine::Min, [-2.0, 0.5])] {
        let got = run_all(&inputs, |x| vec![x[0].scatter_reduce(0, &x[2], &x[1], combine, true)]);
        let got = got[0].to_f64_vec();
        assert!(got[3].is_nan(), "{combine:?}");
        assert_eq!([got[5], got[6], got[0]], [expected[0], expected[1], 0.5], "{combine:?}");
    }
}

#[test]
fn hinges_of_scores_and_classes() {
    // (1 - t * y).clamp(min=0), its mean and the gradient of that; sklearn.metrics.hinge_loss gives the same mean.
    let all = [data(&[4], &[0.5, -2.0, 1.5, 0.25]), TensorData::new([4], vec![1i64, -1, -1, 1])];
    let found = run_all(&all, |x| {
        let loss = Hinge::new().of(&x[0], &x[1]);
        let gradient = loss.tracer().gradient(&loss, &[&x[0]]).remove(0);
        vec![Hinge::new().reduction(Reduction::None).of(&x[0], &x[1]), loss, gradient]
    });
    assert_within(&found[0], &[0.5, 0.0, 2.5, 0.75], 1e-12);
    assert_within(&found[1], &[0.9375], 1e-12);
    assert_within(&found[2], &[-0.25, 0.0, 0.25, -0.25], 1e-12);
    // With a margin of 0.2: 0.2 - t * y.
    let losses = run(&all, |x| Hinge::new().margin(0.2).reduction(Reduction::Sum).of(&x[0], &x[1]));
    assert_within(&losses, &[1.7], 1e-12);
}
