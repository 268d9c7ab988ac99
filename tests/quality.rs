//! Quality as a user measures it: against another framework's figures, itself, and damage.

use crate::support::{
    aeolus, arg, command, fails, fixture, json_fixture, names, ok, refusal, started,
};
use aeolus_gguf::GgufFile;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

fn heldout() -> PathBuf {
    fixture("text/heldout.txt")
}

/// Writes some of the table's files and gives the folder.
fn table(types: &str) -> tempfile::TempDir {
    table_of("2023-11", types)
}

fn table_of(recipe: &str, types: &str) -> tempfile::TempDir {
    let out = tempfile::tempdir().unwrap();
    let model = fixture("notus-mini");
    let options = ["--recipe", recipe, "--type", types, "-o", arg(out.path())];
    ok(["table", arg(&model), "-q"].into_iter().chain(options));
    out
}

fn convert(ty: &str) -> (tempfile::TempDir, PathBuf) {
    let out = tempfile::tempdir().unwrap();
    let model = fixture("notus-mini");
    let dir = arg(out.path());
    ok(["convert", arg(&model), "--type", ty, "-o", dir, "-q"]);
    let path = out
        .path()
        .join(format!("notus-mini.{}.gguf", ty.to_uppercase()));
    (out, path)
}

fn json<S: AsRef<std::ffi::OsStr>>(args: impl IntoIterator<Item = S>) -> Value {
    serde_json::from_str(&ok(args)).unwrap()
}

fn number(value: &Value) -> f64 {
    value
        .as_f64()
        .unwrap_or_else(|| panic!("{value} is no number"))
}

/// Relative difference.
fn off(found: f64, expected: f64) -> f64 {
    (found / expected - 1.0).abs()
}

/// Files spread along the table, or with `AEOLUS_QUALITY=all` the twelve. All 64 windows either
/// way: the figures are of those.
#[test]
fn quality_equals_the_figures_of_another_framework() {
    let all = std::env::var_os("AEOLUS_QUALITY").is_some_and(|v| v == "all");
    let types = if all {
        "Q2_K,Q3_K_S,Q3_K_M,Q3_K_L,Q4_0,Q4_K_S,Q4_K_M,Q5_0,Q5_K_S,Q5_K_M,Q6_K,Q8_0"
    } else {
        "Q2_K,Q4_K_M,Q8_0"
    };
    let out = table(types);
    let (model, text) = (fixture("notus-mini"), heldout());
    let dir = arg(out.path());
    ok(["convert", arg(&model), "--type", "f16", "-o", dir, "-q"]);
    let started = Instant::now();
    let found = json([
        "compare",
        arg(&model),
        dir,
        "-f",
        arg(&text),
        "--chunks",
        "64",
        "--json",
        "-q",
    ]);
    println!(
        "{} files in {:?}",
        names(out.path()).len(),
        started.elapsed()
    );

    let golden = json_fixture("golden/quality-exact.json");
    assert_eq!(found["n_ctx"], golden["n_ctx"]);
    assert_eq!(found["chunks"], golden["chunks"]);
    let exact = &golden["results"];
    // The peer prints four decimals.
    let peer = &json_fixture("golden/perplexity.json")["results"];
    let base = number(&found["base"]["ppl"]["value"]);
    assert!(off(base, number(&exact["base"]["ppl"])) < 1e-4, "{base}");
    for ty in ["f32", "bf16"] {
        assert!(off(base, number(&peer[ty]["ppl"])) < 1e-4, "{ty}: {base}");
    }
    let error = number(&found["base"]["ppl"]["error"]);
    assert!(off(error, number(&peer["f32"]["err"])) < 1e-4, "{error}");

    let files = found["files"].as_array().unwrap();
    assert_eq!(files.len(), types.split(',').count() + 1);
    let mut wrong = Vec::new();
    for file in files {
        let ty = file["file_type"].as_str().unwrap();
        let key = match ty {
            "F16" => "f16".to_owned(),
            ty => format!("2023-11/{ty}"),
        };
        let (quality, expected) = (&file["quality"], &exact[&key]);
        assert_eq!(quality["tokens"], exact["base"]["tokens_scored"]);
        let mut check = |name: &str, found: &Value, holds: &dyn Fn(f64, f64) -> bool| {
            let (found, expected) = (number(found), number(&expected[name]));
            if !holds(found, expected) {
                wrong.push(format!("{ty}: {name} is {found}, expected {expected}"));
            }
        };
        let near = |a: f64, b: f64| (a - b).abs() <= (0.01 * b).max(1e-6);
        let point = |a: f64, b: f64| (a - b).abs() <= 0.001;
        check("ppl", &quality["ppl"]["value"], &|a, b| off(a, b) < 1e-4);
        check("kld_mean", &quality["kld_mean"]["value"], &near);
        check("kld_median", &quality["kld_median"], &near);
        check("kld_99", &quality["kld_99"], &near);
        check("kld_max", &quality["kld_max"], &near);
        check("same_top", &quality["same_top"]["value"], &point);
        check("rms_dp", &quality["rms_dp"]["value"], &near);
        if ty == "F16" {
            let ppl = number(&quality["ppl"]["value"]);
            assert!(off(ppl, number(&peer["f16"]["ppl"])) < 1e-4, "{ppl}");
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_file_with_itself_is_zero_and_any_base_gives_the_same_figures() {
    let out = table("Q8_0,Q4_0");
    let [q8, q4] = ["Q8_0", "Q4_0"].map(|ty| out.path().join(format!("notus-mini.{ty}.gguf")));
    let text = heldout();
    let compare = |more: &[&str]| {
        let mut args = vec!["compare"];
        args.extend(more);
        args.extend(["--json", "-q"]);
        json(args)["files"].clone()
    };
    let cut = ["-f", arg(&text), "-c", "128", "--chunks", "3"];
    let direct = compare(&[&[arg(&q8), arg(&q8), arg(&q4)], &cut[..]].concat());
    let own = &direct[0]["quality"];
    for figure in [
        &own["kld_mean"]["value"],
        &own["kld_max"],
        &own["rms_dp"]["value"],
    ] {
        assert!(number(figure).abs() < 1e-6, "{own}");
    }
    assert!(number(&own["kld_mean"]["value"]).abs() < 1e-9, "{own}");
    assert!(number(&own["kld_max"]).abs() < 1e-9, "{own}");
    assert_eq!(number(&own["same_top"]["value"]), 1.0);
    assert!(off(number(&own["ppl_ratio"]["value"]), 1.0) < 1e-6);
    assert!(number(&direct[1]["quality"]["kld_mean"]["value"]) > 1e-3);

    // Kept in our layout the base changes nothing; in the peer's, what 16 bits cost.
    for (format, close) in [("aeolus", 1e-9), ("llama.cpp", 2e-3)] {
        let kept = out.path().join(format);
        let save = ["--save-base", arg(&kept), "--base-format", format];
        let both = [arg(&q8), arg(&q4)];
        let first = compare(&[&both[..], &cut[..], &save[..]].concat());
        let again = compare(&[&both[..], &cut[..], &save[..]].concat());
        let from_file = compare(&[arg(&kept), arg(&q4)]);
        for found in [&first, &again, &from_file] {
            let found = &found[0]["quality"]["kld_mean"]["value"];
            let expected = &direct[1]["quality"]["kld_mean"]["value"];
            let off = off(number(found), number(expected));
            assert!(off < close, "{format}: {found} {expected}");
        }
        let other = fails([
            "compare",
            arg(&q8),
            arg(&q4),
            "-f",
            arg(&text),
            "-c",
            "64",
            "--save-base",
            arg(&kept),
        ]);
        assert!(other.contains("n_ctx is 128, this run's is 64"), "{other}");
        // Nor are another model's windows taken for this one's, or those of another mode.
        let kept_as = ["--save-base", arg(&kept), "-q"];
        let swapped = ["compare", arg(&q4), arg(&q8)];
        let other = fails([&swapped[..], &cut[..], &kept_as[..]].concat());
        assert!(other.contains(": its model is "), "{format}: {other}");
        let fast = ["compare", arg(&q8), arg(&q4), "--mode", "fast"];
        let other = fails([&fast[..], &cut[..], &kept_as[..]].concat());
        let why = match format {
            "aeolus" => ": its mode is precise",
            _ => ": its model is ",
        };
        assert!(other.contains(why), "{format}: {other}");
        // As the base, it has its own cut: flags that ask for another are not passed over.
        for cut in [["-c", "64"], ["--stride", "16"]] {
            let other = ["compare", arg(&kept), arg(&q4), "-f", arg(&text)];
            let other = fails([&other[..], &cut].concat());
            assert!(other.contains(&cut.join(" ")), "{other}");
        }
    }
}

/// The divergence of a file from itself, of which only the rounding of activations differs.
#[test]
fn precise_measures_what_exact_does() {
    let types = "Q2_K,Q3_K_M,Q4_0,Q4_1,Q4_K_M,Q5_0,Q5_1,Q5_K_M,Q6_K,Q8_0,IQ3_S,IQ4_NL,IQ4_XS";
    let out = table_of("current", types);
    let (text, base) = (heldout(), out.path().join("base.logprobs"));
    for name in names(out.path()).iter().filter(|n| n.ends_with(".gguf")) {
        let file = out.path().join(name);
        let kept = ["--save-base", arg(&base), "-f", arg(&text), "--chunks", "2"];
        let exact = ["compare", arg(&file), arg(&file), "--mode", "exact", "-q"];
        ok(exact.into_iter().chain(kept));
        let divergence = |more: &[&str]| {
            let args = ["compare", arg(&base), arg(&file), "--json", "-q"];
            let found = json(args.iter().chain(more));
            number(&found["files"][0]["quality"]["kld_mean"]["value"])
        };
        let (precise, fast) = (divergence(&[]), divergence(&["--mode", "fast"]));
        println!("{name}: precise {precise:.1e}, fast {fast:.1e}");
        assert!(precise < 1e-7, "{name}: {precise}");
        assert!(fast > 1e-6, "{name}: {fast}, as if nothing were rounded");
        std::fs::remove_file(&base).unwrap();
    }
}

#[test]
fn a_base_of_another_version_is_not_taken_for_this_ones() {
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

/// A file that is written to while it is measured, and one of which a single weight is another, in
/// the middle of a tensor, at the old time: results of it are never taken for the other's.
#[test]
fn results_are_those_of_the_very_bytes() {
    let out = table("Q8_0");
    let (path, text) = (out.path().join("notus-mini.Q8_0.gguf"), heldout());
    let state = out.path().join("state");
    let args = [
        &["perplexity", arg(&path), "-f", arg(&text), "-c", "64"][..],
        &["--chunks", "100", "--json", "-t", "1"],
    ]
    .concat();
    let with_state = [&args[..], &["--state", arg(&state)]].concat();
    let figures = |run: std::process::Output| {
        assert!(run.status.success(), "{run:?}");
        let value: Value = serde_json::from_slice(&run.stdout).unwrap();
        let told = String::from_utf8(run.stderr).unwrap();
        (value["ppl"].clone(), told)
    };
    let (whole, _) = figures(aeolus(&args));

    let size = || std::fs::metadata(&state).map_or(0, |meta| meta.len());
    let file = std::fs::File::options().write(true).open(&path).unwrap();
    let before = file.metadata().unwrap().modified().unwrap();
    let mut child = started(&with_state);
    while size() < 400 && child.try_wait().unwrap().is_none() {
        std::thread::sleep(Duration::from_millis(1));
    }
    file.set_modified(std::time::UNIX_EPOCH).unwrap();
    let message = refusal(child.wait_with_output().unwrap());
    assert!(
        message.contains(arg(&path)) && message.contains("changed while it was being read"),
        "{message}"
    );
    file.set_modified(before).unwrap();

    let bytes = std::fs::read(&path).unwrap();
    let gguf = GgufFile::open(&path).unwrap();
    let tensor = gguf.tensor("blk.0.ffn_down.weight").unwrap();
    let blocks = gguf.tensor_bytes(tensor).len() / 34;
    // A quant, behind the scale of its block.
    let place = gguf.place(tensor).range.start + blocks / 4 * 34 + 5;
    drop(gguf);
    let mut other = bytes.clone();
    other[place] ^= 0x40;
    std::fs::write(&path, &other).unwrap();
    file.set_modified(before).unwrap();
    let (changed, told) = figures(aeolus(&with_state));
    assert!(
        told.contains("state: nothing in it is of this run"),
        "{told}"
    );
    assert_ne!(changed, whole);

    std::fs::write(&path, &bytes).unwrap();
    let kept = size();
    let (again, told) = figures(aeolus(&with_state));
    assert!(!told.contains("note:"), "{told}");
    assert_eq!(again, whole);
    assert!(size() > kept, "the windows that were missing are new");
}

#[test]
fn a_whole_table_is_verified_and_its_divergence_falls() {
    let out = tempfile::tempdir().unwrap();
    let (model, text) = (fixture("notus-mini"), heldout());
    // The table itself ends with quality, in the same figures.
    let written = json([
        "table",
        arg(&model),
        "-o",
        arg(out.path()),
        "-f",
        arg(&text),
        "--chunks",
        "2",
        "--json",
    ]);
    assert_eq!(written["chunks"], 2);
    assert_eq!(names(out.path()).len(), 13, "nothing else is left");
    let verify = |more: &[&str]| {
        let mut args = vec!["verify", arg(out.path()), "--against", arg(&model)];
        args.extend(more);
        aeolus(args)
    };
    let run = verify(&["-f", arg(&text), "--chunks", "2", "--json", "-q"]);
    assert_eq!(run.status.code(), Some(0), "{run:?}");
    let verdict: Value = serde_json::from_slice(&run.stdout).unwrap();
    assert_eq!(verdict["right"], true);
    let files = verdict["files"].as_array().unwrap();
    assert_eq!(files.len(), 12);
    let kld = |file: &Value| number(&file["quality"]["kld_mean"]["value"]);
    assert!(files.windows(2).all(|pair| kld(&pair[1]) < kld(&pair[0])));
    for (file, written) in files.iter().zip(written["files"].as_array().unwrap()) {
        assert_eq!(file["quality"], written["quality"]);
        assert_eq!(file["bytes"], file["forecast_bytes"]);
    }

    // A bit of a weight, and a missing file.
    let path = out.path().join("notus-mini.Q4_0.gguf");
    let file = GgufFile::open(&path).unwrap();
    let info = file.tensor("blk.2.ffn_down.weight").unwrap();
    let place = file.header().data_offset + info.offset + 7;
    drop(file);
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[place as usize] ^= 0x10;
    std::fs::write(&path, &bytes).unwrap();
    std::fs::remove_file(out.path().join("notus-mini.Q6_K.gguf")).unwrap();
    let run = verify(&[]);
    assert_eq!(run.status.code(), Some(1));
    let report = String::from_utf8(run.stdout).unwrap();
    let place = "blk.2.ffn_down.weight: bytes differ from row 0";
    assert!(report.contains(place), "{report}");
    assert!(report.contains("Q6_K is missing"), "{report}");
    assert_eq!(report.matches("WRONG").count(), 1, "{report}");
    let run = verify(&["--type", "Q4_K_M,Q8_0", "-q"]);
    assert_eq!(run.status.code(), Some(0), "those are right: {run:?}");
    let run = verify(&["--type", "Q2_K", "--recipe", "current", "-q"]);
    assert_eq!(run.status.code(), Some(1), "another recipe: {run:?}");
    let none = fails([
        "verify",
        arg(out.path()),
        "--against",
        arg(&model),
        "--type",
        "Q4_1",
    ]);
    assert!(none.contains("no file of the wanted types"), "{none}");
}

#[test]
fn every_file_gets_a_verdict_broken_ones_too() {
    let out = table("Q4_0,Q8_0");
    let model = fixture("notus-mini");
    let q4 = out.path().join("notus-mini.Q4_0.gguf");
    let bytes = std::fs::read(&q4).unwrap();
    let verify = |more: &[&str]| {
        let mut args = vec!["verify", arg(out.path()), "--against", arg(&model)];
        args.extend(["--type", "Q4_0,Q8_0"]);
        args.extend(more);
        let run = aeolus(args);
        assert_eq!(run.status.code(), Some(1), "{run:?}");
        String::from_utf8(run.stdout).unwrap()
    };
    // Cut short, it cannot be opened.
    std::fs::write(&q4, &bytes[..bytes.len() / 2]).unwrap();
    let report = verify(&[]);
    assert!(report.contains("Q4_0 is missing"), "{report}");
    assert!(
        report.contains("Q4_0.gguf: does not load:") && report.contains("truncated"),
        "{report}"
    );
    let q8 = report.lines().find(|line| line.contains(" Q8_0 "));
    assert_eq!(q8.unwrap().matches(" ok").count(), 4, "{report}");
    let csv = verify(&["--csv"]);
    assert!(csv.starts_with("path,file_type,bytes,forecast_bytes,loads,problems\n"));
    assert!(
        csv.contains("Q4_0.gguf,,") && csv.contains(",false,"),
        "{csv}"
    );
    // A tensor under another name: it opens, and does not load.
    let name = b"blk.2.ffn_down.weight";
    let at = bytes.windows(name.len()).position(|w| w == name).unwrap();
    let mut renamed = bytes.clone();
    renamed[at + 4] = b'9';
    std::fs::write(&q4, renamed).unwrap();
    let report = verify(&[]);
    for problem in [
        "tensor blk.2.ffn_down.weight: is missing",
        "tensor blk.9.ffn_down.weight: is not in the source",
        "does not load: tensor blk.2.ffn_down.weight is missing",
    ] {
        assert!(report.contains(problem), "{problem} is not in:\n{report}");
    }
    // What is no model at all.
    std::fs::write(&q4, "not a model").unwrap();
    let verdict: Value = serde_json::from_str(&verify(&["--json"])).unwrap();
    assert_eq!(verdict["right"], false);
    assert_eq!(verdict["files"][0]["loads"], false);
    assert_eq!(verdict["files"][0]["forecast_bytes"], Value::Null);
    assert_eq!(verdict["files"][1]["problems"], Value::Array(Vec::new()));
}

#[test]
fn a_text_that_cannot_be_cut_is_refused_before_any_file_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let (model, text) = (fixture("notus-mini"), heldout());
    let short = file(dir.path(), "short.txt", b"It was the best of times");
    let out = dir.path().join("out");
    for (more, words) in [
        (vec!["-f", arg(&short)], "one window needs 512"),
        (vec!["-f", arg(&text), "-c", "3"], "a window of 3"),
        (vec!["-f", arg(&text), "--stride", "512"], "stride of 512"),
    ] {
        let args = ["table", arg(&model), "-o", arg(&out), "--type", "Q4_0"];
        let message = fails([&args[..], &more].concat());
        assert!(message.contains(words), "{message}");
        assert!(!out.exists());
    }
}

#[test]
fn files_in_the_wrong_order_are_told() {
    // Two files that say they are each other: bytes and order are wrong, and they still run.
    let out = table("Q2_K,Q8_0");
    for (ty, from, to) in [("Q2_K", 10u8, 7u8), ("Q8_0", 7, 10)] {
        let path = out.path().join(format!("notus-mini.{ty}.gguf"));
        let mut bytes = std::fs::read(&path).unwrap();
        let key = b"general.file_type";
        let at = bytes.windows(key.len()).position(|w| w == key).unwrap() + key.len() + 4;
        assert_eq!(bytes[at], from);
        bytes[at] = to;
        std::fs::write(path, bytes).unwrap();
    }
    let (model, text) = (fixture("notus-mini"), heldout());
    let run = aeolus([
        "verify",
        arg(out.path()),
        "--against",
        arg(&model),
        "--type",
        "Q2_K,Q8_0",
        "-f",
        arg(&text),
        "-c",
        "128",
        "--chunks",
        "2",
    ]);
    assert_eq!(run.status.code(), Some(1));
    let report = String::from_utf8(run.stdout).unwrap();
    assert!(report.contains("mean KLD rises from Q2_K"), "{report}");
    assert!(report.contains("the forecast is"), "{report}");
}

#[test]
fn tensor_errors_put_the_worst_first() {
    let out = table("Q2_K,Q8_0");
    let model = fixture("notus-mini");
    let errors = ["errors", arg(out.path()), "--against", arg(&model)];
    let found = json([&errors[..], &["--json"]].concat());
    let files = found["files"].as_array().unwrap();
    assert_eq!(files[0]["file_type"], "Q2_K");
    let mut worst = Vec::new();
    for file in files {
        let tensors = file["tensors"].as_array().unwrap();
        let path = Path::new(file["path"].as_str().unwrap());
        assert_eq!(tensors.len(), GgufFile::open(path).unwrap().tensors().len());
        let relative: Vec<f64> = tensors.iter().map(|t| number(&t["relative"])).collect();
        assert!(relative.windows(2).all(|w| w[0] >= w[1]));
        assert_eq!(relative.last(), Some(&0.0), "norms are exact");
        assert!(number(&tensors[0]["cosine"]) < 1.0);
        worst.push(relative[0]);
    }
    assert!(worst[0] > 0.1 && worst[1] < 0.01, "{worst:?}");
    let csv = ok([&errors[..], &["--csv"]].concat());
    let tensors = files[0]["tensors"].as_array().unwrap().len();
    assert_eq!(csv.lines().count(), 1 + 2 * tensors);
    assert!(csv.starts_with("path,name,type,weights,rmse,max,relative,cosine\n"));
    let table = ok([&errors[..], &["--top", "3"]].concat());
    assert_eq!(table.lines().count(), 2 * (2 + 3) + 1, "{table}");
}

#[test]
fn perplexity_prints_every_form() {
    let (_dir, path) = convert("f16");
    let text = heldout();
    let cut = ["-c", "64", "--chunks", "3"];
    let args = [&["perplexity", arg(&path), "-f", arg(&text)], &cut[..]].concat();
    let shown = ok(&args);
    assert!(shown.contains("PPL") && shown.contains('±'), "{shown}");
    let found = json([&args[..], &["--json"]].concat());
    assert_eq!(found["schema"], "aeolus.perplexity/1");
    assert_eq!(found["tokens"], 3 * 31);
    let bits = number(&found["bits_per_byte"]["value"]);
    assert!((0.5..4.0).contains(&bits), "{bits}");
    let csv = ok([&args[..], &["--csv"]].concat());
    let [head, row] = csv.lines().collect::<Vec<_>>()[..] else {
        panic!("two lines: {csv}")
    };
    let column = head.split(',').position(|name| name == "ppl").unwrap();
    let cell: f64 = row.split(',').nth(column).unwrap().parse().unwrap();
    assert_eq!(cell, number(&found["ppl"]["value"]));

    // A folder is a model, too, and the text may come through a pipe.
    let model = fixture("notus-mini");
    let mut child = command()
        .args(["perplexity", arg(&model), "-f", "-", "--json"])
        .args(cut)
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let bytes = std::fs::read(&text).unwrap();
    std::io::Write::write_all(child.stdin.as_mut().unwrap(), &bytes).unwrap();
    drop(child.stdin.take());
    let piped = child.wait_with_output().unwrap();
    let piped: Value = serde_json::from_slice(&piped.stdout).unwrap();
    assert!(off(number(&piped["ppl"]["value"]), cell) < 1e-4);

    // Overlapping windows score as many tokens as they advance.
    let strided = json([&args[..], &["--stride", "16", "--json"]].concat());
    assert_eq!(strided["tokens"], 3 * 16);

    // Rounding activations to 8 bits gives another figure, and says so.
    let out = table("Q4_0");
    let path = out.path().join("notus-mini.Q4_0.gguf");
    let args = [
        &["perplexity", arg(&path), "-f", arg(&text), "--json"],
        &cut[..],
    ]
    .concat();
    let exact = json(&args);
    let fast = json([&args[..], &["--mode", "fast"]].concat());
    assert_eq!(
        (&exact["mode"], &fast["mode"]),
        (&"precise".into(), &"fast".into())
    );
    assert_ne!(exact["ppl"], fast["ppl"]);
}

#[cfg(unix)]
#[test]
fn an_interrupted_comparison_goes_on_from_its_state() {
    goes_on_from_its_state(&fixture("notus-mini"), "24");
}

/// Layers that carry a state begin every window of a text anew.
#[cfg(unix)]
#[test]
fn so_does_that_of_a_model_whose_layers_carry_a_state() {
    goes_on_from_its_state(&fixture("families/models/tiny/qwen35moe"), "60");
}

#[cfg(unix)]
fn goes_on_from_its_state(model: &Path, chunks: &str) {
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

/// Writes a file of a test.
fn file(dir: &Path, name: &str, bytes: &[u8]) -> PathBuf {
    let path = dir.join(name);
    std::fs::write(&path, bytes).unwrap();
    path
}

#[test]
fn texts_that_cannot_be_measured_say_why() {
    let (dir, f16) = convert("f16");
    let text = heldout();
    let (model, text) = (arg(&f16), arg(&text));
    let empty = file(dir.path(), "empty.txt", b"");
    let message = fails(["perplexity", model, "-f", arg(&empty)]);
    assert!(message.contains("the text is empty"), "{message}");
    let line = file(dir.path(), "line.txt", b"\n");
    let message = fails(["perplexity", model, "-f", arg(&line)]);
    assert!(message.contains("the text is empty"), "{message}");
    let short = file(dir.path(), "short.txt", b"It was the best of times");
    for args in [vec!["perplexity", model], vec!["compare", model, model]] {
        let message = fails([args, vec!["-f", arg(&short)]].concat());
        assert!(message.contains("one window needs 512"), "{message}");
    }
    let latin = file(dir.path(), "latin.txt", b"caf\xe9 au lait");
    let message = fails(["perplexity", model, "-f", arg(&latin)]);
    assert!(
        message.contains("latin.txt") && message.contains("byte at 3"),
        "{message}"
    );
    let message = fails(["perplexity", model, "-f", "no/such.txt"]);
    assert!(message.contains("no/such.txt"), "{message}");
    let message = fails(["perplexity", model, "-f", text, "--stride", "512"]);
    assert!(message.contains("stride of 512"), "{message}");
    let message = fails(["compare", model, model]);
    assert!(message.contains("-f"), "{message}");
    let message = fails(["verify", model, "--against", model, "--chunks", "2"]);
    assert!(message.contains("-f"), "{message}");
    let message = fails(["perplexity", model, "-f", text, "--state", arg(&short)]);
    assert!(message.contains("is not a saved state"), "{message}");
    let kept = std::fs::read(&short).unwrap();
    assert_eq!(kept, b"It was the best of times", "not overwritten");
}

#[test]
fn other_vocabularies_are_refused() {
    let (dir, f16) = convert("f16");
    let text = heldout();
    // One letter of one token.
    let mut bytes = std::fs::read(&f16).unwrap();
    let token = "\u{2581}the".as_bytes();
    let at = bytes.windows(token.len()).position(|w| w == token).unwrap();
    bytes[at + 3] = b'q';
    let renamed = file(dir.path(), "renamed.gguf", &bytes);
    let message = fails(["compare", arg(&f16), arg(&renamed), "-f", arg(&text)]);
    assert!(
        message.contains("vocabulary is not that of the base"),
        "{message}"
    );
    // Another number of tokens, in a file of the peer's: n_ctx 4, vocabulary 2, one chunk.
    let mut bytes = b"_logits_".to_vec();
    for number in [4i32, 2, 1, 0, 1, 0, 1] {
        bytes.extend(number.to_le_bytes());
    }
    bytes.extend([0; 12]);
    let peer = file(dir.path(), "peer.kld", &bytes);
    let message = fails(["compare", arg(&peer), arg(&f16)]);
    assert!(
        message.contains("has 4096 tokens") && message.contains("peer.kld has 2:"),
        "{message}"
    );
    let cut = file(dir.path(), "cut.kld", &bytes[..30]);
    let message = fails(["compare", arg(&cut), arg(&f16)]);
    assert!(
        message.contains("cut.kld: is not a file of log-probabilities"),
        "{message}"
    );
}

#[test]
fn weights_that_give_no_number_are_named() {
    let (dir, f16) = convert("f16");
    let text = heldout();
    let open = GgufFile::open(&f16).unwrap();
    let norm = open.tensor("output_norm.weight").unwrap();
    let at = (open.header().data_offset + norm.offset) as usize;
    drop(open);
    let mut bytes = std::fs::read(&f16).unwrap();
    bytes[at..at + 4].copy_from_slice(&f32::NAN.to_le_bytes());
    let nan = file(dir.path(), "nan.gguf", &bytes);
    let (model, nan) = (arg(&f16), arg(&nan));
    let small = ["-f", arg(&text), "-c", "32", "--chunks", "1"];
    let message = fails([&["perplexity", nan], &small[..]].concat());
    assert!(
        message.contains("nan.gguf: window 0, position 16") && message.contains("is NaN"),
        "{message}"
    );
    let message = fails([&["compare", nan, model], &small[..]].concat());
    assert!(
        message.contains("nan.gguf") && message.contains("is NaN"),
        "{message}"
    );
    // The other files of the run have their figures.
    let run = aeolus([&["compare", model, nan, model], &small[..]].concat());
    assert_eq!(run.status.code(), Some(2));
    let stdout = String::from_utf8(run.stdout).unwrap();
    let stderr = String::from_utf8(run.stderr).unwrap();
    assert!(stdout.contains("notus-mini.F16.gguf"), "{stdout}");
    assert!(
        stderr.contains("error: nan.gguf") && stderr.contains("is NaN"),
        "{stderr}"
    );
    let message = fails(["errors", nan, "--against", model]);
    assert!(
        message.contains("output_norm.weight") && message.contains("NaN"),
        "{message}"
    );
}
