//! The inverses of the error function and of the normal distribution, with first and second derivatives, against values
//! with 50 digits by mpmath 1.3.

use crate::functions::data;
use crate::support::{run_all, run_compiled};
use kiln::Tensor;
use kiln::prelude::*;

/// Checks each element to a relative tolerance.
#[track_caller]
fn assert_near(what: &str, found: &TensorData, expected: &[f64], tolerance: f64) {
    for (i, (found, &expected)) in found.to_f64_vec().into_iter().zip(expected).enumerate() {
        let error = (found - expected).abs();
        assert!(error <= tolerance * expected.abs(), "{what} {i}: {found:e} against {expected:e}");
    }
}

/// The results of a function of one tensor, interpreted and compiled.
fn both_ways(x: &TensorData, function: impl Fn(&Tensor) -> Vec<Tensor>) -> [Vec<TensorData>; 2] {
    let inputs = std::slice::from_ref(x);
    [run_all(inputs, |x| function(&x[0])), run_compiled(inputs, |x| function(&x[0]))]
}

/// Checks values, first and second derivatives.
fn check(function: fn(&Tensor) -> Tensor, x: &[f64], value: &[f64], first: &[f64], second: &[f64]) {
    for found in both_ways(&data(&[x.len()], x), |x| {
        let slope = |y: &Tensor| x.tracer().gradient(&y.sum(..), &[x]).remove(0);
        let y = function(x);
        let first = slope(&y);
        let second = slope(&first);
        vec![y, first, second]
    }) {
        assert_near("value", &found[0], value, 1e-15);
        assert_near("derivative", &found[1], first, 1e-12);
        assert_near("second derivative", &found[2], second, 1e-12);
    }
}

#[test]
fn the_inverse_of_the_error_function() {
    check(
        |x| x.erfinv(),
        &[
            -0.999999999999,
            -0.9999,
            -0.97,
            -0.7,
            -0.1,
            1e-09,
            0.3,
            0.85,
            0.96,
            0.9995,
            0.99999999,
            0.9999999999999991,
        ],
        &[
            -5.042031898572696,
            -2.75106390571208,
            -1.5344856217777179,
            -0.7328690779592167,
            -0.08885599049425769,
            8.86226925452758e-10,
            0.2724627147267543,
            1.0179024648320276,
            1.4522197815622466,
            2.461266457171732,
            4.052237243268763,
            5.686128441310391,
        ],
        &[
            97323218788.39923,
            1715.6895961763137,
            9.335869211240112,
            1.5163632173337642,
            0.8932517253051876,
            0.886226925452758,
            0.9545203588405493,
            2.4976322679437533,
            7.3020859676239,
            378.81590018017334,
            11993128.732177582,
            97539097489305.25,
        ],
        &[
            -9.551432537660486e+22,
            -16196012.753463956,
            -267.4867887420218,
            -3.370255885361794,
            -0.14179614878847469,
            1.392081999207927e-09,
            0.496486526010743,
            12.699691020477362,
            154.86605203353471,
            706390.7892210089,
            1165708196354500.8,
            1.0819423657911088e+29,
        ],
    );
}

#[test]
fn the_inverse_of_the_normal_distribution() {
    check(
        |x| x.ndtri(),
        &[2e-16, 1e-09, 0.001, 0.02, 0.3, 0.5, 0.9, 0.999, 0.999999999999],
        &[
            -8.138562060199721,
            -5.9978070150076865,
            -3.0902323061678136,
            -2.053748910631823,
            -0.5244005127080408,
            0.0,
            1.2815515655446006,
            3.090232306167813,
            7.0344869100478356,
        ],
        &[
            605475210213746.9,
            162434114.42785463,
            296.99235158923113,
            20.653418018055984,
            2.8761036592642926,
            2.5066282746310007,
            5.698059856117005,
            296.9923515892309,
            139445764410.2959,
        ],
        &[
            -2.983598724630948e+30,
            -1.5825118761826845e+17,
            -272572.2622680967,
            -876.0546845480103,
            -4.3378264936389535,
            0.0,
            41.60927029199779,
            272572.2622680962,
            1.3678645062990873e+23,
        ],
    );
}

#[test]
fn single_precision_and_ends() {
    let x = TensorData::new(
        [6],
        [
            -0.9999899864196777,
            -0.5,
            9.999999682655225e-21,
            0.8999999761581421,
            0.9999989867210388,
            0.9999998807907104,
        ]
        .map(|x| x as f32)
        .to_vec(),
    );
    for found in both_ways(&x, |x| {
        let y = x.erfinv();
        let slope = x.tracer().gradient(&y.sum(..), &[x]).remove(0);
        vec![y, slope]
    }) {
        assert_near(
            "value",
            &found[0],
            &[
                -3.123205771165071,
                -0.4769362762044699,
                8.862268973288096e-21,
                1.1630870719457722,
                3.45707472603595,
                3.7439211627767994,
            ],
            5e-7,
        );
        assert_near(
            "derivative",
            &found[1],
            &[
                15269.796195584824,
                1.1125848189719498,
                0.886226925452758,
                3.428042159711315,
                137390.62482961177,
                1083994.552340263,
            ],
            5e-6,
        );
    }
    // As PyTorch has it.
    for found in both_ways(&data(&[4], &[-1.0, 1.0, 1.5, 0.0]), |x| {
        let y = x.erfinv();
        let slope = x.tracer().gradient(&y.sum(..), &[x]).remove(0);
        vec![y, slope]
    }) {
        let (y, slope) = (found[0].to_f64_vec(), found[1].to_f64_vec());
        assert_eq!(y[..2], [f64::NEG_INFINITY, f64::INFINITY]);
        assert!(y[2].is_nan() && slope[2].is_nan());
        assert_eq!(slope[..2], [f64::INFINITY; 2]);
        assert_eq!((y[3], slope[3]), (0.0, 0.886_226_925_452_758));
    }
}
