//! Losses of pairs and triplets: what is alike near together, what is not at a distance.

use super::losses;
use crate::tensor::Tensor;

losses! {
    /// Of pairs of vectors (the last axis): `1 - cos` where the target is 1, `max(cos - margin, 0)` where it is -1.
    ///
    /// Shapes: `[.., n]` twice with `target: [..]` -> `[]`. Source: after Hadsell, Chopra, LeCun, *Dimensionality Reduction by
    /// Learning an Invariant Mapping*, 2006, with cosines in place of distances.
    CosineEmbedding {
        /// The cosine that pairs which are not alike may have; 0 unless it is set.
        margin: f64 = 0.0,
    }

    /// Of an anchor, what is like it and what is not (vectors along the last axis):
    /// `max(|anchor - positive| - |anchor - negative| + margin, 0)`.
    ///
    /// Shapes: `[.., n]` three times, which broadcast -> `[]`. Source: Balntas and others, *Learning local feature
    /// descriptors with triplets and shallow convolutional neural networks*, 2016, which also gives the swap.
    TripletMargin {
        /// By how much the negative should be farther; 1 unless it is set.
        margin: f64 = 1.0,
        /// The order of the norm; 2 unless it is set.
        p: f64 = 2.0,
        /// What is added to each difference; 1e-6 unless it is set.
        eps: f64 = 1e-6,
        /// Whether the distance from positive to negative counts where it is the lesser one.
        swap: bool = false,
    }

    /// Of pairs of scores that should be in an order: `max(-target (a - b) + margin, 0)`; a target of 1 says that `a` is
    /// the greater one, -1 that `b` is.
    ///
    /// Shapes: all three broadcast to one -> `[]`. Source: Herbrich, Graepel, Obermayer, *Large Margin Rank Boundaries for
    /// Ordinal Regression*, 2000.
    MarginRanking {
        /// The distance that the scores should have; 0 unless it is set.
        margin: f64 = 0.0,
    }
}

impl CosineEmbedding {
    /// The loss of pairs and whether they are alike (1 or -1).
    #[track_caller]
    pub fn of(&self, a: &Tensor, b: &Tensor, target: &Tensor) -> Tensor {
        a.within("cosine_embedding", || {
            // What is added to each squared norm is PyTorch's choice, as is that it is added and not a bound.
            const EPSILON: f64 = 1e-12;
            let norm = |x: &Tensor| x.square().sum(-1) + EPSILON;
            let cosine = (a * b).sum(-1) / (norm(a) * norm(b)).sqrt();
            let unlike = (&cosine - self.margin).relu();
            let zeros = cosine.zeros_like();
            let losses = target.eq(1).select(1.0 - &cosine, &zeros) + target.eq(-1).select(unlike, &zeros);
            self.reduction.apply(losses)
        })
    }
}

impl TripletMargin {
    /// The loss of anchors, positives and negatives.
    #[track_caller]
    pub fn of(&self, anchor: &Tensor, positive: &Tensor, negative: &Tensor) -> Tensor {
        anchor.within("triplet_margin", || {
            self.of_distance(anchor, positive, negative, |a, b| a.pairwise_distance(b, self.p, self.eps))
        })
    }

    /// The loss with another distance between vectors (PyTorch's `triplet_margin_with_distance_loss`).
    #[track_caller]
    pub fn of_distance(
        &self,
        anchor: &Tensor,
        positive: &Tensor,
        negative: &Tensor,
        distance: impl Fn(&Tensor, &Tensor) -> Tensor,
    ) -> Tensor {
        let mut far = distance(anchor, negative);
        if self.swap {
            far = far.minimum(distance(positive, negative));
        }
        self.reduction.apply((distance(anchor, positive) - far + self.margin).relu())
    }
}

impl MarginRanking {
    /// The loss of pairs of scores and their order (1 or -1).
    #[track_caller]
    pub fn of(&self, a: &Tensor, b: &Tensor, target: &Tensor) -> Tensor {
        a.within("margin_ranking", || self.reduction.apply((target * (b - a) + self.margin).relu()))
    }
}
