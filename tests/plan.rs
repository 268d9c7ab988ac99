//! Plans: what was done, and the same again; sets of files.

use crate::support::{aeolus, arg, fails, fixture, ok, sha256};
use aeolus_gguf::GgufFile;
use aeolus_recipe::{FileType, PlanFile};
use serde_json::Value;
use std::path::{Path, PathBuf};

fn plan(path: &Path) -> PlanFile {
    PlanFile::parse(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// The bytes of the files of a plan, which are in a folder.
fn files(plan: &PlanFile, folder: &Path) -> Vec<Vec<u8>> {
    let files = plan.files.iter();
    files
        .map(|entry| std::fs::read(folder.join(entry.file.as_ref().unwrap())).unwrap())
        .collect()
}

/// A folder and its plan of three guided files of notus-mini, made with rules.
fn made() -> (tempfile::TempDir, PathBuf) {
    let out = tempfile::tempdir().unwrap();
    let model = fixture("notus-mini");
    let imatrix = out.path().join("guide.gguf");
    std::fs::copy(fixture("imatrix/imatrix.gguf"), &imatrix).unwrap();
    let run = [
        "table",
        arg(&model),
        "--type",
        "Q4_K_M,Q8_0,BF16",
        "--tensor-type",
        "blk.[0-3].ffn_down=Q6_K",
        "--embedding-type",
        "Q5_K",
        "--via",
        "f16",
        "--imatrix",
        arg(&imatrix),
        "--exclude-weights",
        "attn_v",
        "--gguf-version",
        "3",
        "--name",
        "mini",
        "-o",
        arg(out.path()),
        "--json",
    ];
    let said: Value = serde_json::from_str(&ok(run)).unwrap();
    let path = out.path().join("mini.plan.toml");
    assert_eq!(said["plans"], serde_json::json!([arg(&path)]));
    (out, path)
}

#[test]
fn a_plan_says_what_was_done_and_makes_the_same_bytes() {
    let (out, path) = made();
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(text.starts_with("# How these files were made."), "{text}");
    let first = plan(&path);
    let matrix = first.imatrix.as_ref().unwrap();
    assert_eq!(matrix.file, arg(&out.path().join("guide.gguf")));
    assert_eq!(matrix.exclude_weights, ["attn_v"]);
    assert_eq!(
        (
            first.via.as_deref(),
            first.gguf_version,
            first.name.as_deref()
        ),
        (Some("f16"), Some(3), Some("mini"))
    );
    assert_eq!(first.source.as_ref().unwrap().folder, None, "it has a name");
    let entry = &first.files[0];
    assert_eq!(entry.tensor_types, ["blk.[0-3].ffn_down=Q6_K"]);
    assert_eq!(
        (entry.recipe.as_deref(), entry.default.as_deref()),
        (Some("current"), Some("Q4_K"))
    );
    assert_eq!(entry.tensors["token_embd.weight"], "Q5_K");
    // Every tensor's type where it was chosen.
    for (entry, bytes) in first.files.iter().zip(files(&first, out.path())) {
        assert_eq!(entry.sha256.as_deref(), Some(&*sha256(&bytes)));
        let file = GgufFile::open(&out.path().join(entry.file.as_ref().unwrap())).unwrap();
        for tensor in file.tensors().iter().filter(|t| t.shape.dims().len() > 1) {
            let planned = entry.tensors.get(&tensor.name).or(entry.default.as_ref());
            assert_eq!(
                planned.map(String::as_str),
                Some(tensor.ty.name()),
                "{}",
                tensor.name
            );
        }
    }

    // The matrix lies beside the plan; then elsewhere, in the other format.
    let model = fixture("notus-mini");
    let moved = tempfile::tempdir().unwrap();
    std::fs::copy(&path, moved.path().join("p.toml")).unwrap();
    let elsewhere = fixture("imatrix/imatrix.dat");
    for (plan_file, flags) in [
        (&path, &[][..]),
        (
            &moved.path().join("p.toml"),
            &["--imatrix", arg(&elsewhere)],
        ),
    ] {
        let again = tempfile::tempdir().unwrap();
        let args = [
            "table",
            arg(&model),
            "--plan",
            arg(plan_file),
            "-o",
            arg(again.path()),
            "-q",
        ];
        if flags.is_empty() {
            ok(args);
        } else {
            // The older format names its chunks alike, so that even metadata are the same.
            ok(args.iter().chain(flags));
        }
        assert!(files(&first, again.path()) == files(&first, out.path()));
        assert_eq!(plan(&again.path().join("mini.plan.toml")), first);
    }
}

#[test]
fn what_is_not_as_the_plan_has_it_is_said() {
    let (out, path) = made();
    let model = fixture("notus-mini");
    let again = out.path().join("again");
    let repeat = |model: &Path, flags: &[&str]| {
        let args = [
            "table",
            arg(model),
            "--plan",
            arg(&path),
            "-o",
            arg(&again),
            "-q",
            "--force",
        ];
        aeolus(args.iter().chain(flags))
    };
    let refused = |model: &Path, flags: &[&str]| {
        let run = repeat(model, flags);
        assert_eq!(run.status.code(), Some(2));
        String::from_utf8(run.stderr).unwrap()
    };
    // Another digest of a file.
    let text = std::fs::read_to_string(&path).unwrap();
    let digest = plan(&path).files[1].sha256.clone().unwrap();
    std::fs::write(&path, text.replace(&digest, &"0".repeat(64))).unwrap();
    let run = repeat(&model, &[]);
    let said = String::from_utf8(run.stderr).unwrap();
    assert_eq!(run.status.code(), Some(1), "{said}");
    assert!(
        said.contains("mini.Q8_0.gguf: is not the file of the plan: its sha256 is")
            && said.contains(&digest),
        "{said}"
    );
    // Another model, another matrix, none.
    let other = out.path().join("other.gguf");
    ok([
        "quantize",
        arg(&model),
        "--type",
        "Q8_0",
        "-o",
        arg(&other),
        "-q",
    ]);
    let message = refused(&other, &[]);
    assert!(
        message.contains("is not the model of the plan: its weights have the digest"),
        "{message}"
    );
    let matrix = out.path().join("guide.gguf");
    let matrix_bytes = std::fs::read(&matrix).unwrap();
    let dat = out.path().join("other.dat");
    let entry = ("blk.0.attn_q.weight", 1, &[1.0; 256][..]);
    std::fs::write(
        &dat,
        aeolus_testkit::imatrix::dat(&[entry, ("attn_v", 1, &[1.0])]),
    )
    .unwrap();
    let message = refused(&model, &["--imatrix", arg(&dat)]);
    assert!(
        message.contains("is not the importance matrix of the plan"),
        "{message}"
    );
    std::fs::remove_file(&matrix).unwrap();
    let message = refused(&model, &[]);
    assert!(
        message.contains("guide.gguf beside it, which guided its files: give it with --imatrix"),
        "{message}"
    );
    std::fs::write(&matrix, matrix_bytes).unwrap();
    for flags in [
        &["--type", "Q4_0"][..],
        &["--set", "2026"],
        &["--pure"],
        &["--gguf-version", "2"],
        &["--via", "f16"],
    ] {
        let message = refused(&model, flags);
        assert!(
            message.contains("cannot be used with"),
            "{flags:?}: {message}"
        );
    }
}

#[test]
fn plans_of_single_files_are_beside_them_and_none_replaces_another() {
    let out = tempfile::tempdir().unwrap();
    let model = fixture("notus-mini");
    let dir = arg(out.path());
    ok([
        "quantize",
        arg(&model),
        "--type",
        "q4_k,Q8_0",
        "--recipe",
        "2023-11",
        "-o",
        dir,
        "-q",
    ]);
    let path = out.path().join("notus-mini.Q4_K_M.plan.toml");
    let first = plan(&path);
    assert_eq!(first.files.len(), 1);
    assert_eq!(
        first.source.as_ref().unwrap().folder.as_deref(),
        Some("notus-mini")
    );
    assert_eq!(
        plan(&out.path().join("notus-mini.Q8_0.plan.toml")).files[0].file_type,
        "Q8_0"
    );

    // From a copy of the model in a folder of another name.
    let copy = out.path().join("renamed");
    crate::support::copy_folder(&model, &copy);
    let again = out.path().join("again");
    ok([
        "quantize",
        arg(&copy),
        "--plan",
        arg(&path),
        "-o",
        arg(&again),
        "-q",
    ]);
    assert!(files(&first, &again) == files(&first, out.path()));

    // Two tables of other types in one folder.
    ok([
        "table",
        arg(&model),
        "--type",
        "Q4_0",
        "-o",
        arg(&again),
        "-q",
    ]);
    ok([
        "table",
        arg(&model),
        "--type",
        "Q5_0",
        "-o",
        arg(&again),
        "-q",
    ]);
    let both = plan(&again.join("notus-mini.plan.toml")).files;
    let types: Vec<&str> = both.iter().map(|file| file.file_type.as_str()).collect();
    assert_eq!(types, ["Q4_0", "Q5_0"], "one plan of the folder");
    assert!(!again.join("notus-mini-2.plan.toml").exists());
    // Rounded otherwise: another plan, beside that of the others.
    let other = [
        "table",
        arg(&model),
        "--type",
        "Q5_1",
        "--via",
        "source",
        "-o",
        arg(&again),
        "-q",
    ];
    ok(other);
    assert_eq!(plan(&again.join("notus-mini.plan.toml")).files, both);
    assert_eq!(
        plan(&again.join("notus-mini-2.plan.toml")).files[0].file_type,
        "Q5_1"
    );
    assert!(!out.path().join("notus-mini.F16.plan.toml").exists());
}

#[test]
fn sets_are_the_files_of_a_table() {
    let list = |flags: &[&str]| {
        let model = fixture("notus-7b-v1");
        let args = ["forecast", arg(&model), "--json"];
        let found: Value = serde_json::from_str(&ok(args.iter().chain(flags))).unwrap();
        let files = found["files"].as_array().unwrap().iter();
        files
            .map(|file| file["file_type"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(list(&[]), FileType::TABLE.map(FileType::name));
    assert_eq!(list(&["--set", "2023"]), list(&[]));

    let out = tempfile::tempdir().unwrap();
    let set = out.path().join("mine.toml");
    std::fs::write(
        &set,
        "plan = 1\nvia = 'source'\n[[files]]\ntype = 'Q4_K_M'\n\n[[files]]\ntype = 'q4_k_m'\nname = 'Q4_K_XL'\n\
         tensor_types = ['attn_v=Q8_0']\nrecipe = 'current'\n\
         [[files]]\ntype = 'Q8_0'\n[files.tensors]\n'blk.0.attn_q.weight' = 'F16'\n",
    )
    .unwrap();
    let model = fixture("notus-mini");
    ok([
        "table",
        arg(&model),
        "--set",
        arg(&set),
        "-o",
        arg(out.path()),
        "-q",
    ]);
    let types = |name: &str, tensor: &str| {
        let file = GgufFile::open(&out.path().join(name)).unwrap();
        let mut tensors = file.tensors().iter();
        tensors.find(|t| t.name == tensor).unwrap().ty.name()
    };
    assert_eq!(
        types("notus-mini.Q4_K_XL.gguf", "blk.5.attn_v.weight"),
        "Q8_0"
    );
    assert_ne!(
        types("notus-mini.Q4_K_M.gguf", "blk.5.attn_v.weight"),
        "Q8_0"
    );
    assert_eq!(types("notus-mini.Q8_0.gguf", "blk.0.attn_q.weight"), "F16");
    let made = plan(&out.path().join("notus-mini.plan.toml"));
    assert_eq!(made.set.as_deref(), Some(arg(&set)));
    assert_eq!(made.via.as_deref(), Some("source"));
    assert_eq!(made.files[1].name.as_deref(), Some("Q4_K_XL"));
    let again = out.path().join("again");
    let path = out.path().join("notus-mini.plan.toml");
    ok([
        "table",
        arg(&model),
        "--plan",
        arg(&path),
        "-o",
        arg(&again),
        "-q",
    ]);
    assert!(files(&made, &again) == files(&made, out.path()));

    for (text, expected) in [
        (
            "plan = 2\n[[files]]\ntype = 'Q8_0'\n",
            "plan = 2, expected 1",
        ),
        ("plan = 1\nfiles = []\n", "no file is planned"),
        (
            "plan = 1\n[[files]]\ntype = 'Q9_0'\n",
            "file 1: unknown file type \"Q9_0\"",
        ),
        (
            "plan = 1\n[[files]]\ntype = 'Q8_0'\ntypo = 1\n",
            "line 4: unknown field `typo`",
        ),
        (
            "plan = 1\n[[files]]\ntype = 'Q8_0'\n[[files]]\ntype = 'q8_0'\n",
            "q8_0 is planned twice",
        ),
        (
            "plan = 1\n[[files]]\ntype = 'Q8_0'\nname = '../x'\n",
            "the name \"../x\" is not of 1 to 64",
        ),
        (
            "plan = 1\n[[files]]\ntype = 'Q8_0'\nfile = '../x.gguf'\n",
            "is not a plain name that ends in .gguf",
        ),
        (
            "plan = 1\npre = 'x'\n[[files]]\ntype = 'Q8_0'\n",
            "has \"pre\", which a plan has and a set has not",
        ),
        (
            "plan = 1\n[[files]]\ntype = 'Q8_0'\n[files.tensors]\n'blk.9.attn_q.weight' = 'F16'\n",
            "the plan has F16 for \"blk.9.attn_q.weight\": the model has no such tensor",
        ),
        (
            "plan = 1\n[[files]]\ntype = 'Q8_0'\n[files.tensors]\n'blk.0.attn_norm.weight' = 'F16'\n",
            "the plan has F16 for \"blk.0.attn_norm.weight\": ",
        ),
        ("[[[", "mine.toml: line 1: "),
    ] {
        std::fs::write(&set, text).unwrap();
        let message = fails([
            "table",
            arg(&model),
            "--set",
            arg(&set),
            "-o",
            arg(&again),
            "-q",
        ]);
        assert!(message.contains(expected), "{expected}: {message}");
    }
    let message = fails(["table", arg(&model), "--set", "2024", "-o", arg(&again)]);
    assert!(
        message.contains("unknown set \"2024\", expected one of 2023, 2026, or a file"),
        "{message}"
    );
    let message = fails(["table", arg(&model), "--set", "2026", "-o", arg(&again)]);
    assert!(message.contains("needs an importance matrix"), "{message}");
    let message = fails(["table", arg(&model), "--plan", arg(&set), "-o", arg(&again)]);
    assert!(message.contains("mine.toml"), "{message}");
}

#[test]
fn a_table_collects_its_own_importance_matrix() {
    let out = tempfile::tempdir().unwrap();
    let (model, text) = (fixture("notus-mini"), out.path().join("calibration.txt"));
    let whole = std::fs::read_to_string(fixture("text/heldout.txt")).unwrap();
    std::fs::write(&text, &whole[..20_000]).unwrap();
    let dir = out.path().join("out");
    let args = [
        "table",
        arg(&model),
        "--type",
        "Q2_K_S,BF16",
        "--calibrate",
        arg(&text),
        "-o",
        arg(&dir),
    ];
    ok(args);
    let matrix = dir.join("notus-mini.imatrix.gguf");
    let alone = out.path().join("alone.gguf");
    ok([
        "imatrix",
        arg(&model),
        "-f",
        arg(&text),
        "-o",
        arg(&alone),
        "-q",
    ]);
    assert!(std::fs::read(&matrix).unwrap() == std::fs::read(&alone).unwrap());
    let sums = std::fs::read_to_string(dir.join("SHA256SUMS")).unwrap();
    for name in [
        "notus-mini.imatrix.gguf",
        "notus-mini.Q2_K_S.gguf",
        "notus-mini.BF16.gguf",
    ] {
        let digest = sha256(&std::fs::read(dir.join(name)).unwrap());
        assert!(sums.contains(&format!("{digest}  {name}")), "{sums}");
    }
    assert_eq!(
        crate::support::names(&dir),
        [
            "SHA256SUMS",
            "notus-mini.BF16.gguf",
            "notus-mini.Q2_K_S.gguf",
            "notus-mini.imatrix.gguf"
        ]
    );
    ok(["verify", arg(&dir)]);
    let message = fails(args);
    assert!(
        message.contains("notus-mini.imatrix.gguf: exists already"),
        "{message}"
    );
    let again = out.path().join("again");
    let path = dir.join("notus-mini.plan.toml");
    let made = plan(&path);
    ok([
        "table",
        arg(&model),
        "--plan",
        arg(&path),
        "-o",
        arg(&again),
        "-q",
    ]);
    assert!(files(&made, &again) == files(&made, &dir));
}

#[test]
fn a_second_measured_run_keeps_the_matrix_that_the_first_collected() {
    let dir = tempfile::tempdir().unwrap();
    let (model, text) = (fixture("notus-mini"), fixture("text/heldout.txt"));
    let (calibration, out) = (dir.path().join("calibration.txt"), dir.path().join("out"));
    let whole = std::fs::read_to_string(&text).unwrap();
    std::fs::write(&calibration, &whole[..20_000]).unwrap();
    let args = |types: &'static str| {
        let table = ["table", arg(&model), "-o", arg(&out), "--type", types, "-q"];
        let texts = ["--calibrate", arg(&calibration), "-f", arg(&text)];
        let args = [&table[..], &texts, &["--chunks", "2"]].concat();
        args.into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    let contents = || {
        let names = crate::support::names(&out).into_iter();
        let found = names.map(|name| {
            let path = out.join(&name);
            let written = std::fs::metadata(&path).unwrap().modified().unwrap();
            (name, written, std::fs::read(path).unwrap())
        });
        found.collect::<Vec<_>>()
    };
    ok(args("Q2_K_S,Q4_0"));
    let matrix = std::fs::read(out.join("notus-mini.imatrix.gguf")).unwrap();
    let card = std::fs::read_to_string(out.join("README.md")).unwrap();
    assert!(card.contains(&sha256(&matrix)), "{card}");
    let first = contents();
    ok(args("Q2_K_S,Q4_0"));
    assert!(contents() == first, "nothing is written again");

    // Another file is guided by the same matrix.
    ok(args("IQ2_XS"));
    let unchanged = ["notus-mini.imatrix.gguf", "notus-mini.Q4_0.gguf"];
    let second = contents();
    for file in first.iter().filter(|file| unchanged.contains(&&*file.0)) {
        assert!(second.contains(file), "{}", file.0);
    }
    let made = plan(&out.join("notus-mini.plan.toml"));
    assert_eq!(made.files.len(), 3);
    let collected = made.imatrix.unwrap().calibration.unwrap();
    assert_eq!(
        collected,
        sha256(whole[..20_000].trim_end_matches('\n').as_bytes())
    );

    // Over another text it would be another matrix.
    std::fs::write(&calibration, &whole[20_000..40_000]).unwrap();
    let message = fails(args("IQ2_XS"));
    assert!(message.contains("no plan here says"), "{message}");
    assert!(contents() == second);
}

#[test]
fn a_file_that_a_smaller_one_beats_is_marked() {
    let out = tempfile::tempdir().unwrap();
    let set = out.path().join("mine.toml");
    std::fs::write(
        &set,
        "plan = 1\n[[files]]\ntype = 'Q4_K_M'\n[[files]]\ntype = 'Q2_K'\nname = 'Q2_K_FAT'\n\
         embedding_type = 'F16'\noutput_type = 'F16'\n",
    )
    .unwrap();
    let (model, text) = (fixture("notus-mini"), fixture("text/heldout.txt"));
    let dir = out.path().join("out");
    let args = [
        "table",
        arg(&model),
        "--set",
        arg(&set),
        "-o",
        arg(&dir),
        "-f",
        arg(&text),
    ];
    let cut = ["-c", "64", "--chunks", "4"];
    let table = ok(args.iter().chain(&cut));
    let rows: Vec<&str> = table.lines().collect();
    assert!(rows[0].contains("Beaten by"), "{table}");
    assert!(
        !rows[1].contains(" Q4_K_M ") && rows[2].contains(" Q4_K_M "),
        "{table}"
    );
    let compare = [
        "compare",
        arg(&model),
        arg(&dir),
        "-f",
        arg(&text),
        "--json",
    ];
    let found: Value = serde_json::from_str(&ok(compare.iter().chain(&cut))).unwrap();
    // From small to large.
    assert_eq!(found["files"][0]["beaten_by"], Value::Null);
    let q4 = dir.join("notus-mini.Q4_K_M.gguf");
    assert_eq!(found["files"][1]["beaten_by"], arg(&q4));
}
