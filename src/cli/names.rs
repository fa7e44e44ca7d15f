//! Names on the command line: one of those that are known, or an error that lists them, the nearest first.

use clap::builder::{PossibleValue, TypedValueParser};
use clap::error::ErrorKind;
use clap::{Arg, Command, ValueEnum};
use std::ffi::OsStr;

/// What is known by a name.
pub(crate) trait Named: Sync + 'static {
    fn name(&self) -> &str;

    /// Another name, if there is one.
    fn alias(&self) -> Option<&str>;

    /// What it is, in a sentence.
    fn about(&self) -> &str;
}

/// Reads the name of one of these.
#[derive(Debug)]
pub(crate) struct NameParser<T: 'static> {
    /// What the names are of.
    pub what: &'static str,
    pub all: fn() -> &'static [T],
}

impl<T> Clone for NameParser<T> {
    fn clone(&self) -> NameParser<T> {
        NameParser { ..*self }
    }
}

/// The one of this name.
pub(crate) fn find<'a, T: Named>(all: &'a [T], name: &str) -> Option<&'a T> {
    all.iter().find(|of| of.name() == name || of.alias() == Some(name))
}

impl<T: Named> TypedValueParser for NameParser<T> {
    type Value = &'static T;

    fn parse_ref(
        &self,
        command: &Command,
        _: Option<&Arg>,
        value: &OsStr,
    ) -> Result<&'static T, clap::Error> {
        let (name, all) = (value.to_string_lossy(), (self.all)());
        find(all, &name).ok_or_else(|| {
            let known = nearest(&name, all.iter().map(Named::name).collect()).join(", ");
            let problem = format!("there is no {} `{name}`, but {known}", self.what);
            command.clone().error(ErrorKind::InvalidValue, problem)
        })
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        let value = |of: &'static T| PossibleValue::new(of.name()).aliases(of.alias()).help(of.about());
        Some(Box::new((self.all)().iter().map(value)))
    }
}

/// The name of a variant, and what it is.
pub(crate) fn of_variant(variant: &impl ValueEnum) -> [String; 2] {
    let value = variant.to_possible_value().expect("no variant is hidden");
    let about = value.get_help().map(ToString::to_string);
    [value.get_name().to_string(), about.unwrap_or_default()]
}

/// Names from the nearest to the farthest. Those that contain the given one, or are part of it, are nearer than any other.
fn nearest<'a>(name: &str, mut known: Vec<&'a str>) -> Vec<&'a str> {
    let distance = |of: &&str| match of.contains(name) || name.contains(of) {
        true => (0, of.len().abs_diff(name.len())),
        false => (1, edits(name, of)),
    };
    known.sort_by_key(distance);
    known
}

/// How many characters must be put in, taken out, replaced or exchanged with their neighbour to make one text of another.
///
/// Source: the optimal string alignment distance: L. Boytsov, *Indexing methods for approximate dictionary searching*, 2011,
/// section 2.2.
fn edits(from: &str, to: &str) -> usize {
    let (from, to): (Vec<char>, Vec<char>) = (from.chars().collect(), to.chars().collect());
    let mut rows: Vec<Vec<usize>> = vec![(0..=to.len()).collect()];
    for (i, c) in from.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, d) in to.iter().enumerate() {
            let replaced = rows[i][j] + usize::from(c != d);
            let mut least = replaced.min(row[j] + 1).min(rows[i][j + 1] + 1);
            if i > 0 && j > 0 && *c == to[j - 1] && *d == from[i - 1] {
                least = least.min(rows[i - 1][j - 1] + 1);
            }
            row.push(least);
        }
        rows.push(row);
    }
    rows[from.len()][to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_come_first() {
        for (from, to, n) in [("", "abc", 3), ("gpt", "gtp", 1), ("kitten", "sitting", 3), ("xor", "xor", 0)]
        {
            assert_eq!((edits(from, to), edits(to, from)), (n, n), "{from} {to}");
        }
        let known = vec!["digits-mlp", "mnist-mlp", "gpt", "gpt2", "resnet18", "gru"];
        assert_eq!(nearest("gtp", known.clone())[0], "gpt");
        assert_eq!(nearest("resnet50", known.clone())[0], "resnet18");
        assert_eq!(nearest("resnet", known.clone())[0], "resnet18");
        assert_eq!(nearest("mlp", known)[..2], ["mnist-mlp", "digits-mlp"]);
    }
}
