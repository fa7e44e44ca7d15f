//! What the formulas of this module are written in: vectors of floats, free of any instruction set.
//!
//! Each formula is written once over [`Vector`] (or [`F32`], [`F64`] where the precisions differ) and compiled
//! once per instruction set, inside a function that enables it. Every method here and every formula is `#[inline(always)]`: a call that is not
//! inlined would leave the function that enables the instructions.

/// The most lanes a vector has.
pub(super) const MAX_LANES: usize = 16;

/// A type of float: what its format is.
pub(super) trait Float: Copy + PartialOrd + 'static {
    /// An unsigned integer of the same width.
    type Bits: Copy;
    /// Bits of the fraction in a bit pattern.
    const FRACTION_BITS: u32;
    /// The bit pattern of -0.
    const SIGN_BIT: Self::Bits;
    /// The bit pattern with all but the sign.
    const ABS_BITS: Self::Bits;
    /// 1.5 * 2^FRACTION_BITS: a sum with it has no bit left for a fraction.
    const ROUNDING: Self;
    /// The nearest number of this type.
    fn from_f64(x: f64) -> Self;
}

impl Float for f32 {
    type Bits = u32;
    const FRACTION_BITS: u32 = 23;
    const SIGN_BIT: u32 = 1 << 31;
    const ABS_BITS: u32 = !Self::SIGN_BIT;
    const ROUNDING: f32 = 12_582_912.0;
    #[inline(always)]
    fn from_f64(x: f64) -> f32 {
        x as f32
    }
}

impl Float for f64 {
    type Bits = u64;
    const FRACTION_BITS: u32 = 52;
    const SIGN_BIT: u64 = 1 << 63;
    const ABS_BITS: u64 = !Self::SIGN_BIT;
    const ROUNDING: f64 = 6_755_399_441_055_744.0;
    #[inline(always)]
    fn from_f64(x: f64) -> f64 {
        x
    }
}

/// The unsigned integer of the width of a lane.
pub(super) type Bits<V> = <<V as Vector>::Scalar as Float>::Bits;

/// Lanes of floats, and the bit patterns of floats, in one register.
///
/// Masks have one truth per lane. Comparisons with NaN are false.
pub(super) trait Vector: Copy {
    /// The type of a lane.
    type Scalar: Float;
    /// One truth per lane.
    type Mask: Copy;
    /// The number of lanes, at most [`MAX_LANES`].
    const LANES: usize;

    /// Every lane equal to `x`.
    fn splat(x: Self::Scalar) -> Self;
    /// Every lane equal to the number nearest to `x`.
    #[inline(always)]
    fn constant(x: f64) -> Self {
        Self::splat(Self::Scalar::from_f64(x))
    }
    /// Every lane with the bit pattern `bits`.
    fn splat_bits(bits: Bits<Self>) -> Self;
    /// The first `LANES` elements at `src`, of any alignment.
    ///
    /// # Safety
    /// `src` must be readable for `LANES` elements.
    unsafe fn load(src: *const Self::Scalar) -> Self;
    /// Writes all lanes to `dst`, of any alignment.
    ///
    /// # Safety
    /// `dst` must be writable for `LANES` elements.
    unsafe fn store(self, dst: *mut Self::Scalar);
    /// The first `n < LANES` elements at `src`, and zero in the other lanes.
    ///
    /// # Safety
    /// `src` must be readable for `n` elements; nothing beyond them is read.
    unsafe fn load_first(src: *const Self::Scalar, n: usize) -> Self;
    /// Writes the first `n < LANES` lanes to `dst`.
    ///
    /// # Safety
    /// `dst` must be writable for `n` elements; nothing beyond them is written.
    unsafe fn store_first(self, dst: *mut Self::Scalar, n: usize);

    /// `self + other`.
    fn add(self, other: Self) -> Self;
    /// `self - other`.
    fn sub(self, other: Self) -> Self;
    /// `self * other`.
    fn mul(self, other: Self) -> Self;
    /// `self / other`.
    fn div(self, other: Self) -> Self;
    /// The square root, correctly rounded.
    fn sqrt(self) -> Self;
    /// `self * factor + term`, rounded once or twice: whichever is fast here.
    fn mul_add(self, factor: Self, term: Self) -> Self;
    /// The smaller; NaN where `other` is NaN, unspecified where only `self` is.
    fn min(self, other: Self) -> Self;
    /// The larger; NaN where `other` is NaN, unspecified where only `self` is.
    fn max(self, other: Self) -> Self;

    /// `self < other`.
    fn lt(self, other: Self) -> Self::Mask;
    /// `self == other`.
    fn eq(self, other: Self) -> Self::Mask;
    /// True where both are.
    fn both(a: Self::Mask, b: Self::Mask) -> Self::Mask;
    /// True where one of them is, at least.
    fn either(a: Self::Mask, b: Self::Mask) -> Self::Mask;
    /// True where the operand is false.
    fn not(mask: Self::Mask) -> Self::Mask;
    /// Whether any lane is true.
    fn any(mask: Self::Mask) -> bool;
    /// `yes` where the mask is true, else `no`.
    fn select(mask: Self::Mask, yes: Self, no: Self) -> Self;

    /// Bitwise and of the bit patterns.
    fn and(self, other: Self) -> Self;
    /// Bitwise or of the bit patterns.
    fn or(self, other: Self) -> Self;
    /// Bitwise exclusive or of the bit patterns.
    fn xor(self, other: Self) -> Self;
    /// Sum of the bit patterns as integers; wraps.
    fn add_bits(self, other: Self) -> Self;
    /// Bit patterns shifted left by a constant less than their width.
    fn shift_left(self, n_bits: u32) -> Self;
    /// Bit patterns shifted right by a constant from 1 to their width - 1; zeros come in.
    fn shift_right(self, n_bits: u32) -> Self;

    /// The machine looks up `2^(k / 2^POWER_BITS)` in a register.
    const POWER_BITS: u32 = 0;
    /// `2^(k / 2^POWER_BITS)`, where k are the lowest bits of the pattern, and what is missing in it, relative to it.
    #[inline(always)]
    fn fraction_of_power(self) -> (Self, Self) {
        (Self::constant(1.0), Self::constant(0.0))
    }

    /// `self * 2^floor(n)` for `|n| <= 252` in f32, `|n| <= 2044` in f64; rounded once, also to subnormals. Whole
    /// numbers only, unless there are `POWER_BITS`.
    fn scale(self, n: Self) -> Self;

    /// The value of a routine at each lane: its form for the type of the lanes.
    fn unary<M: Unary>(self) -> Self;
    /// The value of a routine at each pair of lanes.
    fn binary<M: Binary>(self, other: Self) -> Self;
}

/// A function of one float, in both precisions.
pub(super) trait Unary {
    /// At f32 lanes.
    fn f32<V: F32>(x: V) -> V;
    /// At f64 lanes.
    fn f64<V: F64>(x: V) -> V;
}

/// A function of two floats, in both precisions.
pub(super) trait Binary {
    /// At f32 lanes.
    fn f32<V: F32>(lhs: V, rhs: V) -> V;
    /// At f64 lanes.
    fn f64<V: F64>(lhs: V, rhs: V) -> V;
}

/// A function of two f32 that is computed in f64 and rounded at the end.
pub(super) trait Wide {
    /// The function on f64 lanes.
    fn apply<V: F64>(lhs: V, rhs: V) -> V;
}

/// Lanes of f32.
pub(super) trait F32: VectorExt<Scalar = f32> {
    /// `self * factor + term` rounded once wherever the product is needed exactly: true FMA where the machine
    /// has it, else through f64, in which the product of two f32 is exact.
    fn fma(self, factor: Self, term: Self) -> Self;
    /// `W` in f64 on each pair of lanes, rounded to f32.
    fn in_f64<W: Wide>(self, other: Self) -> Self;
}

/// Lanes of f64.
pub(super) trait F64: VectorExt<Scalar = f64> {}

impl<V: Vector<Scalar = f64>> F64 for V {}

/// What follows from the methods of [`Vector`].
pub(super) trait VectorExt: Vector {
    /// `-self`.
    #[inline(always)]
    fn neg(self) -> Self {
        self.xor(Self::splat_bits(Self::Scalar::SIGN_BIT))
    }
    /// `|self|`.
    #[inline(always)]
    fn abs(self) -> Self {
        self.and(Self::splat_bits(Self::Scalar::ABS_BITS))
    }
    /// The sign bit alone.
    #[inline(always)]
    fn sign(self) -> Self {
        self.and(Self::splat_bits(Self::Scalar::SIGN_BIT))
    }
    /// True where `self` is not NaN.
    #[inline(always)]
    fn is_number(self) -> Self::Mask {
        self.eq(self)
    }
    /// The nearest whole number, and a float whose lowest bits are that number in two's complement.
    ///
    /// Right where `|self| < 2^(FRACTION_BITS - 1)`.
    #[inline(always)]
    fn round(self) -> (Self, Self) {
        let shifted = self.add(Self::splat(Self::Scalar::ROUNDING));
        (shifted.sub(Self::splat(Self::Scalar::ROUNDING)), shifted)
    }
    /// `2^n` of the whole numbers that [`round`](Self::round) left in the lowest bits; normal numbers only.
    #[inline(always)]
    fn power_of_two(self) -> Self {
        self.shift_left(Self::Scalar::FRACTION_BITS).add_bits(Self::constant(1.0))
    }
    /// `coefficients[0] + coefficients[1] * self + ...`, by Horner's rule.
    #[inline(always)]
    fn polynomial(self, coefficients: &[Self::Scalar]) -> Self {
        let mut sum = Self::splat(coefficients[coefficients.len() - 1]);
        for &c in coefficients[..coefficients.len() - 1].iter().rev() {
            sum = sum.mul_add(self, Self::splat(c));
        }
        sum
    }
    /// The lanes with `f` applied one by one: for what has no vector form.
    #[inline(always)]
    fn map_lanes(self, f: impl Fn(Self::Scalar) -> Self::Scalar) -> Self {
        self.zip_lanes(self, |x, _| f(x))
    }
    /// The pairs of lanes with `f` applied one by one.
    #[inline(always)]
    fn zip_lanes(self, other: Self, f: impl Fn(Self::Scalar, Self::Scalar) -> Self::Scalar) -> Self {
        let (mut lanes, rhs) = (self.lanes(), other.lanes());
        for (x, &y) in lanes[..Self::LANES].iter_mut().zip(&rhs) {
            *x = f(*x, y);
        }
        // SAFETY: the array holds `LANES` elements, as asserted in `lanes`.
        unsafe { Self::load(lanes.as_ptr()) }
    }
    /// The lanes as an array; what is beyond `LANES` is zero.
    #[inline(always)]
    fn lanes(self) -> [Self::Scalar; MAX_LANES] {
        const { assert!(Self::LANES <= MAX_LANES) };
        let mut lanes = [Self::Scalar::from_f64(0.0); MAX_LANES];
        // SAFETY: the array holds `LANES` elements, as asserted.
        unsafe { self.store(lanes.as_mut_ptr()) };
        lanes
    }
}

impl<V: Vector> VectorExt for V {}

/// `x * 2^n` as two products, for machines without an instruction for it.
///
/// One factor of 2^n cannot reach both the subnormals and infinity; two halves can, and the first product is
/// exact.
#[inline(always)]
pub(super) fn scale_in_two<V: Vector>(x: V, n: V) -> V {
    let (half, half_bits) = n.mul(V::constant(0.5)).round();
    let (_, rest_bits) = n.sub(half).round();
    x.mul(half_bits.power_of_two()).mul(rest_bits.power_of_two())
}
