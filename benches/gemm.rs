//! Products and convolutions against the peak of the machine: `cargo bench --bench gemm [-- [--processor-time] NAME…]`.
//!
//! Prints the best and the median of several rounds, with one and with two threads. The rounds of all cases are
//! interleaved with measurements of the peak, so that a change of clock or a noisy neighbour meets all of them.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use kiln::kernels::conv::{self, Axis, ConvSpec, conv};
use kiln::kernels::gemm::{self, FloatType, GemmSpec, Part, View, gemm};
use kiln::kernels::isa::Isa;

const ROUNDS: usize = 9;
const ROUND: Duration = Duration::from_millis(5);

/// A kernel on memory of its own.
struct Case {
    name: String,
    flops: f64,
    kernel: Kernel,
    /// Operands and result, with room to align them.
    memory: [Vec<u64>; 3],
    scratch: usize,
    /// GFLOP/s by round, with one thread and with two.
    rates: [Vec<f64>; 2],
}

enum Kernel {
    Gemm(GemmSpec),
    Conv(ConvSpec),
}

/// The first cache line in `memory`: programs align their buffers.
fn aligned(memory: &mut [u64]) -> *mut u8 {
    let bytes = memory.as_mut_ptr().cast::<u8>();
    bytes.wrapping_add(bytes.align_offset(64))
}

/// Memory that is passed to threads.
#[derive(Clone, Copy)]
struct Pointers([*mut u8; 3]);

// SAFETY: each thread writes to its own part of the result.
unsafe impl Send for Pointers {}
// SAFETY: as above.
unsafe impl Sync for Pointers {}

impl Case {
    fn gemm(isa: Isa, name: &str, spec: GemmSpec) -> Case {
        let batch: usize = spec.batch.iter().product();
        let extents = [spec.m * spec.k, spec.k * spec.n, spec.m * spec.n].map(|n| n * batch);
        let scratch = gemm::scratch_bytes(isa, &spec);
        let flops = 2.0 * (batch * spec.m * spec.n * spec.k) as f64;
        Case::new(name, flops, Kernel::Gemm(spec), spec.dtype, extents, scratch)
    }

    fn conv(isa: Isa, name: &str, spec: ConvSpec) -> Case {
        let [input, kernel] =
            [|axis: &Axis| axis.input, |axis: &Axis| axis.kernel].map(|f| spec.axes.iter().map(f).product());
        let product = |extents: [usize; 3]| extents.into_iter().product::<usize>();
        let extents = [
            product([spec.images, spec.in_channels, input]),
            product([spec.out_channels, spec.in_channels, kernel]),
            product([spec.images, spec.out_channels, spec.positions()]),
        ];
        let flops = 2.0 * (extents[2] * spec.in_channels * kernel) as f64;
        Case::new(name, flops, Kernel::Conv(spec), spec.dtype, extents, conv::scratch_bytes(isa, &spec))
    }

    fn new(
        name: &str,
        flops: f64,
        kernel: Kernel,
        dtype: FloatType,
        extents: [usize; 3],
        scratch: usize,
    ) -> Case {
        let word = match dtype {
            FloatType::F32 => u64::from(0.5f32.to_bits()) * 0x1_0000_0001,
            FloatType::F64 => 0.5f64.to_bits(),
        };
        let memory = extents.map(|n| vec![word; (n * dtype.size()).div_ceil(8) + 8]);
        Case { name: name.to_owned(), flops, kernel, memory, scratch, rates: Default::default() }
    }

    /// GFLOP/s in one round with so many threads.
    fn measure(&mut self, clock: Clock, isa: Isa, threads: usize) -> f64 {
        let mut scratch = vec![vec![0; self.scratch / 8 + 8]; threads];
        let pointers = Pointers(self.memory.each_mut().map(|memory| aligned(memory)));
        let kernel = &self.kernel;
        let run = move |index: usize, scratch: *mut u8| {
            let Pointers([a, b, c]) = { pointers };
            let part = Part { index, count: threads };
            // SAFETY: the memory is as large as the spec says.
            unsafe {
                match kernel {
                    Kernel::Gemm(spec) => gemm(isa, spec, a, b, c, scratch, part, None),
                    Kernel::Conv(spec) => conv(isa, spec, a, b, c, scratch, part, None),
                }
            }
        };
        let times = repeat(clock, &mut scratch, run);
        self.flops / times.as_secs_f64() / 1e9
    }
}

/// What the clock counts.
#[derive(Clone, Copy, PartialEq)]
enum Clock {
    /// Time, with a team that meets after every call, as in a program.
    Wall,
    /// Processor time of the slowest thread, which does not wait for the others: for machines that are not idle.
    Processor,
}

impl Clock {
    fn now(self) -> Duration {
        let clock = match self {
            Clock::Wall => libc::CLOCK_MONOTONIC,
            Clock::Processor => libc::CLOCK_THREAD_CPUTIME_ID,
        };
        let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: `time` can be written; both clocks exist wherever `libc` has their names.
        unsafe { libc::clock_gettime(clock, &mut time) };
        Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
    }
}

/// The time of one call of `run` by a team of a thread for each scratch.
fn repeat(
    clock: Clock,
    scratch: &mut [Vec<u64>],
    run: impl Fn(usize, *mut u8) + Copy + Send + Sync,
) -> Duration {
    let threads = scratch.len();
    let arrived = AtomicUsize::new(0);
    let repetitions = AtomicUsize::new(0);
    let meet = |round: usize| {
        arrived.fetch_add(1, Ordering::AcqRel);
        while arrived.load(Ordering::Acquire) < round * threads {
            std::hint::spin_loop();
        }
    };
    let team = |index: usize, scratch: *mut u8| {
        run(index, scratch);
        meet(1);
        let start = clock.now();
        run(index, scratch);
        if index == 0 {
            let count = ROUND.as_nanos() / (clock.now() - start).as_nanos().max(1);
            repetitions.store(count.max(2) as usize, Ordering::Release);
        }
        meet(2);
        let count = repetitions.load(Ordering::Acquire);
        let start = clock.now();
        for i in 0..count {
            run(index, scratch);
            if clock == Clock::Wall {
                meet(3 + i);
            }
        }
        (clock.now() - start) / count as u32
    };
    std::thread::scope(|scope| {
        let (first, others) = scratch.split_first_mut().expect("at least one thread");
        let mut running = Vec::new();
        for (index, scratch) in others.iter_mut().enumerate() {
            let team = &team;
            running.push(scope.spawn(move || team(index + 1, aligned(scratch))));
        }
        let own = team(0, aligned(first));
        running.into_iter().map(|thread| thread.join().expect("no kernel panics")).fold(own, Duration::max)
    })
}

/// GFLOP/s of independent multiply-adds in registers, in f32.
fn peak(clock: Clock, isa: Isa, threads: usize) -> f64 {
    const STEPS: usize = 20_000;
    let flops = (peak_lanes(isa) * CHAINS * STEPS * 2 * threads) as f64;
    let mut scratch = vec![vec![0; 8]; threads];
    let time = repeat(clock, &mut scratch, move |_, _| {
        // SAFETY: the instruction set is available.
        std::hint::black_box(unsafe { multiply_add(isa, STEPS, std::hint::black_box(0.5)) });
    });
    flops / time.as_secs_f64() / 1e9
}

fn peak_lanes(isa: Isa) -> usize {
    match isa {
        Isa::Avx512 => 16,
        Isa::Avx2 => 8,
        Isa::Neon | Isa::Portable => 4,
    }
}

/// Independent multiply-adds: more than the latency of one, fewer than there are registers.
const CHAINS: usize = 12;

/// Chains of vectors of multiply-adds.
///
/// # Safety
/// The instruction set is available.
unsafe fn multiply_add(isa: Isa, steps: usize, x: f32) -> f32 {
    #[cfg(target_arch = "x86_64")]
    use std::arch::x86_64::*;

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx512f")]
    fn avx512(steps: usize, x: f32) -> f32 {
        let mut sums = [_mm512_set1_ps(x); CHAINS];
        let factor = sums[0];
        for _ in 0..steps {
            for sum in &mut sums {
                *sum = _mm512_fmadd_ps(*sum, factor, factor);
            }
        }
        sums.into_iter().map(|sum| _mm512_cvtss_f32(sum)).sum()
    }
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2,fma")]
    fn avx2(steps: usize, x: f32) -> f32 {
        let mut sums = [_mm256_set1_ps(x); CHAINS];
        let factor = sums[0];
        for _ in 0..steps {
            for sum in &mut sums {
                *sum = _mm256_fmadd_ps(*sum, factor, factor);
            }
        }
        sums.into_iter().map(|sum| _mm256_cvtss_f32(sum)).sum()
    }
    fn portable(steps: usize, x: f32) -> f32 {
        // Flat, and different in each lane, so that the compiler makes vectors of it.
        let terms: [f32; 4 * CHAINS] = std::array::from_fn(|i| x + i as f32 / 1024.0);
        let mut sums = terms;
        for _ in 0..steps {
            for (sum, term) in sums.iter_mut().zip(&terms) {
                *sum = *sum * x + term;
            }
        }
        sums.into_iter().sum()
    }
    match isa {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the caller's promise.
        Isa::Avx512 => unsafe { avx512(steps, x) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the caller's promise.
        Isa::Avx2 => unsafe { avx2(steps, x) },
        #[cfg(not(target_arch = "x86_64"))]
        Isa::Avx512 | Isa::Avx2 => portable(steps, x),
        Isa::Neon | Isa::Portable => portable(steps, x),
    }
}

/// A product of contiguous matrices; `t` marks an operand that lies transposed in memory.
fn product(dtype: FloatType, [m, k, n]: [usize; 3], a_transposed: bool, b_transposed: bool) -> GemmSpec {
    let view = |rows: usize, columns: usize, transposed: bool| {
        let (row, column) = if transposed { (1, rows as isize) } else { (columns as isize, 1) };
        View { batch: [0, 0, (rows * columns) as isize], row, column }
    };
    GemmSpec {
        dtype,
        batch: [1; 3],
        m,
        n,
        k,
        a: view(m, k, a_transposed),
        b: view(k, n, b_transposed),
        c: view(m, n, false),
        panels: None,
    }
}

/// The products of a linear layer of PyTorch: forward, and the gradients of its input and of its weight.
fn layer(cases: &mut Vec<Case>, isa: Isa, [batch, input, output]: [usize; 3]) {
    let mut add = |what: &str, shape, a, b| {
        let name = format!("{what} {batch}x{input}x{output}");
        cases.push(Case::gemm(isa, &name, product(FloatType::F32, shape, a, b)));
    };
    add("linear", [batch, input, output], false, true);
    add("linear-dx", [batch, output, input], false, false);
    add("linear-dw", [output, batch, input], true, false);
}

/// A convolution of two equal spatial axes, and its gradients: that of the input if the window moves by single elements,
/// since others are split into phases.
fn conv2d(
    cases: &mut Vec<Case>,
    isa: Isa,
    [images, channels, size]: [usize; 3],
    [out, kernel]: [usize; 2],
    [pad, step]: [usize; 2],
) {
    let output = (size + 2 * pad - kernel) / step + 1;
    let axes = |[input, kernel, output]: [usize; 3], low: usize, [stride, kernel_dilation]: [usize; 2]| {
        let axis = |x: usize, w: usize| Axis {
            input,
            kernel,
            output,
            stride,
            low: low as isize,
            kernel_dilation,
            x: x as isize,
            w: w as isize,
            ..Axis::NONE
        };
        [Axis::NONE, axis(input, kernel), axis(1, 1)]
    };
    let stride = |n: usize| n as isize;
    let (x, w, y) = (size * size, kernel * kernel, output * output);
    let forward = ConvSpec {
        dtype: FloatType::F32,
        images,
        groups: 1,
        in_channels: channels,
        out_channels: out,
        axes: axes([size, kernel, output], pad, [step, 1]),
        x_image: stride(channels * x),
        x_channel: stride(x),
        w_out: stride(channels * w),
        w_in: stride(w),
        y_image: stride(out * y),
        y_channel: stride(y),
    };
    // The kernel is reversed by its strides; memory begins at its last element, which the case does not need.
    let input_gradient = ConvSpec {
        in_channels: out,
        out_channels: channels,
        axes: axes([output, kernel, size], kernel - 1 - pad, [1, 1]),
        x_image: forward.y_image,
        x_channel: forward.y_channel,
        w_out: forward.w_in,
        w_in: forward.w_out,
        y_image: forward.x_image,
        y_channel: forward.x_channel,
        ..forward
    };
    let weight_gradient = ConvSpec {
        images: channels,
        in_channels: images,
        axes: axes([size, output, kernel], pad, [1, step]),
        x_image: forward.x_channel,
        x_channel: forward.x_image,
        w_out: forward.y_channel,
        w_in: forward.y_image,
        y_image: forward.w_in,
        y_channel: forward.w_out,
        ..forward
    };
    let name = format!("{images}x{channels}x{size}x{size} {out}x{kernel}x{kernel}/{step}");
    cases.push(Case::conv(isa, &format!("conv {name}"), forward));
    if step == 1 {
        cases.push(Case::conv(isa, &format!("conv-dx {name}"), input_gradient));
    }
    cases.push(Case::conv(isa, &format!("conv-dw {name}"), weight_gradient));
}

fn cases(isa: Isa) -> Vec<Case> {
    let mut cases = Vec::new();
    for n in [512, 1024, 2048] {
        let shape = [n; 3];
        cases.push(Case::gemm(isa, &format!("square {n}"), product(FloatType::F32, shape, false, false)));
    }
    let transposed = product(FloatType::F32, [1024; 3], false, true);
    cases.push(Case::gemm(isa, "square 1024, b transposed", transposed));
    cases.push(Case::gemm(isa, "square 1024, f64", product(FloatType::F64, [1024; 3], false, false)));
    for shape in [[128, 784, 512], [128, 512, 256], [128, 256, 10]] {
        layer(&mut cases, isa, shape);
    }
    let matvec = |m, n, b_transposed| product(FloatType::F32, [m, 2048, n], false, b_transposed);
    cases.push(Case::gemm(isa, "matvec, row times rows", matvec(1, 2048, false)));
    cases.push(Case::gemm(isa, "matvec, row times columns", matvec(1, 2048, true)));
    let heads = GemmSpec { batch: [1, 1, 96], ..product(FloatType::F32, [64, 64, 64], false, true) };
    cases.push(Case::gemm(isa, "batch of 96, 64x64x64", heads));
    conv2d(&mut cases, isa, [32, 64, 32], [64, 3], [1, 1]);
    conv2d(&mut cases, isa, [64, 1, 28], [32, 3], [0, 1]);
    conv2d(&mut cases, isa, [64, 32, 26], [64, 3], [0, 1]);
    conv2d(&mut cases, isa, [32, 32, 16], [64, 4], [1, 2]);
    conv2d(&mut cases, isa, [32, 64, 8], [128, 4], [1, 2]);
    conv2d(&mut cases, isa, [32, 256, 8], [256, 3], [1, 1]);
    cases
}

fn main() {
    let isa = Isa::detect().unwrap_or_else(|error| panic!("{error}"));
    let processor = std::env::args().any(|arg| arg == "--processor-time");
    let clock = if processor { Clock::Processor } else { Clock::Wall };
    let wanted: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with("--")).collect();
    let mut cases = cases(isa);
    cases.retain(|case| wanted.is_empty() || wanted.iter().any(|name| case.name.contains(name)));
    let mut peaks: [Vec<f64>; 2] = Default::default();
    for _ in 0..ROUNDS {
        for threads in [1, 2] {
            peaks[threads - 1].push(peak(clock, isa, threads));
            for case in &mut cases {
                let rate = case.measure(clock, isa, threads);
                case.rates[threads - 1].push(rate);
            }
        }
    }
    let best = |rates: &mut Vec<f64>| {
        rates.sort_by(f64::total_cmp);
        (rates[rates.len() - 1], rates[rates.len() / 2])
    };
    let [(one, _), (two, _)] = peaks.each_mut().map(best);
    println!("{isa}; peak in f32: {one:.0} GFLOP/s with one thread, {two:.0} with two");
    println!("{:38} {:>24} {:>24}", "best (median), share of the peak", "one thread", "two threads");
    for case in &mut cases {
        let size = match &case.kernel {
            Kernel::Gemm(spec) => spec.dtype.size(),
            Kernel::Conv(spec) => spec.dtype.size(),
        };
        let mut line = format!("{:38}", case.name);
        for (rates, peak) in case.rates.iter_mut().zip([one, two]) {
            let (rate, median) = best(rates);
            let share = 100.0 * rate / (peak * 4.0 / size as f64);
            line += &format!(" {:>24}", format!("{rate:.1} ({median:.1}) {share:3.0}%"));
        }
        println!("{line}");
    }
}
