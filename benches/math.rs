//! Elements per nanosecond of the block routines, on one thread, for blocks that stay in the first cache.
//!
//! `cargo bench --bench math [part of a symbol]`. Median of many runs, and the fastest.

use std::hint::black_box;
use std::time::Instant;

use kiln::kernels::isa::Isa;
use kiln::kernels::math::{self, FloatKind, MathOp, MathOp2};

/// As long as the blocks of generated code.
const BLOCK: usize = 512;
/// Blocks per run, and runs.
const REPEAT: usize = 200;
const RUNS: usize = 31;

fn main() {
    // `cargo bench` passes `--bench`.
    let filter = std::env::args().skip(1).find(|a| !a.starts_with('-')).unwrap_or_default();
    println!("{:32} {:>10} {:>10}", "elements/ns, 512 in a block", "median", "best");
    for isa in Isa::available() {
        floats::<f32>(isa, FloatKind::F32, &filter);
        floats::<f64>(isa, FloatKind::F64, &filter);
        rows(isa, &filter);
        let philox = math::philox(isa);
        let mut words = [0u32; BLOCK];
        measure(philox.symbol, &filter, || {
            // SAFETY: there are `BLOCK` words, two and four; the instruction set is available.
            unsafe {
                (philox.function)(words.as_mut_ptr(), BLOCK, [1, 2].as_ptr(), [3, 4, 5, 6].as_ptr(), 0)
            };
            black_box(&mut words);
        });
    }
}

/// Elementwise routines on numbers from -8 to 8, or from 0 to 16 for the logarithm and the base of a power.
fn floats<T: From<f32> + Copy>(isa: Isa, float: FloatKind, filter: &str) {
    let number = |i: usize, low: f32, high: f32| T::from(low + (high - low) * i as f32 / BLOCK as f32);
    let block = |low, high| (0..BLOCK).map(|i| number((i * 197) % BLOCK, low, high)).collect::<Vec<T>>();
    let (mut dst, scale) = (block(0.0, 1.0), block(-3.0, 3.0));
    for op in MathOp::ALL {
        let src = match op {
            MathOp::Log => block(0.01, 16.0),
            MathOp::Log1p => block(-0.9, 16.0),
            MathOp::Asin | MathOp::Acos => block(-1.0, 1.0),
            _ => block(-8.0, 8.0),
        };
        let routine = math::unary(isa, op, float);
        measure(routine.symbol, filter, || {
            // SAFETY: both blocks have `BLOCK` elements; the instruction set is available.
            unsafe { (routine.function)(dst.as_mut_ptr().cast(), src.as_ptr().cast(), BLOCK) };
            black_box(&mut dst);
        });
    }
    let src = block(0.01, 16.0);
    for op in MathOp2::ALL {
        let routine = math::binary(isa, op, float);
        measure(routine.symbol, filter, || {
            let (lhs, rhs) = (src.as_ptr().cast(), scale.as_ptr().cast());
            // SAFETY: all blocks have `BLOCK` elements; the instruction set is available.
            unsafe { (routine.function)(dst.as_mut_ptr().cast(), lhs, rhs, BLOCK) };
            black_box(&mut dst);
        });
    }
}

fn rows(isa: Isa, filter: &str) {
    let rows = math::rows_f32(isa);
    let src: Vec<f32> = (0..BLOCK).map(|i| i as f32 / 64.0 - 8.0).collect();
    let mut dst = vec![0.0; BLOCK];
    let exp = math::affine_f32(isa, MathOp::Exp);
    measure(exp.symbol, filter, || {
        // SAFETY: both blocks have `BLOCK` elements; the instruction set is available.
        unsafe { (exp.function)(dst.as_mut_ptr(), src.as_ptr(), BLOCK, 1.0, -1.0) };
        black_box(&mut dst);
    });
    measure(rows.exp_sum.symbol, filter, || {
        // SAFETY: both blocks have `BLOCK` elements; the instruction set is available.
        black_box(unsafe { (rows.exp_sum.function)(dst.as_mut_ptr(), src.as_ptr(), BLOCK, 1.0, -1.0) });
        black_box(&mut dst);
    });
    for routine in [rows.sum, rows.max] {
        measure(routine.symbol, filter, || {
            // SAFETY: the block has `BLOCK` elements; the instruction set is available.
            black_box(unsafe { (routine.function)(black_box(src.as_ptr()), BLOCK) });
        });
    }
}

fn measure(symbol: &str, filter: &str, mut run: impl FnMut()) {
    if !symbol.contains(filter) {
        return;
    }
    let mut rates = [0.0; RUNS];
    for rate in &mut rates {
        let start = Instant::now();
        (0..REPEAT).for_each(|_| run());
        *rate = (BLOCK * REPEAT) as f64 / start.elapsed().as_nanos() as f64;
    }
    rates.sort_by(f64::total_cmp);
    println!("{symbol:32} {:10.3} {:10.3}", rates[RUNS / 2], rates[RUNS - 1]);
}
