//! Tables of numbers as text: a header line, then one line a row, fields separated by commas.
//!
//! Quotes, comments and missing values are not part of the format: each field of each row is one finite
//! number. Lines may end with `\n` or `\r\n`.

use std::fmt;

/// A table of numbers with named columns.
#[derive(Clone, Debug, PartialEq)]
pub struct Table {
    columns: Vec<String>,
    /// Row after row.
    values: Vec<f64>,
}

/// A text is not a table of numbers.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name}:{line}:{column}: {problem}")]
pub struct CsvError {
    /// What the text was called: usually a path.
    pub name: String,
    /// The line, from 1.
    pub line: usize,
    /// The character in the line, from 1, at which the offending field begins.
    pub column: usize,
    /// What is wrong there.
    pub problem: CsvProblem,
}

/// What is wrong with a text that should be a table of numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CsvProblem {
    /// There is not even a header.
    NoHeader,
    /// A column has no name.
    UnnamedColumn,
    /// A field is not a finite number.
    NotANumber(String),
    /// A row has more or fewer fields than the header.
    FieldCount {
        /// Names in the header.
        expected: usize,
        /// Fields in the row.
        found: usize,
    },
}

impl Table {
    /// Reads a table from text; `name` says in errors what was read.
    pub fn parse(name: &str, text: &str) -> Result<Table, CsvError> {
        let fail = |line, column, problem| CsvError { name: name.to_string(), line, column, problem };
        let mut lines = text.lines().enumerate();
        let Some((_, header)) = lines.next().filter(|(_, header)| !header.trim().is_empty()) else {
            return Err(fail(1, 1, CsvProblem::NoHeader));
        };
        let mut columns = Vec::new();
        for (column, field) in fields(header) {
            if field.is_empty() {
                return Err(fail(1, column, CsvProblem::UnnamedColumn));
            }
            columns.push(field.to_string());
        }
        let mut values = Vec::new();
        for (index, row) in lines {
            let line = index + 1;
            let n_before = values.len();
            for (column, field) in fields(row) {
                match field.parse::<f64>() {
                    Ok(value) if value.is_finite() => values.push(value),
                    Ok(_) | Err(_) => {
                        return Err(fail(line, column, CsvProblem::NotANumber(field.to_string())));
                    }
                }
            }
            let (expected, found) = (columns.len(), values.len() - n_before);
            if expected != found {
                let column = fields(row).nth(expected).map_or(row.chars().count() + 1, |(column, _)| column);
                return Err(fail(line, column, CsvProblem::FieldCount { expected, found }));
            }
        }
        Ok(Table { columns, values })
    }

    /// The names of the columns.
    pub fn columns(&self) -> &[String] {
        &self.columns
    }

    /// The number of rows, without the header.
    pub fn n_rows(&self) -> usize {
        self.values.len() / self.columns.len()
    }

    /// The rows, from the first.
    pub fn rows(&self) -> impl ExactSizeIterator<Item = &[f64]> {
        self.values.chunks_exact(self.columns.len())
    }
}

/// The fields of a line without the spaces around them, each with the character it begins at, from 1.
fn fields(line: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut next = 1;
    line.split(',').map(move |field| {
        let column = next;
        next += field.chars().count() + 1;
        (column, field.trim())
    })
}

impl fmt::Display for CsvProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CsvProblem::NoHeader => f.write_str("a line with the names of the columns is missing"),
            CsvProblem::UnnamedColumn => f.write_str("a column without a name"),
            CsvProblem::NotANumber(field) => write!(f, "`{field}` is not a finite number"),
            CsvProblem::FieldCount { expected, found } => {
                write!(f, "{found} fields in this row, {expected} columns in the header")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> String {
        Table::parse("t.csv", text).expect_err("the text is malformed").to_string()
    }

    #[test]
    fn a_table_has_named_columns_and_rows_of_numbers() {
        let table = Table::parse("t.csv", "a, b,label\n1,2.5,-3\r\n4e1, 5 ,6\n").unwrap();
        assert_eq!(table.columns(), ["a", "b", "label"]);
        assert_eq!(table.n_rows(), 2);
        assert_eq!(table.rows().collect::<Vec<_>>(), [[1.0, 2.5, -3.0], [40.0, 5.0, 6.0]]);
    }

    #[test]
    fn a_table_may_have_no_rows() {
        assert_eq!(Table::parse("t.csv", "a,b").unwrap().n_rows(), 0);
    }

    #[test]
    fn errors_name_line_and_column() {
        assert_eq!(error(""), "t.csv:1:1: a line with the names of the columns is missing");
        assert_eq!(error("a,,c\n"), "t.csv:1:3: a column without a name");
        assert_eq!(error("a,b\n1,2\n33,x4\n"), "t.csv:3:4: `x4` is not a finite number");
        assert_eq!(error("a,b\nnan,2\n"), "t.csv:2:1: `nan` is not a finite number");
        assert_eq!(error("a,b\n1\n"), "t.csv:2:2: 1 fields in this row, 2 columns in the header");
        assert_eq!(error("a,b\n1,2,3\n"), "t.csv:2:5: 3 fields in this row, 2 columns in the header");
        assert_eq!(error("ä,b\n1,2\n\n3,4\n"), "t.csv:3:1: `` is not a finite number");
    }
}
