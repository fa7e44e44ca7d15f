//! Random bits: Philox 4x32-10.
//!
//! J. K. Salmon, M. A. Moraes, R. O. Dror and D. E. Shaw, *Parallel random numbers: as easy as 1, 2, 3*, SC 2011,
//! section 3.3. A block of four words is a function of a key of two words and a counter of four; there is no
//! other state. Element `i` of a stream is word `i % 4` of the block at `counter + i / 4`, where the counter is
//! a number of 128 bits, its lowest word first, that wraps. So any part of a stream can be made alone.

/// The multipliers, and what the key grows by from round to round (the paper, table 2 and section 3.3).
const MULTIPLIERS: [u32; 2] = [0xd251_1f53, 0xcd9e_8d57];
const WEYL: [u32; 2] = [0x9e37_79b9, 0xbb67_ae85];
const ROUNDS: usize = 10;

/// Blocks computed at once: a multiple of what any vector holds.
const GROUP: usize = 16;
/// Elements of a group.
const GROUP_ELEMENTS: usize = 4 * GROUP;

/// Word `w` of block `b` at `[w][b]`.
type Words = [[u32; GROUP]; 4];

/// Elements `first_element ..` of the stream.
///
/// # Safety
/// `dst` must be writable for `n` elements.
#[inline(always)]
pub(super) unsafe fn philox(dst: *mut u32, n: usize, key: [u32; 2], counter: [u32; 4], first_element: u64) {
    let counter = counter.iter().rev().fold(0, |sum: u128, &word| sum << 32 | u128::from(word));
    let mut counter = counter.wrapping_add(u128::from(first_element / 4));
    let mut skip = (first_element % 4) as usize;
    let mut done = 0;
    while done < n {
        let elements = group(key, counter);
        let n_taken = (GROUP_ELEMENTS - skip).min(n - done);
        // SAFETY: `done + n_taken <= n`, and `skip + n_taken` is not beyond the group.
        unsafe { dst.add(done).copy_from_nonoverlapping(elements.as_ptr().add(skip), n_taken) };
        done += n_taken;
        skip = 0;
        counter = counter.wrapping_add(GROUP as u128);
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
    for block in 0..GROUP {
        for word in 0..4 {
            elements[4 * block + word] = words[word][block];
        }
    }
    elements
}

/// The counters of a group.
#[inline(always)]
fn counters(counter: u128) -> Words {
    let mut words = [[0; GROUP]; 4];
    for block in 0..GROUP {
        let c = counter.wrapping_add(block as u128);
        for (i, word) in words.iter_mut().enumerate() {
            word[block] = (c >> (32 * i)) as u32;
        }
    }
    words
}

/// One round of every block.
#[inline(always)]
fn round(words: &mut Words, key: [u32; 2]) {
    let [c0, c1, c2, c3] = words;
    for block in 0..GROUP {
        let product0 = u64::from(MULTIPLIERS[0]) * u64::from(c0[block]);
        let product1 = u64::from(MULTIPLIERS[1]) * u64::from(c2[block]);
        c0[block] = (product1 >> 32) as u32 ^ c1[block] ^ key[0];
        c1[block] = product1 as u32;
        c2[block] = (product0 >> 32) as u32 ^ c3[block] ^ key[1];
        c3[block] = product0 as u32;
    }
}
