//! Where a node came from: the user's line and the scope (layer) it was traced in.

use std::fmt;
use std::panic::Location;
use std::sync::Arc;

/// The user's line that recorded a node, and the name of the layer it stood in.
///
/// A gradient node keeps the source of the forward node it came from; passes copy sources on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// File, line and column of the user's call.
    pub location: &'static Location<'static>,
    /// The scope, outermost first, joined with dots, as in `encoder.fc1`; empty at the top.
    pub scope: Arc<str>,
}

impl Source {
    /// The caller's line, in no scope.
    #[track_caller]
    pub fn here() -> Source {
        Source { location: Location::caller(), scope: Arc::from("") }
    }

    /// The same line in a scope.
    pub fn in_scope(self, scope: Arc<str>) -> Source {
        Source { scope, ..self }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.location.file(), self.location.line(), self.location.column())?;
        if !self.scope.is_empty() {
            write!(f, ", in `{}`", self.scope)?;
        }
        Ok(())
    }
}
