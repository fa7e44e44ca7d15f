//! Whether the gradients and activations of a training are of a healthy size, in numbers and in words.
//!
//! [`Trainer::step_with_health`](crate::Trainer::step_with_health) is a step of training whose program also computes the
//! norms: of the gradient of each parameter before it is clipped, of the parameter, and of what each layer gives out. A
//! layer is whatever has a name in the model, and [`Tensor::watch`] names any other value. Ordinary steps are another
//! program, which computes none of this.
//!
//! ```
//! use kiln::prelude::*;
//!
//! let layer = || Sequential::new().then(Linear::new(8, 8)).then(Sigmoid);
//! let model = (0..16).fold(Sequential::new(), |model, _| model.then(layer()));
//! let mut trainer = Trainer::new(&model).loss(mse).optimizer(Sgd::new(0.1)).compile(f32(&[4, 8]), f32(&[4, 8]))?;
//! let x = TensorData::new([4, 8], vec![1f32; 32]);
//! let (_, health) = trainer.step_with_health(&x, &x)?;
//! assert!(health.to_string().contains("gradients vanish"));
//! # Ok::<(), kiln::Error>(())
//! ```

mod findings;

pub use findings::{EXPLODING, Finding, FindingKind, VANISHING};

use crate::tensor::Tensor;
use std::fmt;

/// The norms of one step of training.
#[derive(Clone, Debug, PartialEq)]
pub struct Health {
    /// The gradient of each trained parameter, in the order in which the model uses them: the last is nearest to the loss.
    pub gradients: Vec<GradientNorm>,
    /// What each layer gives out, in the order in which they do; of a layer that is used several times, the last.
    pub activations: Vec<ActivationNorm>,
}

/// The size of a gradient.
#[derive(Clone, Debug, PartialEq)]
pub struct GradientNorm {
    /// The name of the parameter.
    pub name: String,
    /// The Euclidean norm of its gradient, before clipping.
    pub norm: f64,
    /// The Euclidean norm of the parameter, before the step.
    pub parameter_norm: f64,
    /// Number of elements.
    pub n_elements: usize,
}

/// The size of what a layer gives out.
#[derive(Clone, Debug, PartialEq)]
pub struct ActivationNorm {
    /// The name of the layer, or that under which the value is [watched](Tensor::watch).
    pub name: String,
    /// The Euclidean norm over the batch.
    pub norm: f64,
    /// Number of elements.
    pub n_elements: usize,
}

/// The gradients of the parameters of one layer together.
#[derive(Clone, Debug, PartialEq)]
pub struct LayerGradient {
    /// The name of the layer: what its parameters have in common. A parameter of the model itself stands for itself.
    pub name: String,
    /// The Euclidean norm of all its gradients.
    pub norm: f64,
    /// The Euclidean norm of all its parameters.
    pub parameter_norm: f64,
    /// Number of elements.
    pub n_elements: usize,
}

/// The root of the mean square, which unlike the norm does not grow with the number of elements.
fn root_mean_square(norm: f64, n_elements: usize) -> f64 {
    norm / (n_elements.max(1) as f64).sqrt()
}

impl GradientNorm {
    /// The size of an element: `norm / sqrt(n)`.
    pub fn root_mean_square(&self) -> f64 {
        root_mean_square(self.norm, self.n_elements)
    }
}

impl ActivationNorm {
    /// The size of an element: `norm / sqrt(n)`.
    pub fn root_mean_square(&self) -> f64 {
        root_mean_square(self.norm, self.n_elements)
    }
}

impl LayerGradient {
    /// The size of an element: `norm / sqrt(n)`.
    pub fn root_mean_square(&self) -> f64 {
        root_mean_square(self.norm, self.n_elements)
    }

    /// How large the gradient is beside the parameters, if these are not all zero.
    pub fn ratio(&self) -> Option<f64> {
        (self.parameter_norm > 0.0).then(|| self.norm / self.parameter_norm)
    }
}

impl Health {
    /// The Euclidean norm of all gradients together: what [`clip_norm`](crate::TrainerBuilder::clip_norm) bounds.
    pub fn gradient_norm(&self) -> f64 {
        self.gradients.iter().map(|gradient| gradient.norm * gradient.norm).sum::<f64>().sqrt()
    }

    /// The gradients by layer, in the order in which the model uses them.
    pub fn layers(&self) -> Vec<LayerGradient> {
        let mut layers: Vec<LayerGradient> = Vec::new();
        for GradientNorm { name, norm, parameter_norm, n_elements } in &self.gradients {
            let name = name.rsplit_once('.').map_or(name.as_str(), |(layer, _)| layer);
            match layers.iter_mut().find(|layer| layer.name == name) {
                Some(layer) => {
                    layer.norm = layer.norm.hypot(*norm);
                    layer.parameter_norm = layer.parameter_norm.hypot(*parameter_norm);
                    layer.n_elements += n_elements;
                }
                None => layers.push(LayerGradient {
                    name: name.to_string(),
                    norm: *norm,
                    parameter_norm: *parameter_norm,
                    n_elements: *n_elements,
                }),
            }
        }
        layers
    }

    /// What is wrong, the worst first; nothing when all is well.
    pub fn findings(&self) -> Vec<Finding> {
        findings::of(self)
    }

    /// Whether nothing is wrong.
    pub fn is_good(&self) -> bool {
        self.findings().is_empty()
    }
}

/// A table of the layers and of the activations, and then what is wrong.
impl fmt::Display for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let layers = self.layers();
        let names = layers.iter().map(|layer| &layer.name).chain(self.activations.iter().map(|of| &of.name));
        let width = names.map(String::len).max().unwrap_or(0).max("activation".len());
        writeln!(f, "{:<width$}  {:>9}  {:>9}  {:>9}", "gradient", "norm", "rms", "/ weight")?;
        for layer in &layers {
            let (norm, rms) = (layer.norm, layer.root_mean_square());
            let ratio = layer.ratio().map_or("-".to_string(), |ratio| format!("{ratio:.2e}"));
            writeln!(f, "{:<width$}  {norm:>9.2e}  {rms:>9.2e}  {ratio:>9}", layer.name)?;
        }
        writeln!(f, "{:<width$}  {:>9}  {:>9}", "activation", "norm", "rms")?;
        for activation in &self.activations {
            let (norm, rms) = (activation.norm, activation.root_mean_square());
            writeln!(f, "{:<width$}  {norm:>9.2e}  {rms:>9.2e}", activation.name)?;
        }
        let findings = self.findings();
        if findings.is_empty() {
            return writeln!(f, "gradients and activations are of a healthy size");
        }
        findings.iter().try_for_each(|finding| writeln!(f, "{finding}"))
    }
}

impl Tensor {
    /// The same value, whose norm is among the [activations](Health::activations) of a step with health, under this name
    /// within the present scope. Elsewhere nothing happens.
    ///
    /// ```
    /// # use kiln::prelude::*;
    /// fn block(x: &Tensor, fc: &Linear) -> Tensor {
    ///     (fc.forward(x).tanh() + x).watch("residual")
    /// }
    /// ```
    #[track_caller]
    pub fn watch(&self, name: &str) -> Tensor {
        if self.dtype().is_float() {
            self.tracer().watch(name, self);
            self.clone()
        } else {
            self.refuse("watch", "only floating-point values have a norm")
        }
    }
}
