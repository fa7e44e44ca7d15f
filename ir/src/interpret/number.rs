//! What the interpreter needs to know of element types, and the dispatch from a value's type to Rust's.

use crate::op::{BinaryOp, UnaryOp};
use crate::{Element, TensorData};

/// An element that can be ordered, NaN before all others.
pub(super) trait Ordered: Element + PartialOrd {
    fn is_nan(self) -> bool;

    /// Whether this is greater than `best`, so that a search for the first greatest element moves on to it.
    fn is_above(self, best: Self) -> bool {
        !best.is_nan() && (self.is_nan() || self > best)
    }

    /// Whether this is less than `best`, so that a search for the first least element moves on to it.
    fn is_below(self, best: Self) -> bool {
        !best.is_nan() && (self.is_nan() || self < best)
    }
}

/// An element that can be calculated with: floats through `f64`, integers wrapping.
pub(super) trait Number: Ordered {
    /// What sums and products are accumulated in.
    type Accumulator: Copy;
    const ZERO: Self::Accumulator;
    const ONE: Self::Accumulator;
    fn widen(self) -> Self::Accumulator;
    fn narrow(total: Self::Accumulator) -> Self;
    fn sum(a: Self::Accumulator, b: Self::Accumulator) -> Self::Accumulator;
    fn product(a: Self::Accumulator, b: Self::Accumulator) -> Self::Accumulator;
    fn unary(op: UnaryOp, x: Self) -> Self;
    fn binary(op: BinaryOp, a: Self, b: Self) -> Self;
}

macro_rules! float {
    ($($type:ty),*) => {$(
        impl Ordered for $type {
            fn is_nan(self) -> bool { <$type>::is_nan(self) }
        }
        impl Number for $type {
            type Accumulator = f64;
            const ZERO: f64 = 0.0;
            const ONE: f64 = 1.0;
            fn widen(self) -> f64 { self as f64 }
            fn narrow(total: f64) -> $type { total as $type }
            fn sum(a: f64, b: f64) -> f64 { a + b }
            fn product(a: f64, b: f64) -> f64 { a * b }
            fn unary(op: UnaryOp, x: $type) -> $type { op.reference(x as f64) as $type }
            fn binary(op: BinaryOp, a: $type, b: $type) -> $type { op.reference(a as f64, b as f64) as $type }
        }
    )*};
}
float!(f32, f64);

macro_rules! int {
    ($($type:ty),*) => {$(
        impl Ordered for $type {
            fn is_nan(self) -> bool { false }
        }
        impl Number for $type {
            type Accumulator = $type;
            const ZERO: $type = 0;
            const ONE: $type = 1;
            fn widen(self) -> $type { self }
            fn narrow(total: $type) -> $type { total }
            fn sum(a: $type, b: $type) -> $type { a.wrapping_add(b) }
            fn product(a: $type, b: $type) -> $type { a.wrapping_mul(b) }
            fn unary(op: UnaryOp, x: $type) -> $type { op.reference_int(x as i64) as $type }
            fn binary(op: BinaryOp, a: $type, b: $type) -> $type { op.reference_int(a as i64, b as i64) as $type }
        }
    )*};
}
int!(i32, i64, u8);

impl Ordered for bool {
    fn is_nan(self) -> bool {
        false
    }
}

/// Runs `$body` with `$T` standing for the Rust type of an element type.
macro_rules! with_element {
    ($dtype:expr, $T:ident => $body:expr) => {
        match $dtype {
            $crate::DType::F32 => {
                type $T = f32;
                $body
            }
            $crate::DType::F64 => {
                type $T = f64;
                $body
            }
            $crate::DType::I32 => {
                type $T = i32;
                $body
            }
            $crate::DType::I64 => {
                type $T = i64;
                $body
            }
            $crate::DType::U8 => {
                type $T = u8;
                $body
            }
            $crate::DType::Bool => {
                type $T = bool;
                $body
            }
        }
    };
}
pub(super) use with_element;

/// The same for element types that type rules have found to be numbers.
macro_rules! with_number {
    ($dtype:expr, $T:ident => $body:expr) => {
        match $dtype {
            $crate::DType::F32 => {
                type $T = f32;
                $body
            }
            $crate::DType::F64 => {
                type $T = f64;
                $body
            }
            $crate::DType::I32 => {
                type $T = i32;
                $body
            }
            $crate::DType::I64 => {
                type $T = i64;
                $body
            }
            $crate::DType::U8 => {
                type $T = u8;
                $body
            }
            $crate::DType::Bool => unreachable!("type rules let no bool into arithmetic"),
        }
    };
}
pub(super) use with_number;

/// The elements of a value that is known to be of this type.
pub(super) fn elements<T: Element>(data: &TensorData) -> &[T] {
    data.as_slice().unwrap_or_else(|| unreachable!("{} where {} was checked", data.dtype(), T::DTYPE))
}
