//! Eigenvalues and singular values, with first and second derivatives, against PyTorch 2.15 in `f64`.

mod uses;

use crate::functions::data;
use crate::support::{assert_within, run_all};
use kiln::Tensor;
use kiln::prelude::*;

/// Numbers that grow from 1 to 2, in the shape of `x`.
fn weights(x: &Tensor) -> Tensor {
    let n = x.n_elements();
    let numbers = (0..n).map(|i| 1.0 + i as f64 / (n - 1).max(1) as f64).collect::<Vec<_>>();
    x.constant(TensorData::new(x.extents(), numbers))
}

/// Checks the result, the gradient of its weighted sum, and the gradient of the weighted sum of that.
#[track_caller]
fn check(function: fn(&Tensor) -> Tensor, x: TensorData, value: &[f64], first: &[f64], second: &[f64]) {
    let found = run_all(&[x], |x| {
        let x = &x[0];
        let slope = |y: &Tensor| x.tracer().gradient(&(y * weights(y)).sum(..), &[x]).remove(0);
        let y = function(x);
        let first = slope(&y);
        let second = slope(&first);
        vec![y, first, second]
    });
    assert_within(&found[0], value, 1e-9);
    assert_within(&found[1], first, 1e-8);
    assert_within(&found[2], second, 1e-7);
}

#[test]
fn eigenvalues_and_singular_values() {
    // eigenvalues
    check(
        |x| x.eigvalsh(),
        data(&[3, 3], &[2.0, -1.0, 0.5, 1.0, 3.0, -2.0, 0.25, 1.5, -1.0]),
        &[-1.061325057, 2.045207352, 3.016117705],
        &[
            1.492917499,
            -0.008139969625,
            0.06088147614,
            -0.008139969625,
            1.995790165,
            -0.06229423642,
            0.06088147614,
            -0.06229423642,
            1.011292336,
        ],
        &[
            -0.09691450648,
            0.6578106437,
            0.2144733352,
            0.6578106437,
            0.08964393983,
            0.4573744825,
            0.2144733352,
            0.4573744825,
            0.007270566655,
        ],
    );
    // squares of eigenvectors
    check(
        |x| x.eigh().1.square(),
        data(&[3, 3], &[2.0, -1.0, 0.5, 1.0, 3.0, -2.0, 0.25, 1.5, -1.0]),
        &[
            0.01472845112,
            0.9847080998,
            0.0005634491294,
            0.003719272088,
            0.0009811264886,
            0.9952996014,
            0.9815522768,
            0.01431077376,
            0.004136949448,
        ],
        &[
            2.171581693e-18,
            -9.237501889e-19,
            -8.707609132e-18,
            -9.237501889e-19,
            3.800254201e-19,
            3.008279821e-18,
            -8.707609132e-18,
            3.008279821e-18,
            -2.551607113e-18,
        ],
        &[
            1.297228693e-17,
            8.557044734e-17,
            -3.36961208e-17,
            8.557044734e-17,
            6.384390305e-19,
            -8.13258315e-18,
            -3.36961208e-17,
            -8.13258315e-18,
            -1.361072596e-17,
        ],
    );
    // matrix_sqrth
    check(
        |x| x.matrix_sqrth(),
        data(&[3, 3], &[4.0, 1.0, 0.5, 1.0, 3.0, -1.0, 0.5, -1.0, 2.0]),
        &[
            1.970335025,
            0.2918094345,
            0.180629852,
            0.2918094345,
            1.671580563,
            -0.3473696501,
            0.180629852,
            -0.3473696501,
            1.358936048,
        ],
        &[
            0.1780212874,
            0.2862446861,
            0.3637799708,
            0.2862446861,
            0.5413337492,
            0.6863347832,
            0.3637799708,
            0.6863347832,
            0.8629562465,
        ],
        &[
            -0.08018746434,
            -0.1674930917,
            -0.2164162339,
            -0.1674930917,
            -0.6610313774,
            -0.8861153634,
            -0.2164162339,
            -0.8861153634,
            -1.189756603,
        ],
    );
    // singular values
    check(
        |x| x.svdvals(),
        data(&[4, 2], &[1.0, 2.0, 3.0, -1.0, 0.5, 2.0, -2.0, 1.0]),
        &[3.878550552, 3.034278434],
        &[
            0.5874075626,
            1.346716164,
            0.7995768701,
            -0.1920351732,
            0.4312246124,
            1.277955748,
            -0.4872109697,
            0.3295560043,
        ],
        &[
            -0.4438864343,
            -0.2968982644,
            0.3106604105,
            0.3767944897,
            -0.08050534209,
            0.3023727183,
            0.9299550632,
            1.777913582,
        ],
    );
    // squares of vectors on the left, of more rows
    check(
        |x| x.svd(false).0.square(),
        data(&[4, 2], &[1.0, 2.0, 3.0, -1.0, 0.5, 2.0, -2.0, 1.0]),
        &[
            0.00245763701,
            0.5390586085,
            0.6626864163,
            0.003378565635,
            0.004936485581,
            0.4535472689,
            0.3299194611,
            0.004015556955,
        ],
        &[
            -0.04203290617,
            -0.1189790413,
            -0.06343662203,
            0.05188204125,
            0.06080025619,
            0.1206695922,
            -0.1009713221,
            0.0485009393,
        ],
        &[
            0.1150821087,
            0.02800445144,
            0.1087083967,
            0.09625763411,
            0.0009333821094,
            -0.2106030072,
            0.1130524013,
            0.2194495542,
        ],
    );
    // squares of vectors on the right, of more columns
    check(
        |x| x.svd(false).2.square(),
        data(&[2, 4], &[1.0, 2.0, 3.0, -1.0, 0.5, 2.0, -2.0, 1.0]),
        &[
            0.03639096215,
            0.08630627677,
            0.7733689554,
            0.1039338057,
            0.08059016993,
            0.7967125912,
            0.08134802575,
            0.04134921317,
        ],
        &[
            -0.02436047399,
            0.009347505467,
            -0.0008493108885,
            -0.008213395718,
            -0.01462645578,
            0.002176677008,
            0.01323297564,
            0.02942582515,
        ],
        &[
            0.01874950874,
            0.002668347093,
            0.02796588555,
            0.08148085538,
            -0.02177049867,
            -0.03361059733,
            0.05601205104,
            0.1259563538,
        ],
    );
    // products of both
    check(
        |x| {
            let (u, _, vt) = x.svd(false);
            u.matmul(&vt)
        },
        data(&[3, 3], &[2.0, -1.0, 0.5, 1.0, 3.0, -2.0, 0.25, 1.5, -1.0]),
        &[
            0.9310665295,
            -0.3613677107,
            0.05028414617,
            0.3648363426,
            0.923316324,
            -0.1199225123,
            0.003092049266,
            -0.1300013213,
            -0.9915089993,
        ],
        &[
            0.1662691957,
            0.5766385033,
            1.065362682,
            -0.4364943377,
            0.3048201503,
            1.018961499,
            1.436366099,
            0.5620472479,
            -0.06921325996,
        ],
        &[
            -1.878134789,
            -0.5594337737,
            1.021238067,
            -1.460532196,
            -0.9396303944,
            -0.656308284,
            0.06576309784,
            0.5839141937,
            2.327895038,
        ],
    );
}

/// Numbers without order.
fn scattered(extents: &[usize]) -> TensorData {
    let n = extents.iter().product::<usize>();
    data(extents, &(0..n).map(|i| (i as f64 * 12.9898).sin() * 3.0).collect::<Vec<_>>())
}

/// How far the rows of matrices are from orthogonal unit vectors.
fn distance_from_orthogonal(x: &Tensor) -> Tensor {
    let n = x.extents()[x.rank() - 2];
    (x.matmul(&x.transpose(-1, -2)) - x.tracer().eye(DType::F64, n, n)).abs().max(..)
}

#[test]
fn decompositions_give_back_the_matrix() {
    // Batches, of odd and even extents, with as many, more and fewer rows than columns.
    for (m, n) in [(12, 12), (9, 5), (4, 7), (1, 1), (3, 1)] {
        let found = run_all(&[scattered(&[2, m, n])], |x| {
            let (u, s, vt) = x[0].svd(true);
            let k = m.min(n) as i64;
            let back = (u.slice(-1, ..k) * s.unsqueeze(-2)).matmul(&vt.slice(-2, ..k));
            let mut differences = vec![(back - &x[0]).abs().max(..)];
            differences.extend([distance_from_orthogonal(&u), distance_from_orthogonal(&vt)]);
            differences.push(
                if k > 1 { s.diff(1, -1).clamp_min(0.0).max(..) } else { s.lt(0.0).any(..) }.cast(DType::F64),
            );
            if m == n {
                let (values, vectors) = x[0].eigh();
                let back = (&vectors * values.unsqueeze(-2)).matmul(&vectors.transpose(-1, -2));
                differences.push((back * 2.0 - &x[0] - x[0].transpose(-1, -2)).abs().max(..));
                differences.push(distance_from_orthogonal(&vectors));
            }
            differences
        });
        for (i, difference) in found.iter().enumerate() {
            assert!(difference.to_f64_vec()[0] < 1e-12, "{m} x {n}: {i}: {difference:?}");
        }
    }
}

#[test]
fn matrices_of_lower_rank_have_unit_vectors_and_finite_gradients() {
    let x = data(&[4, 3], &[1.0, 2.0, 3.0, 2.0, 4.0, 6.0, -1.0, -2.0, -3.0, 0.0, 0.0, 0.0]);
    let found = run_all(&[x], |x| {
        let (u, s, vt) = x[0].svd(true);
        let gradient = x[0].tracer().gradient(&(u.square().sum(0) * weights(&u.sum(0))).sum(..), &[&x[0]]);
        let unit = x[0].tracer().eye(DType::F64, 3, 3);
        let (values, vectors) = (unit.clone() + x[0].slice(0, ..3) * 0.0).eigh();
        let turned = (vectors.square() * weights(&vectors)).sum(..) + values.sum(..);
        let of_unit = x[0].tracer().gradient(&turned, &[&x[0]]);
        vec![
            s,
            distance_from_orthogonal(&u.transpose(-1, -2)),
            distance_from_orthogonal(&vt),
            x[0].matrix_rank(),
            gradient[0].abs().sum(..),
            of_unit[0].abs().sum(..),
            x[0].zeros_like().svdvals(),
        ]
    });
    assert_within(&found[0], &[84f64.sqrt(), 0.0, 0.0], 1e-12);
    assert_within(&found[1], &[0.0], 1e-12);
    assert_within(&found[2], &[0.0], 1e-12);
    assert_within(&found[3], &[1.0], 0.0);
    assert!(found[4].to_f64_vec()[0].is_finite() && found[5].to_f64_vec()[0].is_finite());
    assert_within(&found[6], &[0.0; 3], 0.0);
}
