//! Every routine against a reference in f64, on every instruction set of this machine.

use super::*;

/// The stated bounds in ULP: see the table in the module's documentation.
const UNARY_BOUNDS: [(MathOp, f64, f64); 15] = [
    (MathOp::Exp, 2.0, 2.0),
    (MathOp::Expm1, 3.0, 3.0),
    (MathOp::Log, 2.0, 2.0),
    (MathOp::Log1p, 2.0, 2.0),
    (MathOp::Sin, 2.0, 1.0),
    (MathOp::Cos, 2.0, 1.0),
    (MathOp::Tan, 4.0, 1.0),
    (MathOp::Asin, 3.0, 1.0),
    (MathOp::Acos, 3.0, 1.0),
    (MathOp::Atan, 3.0, 1.0),
    (MathOp::Sinh, 3.0, 3.0),
    (MathOp::Cosh, 2.0, 2.0),
    (MathOp::Tanh, 4.0, 4.0),
    (MathOp::Sigmoid, 3.0, 3.0),
    (MathOp::Erf, 2.0, 1.0),
];

fn reference(op: MathOp, x: f64) -> f64 {
    match op {
        MathOp::Exp => x.exp(),
        MathOp::Expm1 => x.exp_m1(),
        MathOp::Log => x.ln(),
        MathOp::Log1p => x.ln_1p(),
        MathOp::Sin => x.sin(),
        MathOp::Cos => x.cos(),
        MathOp::Tan => x.tan(),
        MathOp::Asin => x.asin(),
        MathOp::Acos => x.acos(),
        MathOp::Atan => x.atan(),
        MathOp::Sinh => x.sinh(),
        MathOp::Cosh => x.cosh(),
        MathOp::Tanh => x.tanh(),
        MathOp::Sigmoid => {
            let e = (-x.abs()).exp();
            (if x < 0.0 { e } else { 1.0 }) / (1.0 + e)
        }
        MathOp::Erf => libm::erf(x),
    }
}

/// The distance from the exact value in units of the last place of an f32; infinite results stand for 2^128.
fn error_f32(y: f32, exact: f64) -> f64 {
    let finite = |x: f64| if x.is_infinite() { 2f64.powi(128).copysign(x) } else { x };
    if y.is_nan() || exact.is_nan() {
        return if y.is_nan() && exact.is_nan() { 0.0 } else { f64::INFINITY };
    }
    let exact = exact.clamp(-2f64.powi(128), 2f64.powi(128));
    let exponent = libm::ilogb(exact).clamp(-126, 127);
    (finite(f64::from(y)) - exact).abs() / 2f64.powi(exponent - 23)
}

/// Bit patterns over the whole range, and numbers where formulas change.
fn samples() -> Vec<f32> {
    let patterns = (0..200_000u32).map(|i| f32::from_bits(i.wrapping_mul(21_475)));
    let usual = (0..100_000u32).map(|i| (i as f32 - 50_000.0) * 2.5e-4);
    let specials =
        [0.0, f32::MIN_POSITIVE, 1e-45, 0.5, 1.0, 2.0, 88.0, 89.0, 103.5, f32::MAX, f32::INFINITY, f32::NAN];
    let edges = [
        0.346_573_6,
        std::f32::consts::FRAC_PI_4,
        475.0 / 512.0,
        9.0,
        18.0,
        88.722_84,
        89.415_99,
        103.97,
        131_072.0,
        5.96e-8,
    ];
    let near =
        edges.into_iter().flat_map(|x: f32| (0..200u32).map(move |i| f32::from_bits(x.to_bits() - 100 + i)));
    let both = specials.into_iter().chain(near).flat_map(|x| [x, -x]);
    patterns.chain(usual).chain(both).collect()
}

/// The distance from the reference in units of the last place of an f64.
fn error_f64(y: f64, reference: f64) -> f64 {
    if y == reference || (y.is_nan() && reference.is_nan()) {
        return 0.0;
    }
    let exponent = libm::ilogb(reference).clamp(-1022, 1023);
    // Not `powi`, whose inverse of a power overflows.
    let error = (y - reference).abs() / libm::ldexp(1.0, exponent - 52);
    if error.is_nan() { f64::INFINITY } else { error }
}

/// Bit patterns over the whole range, usual numbers, and numbers where formulas change.
fn samples_f64() -> Vec<f64> {
    let patterns = (0..50_000u64).map(|i| f64::from_bits(i.wrapping_mul(0x9e37_79b9_7f4a_7c15)));
    let usual = (0..50_000u32).map(|i| (f64::from(i) - 25_000.0) * 1.001e-3);
    let edges = [0.346_573_6, 709.782_712_893_384, 710.475_860_073_944, 745.133_2, 19.0, 38.0, 5.551e-17];
    let near =
        edges.into_iter().flat_map(|x: f64| (0..20).map(move |i| x * (1.0 + f64::from(i - 10) * 1e-16)));
    let specials = [0.0, f64::MIN_POSITIVE, 5e-324, 1.0, f64::MAX, f64::INFINITY, f64::NAN];
    let both = near.chain(specials).flat_map(|x| [x, -x]);
    patterns.chain(usual).chain(both).collect()
}

fn map<T: Copy + Default>(function: UnaryBlock, x: &[T]) -> Vec<T> {
    let mut y = vec![T::default(); x.len()];
    // SAFETY: both slices have as many elements; tests ask for available instruction sets only.
    unsafe { function(y.as_mut_ptr().cast(), x.as_ptr().cast(), x.len()) };
    y
}

#[test]
fn f32_errors_are_within_their_bounds() {
    let x = samples();
    let mut failed = false;
    for (op, bound, _) in UNARY_BOUNDS {
        let exact: Vec<_> = x.iter().map(|&x| reference(op, x.into())).collect();
        for isa in Isa::available() {
            let y = map(unary(isa, op, FloatKind::F32).function, &x);
            let errors = y.iter().zip(&exact).map(|(&y, &exact)| error_f32(y, exact));
            let (i, worst) = errors.enumerate().fold((0, 0.0), |a, b| if b.1 > a.1 { b } else { a });
            println!("{op:?} {isa}: {worst:.3} at {:e}: {:e}, not {:e}", x[i], y[i], exact[i]);
            failed |= worst > bound;
        }
    }
    assert!(!failed);
}

#[test]
fn f64_errors_are_within_their_bounds() {
    let x = samples_f64();
    let mut failed = false;
    for (op, _, bound) in UNARY_BOUNDS {
        for isa in Isa::available() {
            let y = map(unary(isa, op, FloatKind::F64).function, &x);
            let errors = x.iter().zip(&y).map(|(&x, &y)| error_f64(y, reference(op, x)));
            let (i, worst) = errors.enumerate().fold((0, 0.0), |a, b| if b.1 > a.1 { b } else { a });
            println!("{op:?} {isa}: {worst:.3} at {:e}: {:e}, not {:e}", x[i], y[i], reference(op, x[i]));
            // The reference is up to 1 ULP off itself, 2 for the sigmoid, which is three operations.
            failed |= worst > bound + if op == MathOp::Sigmoid { 2.0 } else { 1.0 };
        }
    }
    assert!(!failed);
}

#[test]
fn signs_of_zeros_are_kept() {
    use MathOp::*;
    for isa in Isa::available() {
        for op in [Expm1, Log1p, Sin, Tan, Asin, Atan, Sinh, Tanh, Erf] {
            let y = map(unary(isa, op, FloatKind::F32).function, &[0.0f32, -0.0]);
            assert_eq!((y[0].to_bits(), y[1].to_bits()), (0, 1 << 31), "{op:?} {isa}");
            let y = map(unary(isa, op, FloatKind::F64).function, &[0.0f64, -0.0]);
            assert_eq!((y[0].to_bits(), y[1].to_bits()), (0, 1 << 63), "{op:?} {isa}");
        }
    }
}

fn zip<T: Copy + Default>(function: BinaryBlock, x: &[T], y: &[T]) -> Vec<T> {
    let mut z = vec![T::default(); x.len()];
    // SAFETY: the slices have as many elements; tests ask for available instruction sets only.
    unsafe { function(z.as_mut_ptr().cast(), x.as_ptr().cast(), y.as_ptr().cast(), x.len()) };
    z
}

/// Pairs of everything, then pairs of special numbers.
fn pairs() -> (Vec<f32>, Vec<f32>) {
    let x = samples();
    let y: Vec<_> = x.iter().cycle().skip(12_345).take(x.len()).copied().collect();
    let moderate = (0..100_000u32).map(|i| (1e-3 * (i + 1) as f32, ((i * 7919) % 4001) as f32 * 0.02 - 40.0));
    let special = [
        0.0,
        1e-45,
        1e-38,
        0.3,
        0.5,
        1.0,
        1.5,
        2.0,
        3.0,
        4.0,
        8_388_607.5,
        8_388_609.0,
        16_777_217.0,
        3e9,
        1e38,
        f32::MAX,
        f32::INFINITY,
        f32::NAN,
    ];
    let special: Vec<_> = special.into_iter().flat_map(|x| [x, -x]).collect();
    let cross = special.iter().flat_map(|&x| special.iter().map(move |&y| (x, y)));
    x.into_iter().zip(y).chain(moderate).chain(cross).unzip()
}

type Function2 = fn(f64, f64) -> f64;

/// The bounds in ULP, for `f32` and `f64`: see the table in the module's documentation.
const BINARY_BOUNDS: [(MathOp2, f64, f64, Function2); 3] = [
    (MathOp2::Pow, 1.0, 1.0, f64::powf),
    (MathOp2::Atan2, 3.0, 1.0, f64::atan2),
    (MathOp2::Rem, 0.0, 0.0, |x, y| x % y),
];

/// The greatest error of results; infinite where a sign is wrong.
fn worst<T: Copy + Into<f64>>(z: &[T], exact: &[f64], error: fn(T, f64) -> f64) -> (usize, f64) {
    let errors = z.iter().zip(exact).map(|(&z, &exact)| {
        let is_other_sign = !exact.is_nan() && z.into().is_sign_negative() != exact.is_sign_negative();
        if is_other_sign { f64::INFINITY } else { error(z, exact) }
    });
    errors.enumerate().fold((0, 0.0), |a, b| if b.1 > a.1 { b } else { a })
}

#[test]
fn binary_errors_are_within_their_bounds() {
    let (x, y) = pairs();
    let mut failed = false;
    for (op, bound, _, reference) in BINARY_BOUNDS {
        let exact: Vec<_> = x.iter().zip(&y).map(|(&x, &y)| reference(x.into(), y.into())).collect();
        for isa in Isa::available() {
            let z = zip(binary(isa, op, FloatKind::F32).function, &x, &y);
            let (i, worst) = worst(&z, &exact, error_f32);
            println!("{op:?} {isa}: {worst:.3} at {:e}, {:e}: {:e}, not {:e}", x[i], y[i], z[i], exact[i]);
            failed |= worst > bound;
        }
    }
    assert!(!failed);
}

#[test]
fn binary_f64_errors_are_within_their_bounds() {
    let wide = samples_f64();
    let (x, y) = pairs();
    let x: Vec<f64> = wide.iter().copied().chain(x.into_iter().map(f64::from)).collect();
    let shifted = wide.iter().cycle().skip(12_345).take(wide.len()).copied();
    let y: Vec<f64> = shifted.chain(y.into_iter().map(f64::from)).collect();
    let mut failed = false;
    for (op, _, bound, reference) in BINARY_BOUNDS {
        let exact: Vec<_> = x.iter().zip(&y).map(|(&x, &y)| reference(x, y)).collect();
        for isa in Isa::available() {
            let z = zip(binary(isa, op, FloatKind::F64).function, &x, &y);
            let (i, worst) = worst(&z, &exact, error_f64);
            println!("{op:?} {isa}: {worst:.3} at {:e}, {:e}: {:e}, not {:e}", x[i], y[i], z[i], exact[i]);
            // The reference is up to 1 ULP off itself, but for a remainder, which is exact.
            failed |= worst > bound + if op == MathOp2::Rem { 0.0 } else { 1.0 };
        }
    }
    assert!(!failed);
}

/// The bits of elements, of either type.
trait Element: Copy + Default {
    const KIND: FloatKind;
    fn bits(self) -> u64;
    fn scalar(isa: Isa, op: MathOp, x: Self) -> Self;
    fn scalar2(isa: Isa, op: MathOp2, x: Self, y: Self) -> Self;
}

macro_rules! element {
    ($scalar:ident, $kind:ident, $unary:ident, $binary:ident) => {
        impl Element for $scalar {
            const KIND: FloatKind = FloatKind::$kind;
            fn bits(self) -> u64 {
                self.to_bits().into()
            }
            fn scalar(isa: Isa, op: MathOp, x: Self) -> Self {
                // SAFETY: tests ask for available instruction sets only.
                unsafe { ($unary(isa, op).function)(x) }
            }
            fn scalar2(isa: Isa, op: MathOp2, x: Self, y: Self) -> Self {
                // SAFETY: tests ask for available instruction sets only.
                unsafe { ($binary(isa, op).function)(x, y) }
            }
        }
    };
}
element!(f32, F32, unary_scalar_f32, binary_scalar_f32);
element!(f64, F64, unary_scalar_f64, binary_scalar_f64);

const BLOCK: usize = 67;

/// Calls `run(dst, start, n)` on parts of a block, in a copy of `x` or beside it, and compares with `whole`.
fn check_parts<T: Element>(x: &[T], whole: &[T], what: &str, run: impl Fn(*mut T, *const T, usize, usize)) {
    for (start, n) in (0..=40).map(|n| (n % 3, n)).chain([(1, 66), (0, BLOCK), (35, 32)]) {
        let mut apart = x.to_vec();
        run(apart[start..].as_mut_ptr(), x[start..].as_ptr(), start, n);
        let mut in_place = x.to_vec();
        let p = in_place[start..].as_mut_ptr();
        run(p, p, start, n);
        for i in 0..BLOCK {
            let expected = if (start..start + n).contains(&i) { whole[i] } else { x[i] };
            assert_eq!(apart[i].bits(), expected.bits(), "{what}: {i} of {start}..+{n}");
            assert_eq!(in_place[i].bits(), expected.bits(), "{what}: {i} of {start}..+{n} in place");
        }
    }
}

fn check_every_position<T: Element>(x: &[T], y: &[T]) {
    for isa in Isa::available() {
        for op in MathOp::ALL {
            let Routine { symbol, function } = unary(isa, op, T::KIND);
            let whole = map(function, x);
            check_parts(x, &whole, symbol, |dst, src, _, n| {
                // SAFETY: `check_parts` stays within its blocks.
                unsafe { function(dst.cast(), src.cast(), n) }
            });
            for (&x, &whole) in x.iter().zip(&whole) {
                assert_eq!(T::scalar(isa, op, x).bits(), whole.bits(), "{symbol}: scalar");
            }
        }
        for op in MathOp2::ALL {
            let Routine { symbol, function } = binary(isa, op, T::KIND);
            let mut whole = x.to_vec();
            // SAFETY: all three have as many elements.
            unsafe { function(whole.as_mut_ptr().cast(), x.as_ptr().cast(), y.as_ptr().cast(), BLOCK) };
            check_parts(x, &whole, symbol, |dst, src, start, n| {
                // SAFETY: `check_parts` stays within its blocks.
                unsafe { function(dst.cast(), src.cast(), y[start..].as_ptr().cast(), n) }
            });
            for i in 0..BLOCK {
                assert_eq!(T::scalar2(isa, op, x[i], y[i]).bits(), whole[i].bits(), "{symbol}: scalar");
            }
        }
    }
}

#[test]
fn an_element_has_the_same_bits_at_every_position() {
    // Each block has lanes that take the slow ways: large angles, large quotients.
    let x: Vec<f32> =
        (0..BLOCK).map(|i| if i % 9 == 4 { 1e6 + i as f32 } else { i as f32 * 0.07 - 1.9 }).collect();
    let y: Vec<f32> = (0..BLOCK).map(|i| if i % 7 == 2 { 1e-3 } else { 3.3 - i as f32 * 0.1 }).collect();
    check_every_position(&x, &y);
    let wide = |x: Vec<f32>| x.into_iter().map(f64::from).collect::<Vec<f64>>();
    check_every_position(&wide(x), &wide(y));
}

#[test]
fn rows_are_reduced() {
    for isa in Isa::available() {
        let rows = rows_f32(isa);
        for n in [0, 1, 5, 16, 31, 64, 100, 257] {
            let x: Vec<f32> = (0..n).map(|i| ((i * 37) % 101) as f32 * 0.1 - 7.0).collect();
            let mut y = vec![0.0; n];
            // SAFETY: the slices have `n` elements; the instruction set is available.
            let (total, sum, max) = unsafe {
                let total = (rows.exp_sum.function)(y.as_mut_ptr(), x.as_ptr(), n, 1.0, -1.5);
                (total, (rows.sum.function)(y.as_ptr(), n), (rows.max.function)(x.as_ptr(), n))
            };
            let exact: f64 = x.iter().map(|&x| (f64::from(x) - 1.5).exp()).sum();
            assert!((f64::from(total) - exact).abs() <= exact * 1e-6, "{isa} {n}: {total}, not {exact}");
            assert_eq!(total.to_bits(), sum.to_bits(), "{isa} {n}: the same order");
            assert_eq!(max, x.iter().copied().fold(f32::NEG_INFINITY, f32::max), "{isa} {n}");
            let mut z = x.clone();
            let exp = affine_f32(isa, MathOp::Exp).function;
            // SAFETY: as above; the result may overwrite its operand.
            unsafe { exp(z.as_mut_ptr(), z.as_ptr(), n, 1.0, -1.5) };
            assert_eq!(y, z, "{isa} {n}");
        }
    }
}

/// Blocks with the operand scaled and shifted: the bits of the plain block of `scale * x + shift`, in every place.
#[test]
fn operands_are_scaled_and_shifted() {
    for isa in Isa::available() {
        for op in MathOp::ALL {
            for n in [0, 1, 5, 16, 37] {
                // Numbers whose product and sum are exact, rounded once or twice.
                let x: Vec<f64> = (0..n).map(|i| f64::from(i) * 0.125 - 1.5).collect();
                let moved: Vec<f64> = x.iter().map(|x| x * 0.25 + 0.5).collect();
                let narrow = |x: &[f64]| x.iter().map(|&x| x as f32).collect::<Vec<f32>>();
                let (mut y, mut z) = (narrow(&x), x.clone());
                // SAFETY: the slices have as many elements; the result may overwrite its operand.
                unsafe {
                    (affine_f32(isa, op).function)(y.as_mut_ptr(), y.as_ptr(), y.len(), 0.25, 0.5);
                    (affine_f64(isa, op).function)(z.as_mut_ptr(), z.as_ptr(), z.len(), 0.25, 0.5);
                }
                let bits = |x: Vec<f32>| x.into_iter().map(f32::to_bits).collect::<Vec<_>>();
                let expected = map(unary(isa, op, FloatKind::F32).function, &narrow(&moved));
                assert_eq!(bits(y), bits(expected), "{op:?} {isa} {n}");
                let bits = |x: Vec<f64>| x.into_iter().map(f64::to_bits).collect::<Vec<_>>();
                let expected = map(unary(isa, op, FloatKind::F64).function, &moved);
                assert_eq!(bits(z), bits(expected), "{op:?} {isa} {n}");
            }
        }
    }
}

#[test]
fn rows_of_f64_are_reduced() {
    for isa in Isa::available() {
        let rows = rows_f64(isa);
        let x: Vec<f64> = (0..77).map(|i| f64::from((i * 37) % 101) * 0.1 - 7.0).collect();
        let mut y = x.clone();
        // SAFETY: the slices have as many elements; the instruction set is available.
        let (total, sum, max) = unsafe {
            let total = (rows.exp_sum.function)(y.as_mut_ptr(), x.as_ptr(), x.len(), 1.0, -1.5);
            (total, (rows.sum.function)(y.as_ptr(), x.len()), (rows.max.function)(x.as_ptr(), x.len()))
        };
        let exact: f64 = x.iter().map(|&x| (x - 1.5).exp()).sum();
        assert!((total - exact).abs() <= exact * 1e-15, "{isa}: {total}, not {exact}");
        assert_eq!(total.to_bits(), sum.to_bits());
        assert_eq!(max, x.iter().copied().fold(f64::NEG_INFINITY, f64::max));
    }
}

#[test]
fn the_largest_of_a_row_with_nan_is_nan() {
    for isa in Isa::available() {
        for at in [0, 3, 40, 66] {
            let mut x = [1.0f32; BLOCK];
            x[at] = f32::NAN;
            // SAFETY: the slice has as many elements; the instruction set is available.
            assert!(unsafe { (rows_f32(isa).max.function)(x.as_ptr(), BLOCK) }.is_nan(), "{isa} {at}");
        }
    }
}

fn random(isa: Isa, key: [u32; 2], counter: [u32; 4], first_element: u64, n: usize) -> Vec<u32> {
    let mut words = vec![0; n];
    // SAFETY: there are `n` words, two and four; the instruction set is available.
    unsafe { (philox(isa).function)(words.as_mut_ptr(), n, key.as_ptr(), counter.as_ptr(), first_element) };
    words
}

/// The known answers of `tests/kat_vectors` in the authors' Random123, for philox4x32 with 10 rounds.
#[test]
fn random_bits_are_the_known_ones() {
    let pi = [0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344];
    let known = [
        ([0; 2], [0; 4], [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]),
        ([u32::MAX; 2], [u32::MAX; 4], [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]),
        ([0xa409_3822, 0x299f_31d0], pi, [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1]),
    ];
    for isa in Isa::available() {
        for (key, counter, words) in known {
            assert_eq!(random(isa, key, counter, 0, 4), words, "{isa}");
        }
    }
}

#[test]
fn random_bits_can_begin_anywhere() {
    // The counter carries through three words within the stream.
    let (key, counter) = ([1, 2], [u32::MAX - 9, u32::MAX, u32::MAX, 7]);
    let whole = random(Isa::Portable, key, counter, 0, 400);
    let carried = random(Isa::Portable, key, [0, 0, 0, 8], 0, 4);
    assert_eq!(whole[40..44], carried);
    for isa in Isa::available() {
        for (first, n) in [(0, 400), (1, 3), (2, 100), (37, 0), (39, 2), (40, 64), (101, 299)] {
            assert_eq!(
                random(isa, key, counter, first as u64, n),
                whole[first..first + n],
                "{isa} {first} {n}"
            );
        }
    }
    // A start beyond 2^32 blocks reaches the second word of the counter.
    assert_eq!(
        random(Isa::Portable, key, [3, 0, 0, 0], 4 << 32, 4),
        random(Isa::Portable, key, [3, 1, 0, 0], 0, 4)
    );
}

#[test]
fn symbols_are_unique() {
    let mut symbols = Vec::new();
    for isa in Isa::available() {
        for float in [FloatKind::F32, FloatKind::F64] {
            symbols.extend(MathOp::ALL.map(|op| unary(isa, op, float).symbol));
            symbols.extend(MathOp2::ALL.map(|op| binary(isa, op, float).symbol));
        }
        symbols.extend(MathOp::ALL.map(|op| unary_scalar_f32(isa, op).symbol));
        symbols.extend(MathOp::ALL.map(|op| unary_scalar_f64(isa, op).symbol));
        symbols.extend(MathOp2::ALL.map(|op| binary_scalar_f32(isa, op).symbol));
        symbols.extend(MathOp2::ALL.map(|op| binary_scalar_f64(isa, op).symbol));
        let (rows, rows_f64) = (rows_f32(isa), rows_f64(isa));
        symbols.extend(MathOp::ALL.map(|op| affine_f32(isa, op).symbol));
        symbols.extend(MathOp::ALL.map(|op| affine_f64(isa, op).symbol));
        symbols.extend([rows.exp_sum.symbol, rows.sum.symbol, rows.max.symbol]);
        symbols.extend([rows_f64.exp_sum.symbol, rows_f64.sum.symbol, rows_f64.max.symbol]);
        symbols.push(philox(isa).symbol);
    }
    assert!(symbols.contains(&"kiln_exp_f32_portable"));
    assert!(symbols.contains(&"kiln_exp_f32_portable_scalar"));
    let n = symbols.len();
    symbols.sort_unstable();
    symbols.dedup();
    assert_eq!(symbols.len(), n);
}
