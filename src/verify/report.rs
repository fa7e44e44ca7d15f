//! What a verification found, and its text.

use super::{RESULT_TOLERANCE, TOLERANCE_F32, TOLERANCE_F64};
use kiln_ir::Difference;
use kiln_passes::pipeline::Guilty;
use std::fmt;

/// What a verification found.
#[derive(Clone, Debug)]
pub struct Verification {
    /// The name of the program.
    pub name: String,
    /// Each kernel in the order in which they ran, with the values that it wrote.
    pub kernels: Vec<KernelCheck>,
    /// The results of the whole program.
    pub results: Vec<ResultCheck>,
    /// The rewrite that makes the results differ, when no kernel is to blame.
    pub guilty: Option<Guilty>,
}

/// One kernel.
#[derive(Clone, Debug)]
pub struct KernelCheck {
    /// What its loops do.
    pub kind: &'static str,
    /// The ops that it computes together.
    pub fuses: Vec<String>,
    /// The values that it wrote, operands first.
    pub values: Vec<ValueCheck>,
}

/// A value that a kernel wrote, compared with the interpreter's.
#[derive(Clone, Debug)]
pub struct ValueCheck {
    /// Its name in dumps.
    pub name: String,
    /// The user's line that it comes from.
    pub source: Option<String>,
    /// Whether it is the same to the bit.
    pub same_bits: bool,
    /// Greatest distance of an element, as a share of the greatest magnitude.
    pub distance: f64,
    /// Whether it is off for rounding alone, by more than is tolerated otherwise: a sum of terms that cancel.
    pub is_rounding: bool,
    /// What differs, if it is more than is tolerated.
    pub difference: Option<Difference>,
}

/// A result of the program, compared with that of the traced graph.
#[derive(Clone, Debug)]
pub struct ResultCheck {
    /// Its name, that of the state that it updates if it does.
    pub name: String,
    /// Norm of the difference as a share of the norm of the result.
    pub distance: f64,
    /// How far it may be off for rounding alone; 0 where that was not asked.
    pub rounding: f64,
}

impl Verification {
    /// Whether nothing differs by more than is tolerated.
    pub fn is_good(&self) -> bool {
        self.first_difference().is_none() && self.results.iter().all(ResultCheck::is_good)
    }

    /// The first value that differs by more than is tolerated, and the number of its kernel.
    pub fn first_difference(&self) -> Option<(usize, &ValueCheck)> {
        let values =
            self.kernels.iter().enumerate().flat_map(|(k, kernel)| kernel.values.iter().map(move |v| (k, v)));
        values.into_iter().find(|(_, value)| value.difference.is_some())
    }
}

impl ResultCheck {
    /// Whether it is near enough.
    pub fn is_good(&self) -> bool {
        self.distance <= RESULT_TOLERANCE.max(self.rounding)
    }
}

impl fmt::Display for Verification {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (k, kernel) in self.kernels.iter().enumerate() {
            writeln!(f, "k{k} {}: {}", kernel.kind, kernel.fuses.join(", "))?;
            for value in &kernel.values {
                writeln!(f, "    {value}")?;
            }
        }
        for result in &self.results {
            let mark = match result.is_good() {
                true if result.rounding > 0.0 && result.distance > RESULT_TOLERANCE => {
                    ", all rounding: terms cancel"
                }
                true => "",
                false => "  DIFFERS",
            };
            writeln!(
                f,
                "result %{}: {} from the traced graph's{mark}",
                result.name,
                Distance(result.distance)
            )?;
        }
        self.write_verdict(f)
    }
}

impl Verification {
    fn write_verdict(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = &self.name;
        if let Some((k, value)) = self.first_difference() {
            writeln!(f, "`{name}` is wrong from kernel k{k} on: %{}", value.name)?;
            if let Some(source) = &value.source {
                writeln!(f, "  --> {source}")?;
            }
            if let Some(difference) = &value.difference {
                writeln!(f, "   = {difference}")?;
            }
            return writeln!(
                f,
                "   = tolerated: {TOLERANCE_F32:e} of the greatest magnitude (f64: {TOLERANCE_F64:e})"
            );
        }
        if let Some(result) = self.results.iter().find(|result| !result.is_good()) {
            writeln!(f, "`{name}` is wrong, although each kernel is right: %{}", result.name)?;
            writeln!(f, "   = {} off, tolerated: {RESULT_TOLERANCE:e}", Distance(result.distance))?;
            return match &self.guilty {
                Some(guilty) => writeln!(
                    f,
                    "   = since rewrite {} of pass `{}`, by the rule `{}`",
                    guilty.rewrite, guilty.pass, guilty.rule
                ),
                None => writeln!(f, "   = no rewrite alone makes it so"),
            };
        }
        let values = || self.kernels.iter().flat_map(|kernel| &kernel.values);
        let (n, n_same) = (values().count(), values().filter(|value| value.same_bits).count());
        let worst = values().filter(|value| !value.is_rounding);
        let worst = worst.max_by(|a, b| a.distance.total_cmp(&b.distance));
        writeln!(
            f,
            "`{name}` is right: {n} values of {} kernels, {n_same} of them the same to the bit",
            self.kernels.len()
        )?;
        match worst.filter(|value| !value.same_bits) {
            Some(worst) => writeln!(
                f,
                "   = farthest off is %{}, by {} of its greatest magnitude; tolerated: {TOLERANCE_F32:e} (f64: {TOLERANCE_F64:e})",
                worst.name,
                Distance(worst.distance)
            ),
            None => Ok(()),
        }
    }
}

impl fmt::Display for ValueCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.difference, self.same_bits) {
            (Some(difference), _) => write!(f, "%{}  DIFFERS: {difference}", self.name),
            (None, true) => write!(f, "%{}  the same to the bit", self.name),
            (None, false) if self.is_rounding => write!(f, "%{}  all rounding: terms cancel", self.name),
            (None, false) => write!(f, "%{}  within {}", self.name, Distance(self.distance)),
        }
    }
}

/// A share, with two digits.
struct Distance(f64);

impl fmt::Display for Distance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == 0.0 { f.write_str("0") } else { write!(f, "{:.1e}", self.0) }
    }
}
