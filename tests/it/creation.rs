//! Tensors made from numbers alone, against PyTorch 2.15.

use crate::support::{assert_within, run_all};
use kiln::Tensor;
use kiln::prelude::*;

#[test]
fn numbers_in_a_row() {
    let found = run_all::<TensorData>(&[TensorData::scalar(0.0)], |x| {
        let tracer = x[0].tracer();
        vec![
            tracer.arange(DType::I64, 2.0, 11.0, 3.0),
            tracer.arange(DType::F64, 1.0, -0.2, -0.5),
            tracer.linspace(DType::F64, -1.0, 2.0, 4),
            tracer.linspace(DType::I64, 0.0, 10.0, 4),
            tracer.linspace(DType::F64, 3.0, 4.0, 1),
            tracer.logspace(DType::F64, -1.0, 2.0, 4, 10.0),
            tracer.eye(DType::F64, 2, 3),
            tracer.tril_indices(3, 3, -1),
            tracer.triu_indices(2, 4, 1),
            tracer.full(i64(&[2]), 7.0),
            tracer.zeros(f32(&[2])) + tracer.ones(f32(&[2])),
        ]
    });
    let expected: [&[f64]; 11] = [
        &[2.0, 5.0, 8.0],
        &[1.0, 0.5, 0.0],
        &[-1.0, 0.0, 1.0, 2.0],
        &[0.0, 3.0, 6.0, 10.0],
        &[3.0],
        &[0.1, 1.0, 10.0, 100.0],
        &[1.0, 0.0, 0.0, 0.0, 1.0, 0.0],
        &[1.0, 2.0, 2.0, 0.0, 0.0, 1.0],
        &[0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 2.0, 3.0, 2.0, 3.0],
        &[7.0, 7.0],
        &[1.0, 1.0],
    ];
    for (found, expected) in found.iter().zip(expected) {
        assert_within(found, expected, 1e-12);
    }
    assert_eq!(found[7].shape().extents(), [2, 3]);
}

#[test]
fn mistakes_are_errors() {
    let message = |build: fn(&Tracer) -> Tensor| {
        let tracer = Tracer::new("mistake");
        let made = build(&tracer);
        tracer.finish(&[&made]).expect_err("a mistake").to_string()
    };
    let error = message(|tracer| tracer.arange(DType::F32, 0.0, 1.0, -1.0));
    assert!(error.contains("steps of -1 do not lead from 0 to 1"), "{error}");
    let error = message(|tracer| tracer.rand(f32(&[2])));
    assert!(error.contains("no random state"), "{error}");
}
