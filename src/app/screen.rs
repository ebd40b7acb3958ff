//! The terminal: lines on standard output, and a progress bar below them when a person looks.

use std::io::{IsTerminal as _, Write as _, stderr, stdout};

use indicatif::{ProgressBar, ProgressStyle};

/// Prints a line. That nobody reads on (a closed pipe) is no failure.
pub(super) fn say(line: &str) -> anyhow::Result<u8> {
    let mut out = stdout().lock();
    match writeln!(out, "{line}").and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(0),
    }
}

/// Lines and one bar. Without a terminal the bar's changes are lines, too.
pub(super) struct Screen {
    bar: Option<ProgressBar>,
    shown: Option<(u64, String)>,
}

impl Screen {
    /// An empty screen.
    pub(super) fn new() -> Self {
        let bar = (stderr().is_terminal() && stdout().is_terminal()).then(|| {
            let style = ProgressStyle::with_template("{bar:32} {pos:>3}%  {msg}")
                .expect("the template is fixed");
            ProgressBar::new(100).with_style(style)
        });
        Self { bar, shown: None }
    }

    /// A line above the bar.
    pub(super) fn line(&self, text: &str) -> anyhow::Result<()> {
        let text = plain(text);
        match &self.bar {
            Some(bar) => bar.suspend(|| say(&text))?,
            None => say(&text)?,
        };
        Ok(())
    }

    /// Moves the bar.
    pub(super) fn progress(&mut self, percent: f64, message: &str) -> anyhow::Result<()> {
        let percent = whole(percent);
        let message = plain(message);
        if let Some(bar) = &self.bar {
            bar.set_message(message);
            bar.set_position(percent);
        } else if self.shown.as_ref() != Some(&(percent, message.clone())) {
            say(&format!("{percent:>3}%  {message}"))?;
            self.shown = Some((percent, message));
        }
        Ok(())
    }

    /// Takes the bar away.
    pub(super) fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// From 0 to 100.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "it is from 0 to 100 by then"
)]
fn whole(percent: f64) -> u64 {
    if percent.is_nan() {
        0
    } else {
        percent.clamp(0.0, 100.0) as u64
    }
}

/// A text from elsewhere, without what could steer the terminal.
fn plain(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_steer_the_terminal_is_taken_out() {
        assert_eq!(plain("a\u{1b}[2Jb\nc"), "a [2Jb c");
    }

    #[test]
    fn percentages_are_kept_in_bounds() {
        assert_eq!(
            [whole(-5.0), whole(42.9), whole(1e9), whole(f64::NAN)],
            [0, 42, 100, 0]
        );
    }
}
