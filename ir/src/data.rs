//! Tensor values on the host: what goes in and out of a program, and what the interpreter computes with.

use crate::{DType, Literal, Shape, TensorType};
use std::fmt;

/// A contiguous row-major tensor value.
#[derive(Clone, PartialEq)]
pub struct TensorData {
    shape: Shape,
    storage: Storage,
}

/// The elements, as a vector of their own type.
#[derive(Clone, Debug, PartialEq)]
pub enum Storage {
    /// `f32` elements.
    F32(Vec<f32>),
    /// `f64` elements.
    F64(Vec<f64>),
    /// `i32` elements.
    I32(Vec<i32>),
    /// `i64` elements.
    I64(Vec<i64>),
    /// `u8` elements.
    U8(Vec<u8>),
    /// `bool` elements.
    Bool(Vec<bool>),
}

mod sealed {
    pub trait Sealed {}
}

/// A Rust type that is an element type of tensors. Sealed: exactly the types of [`DType`].
pub trait Element: Copy + fmt::Debug + PartialEq + Send + Sync + sealed::Sealed + 'static {
    /// The element type.
    const DTYPE: DType;
    /// Wraps a vector of elements.
    fn into_storage(elements: Vec<Self>) -> Storage;
    /// The elements, if they are of this type.
    fn of(storage: &Storage) -> Option<&[Self]>;
    /// The elements, mutable, if they are of this type.
    fn of_mut(storage: &mut Storage) -> Option<&mut [Self]>;
    /// This value as a literal.
    fn literal(self) -> Literal;
}

macro_rules! element {
    ($($type:ty => $variant:ident),*) => {$(
        impl sealed::Sealed for $type {}
        impl Element for $type {
            const DTYPE: DType = DType::$variant;
            fn into_storage(elements: Vec<$type>) -> Storage { Storage::$variant(elements) }
            fn of(storage: &Storage) -> Option<&[$type]> {
                if let Storage::$variant(elements) = storage { Some(elements) } else { None }
            }
            fn of_mut(storage: &mut Storage) -> Option<&mut [$type]> {
                if let Storage::$variant(elements) = storage { Some(elements) } else { None }
            }
            fn literal(self) -> Literal { Literal::$variant(self) }
        }
    )*};
}
element!(f32 => F32, f64 => F64, i32 => I32, i64 => I64, u8 => U8, bool => Bool);

impl TensorData {
    /// A tensor of this shape from its elements in row-major order.
    ///
    /// # Panics
    /// When the number of elements is not the product of the extents.
    #[track_caller]
    pub fn new<T: Element>(shape: impl Into<Shape>, elements: Vec<T>) -> TensorData {
        let shape = shape.into();
        assert_eq!(
            shape.n_elements(),
            elements.len(),
            "a tensor of shape {shape} needs {} elements, {} were given",
            shape.n_elements(),
            elements.len()
        );
        TensorData { shape, storage: T::into_storage(elements) }
    }

    /// A scalar.
    pub fn scalar<T: Element>(value: T) -> TensorData {
        TensorData::new(Shape::scalar(), vec![value])
    }

    /// A tensor with every element equal to `value`.
    pub fn filled(shape: impl Into<Shape>, value: Literal) -> TensorData {
        let shape = shape.into();
        let n = shape.n_elements();
        let storage = match value {
            Literal::F32(v) => Storage::F32(vec![v; n]),
            Literal::F64(v) => Storage::F64(vec![v; n]),
            Literal::I32(v) => Storage::I32(vec![v; n]),
            Literal::I64(v) => Storage::I64(vec![v; n]),
            Literal::U8(v) => Storage::U8(vec![v; n]),
            Literal::Bool(v) => Storage::Bool(vec![v; n]),
        };
        TensorData { shape, storage }
    }

    /// A tensor of zeros (or `false`).
    pub fn zeros(ty: &TensorType) -> TensorData {
        TensorData::filled(ty.shape.clone(), Literal::zero(ty.dtype))
    }

    /// A tensor whose element `i` (row-major) is the literal of this type nearest to `value(i)`.
    pub fn from_fn(ty: &TensorType, mut value: impl FnMut(usize) -> Literal) -> TensorData {
        let mut data = TensorData::zeros(ty);
        for i in 0..ty.n_elements() {
            data.set(i, value(i));
        }
        data
    }

    /// Element type and shape.
    pub fn ty(&self) -> TensorType {
        TensorType::new(self.dtype(), self.shape.clone())
    }

    /// The element type.
    pub fn dtype(&self) -> DType {
        match self.storage {
            Storage::F32(_) => DType::F32,
            Storage::F64(_) => DType::F64,
            Storage::I32(_) => DType::I32,
            Storage::I64(_) => DType::I64,
            Storage::U8(_) => DType::U8,
            Storage::Bool(_) => DType::Bool,
        }
    }

    /// The extents of the axes.
    pub fn shape(&self) -> &Shape {
        &self.shape
    }

    /// Number of elements.
    pub fn n_elements(&self) -> usize {
        self.shape.n_elements()
    }

    /// The elements as their own type.
    pub fn storage(&self) -> &Storage {
        &self.storage
    }

    /// The elements as their own type, mutable.
    pub fn storage_mut(&mut self) -> &mut Storage {
        &mut self.storage
    }

    /// The elements, or `None` when they are of another type.
    pub fn as_slice<T: Element>(&self) -> Option<&[T]> {
        T::of(&self.storage)
    }

    /// The elements, mutable, or `None` when they are of another type.
    pub fn as_mut_slice<T: Element>(&mut self) -> Option<&mut [T]> {
        T::of_mut(&mut self.storage)
    }

    /// Element `i` in row-major order.
    pub fn get(&self, i: usize) -> Literal {
        match &self.storage {
            Storage::F32(v) => Literal::F32(v[i]),
            Storage::F64(v) => Literal::F64(v[i]),
            Storage::I32(v) => Literal::I32(v[i]),
            Storage::I64(v) => Literal::I64(v[i]),
            Storage::U8(v) => Literal::U8(v[i]),
            Storage::Bool(v) => Literal::Bool(v[i]),
        }
    }

    /// Sets element `i` in row-major order.
    ///
    /// # Panics
    /// When `value` is of another type, or `i` is out of range.
    pub fn set(&mut self, i: usize, value: Literal) {
        match (&mut self.storage, value) {
            (Storage::F32(v), Literal::F32(x)) => v[i] = x,
            (Storage::F64(v), Literal::F64(x)) => v[i] = x,
            (Storage::I32(v), Literal::I32(x)) => v[i] = x,
            (Storage::I64(v), Literal::I64(x)) => v[i] = x,
            (Storage::U8(v), Literal::U8(x)) => v[i] = x,
            (Storage::Bool(v), Literal::Bool(x)) => v[i] = x,
            (storage, value) => panic!("a {} element set in {storage:?}", value.dtype()),
        }
    }

    /// All elements as `f64`, whatever their type.
    pub fn to_f64_vec(&self) -> Vec<f64> {
        (0..self.n_elements()).map(|i| self.get(i).as_f64()).collect()
    }

    /// The only element of a tensor of one element, as `f64`.
    pub fn item(&self) -> Option<f64> {
        (self.n_elements() == 1).then(|| self.get(0).as_f64())
    }

    /// The same elements in another shape, or `None` when the numbers of elements differ.
    pub fn reshaped(self, shape: impl Into<Shape>) -> Option<TensorData> {
        let shape = shape.into();
        (shape.n_elements() == self.n_elements()).then_some(TensorData { shape, storage: self.storage })
    }

    /// Whether both have the same type and the same bits: `NaN` equals itself, `-0.0` differs from `0.0`.
    pub fn same_bits(&self, other: &TensorData) -> bool {
        self.dtype() == other.dtype()
            && self.shape == other.shape
            && (0..self.n_elements()).all(|i| self.get(i) == other.get(i))
    }
}

impl fmt::Debug for TensorData {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ", self.ty())?;
        f.debug_list().entries((0..self.n_elements()).map(|i| self.get(i).to_string())).finish()
    }
}
