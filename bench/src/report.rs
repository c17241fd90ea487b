//! What was measured: each figure beside its reference of the same run, the ratio of both, and the target.

#![expect(clippy::print_stdout, reason = "the report is what this program is called for")]

use comfy_table::{ContentArrangement, Table, presets};
use serde::Serialize;

use crate::host::{Cpu, Host};

/// What a figure should be.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Target {
    /// At least so many times the reference.
    Times(f64),
    /// At least this share of the reference.
    Share(f64),
    /// At most this, whatever the reference.
    AtMost(f64),
    /// 99 of 100 answers within this, and at most so many times the reference.
    Page {
        /// In milliseconds.
        p99_ms: f64,
        /// Of the reference.
        times: f64,
    },
    /// Told beside the others, and no target.
    Beside,
}

/// One line of the report.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Row {
    /// Name of the target.
    pub(crate) id: &'static str,
    /// What was measured.
    pub(crate) what: String,
    /// The figure.
    pub(crate) figure: f64,
    /// Its unit.
    pub(crate) unit: &'static str,
    /// What it is compared with.
    pub(crate) reference: Option<(&'static str, f64)>,
    /// The target.
    pub(crate) target: Target,
    /// Half and 99 of 100 answers came within, in milliseconds.
    pub(crate) latency_ms: Option<(f64, f64)>,
    /// Processor time each took: what noise of other programs moves least.
    pub(crate) cpu_us: Option<Cpu>,
}

impl Row {
    /// The same, measured on this store.
    pub(crate) fn on(self, store: &str) -> Self {
        Self { what: format!("{}, {store}", self.what), ..self }
    }

    /// The figure in terms of the reference.
    pub(crate) fn ratio(&self) -> Option<f64> {
        self.reference.filter(|(_, figure)| *figure > 0.0).map(|(_, figure)| self.figure / figure)
    }

    /// Whether the target is met; none where there is no target.
    pub(crate) fn met(&self) -> Option<bool> {
        match self.target {
            Target::Times(least) | Target::Share(least) => self.ratio().map(|ratio| ratio >= least),
            Target::AtMost(most) => Some(self.figure <= most),
            Target::Page { p99_ms, times } => {
                self.latency_ms.zip(self.ratio()).map(|((_, p99), ratio)| p99 < p99_ms && ratio <= times)
            }
            Target::Beside => None,
        }
    }

    fn cells(&self) -> [String; 9] {
        let ratio = self.ratio().map(|ratio| match self.target {
            Target::Times(_) => format!("{ratio:.0} ×"),
            _ if ratio >= 10.0 => format!("{ratio:.0} ×"),
            _ => format!("{:.0} %", ratio * 100.0),
        });
        let target = match self.target {
            Target::Times(least) => format!("≥ {least:.0} ×"),
            Target::Share(least) => format!("≥ {:.0} %", least * 100.0),
            Target::AtMost(most) => format!("≤ {}", number(most)),
            Target::Page { p99_ms, times } => {
                format!("p99 < {} ms, ≤ {:.0} %", number(p99_ms), times * 100.0)
            }
            Target::Beside => String::new(),
        };
        let met = match self.met() {
            Some(true) => "yes",
            Some(false) => "no",
            None => "",
        };
        let latency = self.latency_ms.map(|(half, most)| format!("{half:.1} / {most:.1}"));
        [
            self.id.to_owned(),
            self.what.clone(),
            format!("{} {}", number(self.figure), self.unit),
            latency.unwrap_or_default(),
            self.cpu_us.map(processors).unwrap_or_default(),
            self.reference.map(|(name, figure)| format!("{name}: {}", number(figure))).unwrap_or_default(),
            ratio.unwrap_or_default(),
            target,
            met.to_owned(),
        ]
    }
}

/// Everything that one run measured.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    /// Where.
    pub(crate) host: Host,
    /// What.
    pub(crate) rows: Vec<Row>,
}

impl Report {
    /// One JSON object on one line, with the ratio and the verdict of each row.
    pub(crate) fn print_json(&self) -> serde_json::Result<()> {
        let mut report = serde_json::to_value(self)?;
        for (row, json) in self.rows.iter().zip(report["rows"].as_array_mut().into_iter().flatten()) {
            json["ratio"] = serde_json::to_value(row.ratio())?;
            json["met"] = serde_json::to_value(row.met())?;
        }
        println!("{report}");
        Ok(())
    }

    /// A table for people, which is a table in Markdown too.
    pub(crate) fn print_table(&self) {
        let mut table = Table::new();
        table.load_style(presets::ASCII_MARKDOWN).set_content_arrangement(ContentArrangement::Disabled);
        table.set_header([
            "",
            "path",
            "figure",
            "p50 / p99 ms",
            "CPU µs (database)",
            "beside",
            "ratio",
            "target",
            "met",
        ]);
        self.rows.iter().for_each(|row| {
            table.add_row(row.cells());
        });
        println!("{}\n\n{table}", self.host.line());
    }
}

/// Of which so much in the database server, where there is one.
fn processors(cpu: Cpu) -> String {
    match cpu.database {
        0.0 => number(cpu.all),
        database => format!("{} ({})", number(cpu.all), number(database)),
    }
}

/// A number as people read it: thousands apart, and digits behind the point for small ones only.
pub(crate) fn number(figure: f64) -> String {
    if figure.abs() < 100.0 && figure.fract() != 0.0 {
        return format!("{figure:.2}");
    }
    let digits = format!("{figure:.0}");
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(figure: f64, reference: f64, target: Target) -> Row {
        let reference = Some(("something", reference));
        Row {
            id: "P0",
            what: "a path".to_owned(),
            figure,
            unit: "/s",
            reference,
            target,
            latency_ms: None,
            cpu_us: None,
        }
    }

    #[test]
    fn a_target_is_met_by_the_ratio_and_not_by_the_figure() {
        assert_eq!(row(600.0, 1000.0, Target::Share(0.6)).met(), Some(true));
        assert_eq!(row(599.0, 1000.0, Target::Share(0.6)).met(), Some(false));
        assert_eq!(row(2000.0, 10.0, Target::Times(200.0)).met(), Some(true));
        assert_eq!(row(2.0, 10.0, Target::AtMost(1.0)).met(), Some(false));
        assert_eq!(row(2.0, 10.0, Target::Beside).met(), None);
    }

    #[test]
    fn a_page_must_be_fast_and_must_not_grow_with_the_list() {
        let target = Target::Page { p99_ms: 50.0, times: 1.5 };
        let page = |figure, reference, p99| Row {
            latency_ms: Some((figure, p99)),
            ..row(figure, reference, target)
        };
        assert_eq!(page(1.4, 1.0, 49.0).met(), Some(true));
        assert_eq!(page(1.4, 1.0, 50.0).met(), Some(false));
        assert_eq!(page(1.6, 1.0, 2.0).met(), Some(false));
        assert_eq!(row(1.0, 1.0, target).met(), None);
    }

    #[test]
    fn without_a_reference_no_ratio_is_claimed() {
        assert_eq!(row(600.0, 0.0, Target::Share(0.6)).met(), None);
    }

    #[test]
    fn numbers_read_well() {
        assert_eq!(
            [number(1_234_567.4), number(999.6), number(12.345), number(0.0)],
            ["1,234,567", "1,000", "12.35", "0"]
        );
    }
}
