//! What is wrong with the size of gradients and activations, in words.

use super::{Health, LayerGradient};
use std::fmt;

/// The gradient of a layer vanishes when the size of its elements is less than this share of that of the layer nearest to
/// the loss; an activation when the size of its elements is less than this.
///
/// With one learning rate for all layers, such a layer needs ten thousand steps for the way that the other goes in one:
/// in a training of usual length it hardly moves. Activations are meant to be of size 1: initialisations are chosen so that
/// layers keep it (Glorot and Bengio, *Understanding the difficulty of training deep feedforward neural networks*, 2010;
/// He and others, *Delving Deep into Rectifiers*, 2015).
pub const VANISHING: f64 = 1e-4;

/// The gradient of a layer explodes when its norm is more than so many times that of the layer's parameters, or the size of
/// its elements more than so many times that of the layer nearest to the loss; an activation when the size of its elements
/// is more than this.
///
/// Beyond it, a step of plain descent with a learning rate of only 1e-4 moves the layer farther than it is from zero, which
/// leaves nothing of what it has learned. Source of the remedy, clipping: Pascanu, Mikolov, Bengio, *On the difficulty of
/// training recurrent neural networks*, 2013.
pub const EXPLODING: f64 = 1e4;

/// Something that is wrong, and where.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    /// What is wrong.
    pub kind: FindingKind,
    /// The layers where it is, in the order of the model.
    pub layers: Vec<String>,
    /// The one among them where it is worst.
    pub worst: String,
    /// How bad it is there: what the kind says.
    pub value: f64,
}

/// What is wrong.
#[derive(Clone, Debug, PartialEq)]
pub enum FindingKind {
    /// Activations are infinite or no numbers.
    ActivationsNotFinite,
    /// Gradients are infinite or no numbers.
    GradientsNotFinite,
    /// Gradients have more than [`EXPLODING`] times the norm of their parameters: the value says how many.
    GradientsExplode,
    /// Gradients grow on their way back from the loss: the value is their size beside that of the layer nearest to it.
    GradientsGrow {
        /// The layer nearest to the loss.
        from: String,
    },
    /// All gradients are zero.
    NoGradients,
    /// Gradients are zero, while others are not.
    GradientsAreZero,
    /// Gradients vanish on their way back from the loss: the value is their size beside that of the layer nearest to it.
    GradientsVanish {
        /// The layer nearest to the loss.
        from: String,
    },
    /// Activations are larger than [`EXPLODING`]: the value is their size.
    ActivationsExplode,
    /// Activations are smaller than [`VANISHING`]: the value is their size.
    ActivationsVanish,
}

/// A layer and a number that says how bad it is.
type Case = (String, f64);

/// What is wrong, the worst first.
pub(super) fn of(health: &Health) -> Vec<Finding> {
    let layers = health.layers();
    let activations: Vec<Case> =
        health.activations.iter().map(|of| (of.name.clone(), of.root_mean_square())).collect();
    let not_finite = |cases: &[Case]| -> Vec<Case> {
        cases.iter().filter(|(_, size)| !size.is_finite()).cloned().collect()
    };
    let sizes: Vec<Case> =
        layers.iter().map(|layer| (layer.name.clone(), layer.root_mean_square())).collect();
    let (bad_gradients, bad_activations) = (not_finite(&sizes), not_finite(&activations));
    // Where numbers are not finite, their sizes say nothing, and where they came from first is what matters.
    if !bad_gradients.is_empty() || !bad_activations.is_empty() {
        return [
            first(FindingKind::ActivationsNotFinite, bad_activations),
            first(FindingKind::GradientsNotFinite, bad_gradients),
        ]
        .into_iter()
        .flatten()
        .collect();
    }
    let beyond =
        |bound: f64| -> Vec<Case> { activations.iter().filter(|(_, size)| *size > bound).cloned().collect() };
    let below: Vec<Case> = activations.iter().filter(|(_, size)| *size < VANISHING).cloned().collect();
    let mut findings = of_gradients(&layers);
    findings.extend(greatest(FindingKind::ActivationsExplode, beyond(EXPLODING)));
    findings.extend(least(FindingKind::ActivationsVanish, below));
    findings
}

fn of_gradients(layers: &[LayerGradient]) -> Vec<Finding> {
    let Some(nearest) = layers.last() else { return Vec::new() };
    if layers.iter().all(|layer| layer.norm == 0.0) {
        let all = layers.iter().map(|layer| (layer.name.clone(), 0.0)).collect();
        return first(FindingKind::NoGradients, all).into_iter().collect();
    }
    let cases = |of: &dyn Fn(&LayerGradient) -> Option<f64>| -> Vec<Case> {
        layers.iter().filter_map(|layer| Some((layer.name.clone(), of(layer)?))).collect()
    };
    let explode = cases(&|layer| layer.ratio().filter(|ratio| *ratio > EXPLODING));
    let zero = cases(&|layer| (layer.norm == 0.0).then_some(0.0));
    let share = |layer: &LayerGradient| match nearest.norm == 0.0 {
        // Nothing can be said beside a layer that gets nothing.
        true => None,
        false => Some(layer.root_mean_square() / nearest.root_mean_square()),
    };
    let grow = cases(&|layer| share(layer).filter(|share| *share > EXPLODING));
    let vanish = cases(&|layer| share(layer).filter(|share| *share < VANISHING && layer.norm != 0.0));
    let from = || nearest.name.clone();
    [
        greatest(FindingKind::GradientsExplode, explode),
        greatest(FindingKind::GradientsGrow { from: from() }, grow),
        first(FindingKind::GradientsAreZero, zero),
        least(FindingKind::GradientsVanish { from: from() }, vanish),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// A finding whose worst case is that of the greatest number.
fn greatest(kind: FindingKind, cases: Vec<Case>) -> Option<Finding> {
    let worst = cases.iter().max_by(|a, b| a.1.total_cmp(&b.1)).cloned()?;
    Some(finding(kind, cases, worst))
}

/// A finding whose worst case is that of the least number.
fn least(kind: FindingKind, cases: Vec<Case>) -> Option<Finding> {
    let worst = cases.iter().min_by(|a, b| a.1.total_cmp(&b.1)).cloned()?;
    Some(finding(kind, cases, worst))
}

/// A finding whose worst case is the first.
fn first(kind: FindingKind, cases: Vec<Case>) -> Option<Finding> {
    let worst = cases.first().cloned()?;
    Some(finding(kind, cases, worst))
}

fn finding(kind: FindingKind, cases: Vec<Case>, (worst, value): Case) -> Finding {
    Finding { kind, layers: cases.into_iter().map(|(layer, _)| layer).collect(), worst, value }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (layers, worst, value) = (named(&self.layers), &self.worst, self.value);
        match &self.kind {
            FindingKind::ActivationsNotFinite => write!(
                f,
                "activations are not finite: first those of `{worst}`, of {layers}; lower the learning rate, or look \
                 for a division by zero or a logarithm of zero there"
            ),
            FindingKind::GradientsNotFinite => write!(
                f,
                "gradients are not finite: those of {layers}; lower the learning rate, clip the gradients, or look for \
                 a square root or a logarithm of zero"
            ),
            FindingKind::GradientsExplode => write!(
                f,
                "gradients explode: that of `{worst}` is {value:.1e} times as long as its parameters (more than \
                 {EXPLODING:.0e}: {layers}); clip the gradients, start with smaller weights, or normalize"
            ),
            FindingKind::GradientsGrow { from } => write!(
                f,
                "gradients explode on their way back: at `{worst}` they are {value:.1e} times those of `{from}`, nearest \
                 to the loss (more than {EXPLODING:.0e}: {layers}); clip the gradients, start with smaller weights, or \
                 normalize"
            ),
            FindingKind::NoGradients => write!(
                f,
                "all gradients are zero: nothing is learned; the units may be dead, or the loss does not depend on the \
                 model"
            ),
            FindingKind::GradientsAreZero => write!(
                f,
                "gradients are zero: those of {layers}; their units may be dead or saturated, or were not used"
            ),
            FindingKind::GradientsVanish { from } => write!(
                f,
                "gradients vanish: at `{worst}` they are {value:.1e} times those of `{from}`, nearest to the loss (less \
                 than {VANISHING:.0e}: {layers}); these layers hardly learn: use residual connections, normalization, an \
                 activation that does not saturate, or another initialisation"
            ),
            FindingKind::ActivationsExplode => write!(
                f,
                "activations explode: those of `{worst}` are of size {value:.1e} (more than {EXPLODING:.0e}: {layers}); \
                 start with smaller weights, or normalize"
            ),
            FindingKind::ActivationsVanish => write!(
                f,
                "activations vanish: those of `{worst}` are of size {value:.1e} (less than {VANISHING:.0e}: {layers}); \
                 start with greater weights, or normalize"
            ),
        }
    }
}

/// Names in text: all of few, first and last of many.
fn named(layers: &[String]) -> String {
    match layers {
        [] => "none".to_string(),
        [first, .., last] if layers.len() > 4 => {
            format!("{} layers from `{first}` to `{last}`", layers.len())
        }
        few => few.iter().map(|layer| format!("`{layer}`")).collect::<Vec<_>>().join(", "),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{ActivationNorm, GradientNorm};
    use super::*;

    /// Layers of one element each, with this gradient; all parameters are 1.
    fn health(gradients: &[f64], activations: &[f64]) -> Health {
        let gradient = |(i, &norm): (usize, &f64)| GradientNorm {
            name: format!("fc{}.weight", i + 1),
            norm,
            parameter_norm: 1.0,
            n_elements: 1,
        };
        let activation =
            |(i, &norm): (usize, &f64)| ActivationNorm { name: format!("fc{}", i + 1), norm, n_elements: 1 };
        Health {
            gradients: gradients.iter().enumerate().map(gradient).collect(),
            activations: activations.iter().enumerate().map(activation).collect(),
        }
    }

    #[track_caller]
    fn check(health: &Health, expected: &[(FindingKind, &[&str], &str)]) {
        let found: Vec<(FindingKind, Vec<String>, String)> =
            health.findings().into_iter().map(|of| (of.kind, of.layers, of.worst)).collect();
        let expected: Vec<(FindingKind, Vec<String>, String)> = expected
            .iter()
            .map(|(kind, layers, worst)| {
                (kind.clone(), layers.iter().map(ToString::to_string).collect(), worst.to_string())
            })
            .collect();
        assert_eq!(found, expected);
        assert_eq!(health.is_good(), expected.is_empty());
    }

    #[test]
    fn healthy_sizes_are_not_commented_on() {
        check(&health(&[2e-4, 0.1, 1.0], &[0.5, 3.0, 9000.0]), &[]);
        check(&health(&[], &[]), &[]);
        assert!(health(&[1.0], &[1.0]).to_string().ends_with("are of a healthy size\n"));
    }

    #[test]
    fn gradients_vanish_beside_those_near_the_loss() {
        let vanish = FindingKind::GradientsVanish { from: "fc4".to_string() };
        let health = health(&[1e-9, 2e-7, 1e-3, 0.1], &[]);
        check(&health, &[(vanish, &["fc1", "fc2"], "fc1")]);
        let text = health.findings()[0].to_string();
        assert!(
            text.starts_with("gradients vanish: at `fc1` they are 1.0e-8 times those of `fc4`, nearest"),
            "{text}"
        );
    }

    #[test]
    fn gradients_explode_beside_parameters_or_on_their_way_back() {
        let grow = FindingKind::GradientsGrow { from: "fc3".to_string() };
        check(&health(&[2e3, 1.0, 1e-2], &[]), &[(grow.clone(), &["fc1"], "fc1")]);
        let explode = FindingKind::GradientsExplode;
        check(&health(&[2e4, 3e4, 2e4], &[]), &[(explode.clone(), &["fc1", "fc2", "fc3"], "fc2")]);
        let both = health(&[2e4, 1.0, 1.0], &[]);
        check(&both, &[(explode, &["fc1"], "fc1"), (grow, &["fc1"], "fc1")]);
    }

    #[test]
    fn what_is_zero_or_not_finite_comes_first() {
        check(&health(&[0.0, 0.0], &[1.0]), &[(FindingKind::NoGradients, &["fc1", "fc2"], "fc1")]);
        check(&health(&[0.0, 1.0], &[]), &[(FindingKind::GradientsAreZero, &["fc1"], "fc1")]);
        let both = health(&[f64::NAN, 1.0], &[1.0, f64::INFINITY, f64::NAN, 1e9]);
        let activations: (FindingKind, &[&str], &str) =
            (FindingKind::ActivationsNotFinite, &["fc2", "fc3"], "fc2");
        check(&both, &[activations, (FindingKind::GradientsNotFinite, &["fc1"], "fc1")]);
    }

    #[test]
    fn activations_have_a_size_of_their_own() {
        let of = health(&[1.0], &[1e-5, 1.0, 2e4, 1e5, 1.0]);
        check(
            &of,
            &[
                (FindingKind::ActivationsExplode, &["fc3", "fc4"], "fc4"),
                (FindingKind::ActivationsVanish, &["fc1"], "fc1"),
            ],
        );
    }

    #[test]
    fn many_layers_are_named_by_the_first_and_the_last() {
        let text = health(&[1e-9, 1e-9, 1e-9, 1e-9, 1e-9, 1.0], &[]).findings()[0].to_string();
        assert!(text.contains("less than 1e-4: 5 layers from `fc1` to `fc5`)"), "{text}");
    }
}
