//! Random bits: Philox 4x32-10, a counter-based generator.
//!
//! Source: Salmon, Moraes, Dror, Shaw, *Parallel random numbers: as easy as 1, 2, 3*, SC 2011.
//!
//! The state is `i64[2]`: a key and a counter. Element `i` (row-major) of the result is word `i % 4` of the block
//! whose 128-bit counter is `counter + i / 4` (the counter read as unsigned) under the key split into two 32-bit
//! words, low word first. The op does not advance the state: the program adds to the counter what it drew.

use super::rule::{self, Accepts};
use crate::{DType, Shape, TensorType, TypeError};

/// The two odd multipliers, chosen by the authors for their avalanche.
pub const MULTIPLIERS: [u32; 2] = [0xD251_1F53, 0xCD9E_8D57];

/// What each round adds to the key: the golden ratio and the square root of 3 less 1, as 32-bit fractions.
pub const KEY_STEPS: [u32; 2] = [0x9E37_79B9, 0xBB67_AE85];

/// Type rule of `random_bits`: 32 random bits an element, as `i32`.
pub fn infer(shape: &Shape, operands: &[&TensorType]) -> Result<TensorType, TypeError> {
    let [state] = rule::operands("random_bits", operands, [Accepts::Index])?;
    if *state != TensorType::new(DType::I64, [2]) {
        return Err(rule::attribute("random_bits", state, "the state must be i64[2]: key and counter"));
    }
    Ok(TensorType { dtype: DType::I32, shape: shape.clone() })
}

/// The four words of one block: ten rounds of multiplication and key mixing.
pub fn philox(counter: [u32; 4], key: [u32; 2]) -> [u32; 4] {
    let ([mut c0, mut c1, mut c2, mut c3], [mut k0, mut k1]) = (counter, key);
    for _ in 0..10 {
        let (p0, p1) = (u64::from(MULTIPLIERS[0]) * u64::from(c0), u64::from(MULTIPLIERS[1]) * u64::from(c2));
        (c0, c1, c2, c3) = ((p1 >> 32) as u32 ^ c1 ^ k0, p1 as u32, (p0 >> 32) as u32 ^ c3 ^ k1, p0 as u32);
        (k0, k1) = (k0.wrapping_add(KEY_STEPS[0]), k1.wrapping_add(KEY_STEPS[1]));
    }
    [c0, c1, c2, c3]
}

/// Element `i` (row-major) of `random_bits` in a state.
pub fn reference(key: i64, counter: i64, i: usize) -> i32 {
    // 128 bits: a counter near the end of the lower 64 goes on in the upper ones.
    let block = u128::from(counter as u64) + (i / 4) as u128;
    let words =
        philox([0, 32, 64, 96].map(|shift| (block >> shift) as u32), [key as u32, (key >> 32) as u32]);
    words[i % 4] as i32
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Known answers from `kat_vectors` of the authors' library Random123.
    #[test]
    fn philox_gives_the_known_answers() {
        let answers = [
            ([0; 4], [0; 2], [0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8]),
            ([u32::MAX; 4], [u32::MAX; 2], [0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd]),
            (
                [0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344],
                [0xa4093822, 0x299f31d0],
                [0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1],
            ),
        ];
        for (counter, key, expected) in answers {
            assert_eq!(philox(counter, key), expected, "counter {counter:x?}, key {key:x?}");
        }
    }

    #[test]
    fn elements_are_the_words_of_successive_blocks() {
        let (key, counter) = (0x1122_3344_5566_7788, 0x7_ffff_ffff);
        let key_words = [0x5566_7788, 0x1122_3344];
        // The low counter word carries into the high one between the first block and the second.
        assert_eq!(reference(key, counter, 2), philox([0xffff_ffff, 7, 0, 0], key_words)[2] as i32);
        assert_eq!(reference(key, counter, 4), philox([0, 8, 0, 0], key_words)[0] as i32);
    }
}
