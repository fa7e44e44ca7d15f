//! Reads the text form of a graph: the exact inverse of [`print`](crate::print).
//!
//! ```text
//! text      = graph
//! graph     = "graph" name "(" [ input { "," input } ] ")" "{" { statement } return "}"
//! input     = "%" name ":" type
//! statement = "%" name ":" type "=" [ "detached" ] op [ operand { "," operand } ] [ "{" attribute { "," attribute } "}" ] [ graph ]
//! return    = "return" [ output { "," output } ]          output = operand [ "=>" operand ]
//! attribute = name "=" ( word | "[" [ word { "," word } ] "]" )
//! type      = dtype "[" [ extent { "," extent } ] "]"     operand = "%" name
//! ```
//!
//! The first operand stands on the line of its op. Comments begin with `//`. Every operand is defined before it is used,
//! and every written type is compared with the one that the op's type rule gives. No text makes the parser panic.

use crate::attributes::{Attributes, Problem, Value, Word, read_op};
use crate::graph::Operands;
use crate::names::is_name_char;
use crate::print::DETACHED;
use crate::{DType, Graph, NodeId, Op, Shape, TensorType};
use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// Text that is no graph, and the place where that shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseError {
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
    /// The text of the line.
    pub text: String,
    /// What is wrong.
    pub message: String,
}

/// The graph that a text describes.
pub fn parse(text: &str) -> Result<Graph, ParseError> {
    let mut parser = Parser::new(text, 0, 0);
    match parser.whole_text() {
        Ok(()) => Ok(parser.graph),
        Err(problem) => Err(ParseError::new(text, problem)),
    }
}

impl FromStr for Graph {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Graph, ParseError> {
        parse(text)
    }
}

impl ParseError {
    fn new(text: &str, problem: Problem) -> ParseError {
        let before = &text[..problem.at];
        let start = before.rfind('\n').map_or(0, |newline| newline + 1);
        ParseError {
            line: before.matches('\n').count() + 1,
            column: text[start..problem.at].chars().count() + 1,
            text: text[start..].lines().next().unwrap_or_default().to_string(),
            message: problem.message,
        }
    }

    /// The part of the line that is shown (constants make long lines), and how far into it the column is.
    fn excerpt(&self) -> (String, usize) {
        const N_BEFORE: usize = 60;
        const N_SHOWN: usize = 120;
        let skipped = if self.column > N_SHOWN { self.column - N_BEFORE } else { 0 };
        (self.text.chars().skip(skipped).take(N_SHOWN).collect(), self.column - 1 - skipped)
    }
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (excerpt, offset) = self.excerpt();
        // Tabs stay tabs, so that the caret stands under its character.
        let indent: String =
            excerpt.chars().take(offset).map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
        writeln!(f, "line {}, column {}: {}", self.line, self.column, self.message)?;
        write!(f, "   | {excerpt}\n   | {indent}^")
    }
}

impl std::error::Error for ParseError {}

struct Parser<'a> {
    text: &'a str,
    at: usize,
    graph: Graph,
    values: HashMap<&'a str, NodeId>,
    /// How many loops this graph stands in.
    depth: usize,
}

/// As many loops can stand in each other: a bound on the parser's own depth.
const MAX_DEPTH: usize = 16;

impl<'a> Parser<'a> {
    fn new(text: &'a str, at: usize, depth: usize) -> Parser<'a> {
        Parser { text, at, graph: Graph::new(""), values: HashMap::new(), depth }
    }

    fn whole_text(&mut self) -> Result<(), Problem> {
        self.graph()?;
        self.skip_space();
        if self.rest().is_empty() { Ok(()) } else { Err(self.problem("expected the end of the text")) }
    }

    fn graph(&mut self) -> Result<(), Problem> {
        self.keyword("graph")?;
        self.graph.name = self.name("the name of the graph")?.text.to_string();
        self.expect("(")?;
        self.separated(")", Parser::input)?;
        self.expect("{")?;
        loop {
            self.skip_space();
            if !self.rest().starts_with('%') {
                break;
            }
            self.statement()?;
        }
        self.keyword("return")?;
        self.outputs()?;
        self.expect("}")
    }

    /// The body of a loop: a graph of its own, which sees no value around it.
    fn body(&mut self) -> Result<Graph, Problem> {
        if self.depth == MAX_DEPTH {
            return Err(self.problem(format!("more than {MAX_DEPTH} loops in each other")));
        }
        let mut inner = Parser::new(self.text, self.at, self.depth + 1);
        inner.graph()?;
        self.at = inner.at;
        Ok(inner.graph)
    }

    fn input(&mut self) -> Result<(), Problem> {
        let (name, ty, _) = self.definition()?;
        let id = self.graph.add_input(name, ty);
        self.values.insert(name, id);
        Ok(())
    }

    /// `%name: type`, with the place of the type. The name is new.
    fn definition(&mut self) -> Result<(&'a str, TensorType, usize), Problem> {
        self.expect("%")?;
        let name = self.name("a name")?;
        if self.values.contains_key(name.text) {
            return Err(name.problem(format!("`%{}` is defined already", name.text)));
        }
        self.expect(":")?;
        let (ty, at) = self.ty()?;
        Ok((name.text, ty, at))
    }

    fn statement(&mut self) -> Result<(), Problem> {
        let (name, ty, ty_at) = self.definition()?;
        self.expect("=")?;
        let (word, is_detached) = self.op()?;
        let operands = self.operands()?;
        let entries = self.attributes()?;
        let body = if word.text == "loop" { Some(self.body()?) } else { None };
        let attributes = Attributes { op: word, entries, body };
        let types: Vec<&TensorType> = operands.iter().map(|&operand| self.graph.node(operand).ty()).collect();
        let op = read_op(attributes, &ty, &types)?;
        let id = self.graph.add(op, &operands).map_err(|error| word.problem(error.to_string()))?;
        let inferred = self.graph.node(id).ty();
        if *inferred != ty {
            let message = format!("the result of `{}` is {inferred}, not {ty}", word.text);
            return Err(Problem { at: ty_at, message });
        }
        let node = self.graph.node_mut(id);
        (node.name, node.is_detached) = (Some(Arc::from(name)), is_detached);
        self.values.insert(name, id);
        Ok(())
    }

    /// The name of an op, and whether the mark of a detached node stands before it.
    fn op(&mut self) -> Result<(Word<'a>, bool), Problem> {
        let word = self.name("an op")?;
        if word.text == DETACHED { Ok((self.name("an op")?, true)) } else { Ok((word, false)) }
    }

    /// The operands of an op: the first one on the op's line, since the next line may begin with a definition.
    fn operands(&mut self) -> Result<Operands, Problem> {
        let mut operands = Operands::new();
        self.skip_blanks();
        if !self.rest().starts_with('%') {
            return Ok(operands);
        }
        operands.push(self.operand()?.0);
        while self.accept(",") {
            operands.push(self.operand()?.0);
        }
        Ok(operands)
    }

    fn operand(&mut self) -> Result<(NodeId, Word<'a>), Problem> {
        self.expect("%")?;
        let name = self.name("the name of a value")?;
        match self.values.get(name.text) {
            Some(&id) => Ok((id, name)),
            None => Err(name.problem(format!("`%{}` is not defined before this line", name.text))),
        }
    }

    fn attributes(&mut self) -> Result<Vec<(Word<'a>, Value<'a>)>, Problem> {
        let mut entries: Vec<(Word, Value)> = Vec::new();
        if self.accept("{") {
            self.separated("}", |parser| {
                let name = parser.name("the name of an attribute")?;
                if entries.iter().any(|(word, _)| word.text == name.text) {
                    return Err(name.problem(format!("`{}` stands here twice", name.text)));
                }
                parser.expect("=")?;
                entries.push((name, parser.value()?));
                Ok(())
            })?;
        }
        Ok(entries)
    }

    fn value(&mut self) -> Result<Value<'a>, Problem> {
        if !self.accept("[") {
            return self.word().map(Value::One);
        }
        let mut words = Vec::new();
        self.separated("]", |parser| {
            words.push(parser.word()?);
            Ok(())
        })?;
        Ok(Value::List(words))
    }

    fn ty(&mut self) -> Result<(TensorType, usize), Problem> {
        self.skip_space();
        let at = self.at;
        let dtype = self.name("an element type")?;
        let dtype: DType = dtype.text.parse().map_err(|error| dtype.problem(format!("{error}")))?;
        self.expect("[")?;
        let mut extents = Vec::new();
        self.separated("]", |parser| {
            let word = parser.word()?;
            let extent = word.text.parse().map_err(|_| word.problem("an extent is a number from 0"))?;
            extents.push(extent);
            Ok(())
        })?;
        let ty = TensorType { dtype, shape: Shape::new(&extents) };
        match Op::Input(ty).infer(&[]) {
            Ok(ty) => Ok((ty, at)),
            Err(error) => Err(Problem { at, message: error.to_string() }),
        }
    }

    fn outputs(&mut self) -> Result<(), Problem> {
        self.skip_space();
        if !self.rest().starts_with('%') {
            return Ok(());
        }
        self.output()?;
        while self.accept(",") {
            self.output()?;
        }
        Ok(())
    }

    fn output(&mut self) -> Result<(), Problem> {
        let (value, _) = self.operand()?;
        let updates = if self.accept("=>") { Some(self.state_of(value)?) } else { None };
        self.graph.add_output(value, updates);
        Ok(())
    }

    /// The position of the input that an output updates.
    fn state_of(&mut self, value: NodeId) -> Result<usize, Problem> {
        let (input, word) = self.operand()?;
        let Some(position) = self.graph.inputs().iter().position(|&i| i == input) else {
            return Err(word.problem(format!("`%{}` is not an input, so it cannot be updated", word.text)));
        };
        if self.graph.outputs().iter().any(|output| output.updates == Some(position)) {
            return Err(word.problem(format!("`%{}` is updated already", word.text)));
        }
        let (next, state) = (self.graph.node(value).ty(), self.graph.node(input).ty());
        if next != state {
            return Err(word.problem(format!("`%{}` is {state}, its next value is {next}", word.text)));
        }
        Ok(position)
    }

    /// Items with commas in between, up to the closing token.
    fn separated(
        &mut self,
        close: &str,
        mut item: impl FnMut(&mut Self) -> Result<(), Problem>,
    ) -> Result<(), Problem> {
        if self.accept(close) {
            return Ok(());
        }
        loop {
            item(self)?;
            if self.accept(close) {
                return Ok(());
            }
            if !self.accept(",") {
                return Err(self.problem(format!("expected `,` or `{close}`")));
            }
        }
    }

    fn keyword(&mut self, keyword: &str) -> Result<(), Problem> {
        self.skip_space();
        let word = self.run(is_name_char);
        if word.text == keyword { Ok(()) } else { Err(word.problem(format!("expected `{keyword}`"))) }
    }

    fn name(&mut self, what: &str) -> Result<Word<'a>, Problem> {
        self.skip_space();
        let name = self.run(is_name_char);
        if name.text.is_empty() { Err(name.problem(format!("expected {what}"))) } else { Ok(name) }
    }

    /// A number, a pair of numbers, a truth value or the like.
    fn word(&mut self) -> Result<Word<'a>, Problem> {
        self.skip_space();
        let word = self.run(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | ':' | '+' | '-'));
        if word.text.is_empty() { Err(word.problem("expected a value")) } else { Ok(word) }
    }

    /// The longest run of such characters from here; it ends where a comment begins.
    fn run(&mut self, fits: impl Fn(char) -> bool) -> Word<'a> {
        let rest = self.rest();
        let end = rest.find(|c| !fits(c)).unwrap_or(rest.len());
        let end = rest[..end].find("//").unwrap_or(end);
        let word = Word { text: &rest[..end], at: self.at };
        self.at += end;
        word
    }

    fn expect(&mut self, token: &str) -> Result<(), Problem> {
        if self.accept(token) { Ok(()) } else { Err(self.problem(format!("expected `{token}`"))) }
    }

    fn accept(&mut self, token: &str) -> bool {
        self.skip_space();
        let found = self.rest().starts_with(token);
        if found {
            self.at += token.len();
        }
        found
    }

    fn skip_space(&mut self) {
        loop {
            let rest = self.rest();
            let trimmed = rest.trim_start();
            self.at += rest.len() - trimmed.len();
            if !trimmed.starts_with("//") {
                return;
            }
            self.at += trimmed.find('\n').unwrap_or(trimmed.len());
        }
    }

    fn skip_blanks(&mut self) {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start_matches([' ', '\t']).len();
    }

    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn problem(&self, message: impl Into<String>) -> Problem {
        Problem { at: self.at, message: message.into() }
    }
}

#[cfg(test)]
mod tests;
