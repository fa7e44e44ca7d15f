//! A recurrent model of characters.

use crate::loss::cross_entropy;
use crate::nn::{Embedding, Linear, Lstm, Model};
use crate::optim::Adam;
use crate::tensor::Tensor;
use crate::trainer::{Trainer, TrainerBuilder};

/// A long short-term memory that predicts the next of each character: embedding, one layer, scores.
///
/// Input: characters `[n, length]`, output: scores `[n, length, vocabulary]`.
#[derive(Debug)]
pub struct CharLstm {
    /// A vector for each character.
    pub emb: Embedding,
    /// The memory.
    pub lstm: Lstm,
    /// The scores of the next character.
    pub fc: Linear,
}
crate::parameters!(CharLstm { emb, lstm, fc });

impl CharLstm {
    /// A model of so many characters, with 128 features each and 256 hidden ones.
    pub fn new(vocabulary: usize) -> CharLstm {
        CharLstm {
            emb: Embedding::new(vocabulary, 128),
            lstm: Lstm::new(128, 256).batch_first(),
            fc: Linear::new(256, vocabulary),
        }
    }

    /// A trainer with the mean cross entropy over all positions and Adam; targets are characters `[n, length]`.
    pub fn trainer(&self, learning_rate: f64) -> TrainerBuilder<'_> {
        let loss =
            |scores: &Tensor, targets: &Tensor| cross_entropy(&scores.flatten(0, 1), &targets.flatten(0, 1));
        Trainer::new(self).loss(loss).optimizer(Adam::new(learning_rate))
    }
}

impl Model for CharLstm {
    fn forward(&self, ids: &Tensor) -> Tensor {
        self.fc.forward(&self.lstm.forward(&self.emb.forward(ids)))
    }
}
