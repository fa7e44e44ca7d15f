//! Mathematical functions and random bits over contiguous blocks: what generated code calls where a polynomial
//! in 128-bit vectors would be too slow.
//!
//! Every formula is written once over a vector trait (`vector`) and compiled for each instruction set; a
//! [`Routine`] is one of these, as a C function with a symbol. Blocks have any length (0 too) and alignment, and
//! a result may overwrite an operand exactly. The value of an element depends on its operands and on the
//! instruction set alone: not on its position, its neighbours or the length; scalar forms give the same bits.
//!
//! # Errors
//!
//! The largest errors, in units in the last place, on every instruction set, over all floats (subnormal,
//! overflowing and infinite ones too; NaN gives NaN). The tests of this module hold every routine to them.
//!
//! | operation | f32 | f64 | | operation | f32 | f64 |
//! | --- | --- | --- | --- | --- | --- | --- |
//! | `exp` | 2 | 2 | | `atan` | 3 | 1 |
//! | `expm1` | 3 | 3 | | `sinh` | 3 | 3 |
//! | `log` | 2 | 2 | | `cosh` | 2 | 2 |
//! | `log1p` | 2 | 2 | | `tanh` | 4 | 4 |
//! | `sin` | 2 | 1 | | `sigmoid` | 3 | 3 |
//! | `cos` | 2 | 1 | | `erf` | 2 | 1 |
//! | `tan` | 4 | 1 | | `pow` | 1 | 1 |
//! | `asin` | 3 | 1 | | `atan2` | 3 | 1 |
//! | `acos` | 3 | 1 | | `rem` | 0 | 0 |
//!
//! The trigonometric functions, their inverses, `erf`, `pow` and `rem` of f64 are those of `libm`, lane by lane; so
//! are `sin`, `cos` and `tan` of f32 beyond 131,072 in size, and `rem` of f32 where the quotient is 2^22 or more.

mod block;
mod erf;
mod exp;
mod instantiate;
mod inverse_trig;
mod log;
mod philox;
mod portable;
mod pow;
mod registers;
mod rows;
mod trig;
mod vector;

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "aarch64")]
mod neon;

#[cfg(test)]
mod tests;

use super::isa::Isa;

/// `dst[i] = f(src[i])` for `i < n`, of the float that it was asked for. `dst` equals `src` or does not overlap
/// it.
pub type UnaryBlock = unsafe extern "C" fn(dst: *mut u8, src: *const u8, n: usize);

/// `dst[i] = f(lhs[i], rhs[i])` for `i < n`. `dst` equals an operand or does not overlap it.
pub type BinaryBlock = unsafe extern "C" fn(dst: *mut u8, lhs: *const u8, rhs: *const u8, n: usize);

/// `f(x)`.
pub type UnaryScalar<T> = unsafe extern "C" fn(x: T) -> T;

/// `f(lhs, rhs)`.
pub type BinaryScalar<T> = unsafe extern "C" fn(lhs: T, rhs: T) -> T;

/// `dst[i] = f(scale * src[i] + shift)` for `i < n`. `dst` equals `src` or does not overlap it.
pub type AffineBlock<T> = unsafe extern "C" fn(dst: *mut T, src: *const T, n: usize, scale: T, shift: T);

/// As [`AffineBlock`] with `e^x`, and returns the sum of what it wrote, in an order that depends on `n` alone.
pub type ExpSum<T> = unsafe extern "C" fn(dst: *mut T, src: *const T, n: usize, scale: T, shift: T) -> T;

/// A reduction of `n` elements.
pub type Reduce<T> = unsafe extern "C" fn(src: *const T, n: usize) -> T;

/// Philox 4x32-10: writes elements `first_element ..` of the stream of a key of two words and a counter of four,
/// lowest word first. Element `i` is word `i % 4` of the block at `counter + i / 4`.
pub type PhiloxBlock =
    unsafe extern "C" fn(dst: *mut u32, n: usize, key: *const u32, counter: *const u32, first_element: u64);

/// A type of float that routines exist for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FloatKind {
    /// 32 bits.
    F32,
    /// 64 bits.
    F64,
}

/// A function of one operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MathOp {
    /// `e^x`.
    Exp,
    /// `e^x - 1`.
    Expm1,
    /// The natural logarithm.
    Log,
    /// The natural logarithm of `1 + x`.
    Log1p,
    /// The sine.
    Sin,
    /// The cosine.
    Cos,
    /// The tangent.
    Tan,
    /// The inverse sine, in `[-pi/2, pi/2]`.
    Asin,
    /// The inverse cosine, in `[0, pi]`.
    Acos,
    /// The inverse tangent, in `[-pi/2, pi/2]`.
    Atan,
    /// The hyperbolic sine.
    Sinh,
    /// The hyperbolic cosine.
    Cosh,
    /// The hyperbolic tangent.
    Tanh,
    /// `1 / (1 + e^-x)`.
    Sigmoid,
    /// The error function.
    Erf,
}

impl MathOp {
    /// All of them.
    pub const ALL: [MathOp; 15] = [
        MathOp::Exp,
        MathOp::Expm1,
        MathOp::Log,
        MathOp::Log1p,
        MathOp::Sin,
        MathOp::Cos,
        MathOp::Tan,
        MathOp::Asin,
        MathOp::Acos,
        MathOp::Atan,
        MathOp::Sinh,
        MathOp::Cosh,
        MathOp::Tanh,
        MathOp::Sigmoid,
        MathOp::Erf,
    ];
}

/// A function of two operands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MathOp2 {
    /// `lhs` to the power `rhs`, with the special cases of C.
    Pow,
    /// The angle of the point `(rhs, lhs)`, in `[-pi, pi]`.
    Atan2,
    /// The remainder of the quotient rounded towards zero, with the sign of `lhs`; exact. `fmod` in C.
    Rem,
}

impl MathOp2 {
    /// All of them.
    pub const ALL: [MathOp2; 3] = [MathOp2::Pow, MathOp2::Atan2, MathOp2::Rem];
}

/// A function for generated code to call, and the name to import it by.
#[derive(Clone, Copy, Debug)]
pub struct Routine<F> {
    /// Unique among all routines: `kiln_exp_f32_avx512`, `kiln_exp_f32_avx512_scalar`.
    pub symbol: &'static str,
    /// The code. Calling it is unsafe where the machine lacks the instruction set.
    pub function: F,
}

/// Routines over a row of floats.
#[derive(Clone, Copy, Debug)]
pub struct Rows<T> {
    /// `e^(scale x + shift)` and its sum.
    pub exp_sum: Routine<ExpSum<T>>,
    /// The sum, in an order that depends on the length alone.
    pub sum: Routine<Reduce<T>>,
    /// The largest element, NaN if there is one; -infinity if there is none.
    pub max: Routine<Reduce<T>>,
}

/// All routines of an instruction set.
struct Routines {
    unary: fn(MathOp, FloatKind) -> Routine<UnaryBlock>,
    binary: fn(MathOp2, FloatKind) -> Routine<BinaryBlock>,
    affine_f32: fn(MathOp) -> Routine<AffineBlock<f32>>,
    affine_f64: fn(MathOp) -> Routine<AffineBlock<f64>>,
    unary_f32: fn(MathOp) -> Routine<UnaryScalar<f32>>,
    unary_f64: fn(MathOp) -> Routine<UnaryScalar<f64>>,
    binary_f32: fn(MathOp2) -> Routine<BinaryScalar<f32>>,
    binary_f64: fn(MathOp2) -> Routine<BinaryScalar<f64>>,
    rows_f32: Rows<f32>,
    rows_f64: Rows<f64>,
    philox: Routine<PhiloxBlock>,
}

/// The routines of an instruction set of this build.
fn routines(isa: Isa) -> &'static Routines {
    match isa {
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512 => &avx512::ROUTINES,
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 => &avx2::ROUTINES,
        #[cfg(target_arch = "aarch64")]
        Isa::Neon => &neon::ROUTINES,
        Isa::Portable => &portable::ROUTINES,
        #[cfg(not(target_arch = "x86_64"))]
        Isa::Avx512 | Isa::Avx2 => not_in_this_build(isa),
        #[cfg(not(target_arch = "aarch64"))]
        Isa::Neon => not_in_this_build(isa),
    }
}

/// `Isa` offers no instruction set that is not available, so nobody has one to ask for.
fn not_in_this_build(isa: Isa) -> ! {
    panic!("internal error: no {isa} code in this build (this is a bug in the compiler, please report it)")
}

/// The block form of an operation of one operand.
pub fn unary(isa: Isa, op: MathOp, float: FloatKind) -> Routine<UnaryBlock> {
    (routines(isa).unary)(op, float)
}

/// The block form of an operation of one f32, which is scaled and shifted before.
pub fn affine_f32(isa: Isa, op: MathOp) -> Routine<AffineBlock<f32>> {
    (routines(isa).affine_f32)(op)
}

/// The block form of an operation of one f64, which is scaled and shifted before.
pub fn affine_f64(isa: Isa, op: MathOp) -> Routine<AffineBlock<f64>> {
    (routines(isa).affine_f64)(op)
}

/// The block form of an operation of two operands.
pub fn binary(isa: Isa, op: MathOp2, float: FloatKind) -> Routine<BinaryBlock> {
    (routines(isa).binary)(op, float)
}

/// The scalar form of an operation of one f32: the bits of the block form.
pub fn unary_scalar_f32(isa: Isa, op: MathOp) -> Routine<UnaryScalar<f32>> {
    (routines(isa).unary_f32)(op)
}

/// The scalar form of an operation of one f64: the bits of the block form.
pub fn unary_scalar_f64(isa: Isa, op: MathOp) -> Routine<UnaryScalar<f64>> {
    (routines(isa).unary_f64)(op)
}

/// The scalar form of an operation of two f32: the bits of the block form.
pub fn binary_scalar_f32(isa: Isa, op: MathOp2) -> Routine<BinaryScalar<f32>> {
    (routines(isa).binary_f32)(op)
}

/// The scalar form of an operation of two f64: the bits of the block form.
pub fn binary_scalar_f64(isa: Isa, op: MathOp2) -> Routine<BinaryScalar<f64>> {
    (routines(isa).binary_f64)(op)
}

/// Routines over rows of f32.
pub fn rows_f32(isa: Isa) -> &'static Rows<f32> {
    &routines(isa).rows_f32
}

/// Routines over rows of f64.
pub fn rows_f64(isa: Isa) -> &'static Rows<f64> {
    &routines(isa).rows_f64
}

/// Random bits.
pub fn philox(isa: Isa) -> Routine<PhiloxBlock> {
    routines(isa).philox
}
