//! Sources of every kind: element types, odd row lengths, tied embeddings, byte orders.

use crate::support::{aeolus, arg, fails, fixture, names, ok};
use crate::tiny::Tiny;
use aeolus_gguf::{GgufFile, TensorType};
use safetensors::Dtype;

const ODD: Tiny = Tiny {
    hidden: 320,
    heads: 5,
    ff: 640,
    dtype: Dtype::BF16,
    tied: false,
};

/// Quantizes a tiny model; gives the types of ffn_up and output, and what was said.
fn types(tiny: &Tiny, flags: &[&str]) -> (TensorType, TensorType, String) {
    let dir = tempfile::tempdir().unwrap();
    let (model, out) = (dir.path().join("model"), dir.path().join("out.gguf"));
    tiny.write(&model);
    let mut args = vec!["quantize", arg(&model), "--no-tokenizer", "-o", arg(&out)];
    args.extend(flags);
    let run = aeolus(args);
    let said = String::from_utf8(run.stderr).unwrap();
    assert!(run.status.success(), "{said}");
    let file = GgufFile::open(&out).unwrap();
    let ty = |name: &str| file.tensor(name).unwrap().ty;
    (ty("blk.0.ffn_up.weight"), ty("output.weight"), said)
}

#[test]
fn rows_that_are_no_multiple_of_256_fall_back_as_the_references_do() {
    use TensorType as T;
    for (ty, old, new) in [
        ("Q2_K", T::Q4_1, T::Q4_0),
        ("Q3_K_S", T::Q4_1, T::Q4_0),
        ("Q4_K_S", T::Q5_0, T::Q5_0),
        ("Q5_K_S", T::Q5_1, T::Q5_1),
        ("Q6_K", T::Q8_0, T::Q8_0),
        ("Q4_0", T::Q4_0, T::Q4_0),
    ] {
        let (found, _, said) = types(&ODD, &["--type", ty]);
        assert_eq!(found, old, "2023-11 {ty}");
        assert!(
            said.contains(": Q8_0 instead of Q6_K (a row of 320"),
            "{said}"
        );
        let (found, _, _) = types(&ODD, &["--type", ty, "--recipe", "current"]);
        assert_eq!(found, new, "current {ty}");
    }
    let pure = types(&ODD, &["--type", "Q2_K", "--pure"]);
    assert_eq!(pure.0, T::Q4_0, "Q2_K itself falls back to Q4_0");
}

#[test]
fn no_fallback_makes_it_an_error_that_counts_the_tensors() {
    let dir = tempfile::tempdir().unwrap();
    let (model, out) = (dir.path().join("model"), dir.path().join("out"));
    ODD.write(&model);
    let message = fails([
        "quantize",
        arg(&model),
        "--no-tokenizer",
        "--no-fallback",
        "--type",
        "Q4_K_M",
        "-o",
        arg(&out),
    ]);
    assert!(
        message.starts_with("error: Q4_K_M: 9 tensors would need a fallback"),
        "{message}"
    );
    assert!(
        message.contains("3 tensors from Q6_K to Q8_0 (such as output.weight, whose row of 320"),
        "{message}"
    );
    assert!(!out.exists(), "nothing is made for a plan that fails");
}

#[test]
fn rows_that_fit_no_block_stay_f16() {
    let tiny = Tiny {
        hidden: 40,
        heads: 2,
        ff: 80,
        ..ODD
    };
    for recipe in ["2023-11", "current"] {
        let (up, output, _) = types(&tiny, &["--type", "Q4_K_M", "--recipe", recipe]);
        assert_eq!((up, output), (TensorType::F16, TensorType::F16), "{recipe}");
    }
}

#[test]
fn every_source_type_converts_to_the_same_numbers() {
    let dir = tempfile::tempdir().unwrap();
    let mut converted = Vec::new();
    for (name, dtype) in [
        ("f32", Dtype::F32),
        ("f16", Dtype::F16),
        ("bf16", Dtype::BF16),
    ] {
        let model = dir.path().join(name);
        Tiny { dtype, ..ODD }.write(&model);
        let out = dir.path().join(format!("{name}.gguf"));
        ok([
            "convert",
            arg(&model),
            "--no-tokenizer",
            "--type",
            "f32",
            "--name",
            "tiny",
            "-o",
            arg(&out),
        ]);
        converted.push(std::fs::read(out).unwrap());
    }
    assert!(converted[0] == converted[1] && converted[0] == converted[2]);
}

#[test]
fn tied_embeddings_need_no_output_tensor() {
    let dir = tempfile::tempdir().unwrap();
    let (model, out) = (dir.path().join("model"), dir.path().join("out.gguf"));
    let tiny = Tiny {
        hidden: 256,
        heads: 4,
        ff: 256,
        tied: true,
        ..ODD
    };
    tiny.write(&model);
    for (recipe, ty) in [("2023-11", TensorType::Q4_K), ("current", TensorType::Q6_K)] {
        ok([
            "quantize",
            arg(&model),
            "--no-tokenizer",
            "--type",
            "Q4_K_S",
            "--recipe",
            recipe,
            "--force",
            "-o",
            arg(&out),
        ]);
        let file = GgufFile::open(&out).unwrap();
        assert!(file.tensor("output.weight").is_none());
        assert_eq!(file.tensor("token_embd.weight").unwrap().ty, ty, "{recipe}");
    }
}

#[test]
fn a_big_endian_file_is_a_source_like_any_other() {
    let dir = tempfile::tempdir().unwrap();
    let model = fixture("notus-mini");
    let [little, big, from_little, from_big] =
        ["little.gguf", "big.gguf", "a.gguf", "b.gguf"].map(|name| dir.path().join(name));
    let convert = [
        "convert",
        arg(&model),
        "--type",
        "bf16",
        "--gguf-version",
        "3",
    ];
    ok(convert.iter().copied().chain(["-o", arg(&little)]));
    ok(convert
        .iter()
        .copied()
        .chain(["--endian", "big", "-o", arg(&big)]));
    assert_ne!(
        std::fs::read(&little).unwrap(),
        std::fs::read(&big).unwrap()
    );
    for (source, out) in [(&little, &from_little), (&big, &from_big)] {
        ok(["quantize", arg(source), "--type", "Q3_K_M", "-o", arg(out)]);
    }
    assert!(std::fs::read(from_little).unwrap() == std::fs::read(from_big).unwrap());
}

#[test]
fn types_that_stay_are_copied_without_leave_to_requantize() {
    let dir = tempfile::tempdir().unwrap();
    let model = fixture("notus-mini");
    let first = dir.path().join("first.gguf");
    ok(["quantize", arg(&model), "--type", "Q8_0", "-o", arg(&first)]);
    let again = dir.path().join("again.gguf");
    ok(["quantize", arg(&first), "--type", "Q8_0", "-o", arg(&again)]);
    let same = aeolus(["hash", arg(&first), arg(&again)]);
    assert_eq!(
        same.status.code(),
        Some(0),
        "{}",
        String::from_utf8_lossy(&same.stdout)
    );
    assert_eq!(
        names(dir.path()),
        ["SHA256SUMS", "again.gguf", "first.gguf"]
    );
}

/// Rewrites the config.json of a copy of notus-mini.
fn with_config(folder: &std::path::Path, change: impl FnOnce(&mut serde_json::Value)) {
    crate::support::copy_folder(&fixture("notus-mini"), folder);
    let path = folder.join("config.json");
    let mut config = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    change(&mut config);
    std::fs::write(&path, config.to_string()).unwrap();
}

#[test]
fn yarns_attention_factor_changes_what_is_measured() {
    let dir = tempfile::tempdir().unwrap();
    // Absent it is 1.1386; 109.18 is what the same weights give with 1 by another key.
    for (name, factor, expected) in [
        ("absent", None, 110.6801),
        ("usual", Some(1.138_629_4), 110.6801),
        ("one", Some(1.0), 109.18),
    ] {
        let (model, out) = (dir.path().join(name), dir.path().join("out.gguf"));
        with_config(&model, |config| {
            config["rope_scaling"] = serde_json::json!({
                "rope_type": "yarn", "factor": 4.0, "attention_factor": factor,
                "original_max_position_embeddings": 512,
            });
        });
        ok([
            "convert",
            arg(&model),
            "--type",
            "bf16",
            "-o",
            arg(&out),
            "--force",
        ]);
        let file = GgufFile::open(&out).unwrap();
        let written = file.metadata().f32("llama.rope.scaling.attn_factor");
        let multiple = factor.map(|factor| factor / 1.138_629_4);
        assert_eq!(
            written.unwrap().map(|x| (x * 1e6).round()),
            multiple.map(|x: f32| (x * 1e6).round())
        );
        let text = fixture("text/heldout.txt");
        let args = ["-c", "512", "--chunks", "2", "--json"];
        let json = ok(["perplexity", arg(&out), "-f", arg(&text)]
            .into_iter()
            .chain(args));
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        let found = json.to_string();
        let perplexity = json["ppl"]["value"].as_f64().expect(&found);
        assert!((perplexity - expected).abs() < 0.05, "{name}: {perplexity}");
    }
}

#[test]
fn what_config_json_says_beyond_gguf_is_a_warning_before_any_work() {
    let dir = tempfile::tempdir().unwrap();
    let (model, out) = (dir.path().join("model"), dir.path().join("out.gguf"));
    with_config(&model, |config| {
        config["sliding_window"] = 1024.into();
        config["final_logit_softcapping"] = 30.0.into();
        config["torch_dtype"] = "float8_e4m3fn".into();
        config["novelty"] = 1.into();
    });
    let text = std::fs::read_to_string(model.join("config.json")).unwrap();
    let text = text.replace("\"novelty\":1", "\"novelty\":-Infinity");
    std::fs::write(model.join("config.json"), format!("\u{feff}{text}")).unwrap();
    let warnings = |command: &str, flags: &[&str]| {
        let run = aeolus([command, arg(&model)].iter().chain(flags));
        let said = String::from_utf8(run.stderr).unwrap();
        assert!(run.status.success(), "{said}");
        let warnings = said.lines().filter(|line| line.starts_with("warning: "));
        warnings.map(str::to_owned).collect::<Vec<_>>().join("\n")
    };
    let converting = warnings("convert", &["--type", "bf16", "-o", arg(&out)]);
    let with_weights = warnings("forecast", &[]);
    for name in std::fs::read_dir(&model).unwrap() {
        let path = name.unwrap().path();
        if path.to_str().unwrap().contains("safetensors") {
            std::fs::remove_file(path).unwrap();
        }
    }
    // The claimed type counts where there are no weights.
    let forecast = warnings("forecast", &[]);
    assert_eq!(converting, with_weights);
    for said in [&converting, &forecast] {
        for (part, count) in [
            ("sliding_window: 1024 is not written", 1),
            ("final_logit_softcapping: 30.0 is not carried over", 1),
            ("novelty: not known", 1),
            ("config.json", if said == &forecast { 4 } else { 3 }),
        ] {
            assert_eq!(said.matches(part).count(), count, "{part}: {said}");
        }
    }
    assert!(forecast.contains("float8_e4m3fn"), "{forecast}");
}

#[test]
fn merges_and_all_other_keys_of_a_gguf_source_stay_whatever_the_recipe() {
    let dir = tempfile::tempdir().unwrap();
    let first = dir.path().join("first.gguf");
    let model = fixture("notus-mini");
    ok(["convert", arg(&model), "--type", "bf16", "-o", arg(&first)]);
    let source = GgufFile::open(&first).unwrap();
    assert!(source.metadata().get("tokenizer.ggml.merges").is_some());
    for recipe in ["2023-11", "current"] {
        let out = dir.path().join(format!("{recipe}.gguf"));
        let (from, to) = (arg(&first), arg(&out));
        ok([
            "quantize", from, "--type", "Q8_0", "--recipe", recipe, "-o", to,
        ]);
        let made = GgufFile::open(&out).unwrap();
        let sizes = [
            "forecast", from, "--type", "Q8_0", "--recipe", recipe, "--json",
        ];
        let forecast: serde_json::Value = serde_json::from_str(&ok(sizes)).unwrap();
        let bytes = std::fs::metadata(&out).unwrap().len();
        assert_eq!(forecast["files"][0]["bytes"], bytes, "{recipe}");
        for (key, value) in source.metadata().iter() {
            if key != "general.file_type" {
                assert_eq!(made.metadata().get(key), Some(value), "{recipe} {key}");
            }
        }
    }
}

#[test]
fn doubles_convert_to_the_numbers_of_floats_with_a_warning() {
    let dir = tempfile::tempdir().unwrap();
    let mut converted = Vec::new();
    for (name, dtype) in [("f32", Dtype::F32), ("f64", Dtype::F64)] {
        let model = dir.path().join(name);
        Tiny { dtype, ..ODD }.write(&model);
        let out = dir.path().join(format!("{name}.gguf"));
        let to = ["--name", "tiny", "--force", "-o", arg(&out)];
        for ty in ["f32", "Q4_K_M"] {
            let args = ["quantize", arg(&model), "--no-tokenizer", "--type", ty];
            let run = aeolus(args.into_iter().chain(to));
            let said = String::from_utf8(run.stderr).unwrap();
            assert!(run.status.success(), "{said}");
            assert_eq!(
                said.contains("in F64: rounded to F32"),
                name == "f64",
                "{said}"
            );
            converted.push(std::fs::read(&out).unwrap());
        }
    }
    assert!(converted[0] == converted[2] && converted[1] == converted[3]);
    let weights = dir.path().join("f64/model.safetensors");
    let mut bytes = std::fs::read(&weights).unwrap();
    let last = bytes.len() - 8;
    bytes[last..].copy_from_slice(&1e300_f64.to_le_bytes());
    std::fs::write(&weights, bytes).unwrap();
    let (model, out) = (dir.path().join("f64"), dir.path().join("beyond.gguf"));
    let args = ["quantize", arg(&model), "--no-tokenizer", "--type", "f32"];
    let run = aeolus(args.into_iter().chain(["-o", arg(&out)]));
    let said = String::from_utf8(run.stderr).unwrap();
    assert!(!run.status.success(), "{said}");
    assert!(
        said.contains("= 1e300 is beyond the largest number of F32"),
        "{said}"
    );
}

#[test]
fn what_cannot_be_run_is_said_before_the_work() {
    let dir = tempfile::tempdir().unwrap();
    let model = fixture("notus-mini");
    let text = dir.path().join("text.txt");
    std::fs::write(&text, "once upon a time ".repeat(400)).unwrap();
    // Another kind of tokenizer than is run here.
    let source = dir.path().join("source.gguf");
    ok(["convert", arg(&model), "--type", "bf16", "-o", arg(&source)]);
    let mut bytes = std::fs::read(&source).unwrap();
    let key = b"tokenizer.ggml.model";
    let at = bytes.windows(key.len()).position(|w| w == key).unwrap() + key.len();
    assert_eq!(&bytes[at + 12..at + 17], b"llama");
    bytes[at + 12..at + 17].copy_from_slice(b"other");
    std::fs::write(&source, bytes).unwrap();
    let out = dir.path().join("out");
    let table = ["table", arg(&source), "--type", "Q8_0", "-o", arg(&out)];
    let measured = table.into_iter().chain(["-f", arg(&text), "-c", "64"]);
    let message = fails(measured);
    assert!(message.contains("other"), "{message}");
    assert!(!out.exists(), "nothing is written");
    let run = aeolus(table);
    let said = String::from_utf8(run.stderr).unwrap();
    assert!(
        run.status.success() && said.contains("cannot be run"),
        "{said}"
    );
}
