//! `+ - * /` and unary `-` between tensors and numbers, owned or borrowed on either side.

use super::Tensor;
use std::ops;

/// One operator for tensors on both sides and for numbers on either.
///
/// Numbers on the left are `f64` and `i64`: with `f32` beside `f64`, the type of `1.0 - &x` would not be known.
macro_rules! operator {
    ($trait:ident, $name:ident, |$number:ident, $tensor:ident| $reversed:expr) => {
        impl<T: Into<super::Operand>> ops::$trait<T> for Tensor {
            type Output = Tensor;
            #[track_caller]
            fn $name(self, rhs: T) -> Tensor {
                Tensor::$name(&self, rhs)
            }
        }

        impl<T: Into<super::Operand>> ops::$trait<T> for &Tensor {
            type Output = Tensor;
            #[track_caller]
            fn $name(self, rhs: T) -> Tensor {
                Tensor::$name(self, rhs)
            }
        }

        operator!(@number f64, Float, $trait, $name, |$number, $tensor| $reversed);
        operator!(@number i64, Int, $trait, $name, |$number, $tensor| $reversed);
    };
    (@number $type:ty, $variant:ident, $trait:ident, $name:ident, |$number:ident, $tensor:ident| $reversed:expr) => {
        impl ops::$trait<Tensor> for $type {
            type Output = Tensor;
            #[track_caller]
            fn $name(self, rhs: Tensor) -> Tensor {
                ops::$trait::$name(self, &rhs)
            }
        }

        impl ops::$trait<&Tensor> for $type {
            type Output = Tensor;
            #[track_caller]
            fn $name(self, $tensor: &Tensor) -> Tensor {
                let $number = $tensor.operand_beside(super::Operand::$variant(self));
                $reversed
            }
        }
    };
}

operator!(Add, add, |number, tensor| Tensor::add(tensor, number));
operator!(Mul, mul, |number, tensor| Tensor::mul(tensor, number));
operator!(Sub, sub, |number, tensor| Tensor::sub(&number, tensor));
operator!(Div, div, |number, tensor| Tensor::div(&number, tensor));

impl ops::Neg for Tensor {
    type Output = Tensor;
    #[track_caller]
    fn neg(self) -> Tensor {
        Tensor::neg(&self)
    }
}

impl ops::Neg for &Tensor {
    type Output = Tensor;
    #[track_caller]
    fn neg(self) -> Tensor {
        Tensor::neg(self)
    }
}
