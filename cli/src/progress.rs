//! The bars: what a run has done, how fast, and how long it still takes. On stderr; where that is
//! no terminal, long evaluations leave a line now and then instead.

use crate::output::{human_bytes, say};
use aeolus_pipeline::{Event, Progress};
use indicatif::{DecimalBytes, ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};
use std::cell::RefCell;
use std::fmt::Write;
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

    /// A line beside the bar. Said even to those who want it quiet: it is about their disk.
    fn say(&self, line: std::fmt::Arguments<'_>) {
        self.0.suspend(|| say(line));
    }
}

impl Progress for Bar {
    fn event(&self, event: Event<'_>) {
        match event {
            Event::Resumed { path, bytes, of } => self.say(format_args!(
                "note: {}: {} of {} are there from an earlier run",
                path.display(),
                human_bytes(bytes),
                human_bytes(of)
            )),
            Event::StartedOver { path, why } => self.say(format_args!(
                "note: {}: started over: {why}",
                path.display()
            )),
            Event::Kept {
                folder,
                files,
                bytes,
            } => self.say(format_args!(
                "note: {}: {} of {files} unfinished outputs are kept; the same command goes on \
                 from there, without it *.partial and *.partial.journal can be removed",
                folder.display(),
                human_bytes(bytes)
            )),
            Event::Started { source_bytes, .. } => self.0.set_length(source_bytes),
            Event::Advanced { source_bytes, .. } => self.0.inc(source_bytes),
            _ => {}
        }
    }
}

/// Draws an evaluation: windows or questions done, and the figure so far.
pub struct WindowBar {
    bar: ProgressBar,
    quiet: bool,
    lines: RefCell<Lines>,
}

/// What the lines that stand for a bar need.
struct Lines {
    model: String,
    started: Instant,
    last: Instant,
    known: usize,
    done: usize,
    total: usize,
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
            lines: RefCell::new(Lines {
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

impl aeolus_eval::Progress for WindowBar {
    fn event(&self, event: aeolus_eval::Event<'_>) {
        let mut lines = self.lines.borrow_mut();
        match event {
            aeolus_eval::Event::StartedOver { path, why } => self.bar.suspend(|| {
                say(format_args!(
                    "note: {}: started over: {why}",
                    path.display()
                ));
            }),
            aeolus_eval::Event::NothingKnown { path } => self.bar.suspend(|| {
                say(format_args!(
                    "note: {}: nothing in it is of this run: its results are of other models, or \
                     of other questions, or of files that changed since",
                    path.display()
                ));
            }),
            aeolus_eval::Event::Reading { name, bytes, of } => {
                if lines.is_due(&self.bar, self.quiet) {
                    let (bytes, of) = (human_bytes(bytes), human_bytes(of));
                    say(format_args!("reading {name}: {bytes} of {of}"));
                }
                if bytes == 0 {
                    self.bar.set_style(style(READING));
                    self.bar.set_prefix(name.to_owned());
                    self.bar.set_length(of);
                    self.bar.reset_eta();
                }
                self.bar.set_position(bytes);
            }
            aeolus_eval::Event::Started { total, known } => {
                self.bar.set_style(style(WINDOWS));
                self.bar.set_length(total as u64);
                self.bar.set_position(known as u64);
                self.bar.reset_eta();
                (lines.total, lines.known, lines.done) = (total, known, known);
                lines.started = Instant::now();
            }
            aeolus_eval::Event::Model { name } => {
                self.bar.set_prefix(name.to_owned());
                lines.model = name.into();
            }
            aeolus_eval::Event::Advanced { count, running } => {
                let figure = figure(running);
                self.bar.inc(count as u64);
                lines.done += count;
                if lines.is_due(&self.bar, self.quiet) {
                    say(lines.line(&figure));
                }
                self.bar.set_message(figure);
            }
            _ => {}
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
fn figure(running: aeolus_eval::Running) -> String {
    match running {
        aeolus_eval::Running::Perplexity(e) => format!("PPL {:.3} ± {:.3}", e.value, e.error),
        aeolus_eval::Running::Divergence(e) => format!("KLD {:.6} ± {:.6}", e.value, e.error),
        aeolus_eval::Running::Accuracy(e) => {
            format!("acc {:.1} ± {:.1}%", 100.0 * e.value, 100.0 * e.error)
        }
        _ => String::new(),
    }
}
