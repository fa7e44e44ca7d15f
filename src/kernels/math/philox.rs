//! Random bits: Philox 4x32-10.
//!
//! J. K. Salmon, M. A. Moraes, R. O. Dror and D. E. Shaw, *Parallel random numbers: as easy as 1, 2, 3*, SC 2011,
//! section 3.3. A block of four words is a function of a key of two words and a counter of four; there is no
//! other state. Element `i` of a stream is word `i % 4` of the block at `counter + i / 4`, where the counter is
//! a number of 128 bits, its lowest word first, that wraps. So any part of a stream can be made alone.

/// The multipliers, and what the key grows by from round to round (the paper, table 2 and section 3.3).
const MULTIPLIERS: [u64; 2] = [0xd251_1f53, 0xcd9e_8d57];
const WEYL: [u32; 2] = [0x9e37_79b9, 0xbb67_ae85];
const ROUNDS: usize = 10;

/// Blocks computed at once: one vector of the longest kind. The next group overlaps with it in the machine.
const GROUP: usize = 8;
/// Elements of a group.
const GROUP_ELEMENTS: usize = 4 * GROUP;
/// A word among the 64 bits of a lane.
const WORD: u64 = 0xffff_ffff;

/// Word `w` of block `b` in the low half of `[w][b]`; what the high half holds is of no account. Vectors
/// multiply 32 by 32 bits in lanes of 64, so words that stay there need not be moved between rounds.
type Words = [[u64; GROUP]; 4];

/// Elements `first_element ..` of the stream.
///
/// # Safety
/// `dst` must be writable for `n` elements.
#[inline(always)]
pub(super) unsafe fn philox(dst: *mut u32, n: usize, key: [u32; 2], counter: [u32; 4], first_element: u64) {
    let counter = counter.iter().rev().fold(0, |sum: u128, &word| sum << 32 | u128::from(word));
    let mut counter = counter.wrapping_add(u128::from(first_element / 4));
    let mut done = 0;
    let skip = (first_element % 4) as usize;
    if skip > 0 {
        done = n.min(4 - skip);
        let elements = group(key, counter);
        // SAFETY: `done <= n`, and `skip + done <= 4`.
        unsafe { dst.copy_from_nonoverlapping(elements[skip..].as_ptr(), done) };
        counter = counter.wrapping_add(1);
    }
    while n - done >= GROUP_ELEMENTS {
        // SAFETY: `done + GROUP_ELEMENTS <= n`.
        unsafe { dst.add(done).cast::<[u32; GROUP_ELEMENTS]>().write_unaligned(group(key, counter)) };
        done += GROUP_ELEMENTS;
        counter = counter.wrapping_add(GROUP as u128);
    }
    if done < n {
        let elements = group(key, counter);
        // SAFETY: `n - done` elements are left, less than a group has.
        unsafe { dst.add(done).copy_from_nonoverlapping(elements.as_ptr(), n - done) };
    }
}

/// The elements of the blocks at `counter`, `counter + 1`, ...
#[inline(always)]
fn group(key: [u32; 2], counter: u128) -> [u32; GROUP_ELEMENTS] {
    let mut words = counters(counter);
    let mut key = key;
    for _ in 0..ROUNDS {
        round(&mut words, key);
        key = [key[0].wrapping_add(WEYL[0]), key[1].wrapping_add(WEYL[1])];
    }
    let mut elements = [0; GROUP_ELEMENTS];
    for (block, elements) in elements.chunks_exact_mut(4).enumerate() {
        for (element, word) in elements.iter_mut().zip(&words) {
            *element = word[block] as u32;
        }
    }
    elements
}

/// The counters of a group.
#[inline(always)]
fn counters(counter: u128) -> Words {
    let (low, high) = (counter as u64, (counter >> 64) as u64);
    let mut words = [[0; GROUP]; 4];
    let [w0, w1, w2, w3] = &mut words;
    for block in 0..GROUP {
        let low_sum = low.wrapping_add(block as u64);
        let high_sum = high.wrapping_add(u64::from(low_sum < low));
        w0[block] = low_sum;
        w1[block] = low_sum >> 32;
        w2[block] = high_sum;
        w3[block] = high_sum >> 32;
    }
    words
}

/// One round of every block.
#[inline(always)]
fn round(words: &mut Words, key: [u32; 2]) {
    let key = key.map(u64::from);
    let [c0, c1, c2, c3] = words;
    for block in 0..GROUP {
        let product0 = (c0[block] & WORD) * MULTIPLIERS[0];
        let product1 = (c2[block] & WORD) * MULTIPLIERS[1];
        c0[block] = product1 >> 32 ^ c1[block] ^ key[0];
        c1[block] = product1;
        c2[block] = product0 >> 32 ^ c3[block] ^ key[1];
        c3[block] = product0;
    }
}
