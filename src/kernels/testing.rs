//! What the tests of products and convolutions share: data, aligned scratch, and an epilogue that counts.

use std::fmt::Debug;

use super::gemm::FloatType;
use super::part::{Epilogue, Part};

/// A float that tests can compute with.
pub trait TestFloat: Copy + Debug + Default + PartialEq + 'static {
    const DTYPE: FloatType;
    /// How much a sum of terms of about one may be off, per term.
    const TOLERANCE: f64;
    fn from_f64(x: f64) -> Self;
    fn to_f64(self) -> f64;
}

impl TestFloat for f32 {
    const DTYPE: FloatType = FloatType::F32;
    const TOLERANCE: f64 = 1e-6;
    fn from_f64(x: f64) -> f32 {
        x as f32
    }
    fn to_f64(self) -> f64 {
        self.into()
    }
}

impl TestFloat for f64 {
    const DTYPE: FloatType = FloatType::F64;
    const TOLERANCE: f64 = 1e-15;
    fn from_f64(x: f64) -> f64 {
        x
    }
    fn to_f64(self) -> f64 {
        self
    }
}

/// `count` numbers in -1..1, the same for the same seed.
pub fn numbers<T: TestFloat>(count: usize, seed: u64) -> Vec<T> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    (0..count)
        .map(|_| {
            // Marsaglia's xorshift64.
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            T::from_f64((state >> 11) as f64 / (1u64 << 52) as f64 - 1.0)
        })
        .collect()
}

/// Memory aligned to cache lines, with a guard behind it that must stay as it is.
pub struct Scratch {
    memory: Vec<u8>,
    bytes: usize,
}

const GUARD: u8 = 0xA5;

impl Scratch {
    pub fn new(bytes: usize) -> Scratch {
        Scratch { memory: vec![GUARD; bytes + 256], bytes }
    }

    pub fn pointer(&mut self) -> *mut u8 {
        let skip = self.memory.as_ptr().align_offset(64);
        self.memory[skip..].as_mut_ptr()
    }

    pub fn check(&self) {
        let skip = self.memory.as_ptr().align_offset(64);
        assert!(self.memory[skip + self.bytes..].iter().all(|&x| x == GUARD), "wrote beyond the scratch");
    }
}

/// Runs `kernel` once for each of `count` parts and returns how often the epilogue saw each of `rows` by `columns`.
pub fn run_parts(
    rows: usize,
    columns: usize,
    count: usize,
    scratch_bytes: usize,
    mut kernel: impl FnMut(*mut u8, Part, &Epilogue),
) -> Vec<u32> {
    struct Seen {
        columns: usize,
        counts: Vec<u32>,
    }
    unsafe extern "C" fn count_region(
        context: *const *mut u8,
        row_begin: usize,
        row_end: usize,
        column_begin: usize,
        column_end: usize,
        _scratch: *mut u8,
    ) {
        // SAFETY: the context is the `Seen` below, which nothing else uses during the call.
        let seen = unsafe { &mut *context.cast_mut().cast::<Seen>() };
        for row in row_begin..row_end {
            for column in column_begin..column_end {
                seen.counts[row * seen.columns + column] += 1;
            }
        }
    }
    let mut seen = Seen { columns, counts: vec![0; rows * columns] };
    let epilogue =
        Epilogue { function: count_region, context: (&raw mut seen).cast(), scratch: std::ptr::null_mut() };
    for index in 0..count {
        let mut scratch = Scratch::new(scratch_bytes);
        kernel(scratch.pointer(), Part { index, count }, &epilogue);
        scratch.check();
    }
    seen.counts
}
