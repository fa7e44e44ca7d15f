//! The routines of one instruction set.

/// Defines `ROUTINES` for vector types: thin functions that enable the instructions and inline a formula.
///
/// Whoever calls one vouches that the machine has the instructions: [`Isa::is_available`]
/// (crate::kernels::isa::Isa::is_available).
macro_rules! instantiate {
    ($isa:literal, $f32:ty, $f64:ty $(, features = $features:literal)?) => {
        use super::instantiate::{binary_operations, precision, routine, unary_operations};

        /// The routines in the instructions of this file.
        pub(super) const ROUTINES: super::Routines = super::Routines {
            unary: |op, float| unary_operations!(block(op, float, $isa, map_f32, map_f64)),
            binary: |op, float| binary_operations!(block(op, float, $isa, zip_f32, zip_f64)),
            affine_f32: |op| unary_operations!(form(op, "f32", $isa "_affine", affine_f32)),
            affine_f64: |op| unary_operations!(form(op, "f64", $isa "_affine", affine_f64)),
            unary_f32: |op| unary_operations!(form(op, "f32", $isa "_scalar", one_f32)),
            unary_f64: |op| unary_operations!(form(op, "f64", $isa "_scalar", one_f64)),
            binary_f32: |op| binary_operations!(form(op, "f32", $isa "_scalar", two_f32)),
            binary_f64: |op| binary_operations!(form(op, "f64", $isa "_scalar", two_f64)),
            rows_f32: super::Rows {
                exp_sum: routine!("exp_sum", "f32", $isa, exp_sum_f32),
                sum: routine!("sum", "f32", $isa, sum_f32),
                max: routine!("max", "f32", $isa, max_f32),
            },
            rows_f64: super::Rows {
                exp_sum: routine!("exp_sum", "f64", $isa, exp_sum_f64),
                sum: routine!("sum", "f64", $isa, sum_f64),
                max: routine!("max", "f64", $isa, max_f64),
            },
            philox: routine!("philox", "u32", $isa, philox),
        };

        precision!(
            $f32, f32 $(, $features)?;
            map_f32, affine_f32, zip_f32, one_f32, two_f32, exp_sum_f32, sum_f32, max_f32
        );
        precision!(
            $f64, f64 $(, $features)?;
            map_f64, affine_f64, zip_f64, one_f64, two_f64, exp_sum_f64, sum_f64, max_f64
        );

        /// See [`PhiloxBlock`](super::PhiloxBlock).
        $(#[target_feature(enable = $features)])?
        unsafe extern "C" fn philox(
            dst: *mut u32,
            n: usize,
            key: *const u32,
            counter: *const u32,
            first_element: u64,
        ) {
            // SAFETY: the caller vouches for `n` elements and for two words and four.
            unsafe {
                let (key, counter) = (key.cast::<[u32; 2]>().read(), counter.cast::<[u32; 4]>().read());
                super::philox::philox(dst, n, key, counter, first_element);
            }
        }
    };
}

/// The routines in one precision.
macro_rules! precision {
    (
        $vector:ty, $scalar:ty $(, $features:literal)?;
        $map:ident, $affine:ident, $zip:ident, $one:ident, $two:ident,
        $exp_sum:ident, $sum:ident, $max:ident
    ) => {
        $(#[target_feature(enable = $features)])?
        unsafe extern "C" fn $map<M: super::vector::Unary>(dst: *mut u8, src: *const u8, n: usize) {
            // SAFETY: passed on to the caller.
            unsafe { super::block::map::<$vector, M>(dst.cast(), src.cast(), n) }
        }
        $(#[target_feature(enable = $features)])?
        unsafe extern "C" fn $affine<M: super::vector::Unary>(
            dst: *mut $scalar,
            src: *const $scalar,
            n: usize,
            scale: $scalar,
            shift: $scalar,
        ) {
            // SAFETY: passed on to the caller.
            unsafe { super::block::map_affine::<$vector, M>(dst, src, n, scale, shift) }
        }
        $(#[target_feature(enable = $features)])?
        unsafe extern "C" fn $zip<M: super::vector::Binary>(
            dst: *mut u8,
            lhs: *const u8,
            rhs: *const u8,
            n: usize,
        ) {
            // SAFETY: passed on to the caller.
            unsafe { super::block::zip::<$vector, M>(dst.cast(), lhs.cast(), rhs.cast(), n) }
        }
        $(#[target_feature(enable = $features)])?
        unsafe extern "C" fn $one<M: super::vector::Unary>(x: $scalar) -> $scalar {
            super::block::map_one::<$vector, M>(x)
        }
        $(#[target_feature(enable = $features)])?
        unsafe extern "C" fn $two<M: super::vector::Binary>(lhs: $scalar, rhs: $scalar) -> $scalar {
            super::block::zip_one::<$vector, M>(lhs, rhs)
        }
        $(#[target_feature(enable = $features)])?
        unsafe extern "C" fn $exp_sum(
            dst: *mut $scalar,
            src: *const $scalar,
            n: usize,
            scale: $scalar,
            shift: $scalar,
        ) -> $scalar {
            // SAFETY: passed on to the caller.
            unsafe { super::rows::exp_sum::<$vector>(dst, src, n, scale, shift) }
        }
        $(#[target_feature(enable = $features)])?
        unsafe extern "C" fn $sum(src: *const $scalar, n: usize) -> $scalar {
            // SAFETY: passed on to the caller.
            unsafe { super::rows::sum::<$vector>(src, n) }
        }
        $(#[target_feature(enable = $features)])?
        unsafe extern "C" fn $max(src: *const $scalar, n: usize) -> $scalar {
            // SAFETY: passed on to the caller.
            unsafe { super::rows::max::<$vector>(src, n) }
        }
    };
}

/// A routine with its symbol.
macro_rules! routine {
    ($name:literal, $float:literal, $isa:literal $($form:literal)?, $function:expr) => {
        $crate::kernels::math::Routine {
            symbol: concat!("kiln_", $name, "_", $float, "_", $isa $(, $form)?),
            function: $function,
        }
    };
}

/// The arms of `$arms` for the operations of one operand.
macro_rules! unary_operations {
    ($arms:ident $arguments:tt) => {
        $crate::kernels::math::instantiate::$arms! {
            MathOp $arguments
            Exp "exp" exp::Exp,
            Expm1 "expm1" exp::Expm1,
            Log "log" log::Log,
            Log1p "log1p" log::Log1p,
            Sin "sin" trig::Sin,
            Cos "cos" trig::Cos,
            Tan "tan" trig::Tan,
            Asin "asin" inverse_trig::Asin,
            Acos "acos" inverse_trig::Acos,
            Atan "atan" inverse_trig::Atan,
            Sinh "sinh" exp::Sinh,
            Cosh "cosh" exp::Cosh,
            Tanh "tanh" exp::Tanh,
            Sigmoid "sigmoid" exp::Sigmoid,
            Erf "erf" erf::Erf,
        }
    };
}

/// The arms of `$arms` for the operations of two operands.
macro_rules! binary_operations {
    ($arms:ident $arguments:tt) => {
        $crate::kernels::math::instantiate::$arms! {
            MathOp2 $arguments
            Pow "pow" pow::Pow,
            Atan2 "atan2" inverse_trig::Atan2,
            Rem "rem" pow::Rem,
        }
    };
}

/// The block form of an operation, in either precision.
macro_rules! block {
    (
        $ops:ident ($op:expr, $float:expr, $isa:literal, $f32:ident, $f64:ident)
        $($name:ident $text:literal $module:ident::$formula:ident,)*
    ) => {{
        use $crate::kernels::math::{$ops, FloatKind, instantiate::routine};
        match ($op, $float) {$(
            ($ops::$name, FloatKind::F32) => {
                routine!($text, "f32", $isa, $f32::<$crate::kernels::math::$module::$formula>)
            }
            ($ops::$name, FloatKind::F64) => {
                routine!($text, "f64", $isa, $f64::<$crate::kernels::math::$module::$formula>)
            }
        )*}
    }};
}

/// The scalar or affine form of an operation, in one precision.
macro_rules! form {
    (
        $ops:ident ($op:expr, $float:literal, $isa:literal $form:literal, $function:ident)
        $($name:ident $text:literal $module:ident::$formula:ident,)*
    ) => {{
        use $crate::kernels::math::{$ops, instantiate::routine};
        match $op {$(
            $ops::$name => routine!(
                $text, $float, $isa $form, $function::<$crate::kernels::math::$module::$formula>
            ),
        )*}
    }};
}

pub(super) use {binary_operations, block, form, instantiate, precision, routine, unary_operations};
