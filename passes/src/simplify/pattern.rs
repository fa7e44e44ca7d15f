//! Rewrite rules over elementwise ops, written as text.
//!
//! ```text
//! rule      := name ':' term '=>' term [ 'if' condition { 'and' condition } ]
//! term      := number | letter | [letter '='] op '(' term { ',' term } ')'
//! condition := predicate '(' letter ')'
//! ```
//!
//! A number (also `inf`, `-inf`; 1 and 0 are `true` and `false`) stands for a fill of exactly that value, sign of zero
//! included. The letters `k`, `l` and `m` stand for any fill, every other letter for any value; a letter that occurs
//! twice stands for the same value both times. `s = op(..)` names the value of an inner op for a condition.
//! Commutative ops match in both orders. The predicates are listed in `facts.rs`.

use super::facts;
use crate::analysis::uniform;
use crate::eliminate_common::is_commutative;
use crate::fold_constants::of_fills;
use kiln_ir::emit::{Emit, EmitExt};
use kiln_ir::op::{BinaryOp, CompareOp, LogicalOp, UnaryOp};
use kiln_ir::{Graph, Literal, NodeId, Op};

/// A parsed rule.
pub struct Rule {
    /// The name, in statistics.
    pub name: &'static str,
    /// The whole text.
    pub text: &'static str,
    /// The pattern in every order of the operands of its commutative ops.
    patterns: Vec<Term>,
    replacement: Term,
    conditions: Vec<(char, facts::Predicate)>,
}

/// A pattern, or what is put in its place.
#[derive(Clone, Debug, PartialEq)]
pub enum Term {
    /// A fill of this value.
    Number(f64),
    /// Any value, or any fill.
    Letter(char),
    /// An elementwise op.
    Apply {
        /// The op.
        op: Box<Op>,
        /// Its operands.
        operands: Vec<Term>,
        /// What conditions call it.
        letter: Option<char>,
    },
}

/// What the letters stand for.
#[derive(Default)]
struct Bindings([Option<NodeId>; 26]);

impl Bindings {
    fn slot(&mut self, letter: char) -> &mut Option<NodeId> {
        &mut self.0[letter as usize - 'a' as usize]
    }

    fn get(&self, letter: char) -> NodeId {
        self.0[letter as usize - 'a' as usize].expect("the parser checked that the pattern has the letter")
    }
}

impl Rule {
    /// Parses a rule.
    ///
    /// # Panics
    /// When the text is not one: the table is part of the program, and a test parses all of it.
    pub fn parse(text: &'static str) -> Rule {
        let (name, rest) = text.split_once(':').unwrap_or_else(|| panic!("no name in `{text}`"));
        let (pattern, rest) = rest.split_once("=>").unwrap_or_else(|| panic!("no `=>` in `{text}`"));
        let (replacement, conditions) = rest.split_once(" if ").unwrap_or((rest, ""));
        let pattern = Term::parse(pattern);
        let replacement = Term::parse(replacement);
        let conditions: Vec<_> = conditions
            .split(" and ")
            .filter(|condition| !condition.trim().is_empty())
            .map(|condition| parse_condition(condition.trim()))
            .collect();
        let mut known = Vec::new();
        pattern.letters(&mut known);
        let mut used: Vec<char> = conditions.iter().map(|&(letter, _)| letter).collect();
        replacement.letters(&mut used);
        assert!(
            used.iter().all(|letter| known.contains(letter)),
            "a letter of `{text}` is not in its pattern"
        );
        Rule { name: name.trim(), text, patterns: pattern.in_every_order(), replacement, conditions }
    }

    /// The op at the root of the pattern.
    pub fn root(&self) -> &Op {
        match &self.patterns[0] {
            Term::Apply { op, .. } => op,
            Term::Number(_) | Term::Letter(_) => panic!("the pattern of `{}` has no op", self.text),
        }
    }

    /// The pattern as it was written.
    pub fn pattern(&self) -> &Term {
        &self.patterns[0]
    }

    /// The value to put in place of `id`, if the rule applies to it.
    pub fn apply(&self, graph: &mut Graph, id: NodeId) -> Option<NodeId> {
        let bindings = self.patterns.iter().find_map(|pattern| {
            let mut bindings = Bindings::default();
            let holds = pattern.matches(graph, id, &mut bindings)
                && self.conditions.iter().all(|&(letter, holds)| holds(graph, bindings.get(letter)));
            holds.then_some(bindings)
        })?;
        Some(self.replacement.build(graph, id, &bindings))
    }
}

impl Term {
    fn matches(&self, graph: &Graph, id: NodeId, bindings: &mut Bindings) -> bool {
        match self {
            Term::Number(number) => uniform(graph, id).is_some_and(|value| is_number(value, *number)),
            Term::Letter(letter) => {
                if is_constant_letter(*letter) && uniform(graph, id).is_none() {
                    return false;
                }
                *bindings.slot(*letter).get_or_insert(id) == id
            }
            Term::Apply { op, operands, letter } => {
                if let Some(letter) = letter {
                    *bindings.slot(*letter) = Some(id);
                }
                graph.op(id) == op.as_ref()
                    && operands
                        .iter()
                        .enumerate()
                        .all(|(i, operand)| operand.matches(graph, graph.operands(id)[i], bindings))
            }
        }
    }

    /// Emits the term; a number takes the type of `like`.
    fn build(&self, graph: &mut Graph, like: NodeId, bindings: &Bindings) -> NodeId {
        match self {
            Term::Number(number) => graph.constant_like(like, *number),
            Term::Letter(letter) => bindings.get(*letter),
            Term::Apply { op, operands, .. } => {
                // A number beside a value has the type of that value: in `eq(x, 0)` not that of the result.
                // (The condition of a `select` is never a number.)
                let start = if **op == Op::Select { 1 } else { 0 };
                let mut ids: Vec<Option<NodeId>> = operands
                    .iter()
                    .map(|operand| match operand {
                        Term::Number(_) => None,
                        Term::Letter(_) | Term::Apply { .. } => Some(operand.build(graph, like, bindings)),
                    })
                    .collect();
                let like = ids[start..].iter().flatten().next().copied().unwrap_or(like);
                for (id, operand) in ids.iter_mut().zip(operands) {
                    id.get_or_insert_with(|| operand.build(graph, like, bindings));
                }
                let ids: Vec<NodeId> = ids.into_iter().flatten().collect();
                // A constant of constants becomes one at once: else rules about constants would go on with it.
                match of_fills(graph, op, &ids) {
                    Some(value) => {
                        let shape = graph.shape(ids[0]);
                        graph.emit(Op::Fill(value, shape), &[])
                    }
                    None => graph.emit(Op::clone(op), &ids),
                }
            }
        }
    }

    /// Every letter of the term, also those that name an op.
    pub fn letters(&self, into: &mut Vec<char>) {
        match self {
            Term::Number(_) => {}
            Term::Letter(letter) => into.push(*letter),
            Term::Apply { operands, letter, .. } => {
                into.extend(letter);
                operands.iter().for_each(|operand| operand.letters(into));
            }
        }
    }

    fn in_every_order(&self) -> Vec<Term> {
        let Term::Apply { op, operands, letter } = self else { return vec![self.clone()] };
        let mut lists: Vec<Vec<Term>> = vec![Vec::new()];
        for operand in operands {
            let variants = operand.in_every_order();
            lists = lists
                .iter()
                .flat_map(|list| variants.iter().map(|v| [list.as_slice(), std::slice::from_ref(v)].concat()))
                .collect();
        }
        if is_commutative(op) && operands[0] != operands[1] {
            let swapped: Vec<Vec<Term>> =
                lists.iter().map(|list| list.iter().rev().cloned().collect()).collect();
            lists.extend(swapped);
        }
        let apply = |operands| Term::Apply { op: op.clone(), operands, letter: *letter };
        lists.into_iter().map(apply).collect()
    }

    fn parse(text: &str) -> Term {
        let mut parser = Parser { rest: text.trim() };
        let term = parser.term();
        assert!(parser.rest.is_empty(), "`{}` is left over after a term", parser.rest);
        term
    }
}

/// Whether a literal is this number, exactly: `-0` is not `0`, and 255 is not `-1`.
fn is_number(value: Literal, number: f64) -> bool {
    value.as_f64() == number && value == Literal::from_f64(value.dtype(), number)
}

/// Whether the letter stands for fills only.
pub fn is_constant_letter(letter: char) -> bool {
    matches!(letter, 'k' | 'l' | 'm')
}

fn parse_condition(text: &str) -> (char, facts::Predicate) {
    let (predicate, rest) = text.split_once('(').unwrap_or_else(|| panic!("`{text}` is not a condition"));
    let letter = rest.chars().next().unwrap_or_else(|| panic!("`{text}` asks nothing"));
    let known = facts::PREDICATES.iter().find(|(name, _)| *name == predicate);
    (letter, known.unwrap_or_else(|| panic!("`{predicate}` is not a predicate")).1)
}

struct Parser<'a> {
    rest: &'a str,
}

impl<'a> Parser<'a> {
    fn term(&mut self) -> Term {
        let end = self.rest.find(['(', ')', ',', '=']).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        let word = word.trim();
        if let Some(rest) = rest.strip_prefix('=') {
            self.rest = rest.trim_start();
            let name = only_letter(word).unwrap_or_else(|| panic!("`{word}` is not a letter"));
            return match self.term() {
                Term::Apply { op, operands, .. } => Term::Apply { op, operands, letter: Some(name) },
                Term::Number(_) | Term::Letter(_) => panic!("`{word} =` must stand before an op"),
            };
        }
        if let Some(rest) = rest.strip_prefix('(') {
            self.rest = rest;
            return Term::Apply { op: Box::new(op_named(word)), operands: self.operands(), letter: None };
        }
        self.rest = rest;
        match only_letter(word) {
            Some(letter) => Term::Letter(letter),
            None => Term::Number(word.parse().unwrap_or_else(|_| panic!("`{word}` is not a term"))),
        }
    }

    fn operands(&mut self) -> Vec<Term> {
        let mut operands = Vec::new();
        loop {
            self.rest = self.rest.trim_start();
            operands.push(self.term());
            if let Some(rest) = self.rest.strip_prefix(',') {
                self.rest = rest;
                continue;
            }
            let rest = self.rest.strip_prefix(')');
            self.rest = rest.unwrap_or_else(|| panic!("no `)` before `{}`", self.rest)).trim_start();
            return operands;
        }
    }
}

fn only_letter(word: &str) -> Option<char> {
    let mut chars = word.chars();
    let letter = chars.next().filter(char::is_ascii_lowercase)?;
    chars.next().is_none().then_some(letter)
}

fn op_named(name: &str) -> Op {
    let unary = UnaryOp::ALL.map(Op::Unary);
    let binary = BinaryOp::ALL.map(Op::Binary);
    let compare = CompareOp::ALL.map(Op::Compare);
    let logical = LogicalOp::ALL.map(Op::Logical);
    let ops = unary.into_iter().chain(binary).chain(compare).chain(logical).chain([Op::Select]);
    ops.into_iter()
        .find(|op| op.name() == name)
        .unwrap_or_else(|| panic!("`{name}` is not an elementwise op"))
}
