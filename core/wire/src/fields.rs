//! Collecting every wrong field of a request, with its path, before refusing it.

use std::fmt::Display;

use serde::{Deserialize, Serialize};

/// One wrong field.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct FieldError {
    /// Where it stands, as a JSON path without the leading `$.`: `attributes.os`.
    pub path: String,
    /// What is wrong with it.
    pub message: String,
}

/// All wrong fields of a request. Never empty.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{} field(s) are not acceptable", .0.len())]
pub struct FieldErrors(pub Vec<FieldError>);

/// Collects wrong fields while the right ones are taken.
#[derive(Debug, Default)]
pub struct Fields {
    errors: Vec<FieldError>,
}

impl Fields {
    /// Starts with no wrong field.
    pub fn new() -> Self {
        Self::default()
    }

    /// Notes a wrong field.
    pub fn wrong(&mut self, path: impl Into<String>, message: impl Display) {
        self.errors.push(FieldError { path: path.into(), message: message.to_string() });
    }

    /// Takes a value or notes why not.
    pub fn take<T, E: Display>(&mut self, path: &str, result: Result<T, E>) -> Option<T> {
        result.map_err(|error| self.wrong(path, error)).ok()
    }

    /// Parses a required text.
    pub fn parse<T: std::str::FromStr<Err: Display>>(&mut self, path: &str, text: &str) -> Option<T> {
        self.take(path, text.parse())
    }

    /// Parses an optional text; absent is fine, wrong is noted.
    pub fn parse_opt<T: std::str::FromStr<Err: Display>>(
        &mut self,
        path: &str,
        text: Option<&str>,
    ) -> Option<T> {
        text.and_then(|text| self.parse(path, text))
    }

    /// Takes a map whose own errors name their keys.
    pub fn take_map<T, E: Display>(&mut self, path: &str, result: Result<T, Vec<(String, E)>>) -> Option<T> {
        let mut tell = |(key, error)| self.wrong(format!("{path}.{key}"), error);
        result.map_err(|wrong| wrong.into_iter().for_each(&mut tell)).ok()
    }

    /// The value, if no field was wrong.
    pub fn finish<T>(self, value: Option<T>) -> Result<T, FieldErrors> {
        match value {
            Some(value) if self.errors.is_empty() => Ok(value),
            _ => Err(FieldErrors(self.errors)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_wrong_field_is_listed() {
        let mut fields = Fields::new();
        let port: Option<u16> = fields.parse("port", "x");
        let size: Option<u8> = fields.parse("size", "256");
        let errors = fields.finish(port.zip(size)).expect_err("both are wrong").0;
        assert_eq!(errors.iter().map(|e| e.path.as_str()).collect::<Vec<_>>(), ["port", "size"]);
    }
}
