//! Streams of random numbers in f32, a block at a time: what parameters begin with.
//!
//! A stream is a function of its seed and number alone; on all machines of one instruction set it has the same bits.

use super::isa::Isa;
use super::math::{FloatKind, MathOp, philox, unary};
use std::f32::consts::TAU;

/// Elements of a block: a few arrays of them fit the first level of every cache.
const BLOCK: usize = 512;

/// A stream of random numbers: Philox 4x32-10 with the seed as its key and the number of the stream in the upper half of
/// its counter, so that streams do not overlap.
#[derive(Clone, Copy, Debug)]
pub struct Stream {
    isa: Isa,
    key: [u32; 2],
    counter: [u32; 4],
}

impl Stream {
    /// The stream of this number.
    pub fn new(isa: Isa, seed: u64, number: u64) -> Stream {
        let words = |x: u64| [x as u32, (x >> 32) as u32];
        let [low, high] = words(number);
        Stream { isa, key: words(seed), counter: [0, 0, low, high] }
    }

    /// Hands over `n` numbers that are uniform in `low..high`, in blocks; each has 24 random bits.
    pub fn uniform(self, n: usize, low: f32, high: f32, mut take: impl FnMut(&[f32])) {
        let mut block = [0f32; BLOCK];
        for start in (0..n).step_by(BLOCK) {
            let block = &mut block[..BLOCK.min(n - start)];
            self.units(start as u64, block);
            // Rounding may reach the bound above, which is not part of the range.
            let below = high.next_down().max(low);
            block.iter_mut().for_each(|x| *x = (low + (high - low) * *x).min(below));
            take(block);
        }
    }

    /// Hands over `n` normal deviates with this mean and deviation, in blocks.
    ///
    /// Source: Box and Muller, *A note on the generation of random normal deviates*, 1958: two uniform numbers make two
    /// deviates.
    pub fn normal(self, n: usize, mean: f32, std: f32, mut take: impl FnMut(&[f32])) {
        const HALF: usize = BLOCK / 2;
        let (mut units, mut sines, mut cosines) = ([0f32; BLOCK], [0f32; HALF], [0f32; HALF]);
        for start in (0..n).step_by(BLOCK) {
            self.units(start as u64, &mut units);
            let (radii, angles) = units.split_at_mut(HALF);
            // 1 - u is in (0, 1], where the logarithm is finite.
            radii.iter_mut().for_each(|u| *u = 1.0 - *u);
            self.map(MathOp::Log, None, radii);
            angles.iter_mut().for_each(|u| *u *= TAU);
            self.map(MathOp::Sin, Some(angles), &mut sines);
            self.map(MathOp::Cos, Some(angles), &mut cosines);
            for (((radius, angle), sin), cos) in radii.iter_mut().zip(angles).zip(&sines).zip(&cosines) {
                let length = std * (-2.0 * *radius).sqrt();
                (*radius, *angle) = (mean + length * cos, mean + length * sin);
            }
            take(&units[..BLOCK.min(n - start)]);
        }
    }

    /// Numbers in `0..1` from place `first` of the stream on.
    fn units(self, first: u64, block: &mut [f32]) {
        let mut words = [0u32; BLOCK];
        let fill = philox(self.isa).function;
        // SAFETY: the block has at most as many elements as there are words; key and counter are as long as the routine
        // says; whoever made the stream had the instruction set from `Isa`, which offers what the machine has.
        unsafe { fill(words.as_mut_ptr(), block.len(), self.key.as_ptr(), self.counter.as_ptr(), first) };
        const UNIT: f32 = 1.0 / (1 << 24) as f32;
        // As i32, for which every machine has a conversion of a whole vector.
        block.iter_mut().zip(&words).for_each(|(x, word)| *x = (word >> 8) as i32 as f32 * UNIT);
    }

    /// Applies a function to `from`, or in place.
    fn map(self, op: MathOp, from: Option<&[f32]>, to: &mut [f32]) {
        let (function, n) = (unary(self.isa, op, FloatKind::F32).function, to.len());
        assert!(from.is_none_or(|from| from.len() == n), "as many operands as results");
        let to = to.as_mut_ptr().cast::<u8>();
        let from = from.map_or(to.cast_const(), |from| from.as_ptr().cast());
        // SAFETY: both have `n` elements and are the same or, as references, do not overlap; for the instruction set see
        // `units`.
        unsafe { function(to, from, n) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn collect(draw: impl FnOnce(&mut dyn FnMut(&[f32]))) -> Vec<f32> {
        let mut all = Vec::new();
        draw(&mut |block| all.extend_from_slice(block));
        all
    }

    #[test]
    fn a_stream_begins_the_same_however_long_it_is() {
        for isa in Isa::available() {
            let stream = Stream::new(isa, 3, 4);
            let long = collect(|take| stream.uniform(1300, -1.0, 2.0, take));
            let short = collect(|take| stream.uniform(515, -1.0, 2.0, take));
            assert_eq!(long[..515], short);
            let long = collect(|take| stream.normal(1300, -1.0, 2.0, take));
            let short = collect(|take| stream.normal(515, -1.0, 2.0, take));
            assert_eq!(long[..515], short);
        }
    }

    #[test]
    fn numbers_are_within_their_bounds() {
        for isa in Isa::available() {
            let numbers =
                collect(|take| Stream::new(isa, 0, 0).uniform(100_000, 1.0, 1.0 + f32::EPSILON, take));
            assert!(numbers.iter().all(|&x| x == 1.0));
        }
    }
}
