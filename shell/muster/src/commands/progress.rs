//! Telling a person or a program what the agent goes through: a spinner on a terminal, plain lines elsewhere, a line of
//! JSON each where JSON was asked for. And a bar for work whose end is known.

use std::io::{IsTerminal, Write};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use muster_agent::Progress;
use serde::Serialize;

use crate::output::{Format, Output, escape};

/// Something the agent went through, for programs.
#[derive(Debug, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum Told<'a> {
    Held { hold: &'a str, reason: &'a str, words: &'a [String], expires_at: jiff::Timestamp },
    Enrolled { machine: &'a muster_wire::enroll::EnrolledMachine },
    Trouble { what: &'a str },
    Online,
    Offline,
    Renewed { not_after: jiff::Timestamp },
    Rotated { key: &'a str },
    Standing { state: &'a str },
}

/// Tells progress while a command runs.
pub(crate) struct Teller {
    out: Output,
    /// Programs get events only from a command whose result is the events themselves.
    events: bool,
    spinner: Option<ProgressBar>,
    last: String,
}

impl Teller {
    /// For a command that ends with a result.
    pub(crate) fn waiting(out: Output) -> Self {
        let interactive = out.format == Format::Table && std::io::stderr().is_terminal();
        Self { out, events: false, spinner: interactive.then(spinner), last: String::new() }
    }

    /// For a command that goes on until it is stopped.
    pub(crate) fn resident(out: Output) -> Self {
        Self { out, events: out.format != Format::Table, spinner: None, last: String::new() }
    }

    /// Tells one thing.
    pub(crate) fn tell(&mut self, progress: &Progress) {
        if self.events {
            // Nobody reads the events any more; the agent goes on.
            self.out.line(&told(progress)).ok();
            return;
        }
        let text = sentence(progress);
        // The same trouble again and again is told once.
        if text == self.last {
            return;
        }
        match &self.spinner {
            Some(spinner) => self.draw(spinner, progress, &text),
            None => line(&text),
        }
        self.last = text;
    }

    /// What stays on the screen is printed above the spinner, what passes is its text.
    fn draw(&self, spinner: &ProgressBar, progress: &Progress, text: &str) {
        match progress {
            Progress::Held { .. } => {
                spinner.suspend(|| line(text));
                spinner.set_message("waiting for somebody to approve");
            }
            Progress::Trouble { .. } => spinner.set_message(text.to_owned()),
            _ => spinner.suspend(|| line(text)),
        }
    }
}

/// A bar for something whose end is known.
pub(crate) struct Bar(Option<ProgressBar>);

impl Bar {
    /// For rows on their way, told how many of how many; drawn for a person at a terminal.
    pub(crate) fn rows(out: Output) -> impl FnMut(u64, u64) + Send {
        Self::counting(out, "rows")
    }

    /// The same for things of this name.
    pub(crate) fn counting(out: Output, things: &str) -> impl FnMut(u64, u64) + Send + use<> {
        let look = format!(
            "{{bar:32}} {{percent:>3}} %  {{human_pos}} of {{human_len}} {things}, {{per_sec}}, {{eta}} left"
        );
        let interactive = out.format == Format::Table && std::io::stderr().is_terminal();
        let bar = interactive.then(|| {
            let style = ProgressStyle::with_template(&look).expect("a constant template");
            ProgressBar::new(0).with_style(style)
        });
        let mut bar = Self(bar);
        move |done, all| bar.at(done, all)
    }

    fn at(&mut self, done: u64, all: u64) {
        if let Some(bar) = &self.0 {
            bar.set_length(all);
            bar.set_position(done);
        }
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}

impl Drop for Teller {
    fn drop(&mut self) {
        if let Some(spinner) = &self.spinner {
            spinner.finish_and_clear();
        }
    }
}

fn spinner() -> ProgressBar {
    let spinner = ProgressBar::new_spinner();
    spinner
        .set_style(ProgressStyle::with_template("{spinner} {msg} ({elapsed})").expect("a constant template"));
    spinner.set_message("enrolling");
    spinner.enable_steady_tick(Duration::from_millis(120));
    spinner
}

fn line(text: &str) {
    // A lost remark is no failure of the agent.
    writeln!(std::io::stderr().lock(), "{text}").ok();
}

fn sentence(progress: &Progress) -> String {
    match progress {
        Progress::Held { hold, reason, words, .. } => format!(
            "waiting for approval ({}): {}\nwords to compare: {}\non the server: muster hold approve {}",
            escape(reason),
            escape(hold),
            escape(&words.join(" ")),
            escape(hold)
        ),
        Progress::Enrolled { machine } => {
            format!(
                "enrolled as {} ({}) at site {}",
                escape(&machine.id),
                escape(&machine.name),
                escape(&machine.site)
            )
        }
        Progress::Trouble { what } => format!("trouble: {}", escape(what)),
        Progress::Online => "online".to_owned(),
        Progress::Offline => "offline: the channel is lost, connecting again".to_owned(),
        Progress::Renewed { not_after } => format!("renewed: the certificate is good until {not_after}"),
        Progress::Rotated { key } => format!("rotated: this machine's key is {} now", escape(key)),
        Progress::Standing(standing) => standing.as_str().to_owned(),
    }
}

fn told(progress: &Progress) -> Told<'_> {
    match progress {
        Progress::Held { hold, reason, words, expires_at } => {
            Told::Held { hold, reason, words, expires_at: *expires_at }
        }
        Progress::Enrolled { machine } => Told::Enrolled { machine },
        Progress::Trouble { what } => Told::Trouble { what },
        Progress::Online => Told::Online,
        Progress::Offline => Told::Offline,
        Progress::Renewed { not_after } => Told::Renewed { not_after: *not_after },
        Progress::Rotated { key } => Told::Rotated { key },
        Progress::Standing(standing) => Told::Standing { state: standing.as_str() },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(reason: &str) -> Progress {
        let words = ["one", "two", "three", "four", "five"].map(str::to_owned).to_vec();
        Progress::Held {
            hold: "hld_1".into(),
            reason: reason.into(),
            words,
            expires_at: jiff::Timestamp::UNIX_EPOCH,
        }
    }

    #[test]
    fn who_waits_shows_the_five_words_and_the_command_that_lets_it_in() {
        let text = sentence(&held("approval"));
        assert!(
            text.contains("one two three four five") && text.contains("muster hold approve hld_1"),
            "{text}"
        );
    }

    #[test]
    fn q_34_what_a_server_says_cannot_drive_the_terminal() {
        assert!(!sentence(&held("a\u{1b}[2J\r")).contains(['\u{1b}', '\r']));
    }

    #[test]
    fn programs_get_one_object_for_each_event() {
        let json = serde_json::to_value(told(&held("approval"))).expect("an object");
        assert_eq!((&json["event"], &json["words"][4]), (&"held".into(), &"five".into()));
        assert_eq!(serde_json::to_value(told(&Progress::Online)).expect("an object")["event"], "online");
    }
}
