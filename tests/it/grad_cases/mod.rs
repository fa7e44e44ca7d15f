//! Golden gradient cases: every operator of PyTorch that Kiln has, with PyTorch's values and gradients.
//!
//! The cases are a directory beside the workspace (`../shared/grad-cases`, or `KILN_GRAD_CASES`), made from the sample
//! inputs of PyTorch's own tests; its README.md describes the format. [`ops`] maps an operator's name to the same
//! function written with Kiln's tensors. A case whose function or arguments Kiln does not have counts as *not
//! supported* and is listed with the reason; every other one must give PyTorch's outputs and gradients, interpreted and
//! compiled.
//!
//! `cargo test --test it grad_cases -- --nocapture` prints the table; `KILN_GRAD_OP=conv` runs the operators whose name
//! contains it, with each failure in full.

mod call;
mod case;
mod ops;
mod run;
mod ties;

use case::Operator;
use kiln::compile::CompileOptions;
use run::Outcome;
use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;

/// The environment variable that names another directory of cases.
const CASES: &str = "KILN_GRAD_CASES";

/// What passes today of the cases beside the workspace. Raise it when more passes; a change that lowers it has broken
/// something.
const MIN_PASSED: usize = 1841;

/// The share of other cases that must pass, in percent.
const MIN_SHARE: usize = 95;

#[test]
fn gradients_agree_with_pytorch() {
    let Some(directory) = directory() else { return };
    let only = std::env::var("KILN_GRAD_OP").ok();
    let options = CompileOptions::new(0, 2).expect("two threads");
    let mut total = Tally::default();
    let mut failures = Vec::new();
    for entry in case::index(&directory) {
        if only.as_ref().is_some_and(|part| !entry.op.contains(part.as_str())) {
            continue;
        }
        let tally = run_operator(&case::load(&directory, &entry), &options, only.is_some(), &mut failures);
        eprintln!("{:<48} {tally}", entry.op);
        total.add(&tally);
    }
    // Not `eprintln!`, which the test runner keeps to itself when the test passes.
    let (passed, failed, skipped) = (total.passed, total.failed, total.skipped());
    let _ =
        writeln!(std::io::stderr(), "grad-cases: {passed} passed, {failed} failed, {skipped} not supported");
    assert!(failures.is_empty(), "{} cases fail; the first:\n{}", failures.len(), failures[0]);
    if only.is_none() {
        let all = passed + failed + skipped;
        let is_known = std::env::var_os(CASES).is_none();
        let least = if is_known { MIN_PASSED } else { (all * MIN_SHARE).div_ceil(100) };
        assert!(
            passed >= least,
            "{passed} of {all} cases pass, it should be {least}: see what is not supported"
        );
    }
}

/// `docs/supported.md` lists what there is and what is not, with the reason. `KILN_WRITE_DOCS=1` writes the first list.
#[test]
fn the_list_of_supported_functions_is_true() {
    const START: &str = "<!-- supported: written by the test `the_list_of_supported_functions_is_true` -->\n";
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/supported.md");
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let (before, _) = text.split_once(START).expect("the mark where the list starts");
    let list: String = ops::names().iter().map(|name| format!("- `{name}`\n")).collect();
    let expected = format!("{before}{START}{list}");
    if std::env::var_os("KILN_WRITE_DOCS").is_some() {
        std::fs::write(&path, &expected).expect("a file that can be written");
    } else {
        assert!(text == expected, "the list is stale: run this test with KILN_WRITE_DOCS=1");
    }
    let Some(directory) = directory() else { return };
    let is_named = |op: &str| ops::find(op).is_some() || before.contains(&format!("`{op}`"));
    let missing: Vec<String> =
        case::index(&directory).into_iter().map(|entry| entry.op).filter(|op| !is_named(op)).collect();
    assert!(missing.is_empty(), "neither supported nor listed as not supported: {missing:?}");
}

/// The directory of the cases; says so when there is none.
fn directory() -> Option<PathBuf> {
    std::env::var_os(CASES).map(PathBuf::from).or_else(|| crate::support::shared("grad-cases"))
}

fn run_operator(
    operator: &Operator,
    options: &CompileOptions,
    verbose: bool,
    failures: &mut Vec<String>,
) -> Tally {
    let mut tally = Tally::default();
    let function = ops::find(&operator.op);
    for case in &operator.cases {
        let outcome = match function {
            Some(function) => run::run(function, case, options),
            None => Outcome::NotSupported("no such function".to_string()),
        };
        match outcome {
            Outcome::Passed { at_kink } => {
                tally.passed += 1;
                tally.at_kinks += usize::from(at_kink);
            }
            Outcome::Failed(problem) => {
                tally.failed += 1;
                let words = format!("{} case {}: {problem}", operator.op, case.number);
                if verbose {
                    eprintln!("{words}");
                }
                failures.push(words);
            }
            Outcome::NotSupported(reason) => *tally.reasons.entry(reason).or_default() += 1,
        }
    }
    tally
}

/// Results of some cases.
#[derive(Default)]
struct Tally {
    passed: usize,
    /// Passed with another subgradient than PyTorch's at a point without derivative.
    at_kinks: usize,
    failed: usize,
    /// Why cases are not supported, and how many for that reason.
    reasons: BTreeMap<String, usize>,
}

impl Tally {
    fn skipped(&self) -> usize {
        self.reasons.values().sum()
    }

    fn add(&mut self, other: &Tally) {
        self.passed += other.passed;
        self.at_kinks += other.at_kinks;
        self.failed += other.failed;
        for (reason, n) in &other.reasons {
            *self.reasons.entry(reason.clone()).or_default() += n;
        }
    }
}

impl std::fmt::Display for Tally {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:>3} passed", self.passed)?;
        if self.at_kinks > 0 {
            write!(f, " ({} with another subgradient)", self.at_kinks)?;
        }
        if self.failed > 0 {
            write!(f, ", {} FAILED", self.failed)?;
        }
        if self.skipped() > 0 {
            let reasons: Vec<String> =
                self.reasons.iter().map(|(reason, n)| format!("{n} {reason}")).collect();
            write!(f, ", {} not supported: {}", self.skipped(), reasons.join("; "))?;
        }
        Ok(())
    }
}
