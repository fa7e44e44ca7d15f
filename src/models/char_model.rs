//! Recurrent models of characters.

use crate::loss::cross_entropy;
use crate::nn::{Embedding, Gru, Linear, Lstm, Model, Module, Rnn, Visitor};
use crate::optim::Adam;
use crate::tensor::Tensor;
use crate::trainer::{Trainer, TrainerBuilder};

/// A recurrent model that predicts the next of each character: embedding, one layer that remembers, scores.
///
/// Input: characters `[n, length]`, output: scores `[n, length, vocabulary]`.
#[derive(Debug)]
pub struct CharModel<M> {
    /// A vector for each character.
    pub emb: Embedding,
    /// What goes through the sequence; its parameters are those of a layer called [`Memory::NAME`].
    pub memory: M,
    /// The scores of the next character.
    pub fc: Linear,
}

/// The model with a plain recurrent layer.
pub type CharRnn = CharModel<Rnn>;
/// The model with a long short-term memory.
pub type CharLstm = CharModel<Lstm>;
/// The model with gated recurrent units.
pub type CharGru = CharModel<Gru>;

/// A recurrent layer that can be the memory of a model of characters.
pub trait Memory: Module + Sized {
    /// What the layer is called in the model.
    const NAME: &'static str;
    /// How many tensors its state is.
    const N_STATES: usize;

    /// The layer for sequences `[n, length, width]` that remembers so many values.
    fn of(width: usize, hidden: usize) -> Self;

    /// The results of all steps, and the state after the last one; it begins with zeros unless a state is given.
    fn remember(&self, x: &Tensor, state: Option<&[Tensor]>) -> (Tensor, Vec<Tensor>);
}

/// Makes a layer the memory of a model.
macro_rules! memory {
    ($layer:ident, $name:literal, $n_states:literal) => {
        impl Memory for $layer {
            const NAME: &'static str = $name;
            const N_STATES: usize = $n_states;

            fn of(width: usize, hidden: usize) -> $layer {
                $layer::new(width, hidden).batch_first()
            }

            fn remember(&self, x: &Tensor, state: Option<&[Tensor]>) -> (Tensor, Vec<Tensor>) {
                self.run(x, state)
            }
        }
    };
}

memory!(Rnn, "rnn", 1);
memory!(Lstm, "lstm", 2);
memory!(Gru, "gru", 1);

impl<M: Memory> CharModel<M> {
    /// Numbers that stand for a character.
    pub const WIDTH: usize = 128;
    /// Numbers that are remembered from one character to the next.
    pub const HIDDEN: usize = 256;

    /// A model of so many characters.
    pub fn new(vocabulary: usize) -> CharModel<M> {
        CharModel {
            emb: Embedding::new(vocabulary, Self::WIDTH),
            memory: M::of(Self::WIDTH, Self::HIDDEN),
            fc: Linear::new(Self::HIDDEN, vocabulary),
        }
    }

    /// The scores of what follows each of the characters, and the state after the last one.
    pub fn read(&self, characters: &Tensor, state: Option<&[Tensor]>) -> (Tensor, Vec<Tensor>) {
        let (remembered, state) = self.memory.remember(&self.emb.forward(characters), state);
        (self.fc.forward(&remembered), state)
    }

    /// A trainer with the mean cross entropy over all positions and Adam; targets are characters `[n, length]`.
    pub fn trainer(&self, learning_rate: f64) -> TrainerBuilder<'_> {
        let loss =
            |scores: &Tensor, targets: &Tensor| cross_entropy(&scores.flatten(0, 1), &targets.flatten(0, 1));
        Trainer::new(self).loss(loss).optimizer(Adam::new(learning_rate))
    }
}

impl<M: Memory> Module for CharModel<M> {
    fn visit<'m>(&'m self, visitor: &mut Visitor<'m>) {
        visitor.child("emb", &self.emb);
        visitor.child(M::NAME, &self.memory);
        visitor.child("fc", &self.fc);
    }
}

impl<M: Memory> Model for CharModel<M> {
    fn forward(&self, characters: &Tensor) -> Tensor {
        self.read(characters, None).0
    }
}
