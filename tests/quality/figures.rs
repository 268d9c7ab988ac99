//! Figures against another framework's, and against themselves.

use super::{convert, heldout, json, number, off, table, table_of};
use crate::support::{arg, command, fails, fixture, json_fixture, names, ok};
use aeolus_gguf::GgufFile;
use serde_json::Value;
use std::path::Path;
use std::time::Instant;

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
fn precise_and_exact_give_the_same_figures() {
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
