//! [`Vector`](super::vector::Vector) for a register type, out of a list of intrinsics.

/// Implements `Vector` for a new type around a register, method by method, with the functions listed.
///
/// The functions take and return registers; those that are not one intrinsic are written beside the list.
macro_rules! vector {
    (
        $(#[$doc:meta])*
        $name:ident($register:ty): $lanes:literal lanes of $scalar:ident, bits $bits:ty as $signed:ty, mask $mask:ty;
        splat: $splat:path, splat_bits: $splat_bits:path, to_bits: $to_bits:path, from_bits: $from_bits:path,
        load: $load:path, store: $store:path, load_first: $load_first:path, store_first: $store_first:path,
        add: $add:path, sub: $sub:path, mul: $mul:path, div: $div:path, sqrt: $sqrt:path,
        mul_add: $mul_add:path, min: $min:path, max: $max:path, scale: $scale:path,
        lt: $lt:path, eq: $eq:path, both: $both:path, either: $either:path, not: $not:path, any: $any:path,
        select: $select:path, and: $and:path, or: $or:path, xor: $xor:path,
        add_bits: $add_bits:path, shift_left: $shift_left:path, shift_right: $shift_right:path,
        $(power_bits: $power_bits:literal, fraction_of_power: $fraction_of_power:path,)?
    ) => {
        $(#[$doc])*
        #[derive(Clone, Copy)]
        pub(super) struct $name($register);

        impl $crate::kernels::math::vector::Vector for $name {
            type Scalar = $scalar;
            type Mask = $mask;
            const LANES: usize = $lanes;

            $crate::kernels::math::registers::methods! {
                fn splat(x: $scalar) -> Self = Self($splat(x));
                fn splat_bits(bits: $bits) -> Self = Self($from_bits($splat_bits(bits as $signed)));
                fn add(self, other: Self) -> Self = Self($add(self.0, other.0));
                fn sub(self, other: Self) -> Self = Self($sub(self.0, other.0));
                fn mul(self, other: Self) -> Self = Self($mul(self.0, other.0));
                fn div(self, other: Self) -> Self = Self($div(self.0, other.0));
                fn sqrt(self) -> Self = Self($sqrt(self.0));
                fn mul_add(self, factor: Self, term: Self) -> Self = Self($mul_add(self.0, factor.0, term.0));
                fn min(self, other: Self) -> Self = Self($min(self.0, other.0));
                fn max(self, other: Self) -> Self = Self($max(self.0, other.0));
                fn scale(self, n: Self) -> Self = $scale(self, n);
                fn lt(self, other: Self) -> $mask = $lt(self.0, other.0);
                fn eq(self, other: Self) -> $mask = $eq(self.0, other.0);
                fn both(a: $mask, b: $mask) -> $mask = $both(a, b);
                fn either(a: $mask, b: $mask) -> $mask = $either(a, b);
                fn not(mask: $mask) -> $mask = $not(mask);
                fn any(mask: $mask) -> bool = $any(mask);
                fn select(mask: $mask, yes: Self, no: Self) -> Self = Self($select(mask, yes.0, no.0));
                fn and(self, other: Self) -> Self = Self($and(self.0, other.0));
                fn or(self, other: Self) -> Self = Self($or(self.0, other.0));
                fn xor(self, other: Self) -> Self = Self($xor(self.0, other.0));
                fn add_bits(self, other: Self) -> Self =
                    Self($from_bits($add_bits($to_bits(self.0), $to_bits(other.0))));
                fn shift_left(self, n_bits: u32) -> Self =
                    Self($from_bits($shift_left($to_bits(self.0), $splat_bits(n_bits as $signed))));
                fn shift_right(self, n_bits: u32) -> Self =
                    Self($from_bits($shift_right($to_bits(self.0), $splat_bits(n_bits as $signed))));
            }

            $(
                const POWER_BITS: u32 = $power_bits;
                #[inline(always)]
                fn fraction_of_power(self) -> (Self, Self) {
                    $fraction_of_power(self)
                }
            )?

            #[inline(always)]
            unsafe fn load(src: *const $scalar) -> Self {
                // SAFETY: the caller vouches for `LANES` elements; for the instructions see `methods!`.
                Self(unsafe { $load(src) })
            }
            #[inline(always)]
            unsafe fn store(self, dst: *mut $scalar) {
                // SAFETY: the caller vouches for `LANES` elements; for the instructions see `methods!`.
                unsafe { $store(dst, self.0) }
            }
            #[inline(always)]
            unsafe fn load_first(src: *const $scalar, n: usize) -> Self {
                // SAFETY: the caller vouches for `n` elements; for the instructions see `methods!`.
                Self(unsafe { $load_first(src, n) })
            }
            #[inline(always)]
            unsafe fn store_first(self, dst: *mut $scalar, n: usize) {
                // SAFETY: the caller vouches for `n` elements; for the instructions see `methods!`.
                unsafe { $store_first(dst, n, self.0) }
            }

            #[inline(always)]
            fn unary<M: $crate::kernels::math::vector::Unary>(self) -> Self {
                M::$scalar(self)
            }
            #[inline(always)]
            fn binary<M: $crate::kernels::math::vector::Binary>(self, other: Self) -> Self {
                M::$scalar(self, other)
            }
        }
    };
}

/// Methods whose bodies are expressions over intrinsics of an instruction set.
macro_rules! methods {
    ($(fn $name:ident($($parameters:tt)*) -> $result:ty = $body:expr;)*) => {$(
        #[inline(always)]
        #[allow(unused_unsafe)] // Some of the functions listed are safe ones around intrinsics.
        fn $name($($parameters)*) -> $result {
            // SAFETY: these intrinsics touch no memory and want nothing but their instruction set. Register
            // types are used only inside the routines of `instantiate!`, whose caller vouches for it.
            unsafe { $body }
        }
    )*};
}

pub(super) use {methods, vector};
