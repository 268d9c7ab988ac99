//! The bars: what a run has done, how fast, and how long it still takes. On stderr; where that is
//! no terminal, long evaluations leave a line now and then instead.

use crate::output::{human_bytes, say};
use aeolus_job::{Event, Figure, Progress};
use indicatif::{DecimalBytes, ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};
use std::fmt::Write;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Draws a pipeline run.
pub struct Bar(ProgressBar);

/// A bar over bytes that is drawn if `quiet` is not set and stderr is a terminal.
pub fn byte_bar(quiet: bool) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(
        Some(0),
        if quiet {
            ProgressDrawTarget::hidden()
        } else {
            ProgressDrawTarget::stderr_with_hz(10)
        },
    );
    bar.with_style(style(
        "{bar:32} {decimal_bytes}/{decimal_total_bytes}  {rate}  {elapsed} gone, {eta} left",
    ))
}

/// A bar's look; `{rate}` is bytes a second.
pub fn style(template: &str) -> ProgressStyle {
    let rate = |state: &ProgressState, out: &mut dyn Write| {
        let _ = write!(out, "{}/s", DecimalBytes(state.per_sec() as u64));
    };
    ProgressStyle::with_template(template)
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .with_key("rate", rate)
}

impl Bar {
    /// A bar for one run.
    pub fn new(quiet: bool) -> Self {
        Self(byte_bar(quiet))
    }

    /// Takes the bar off the screen.
    pub fn clear(&self) {
        self.0.finish_and_clear();
    }
}

impl Progress for Bar {
    fn event(&self, event: Event<'_>) {
        match event {
            Event::Started { total, .. } => self.0.set_length(total),
            Event::Advanced { count, .. } => self.0.inc(count),
            event => note(&self.0, &event),
        }
    }
}

/// A line beside a bar about what an earlier run left, or this one leaves. Said even to those who
/// want it quiet: it is about their disk.
fn note(bar: &ProgressBar, event: &Event<'_>) {
    let (path, text) = match event {
        Event::Resumed { path, bytes, of } => {
            let (bytes, of) = (human_bytes(*bytes), human_bytes(*of));
            (
                path,
                format!("{bytes} of {of} are there from an earlier run"),
            )
        }
        Event::StartedOver { path, why } => (path, format!("started over: {why}")),
        Event::NothingKnown { path } => (
            path,
            "nothing in it is of this run: its results are of other models, or of other \
             questions, or of files that changed since"
                .to_owned(),
        ),
        Event::Kept {
            folder,
            files,
            bytes,
        } => (
            folder,
            format!(
                "{} of {files} unfinished outputs are kept; the same command continues from there, \
                 without it *.partial and *.partial.journal can be removed",
                human_bytes(*bytes)
            ),
        ),
        _ => return,
    };
    bar.suspend(|| say(format_args!("note: {}: {text}", path.display())));
}

/// Draws an evaluation: windows or questions done, and the figure so far.
pub struct WindowBar {
    bar: ProgressBar,
    quiet: bool,
    lines: Mutex<Lines>,
}

/// What the lines that stand for a bar need.
struct Lines {
    model: String,
    started: Instant,
    last: Instant,
    known: u64,
    done: u64,
    total: u64,
}

/// The look of an evaluation's bar.
const WINDOWS: &str = "{bar:24} {pos}/{len}  {prefix}  {msg}  {elapsed} gone, {eta} left";

/// Its look while a model is read for its fingerprint.
const READING: &str =
    "{bar:24} {decimal_bytes}/{decimal_total_bytes}  reading {prefix}  {rate}  {eta} left";

/// Time between two lines.
const LINE_INTERVAL: Duration = Duration::from_secs(10);

impl WindowBar {
    /// A bar for one run.
    pub fn new(quiet: bool) -> Self {
        let target = match quiet {
            true => ProgressDrawTarget::hidden(),
            false => ProgressDrawTarget::stderr_with_hz(10),
        };
        let bar = ProgressBar::with_draw_target(Some(0), target);
        let now = Instant::now();
        Self {
            bar: bar.with_style(style(WINDOWS)),
            quiet,
            lines: Mutex::new(Lines {
                model: String::new(),
                started: now,
                last: now,
                known: 0,
                done: 0,
                total: 0,
            }),
        }
    }

    /// Takes the bar off the screen.
    pub fn clear(&self) {
        self.bar.finish_and_clear();
    }
}

impl Progress for WindowBar {
    fn event(&self, event: Event<'_>) {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            Event::Reading { name, bytes, of } => {
                if bytes == 0 {
                    self.bar.set_style(style(READING));
                    self.bar.set_prefix(name.to_owned());
                    self.bar.set_length(of);
                    self.bar.set_position(0);
                    self.bar.reset_eta();
                }
                self.bar.inc(bytes);
                if lines.is_due(&self.bar, self.quiet) {
                    let (bytes, of) = (human_bytes(self.bar.position()), human_bytes(of));
                    say(format_args!("reading {name}: {bytes} of {of}"));
                }
            }
            Event::Started { total, known } => {
                self.bar.set_style(style(WINDOWS));
                self.bar.set_length(total);
                self.bar.set_position(known);
                self.bar.reset_eta();
                (lines.total, lines.known, lines.done) = (total, known, known);
                lines.started = Instant::now();
            }
            Event::Expected { rest } => {
                lines.total = lines.done + rest;
                self.bar.set_length(lines.total);
            }
            Event::Next { name, .. } => {
                self.bar.set_prefix(name.to_owned());
                lines.model = name.into();
            }
            Event::Advanced { count, figure, .. } => {
                let figure = figure.map_or(String::new(), shown);
                self.bar.inc(count);
                lines.done += count;
                if lines.is_due(&self.bar, self.quiet) {
                    say(lines.line(&figure));
                }
                self.bar.set_message(figure);
            }
            event => note(&self.bar, &event),
        }
    }
}

impl Lines {
    /// Whether a line is to be written in place of a bar that cannot be drawn.
    fn is_due(&mut self, bar: &ProgressBar, quiet: bool) -> bool {
        let due = bar.is_hidden() && !quiet && self.last.elapsed() >= LINE_INTERVAL;
        if due {
            self.last = Instant::now();
        }
        due
    }

    fn line(&self, figure: &str) -> String {
        let computed = self.done.saturating_sub(self.known).max(1);
        let rest = self.total.saturating_sub(self.done);
        let left = self.started.elapsed().as_secs_f64() / computed as f64 * rest as f64;
        format!(
            "{}/{}  {}  {figure}  {left:.0} s left",
            self.done, self.total, self.model
        )
    }
}

/// The figure so far, in a few characters.
fn shown(figure: Figure) -> String {
    match figure {
        Figure::Perplexity(value, error) => format!("PPL {value:.3} ± {error:.3}"),
        Figure::Divergence(value, error) => format!("KLD {value:.6} ± {error:.6}"),
        Figure::Accuracy(value, error) => {
            format!("acc {:.1} ± {:.1}%", 100.0 * value, 100.0 * error)
        }
        Figure::Rate(rate) => format!("{rate:.0} tokens/s"),
        _ => String::new(),
    }
}
