//! Comparisons that are interrupted, and bases that were kept.

use super::{heldout, json, table};
use crate::support::{aeolus, arg, fails, fixture, names, ok, started};
use serde_json::Value;
use std::path::Path;
use std::time::Duration;

#[cfg(unix)]
#[test]
fn an_interrupted_comparison_continues_from_its_state() {
    continues_from_its_state(&fixture("notus-mini"), "24");
}

/// Layers that carry a state begin every window of a text anew.
#[cfg(unix)]
#[test]
fn an_interrupted_comparison_of_recurrent_layers_continues_from_its_state() {
    continues_from_its_state(&fixture("families/models/tiny/qwen35moe"), "60");
}

#[cfg(unix)]
fn continues_from_its_state(model: &Path, chunks: &str) {
    let out = tempfile::tempdir().unwrap();
    let (folder, types) = (arg(out.path()), "Q8_0,Q4_0");
    ok(["quantize", arg(model), "--type", types, "-o", folder, "-q"]);
    let text = heldout();
    let state = out.path().join("run.state");
    let base = out.path().join("run.state.base.partial");
    let args = [
        "compare",
        arg(model),
        arg(out.path()),
        "-f",
        arg(&text),
        "-c",
        "256",
        "--chunks",
        chunks,
        "--json",
        "-t",
        "1",
    ];
    let mut whole = json(args);
    let with_state = [&args[..], &["--state", arg(&state)]].concat();
    let size = |path: &Path| std::fs::metadata(path).map_or(0, |m| m.len());
    let mut interrupted = 0;
    let mut resumed = loop {
        let (state_before, base_before) = (size(&state), size(&base));
        let mut child = started(&with_state);
        // Once something new is kept: Ctrl-C, or kill -9.
        while interrupted < 4 && child.try_wait().unwrap().is_none() {
            if size(&state) > state_before + 1000 || size(&base) > base_before + 100_000 {
                let signal = if interrupted % 2 == 0 {
                    "-INT"
                } else {
                    "-KILL"
                };
                let id = child.id().to_string();
                std::process::Command::new("kill")
                    .args([signal, &id])
                    .status()
                    .unwrap();
                break;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        let output = child.wait_with_output().unwrap();
        if output.status.success() {
            break serde_json::from_slice::<Value>(&output.stdout).unwrap();
        }
        if interrupted % 2 == 0 {
            assert_eq!(output.status.code(), Some(130));
            let message = String::from_utf8(output.stderr).unwrap();
            assert!(message.contains("run.state"), "{message}");
        }
        interrupted += 1;
    };
    println!("interrupted {interrupted} times");
    assert!(interrupted >= 1);
    for value in [&mut whole, &mut resumed] {
        value["seconds"] = Value::Null;
    }
    assert_eq!(whole, resumed, "to the last bit");
    let left: Vec<String> = names(out.path())
        .into_iter()
        .filter(|name| name.contains("base"))
        .collect();
    assert!(left.is_empty(), "{left:?}");

    // All is known now: this run computes nothing.
    let again = json(&with_state);
    assert_eq!(again["files"], resumed["files"]);
    let other = fails([
        "compare",
        arg(model),
        arg(out.path()),
        "-f",
        arg(&text),
        "-c",
        "128",
        "--state",
        arg(&state),
    ]);
    assert!(other.contains("n_ctx is 256, this run's is 128"), "{other}");
}

#[test]
fn a_base_of_another_version_is_refused_by_name_and_computed_again_beside_a_state() {
    let out = table("Q8_0,Q4_0");
    let [q8, q4] = ["Q8_0", "Q4_0"].map(|ty| out.path().join(format!("notus-mini.{ty}.gguf")));
    let text = heldout();
    let [state, base] = ["state", "state.base"].map(|name| out.path().join(name));
    let compare = |more: &[&str]| {
        let args = ["compare", arg(&q8), arg(&q4), "-f", arg(&text), "--json"];
        let run = aeolus([&args[..], &["-c", "128", "--chunks", "2"], more].concat());
        assert!(run.status.success(), "{run:?}");
        let value: Value = serde_json::from_slice(&run.stdout).unwrap();
        let told = String::from_utf8(run.stderr).unwrap();
        (value["files"].clone(), told)
    };
    let save = ["--save-base", arg(&base)];
    let (figures, _) = compare(&save);
    // What the other version computed, one can see: none of its windows is whole.
    let mut bytes = std::fs::read(&base).unwrap();
    let own = concat!("\"program\":\"", env!("CARGO_PKG_VERSION"), "\"").as_bytes();
    let place = bytes.windows(own.len()).position(|found| found == own);
    let place = place.unwrap() + own.len() - 2;
    bytes[place] = b'~';
    let middle = bytes.len() / 2;
    bytes[middle..].fill(7);
    std::fs::write(&base, &bytes).unwrap();
    // Named by its user it stays.
    let args = ["compare", arg(&q8), arg(&q4), "-f", arg(&text)];
    let other = fails([&args[..], &["-c", "128", "--chunks", "2"], &save].concat());
    assert!(
        other.contains("state.base: ") && other.contains("its program is "),
        "{other}"
    );
    assert!(std::fs::read(&base).unwrap() == bytes);
    // Beside a state it is begun anew, and goes in the end.
    let (again, told) = compare(&["--state", arg(&state)]);
    assert!(
        told.contains("state.base: started over: its program was"),
        "{told}"
    );
    assert_eq!(again, figures);
    assert!(state.exists() && !base.exists());
}
