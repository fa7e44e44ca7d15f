//! How far rounding alone moves a value.
//!
//! The sum of terms that cancel is all rounding: the gradient of a bias before a batch norm is zero, and what two right
//! programs make of it has not a digit in common. So a value that is off is computed again from operands that are changed in
//! their last digit. What changes that much by itself accuses no kernel.

use super::{Observed, largest_distance, norm_distance};
use kiln_ir::{DType, Graph, Literal, NodeId, TensorData, interpret};
use std::collections::HashMap;

/// How many times as far as such a change moves it a value may be off. Operands are changed once, while a sum of `n` terms is
/// rounded `n` times, which moves it some `sqrt(n)` times as far.
const FACTOR: f64 = 32.0;

/// How often it is tried: a change may happen to move nothing.
const ATTEMPTS: u64 = 4;

/// How operands are changed: not at all, or in one of many ways.
pub(super) type Nudge = Option<u64>;

/// The values as they are, or each changed in its last digit, up or down as a hash of its place decides.
pub(super) fn nudged(data: &TensorData, nudge: Nudge) -> TensorData {
    let Some(seed) = nudge else { return data.clone() };
    let ty = data.ty();
    let epsilon = match ty.dtype {
        DType::F32 => f64::from(f32::EPSILON),
        DType::F64 => f64::EPSILON,
        DType::I32 | DType::I64 | DType::U8 | DType::Bool => return data.clone(),
    };
    let change = |i: usize| {
        // The finalizer of MurmurHash3, A. Appleby, 2011.
        let mut hash =
            (i as u64 ^ seed.wrapping_mul(0x9e37_79b9_7f4a_7c15)).wrapping_mul(0xff51_afd7_ed55_8ccd);
        hash = (hash ^ hash >> 33).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
        if hash >> 63 == 0 { 1.0 + epsilon } else { 1.0 - epsilon }
    };
    TensorData::from_fn(&ty, |i| Literal::from_f64(ty.dtype, data.get(i).as_f64() * change(i)))
}

/// How far an element of a value may be off for rounding alone.
pub(super) fn of_value(run: &Observed, graph: &Graph, node: NodeId, expected: &TensorData) -> f64 {
    let distance =
        |seed| largest_distance(&run.compute(graph, node, Some(seed), &mut HashMap::new()), expected);
    FACTOR * (1..=ATTEMPTS).map(distance).filter(|distance| distance.is_finite()).fold(0.0, f64::max)
}

/// How far the norm of each result may be off for rounding alone, as a share of the norm.
pub(super) fn of_results(traced: &Graph, inputs: &[TensorData], expected: &[TensorData]) -> Vec<f64> {
    let changed: Vec<TensorData> = inputs.iter().map(|input| nudged(input, Some(1))).collect();
    let results = interpret(traced, &changed).unwrap_or_else(|error| panic!("{error}"));
    let distances = results.iter().zip(expected).map(|(changed, expected)| norm_distance(changed, expected));
    distances.map(|distance| FACTOR * distance).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_change_in_their_last_digit() {
        let data = TensorData::new([100], (0..100).map(|i| i as f32 - 50.0).collect());
        let changed = nudged(&data, Some(3));
        let ups = (0..100).filter(|&i| changed.get(i).as_f64() > data.get(i).as_f64()).count();
        assert!((30..70).contains(&ups), "{ups}");
        assert!(largest_distance(&changed, &data) < 50.0 * 2.5e-7);
        assert_eq!(nudged(&data, None), data);
        assert_ne!(nudged(&data, Some(4)), changed);
    }
}
