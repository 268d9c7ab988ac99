//! A bar for each file that moves and one for all of them.

use crate::output::say;
use crate::progress::style;
use aeolus_job::{Event, Progress};
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget};
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

const FILE: &str = "{prefix:33} {wide_bar} {decimal_bytes:>9}/{decimal_total_bytes:9}";
const TOTAL: &str = "{prefix:33} {wide_bar} {decimal_bytes:>9}/{decimal_total_bytes:9} {rate:>11} {eta:>4} left {msg}";
const HASHED: &str = "{prefix:33} {decimal_bytes:>9} {rate:>11}";
/// Characters of a file's name that are shown: its end, where the parts of a model differ.
const NAME_CHARS: usize = 33;

/// Draws a fetch or a publication on stderr, if that is a terminal. Anywhere else, and when quiet,
/// it says only why something is tried again.
pub struct Bars {
    multi: MultiProgress,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// What was said last of a retry, and until when it need not be said again.
    said: Option<(String, Instant)>,
    total: Option<ProgressBar>,
    hashed: Option<ProgressBar>,
    files: HashMap<String, ProgressBar>,
}

impl Bars {
    /// None yet; they come with the events.
    pub fn new(quiet: bool) -> Self {
        let target = match quiet {
            true => ProgressDrawTarget::hidden(),
            false => ProgressDrawTarget::stderr_with_hz(10),
        };
        Self {
            multi: MultiProgress::with_draw_target(target),
            state: Mutex::default(),
        }
    }

    /// Takes the bars off the screen.
    pub fn clear(&self) {
        *self.state() = State::default();
        clear(&self.multi);
    }

    /// The same for when the program ends in between, with a last line.
    pub fn farewell(&self, line: &'static str) -> impl FnOnce() + Send + 'static {
        let multi = self.multi.clone();
        move || {
            clear(&multi);
            say(line);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says in a word why nothing moves.
    fn remark(&self, text: String) {
        match &self.state().total {
            Some(total) => total.set_message(text),
            None if !self.multi.is_hidden() => drop(self.multi.println(text)),
            None => {}
        }
    }

    /// Says why something is tried again, once for all connections that wait for the same reason.
    fn retrying(&self, line: String, why: &str, wait: Duration) {
        if !self.multi.is_hidden() {
            return self.remark(line);
        }
        let now = Instant::now();
        let mut state = self.state();
        let known = |(last, until): &(String, Instant)| last == why && now < *until;
        if !state.said.as_ref().is_some_and(known) {
            state.said = Some((why.to_owned(), now + wait));
            say(line);
        }
    }
}

/// What is said of a retry.
pub fn retry_line(event: &Event<'_>) -> Option<String> {
    let Event::Retrying { name, why, wait } = event else {
        return None;
    };
    let seconds = wait.as_secs_f64();
    Some(format!("{name}: {why}; trying again in {seconds:.1} s"))
}

/// Nothing is drawn after this, whatever still happens.
fn clear(multi: &MultiProgress) {
    // A terminal that cannot be written to needs no clearing.
    let _ = multi.clear();
    multi.set_draw_target(ProgressDrawTarget::hidden());
}

impl Progress for Bars {
    fn event(&self, event: Event<'_>) {
        match event {
            Event::Started { total, .. } => {
                let mut state = self.state();
                if let Some(hashed) = state.hashed.take() {
                    hashed.finish_and_clear();
                }
                let bar = ProgressBar::new(total).with_style(style(TOTAL));
                bar.set_prefix("total");
                state.total = Some(self.multi.add(bar));
            }
            Event::Next { name, total, known } => {
                let bar = ProgressBar::new(total).with_style(style(FILE));
                bar.set_prefix(end_of(name));
                let mut state = self.state();
                let bar = match &state.total {
                    Some(total) => self.multi.insert_before(total, bar),
                    None => self.multi.add(bar),
                };
                bar.set_position(known);
                state.files.insert(name.to_owned(), bar);
            }
            Event::Advanced { name, count, .. } => {
                let state = self.state();
                if let Some(bar) = state.files.get(name) {
                    bar.inc(count);
                }
                if let Some(total) = &state.total {
                    total.inc(count);
                    if !total.message().is_empty() {
                        total.set_message("");
                    }
                }
            }
            Event::Lost { name, count, why } => {
                let state = self.state();
                if let Some(bar) = state.files.get(name) {
                    bar.set_position(bar.position().saturating_sub(count));
                }
                if let Some(total) = &state.total {
                    // Bytes that an earlier run had left were not part of this one's total.
                    total.inc_length(count.saturating_sub(total.position()));
                    total.set_position(total.position().saturating_sub(count));
                    total.set_message(why.to_owned());
                }
            }
            Event::Done { name } => {
                if let Some(bar) = self.state().files.remove(name) {
                    bar.finish_and_clear();
                }
            }
            Event::Waiting { name } => {
                self.remark(format!("{name}: another process fetches it, waiting"));
            }
            Event::Retrying { why, wait, .. } => {
                self.retrying(retry_line(&event).unwrap_or_default(), why, wait);
            }
            Event::Reading { bytes, .. } => {
                let mut state = self.state();
                let bar = state.hashed.get_or_insert_with(|| {
                    let bar = ProgressBar::no_length().with_style(style(HASHED));
                    bar.set_prefix("reading files");
                    self.multi.add(bar)
                });
                bar.inc(bytes);
            }
            _ => {}
        }
    }
}

fn end_of(path: &str) -> String {
    let chars = path.chars().count();
    if chars <= NAME_CHARS {
        return path.to_owned();
    }
    let end: String = path.chars().skip(chars - (NAME_CHARS - 1)).collect();
    format!("…{end}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(bars: &Bars, path: Option<&str>) -> (u64, Option<u64>) {
        let state = bars.state();
        let bar = match path {
            Some(path) => state.files.get(path),
            None => state.total.as_ref(),
        };
        bar.map_or((0, None), |bar| (bar.position(), bar.length()))
    }

    #[test]
    fn bars_follow_what_moves_and_what_is_lost() {
        let bars = Bars::new(true);
        bars.event(Event::Started {
            total: 60,
            known: 0,
        });
        bars.event(Event::Next {
            name: "a",
            total: 100,
            known: 40,
        });
        bars.event(Event::Advanced {
            name: "a",
            count: 10,
            figure: None,
        });
        assert_eq!(at(&bars, Some("a")), (50, Some(100)));
        assert_eq!(at(&bars, None), (10, Some(60)));
        // All of it was damaged, also what an earlier run had left.
        bars.event(Event::Lost {
            name: "a",
            count: 50,
            why: "damaged",
        });
        assert_eq!(at(&bars, Some("a")), (0, Some(100)));
        assert_eq!(at(&bars, None), (0, Some(100)));
        bars.event(Event::Done { name: "a" });
        assert_eq!(at(&bars, Some("a")), (0, None));
    }

    #[test]
    fn long_names_show_their_end() {
        assert_eq!(end_of("config.json"), "config.json");
        let long = end_of("folder/model-00001-of-00002.safetensors");
        assert_eq!(long, "…model-00001-of-00002.safetensors");
        assert_eq!(long.chars().count(), NAME_CHARS);
    }
}
