//! One element as a constant of the program.

use crate::DType;
use std::fmt;
use std::hash::{Hash, Hasher};

/// The value of one element. Equality and hash are those of the bits, so that `NaN` equals itself and
/// `-0.0` differs from `0.0`: what common-subexpression elimination and the text form need.
#[derive(Clone, Copy, Debug)]
pub enum Literal {
    /// An `f32` value.
    F32(f32),
    /// An `f64` value.
    F64(f64),
    /// An `i32` value.
    I32(i32),
    /// An `i64` value.
    I64(i64),
    /// A `u8` value.
    U8(u8),
    /// A `bool` value.
    Bool(bool),
}

impl Literal {
    /// The literal of this type nearest to `value`: rounded for `f32`, saturated for integers, `value != 0`
    /// for `bool`.
    pub fn from_f64(dtype: DType, value: f64) -> Literal {
        match dtype {
            DType::F32 => Literal::F32(value as f32),
            DType::F64 => Literal::F64(value),
            DType::I32 => Literal::I32(value as i32),
            DType::I64 => Literal::I64(value as i64),
            DType::U8 => Literal::U8(value as u8),
            DType::Bool => Literal::Bool(value != 0.0),
        }
    }

    /// The literal of this type with the integer value, wrapped for integers.
    pub fn from_i64(dtype: DType, value: i64) -> Literal {
        match dtype {
            DType::F32 => Literal::F32(value as f32),
            DType::F64 => Literal::F64(value as f64),
            DType::I32 => Literal::I32(value as i32),
            DType::I64 => Literal::I64(value),
            DType::U8 => Literal::U8(value as u8),
            DType::Bool => Literal::Bool(value != 0),
        }
    }

    /// Zero (or `false`) of this type.
    pub fn zero(dtype: DType) -> Literal {
        Literal::from_i64(dtype, 0)
    }

    /// One (or `true`) of this type.
    pub fn one(dtype: DType) -> Literal {
        Literal::from_i64(dtype, 1)
    }

    /// The least value of the type: `-inf` for floats. It is where a maximum starts.
    pub fn lowest(dtype: DType) -> Literal {
        match dtype {
            DType::F32 => Literal::F32(f32::NEG_INFINITY),
            DType::F64 => Literal::F64(f64::NEG_INFINITY),
            DType::I32 => Literal::I32(i32::MIN),
            DType::I64 => Literal::I64(i64::MIN),
            DType::U8 => Literal::U8(0),
            DType::Bool => Literal::Bool(false),
        }
    }

    /// The greatest value of the type: `inf` for floats. It is where a minimum starts.
    pub fn highest(dtype: DType) -> Literal {
        match dtype {
            DType::F32 => Literal::F32(f32::INFINITY),
            DType::F64 => Literal::F64(f64::INFINITY),
            DType::I32 => Literal::I32(i32::MAX),
            DType::I64 => Literal::I64(i64::MAX),
            DType::U8 => Literal::U8(u8::MAX),
            DType::Bool => Literal::Bool(true),
        }
    }

    /// The element type.
    pub fn dtype(self) -> DType {
        match self {
            Literal::F32(_) => DType::F32,
            Literal::F64(_) => DType::F64,
            Literal::I32(_) => DType::I32,
            Literal::I64(_) => DType::I64,
            Literal::U8(_) => DType::U8,
            Literal::Bool(_) => DType::Bool,
        }
    }

    /// The value as `f64`; an `i64` beyond 2^53 is rounded.
    pub fn as_f64(self) -> f64 {
        match self {
            Literal::F32(v) => v as f64,
            Literal::F64(v) => v,
            Literal::I32(v) => v as f64,
            Literal::I64(v) => v as f64,
            Literal::U8(v) => v as f64,
            Literal::Bool(v) => v as u8 as f64,
        }
    }

    /// Whether the value is zero (either sign) or `false`.
    pub fn is_zero(self) -> bool {
        self.as_f64() == 0.0
    }

    /// Whether the value is one or `true`.
    pub fn is_one(self) -> bool {
        self.as_f64() == 1.0
    }

    /// The bits, widened with zeros.
    pub fn bits(self) -> u64 {
        match self {
            Literal::F32(v) => v.to_bits() as u64,
            Literal::F64(v) => v.to_bits(),
            Literal::I32(v) => v as u32 as u64,
            Literal::I64(v) => v as u64,
            Literal::U8(v) => v as u64,
            Literal::Bool(v) => v as u64,
        }
    }
}

impl PartialEq for Literal {
    fn eq(&self, other: &Literal) -> bool {
        self.dtype() == other.dtype() && self.bits() == other.bits()
    }
}

impl Eq for Literal {}

impl Hash for Literal {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.dtype().hash(state);
        self.bits().hash(state);
    }
}

/// Prints so that the text reads back to the same bits: shortest decimal for finite floats, `inf`, `-inf`,
/// `nan` (the canonical one) and `nan:<hex bits>` for any other NaN.
impl fmt::Display for Literal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Literal::F32(v) if v.is_nan() && v.to_bits() != f32::NAN.to_bits() => {
                write!(f, "nan:{:x}", v.to_bits())
            }
            Literal::F64(v) if v.is_nan() && v.to_bits() != f64::NAN.to_bits() => {
                write!(f, "nan:{:x}", v.to_bits())
            }
            Literal::F32(v) if v.is_nan() => f.write_str("nan"),
            Literal::F64(v) if v.is_nan() => f.write_str("nan"),
            Literal::F32(v) => write!(f, "{v:?}"),
            Literal::F64(v) => write!(f, "{v:?}"),
            Literal::I32(v) => write!(f, "{v}"),
            Literal::I64(v) => write!(f, "{v}"),
            Literal::U8(v) => write!(f, "{v}"),
            Literal::Bool(v) => write!(f, "{v}"),
        }
    }
}

impl From<f32> for Literal {
    fn from(value: f32) -> Literal {
        Literal::F32(value)
    }
}

impl From<f64> for Literal {
    fn from(value: f64) -> Literal {
        Literal::F64(value)
    }
}
