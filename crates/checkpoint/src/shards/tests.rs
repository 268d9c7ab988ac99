use super::*;
use crate::safetensors::test_file;
use std::fs;

/// A folder of shards, each holding these tensors, one F32 element each, and an index text.
fn folder(shards: &[(&str, &[&str])], index: Option<&str>) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, tensors) in shards {
        let entries: Vec<_> = tensors
            .iter()
            .enumerate()
            .map(|(i, name)| {
                let (begin, end) = (4 * i, 4 * i + 4);
                format!(r#""{name}":{{"dtype":"F32","shape":[1],"data_offsets":[{begin},{end}]}}"#)
            })
            .collect();
        let bytes = test_file(&format!("{{{}}}", entries.join(",")), 4 * tensors.len());
        fs::write(dir.path().join(name), bytes).unwrap();
    }
    if let Some(index) = index {
        fs::write(dir.path().join("model.safetensors.index.json"), index).unwrap();
    }
    dir
}

/// The files that the index names, opened and checked.
fn open(dir: &tempfile::TempDir, limits: &Limits) -> Result<Vec<ShardTensor>, Error> {
    let index = Index::read(&dir.path().join(INDEX), limits)?.unwrap();
    let tensors = indexed(dir.path(), &index)?.open(dir.path(), limits)?;
    index.check(&tensors)?;
    Ok(tensors)
}

fn error(dir: &tempfile::TempDir) -> String {
    open(dir, &Limits::default()).unwrap_err().to_string()
}

#[test]
fn shards_by_name_then_tensors_by_offset() {
    let dir = folder(
        &[("b.safetensors", &["z", "a"]), ("a.safetensors", &["m"])],
        Some(
            r#"{"metadata":{"total_size":12},"weight_map":{"a":"b.safetensors",
            "m":"a.safetensors","z":"b.safetensors"}}"#,
        ),
    );
    let tensors = open(&dir, &Limits::default()).unwrap();
    let names: Vec<_> = tensors.iter().map(|t| &*t.entry.name).collect();
    assert_eq!(names, ["m", "z", "a"]);
    assert!(Arc::ptr_eq(&tensors[1].map, &tensors[2].map));
}

#[test]
fn an_index_that_contradicts_the_shards() {
    let two: &[(&str, &[&str])] = &[("1.safetensors", &["a", "b"]), ("2.safetensors", &["c"])];
    for (map, part) in [
        (
            r#""a":"1.safetensors","b":"1.safetensors","c":"2.safetensors","d":"2.safetensors""#,
            "tensor d is placed in 2.safetensors, which does not hold it",
        ),
        (
            r#""a":"1.safetensors","c":"2.safetensors""#,
            "tensor b of 1.safetensors is not in the index",
        ),
        (
            r#""a":"1.safetensors","b":"2.safetensors","c":"2.safetensors""#,
            "tensor b is placed in 2.safetensors, but found in 1.safetensors",
        ),
        (
            r#""a":"1.safetensors","b":"1.safetensors","c":"3.safetensors""#,
            "3.safetensors: missing shard (the index places c in it)",
        ),
        (
            r#""a":"1.safetensors","a":"2.safetensors""#,
            "duplicate key a",
        ),
        (r#""a":1"#, "expected a name as a string"),
        ("", "weight_map is empty"),
    ] {
        let dir = folder(two, Some(&format!(r#"{{"weight_map":{{{map}}}}}"#)));
        let error = error(&dir);
        assert!(error.contains(part), "{error}: no {part}");
    }
    for (index, part) in [
        ("{}", "missing field `weight_map`"),
        (r#"[{"a":"1.safetensors"}]"#, "expected an object"),
        (r#"{"weight_map":[]}"#, "an object of tensor names"),
        ("nonsense", "line 1"),
    ] {
        let error = error(&folder(two, Some(index)));
        assert!(error.contains(part), "{error}: no {part}");
    }
}

#[test]
fn the_same_tensor_in_two_shards() {
    let dir = folder(
        &[("1.safetensors", &["a"]), ("2.safetensors", &["b", "a"])],
        Some(r#"{"weight_map":{"a":"1.safetensors","b":"2.safetensors"}}"#),
    );
    let error = error(&dir);
    assert!(error.contains("tensor a: found in"), "{error}");
    assert!(error.contains("1.safetensors and again in"), "{error}");
}

#[test]
fn paths_that_leave_the_folder_are_never_opened() {
    for shard in [
        "/etc/passwd",
        "../secret.safetensors",
        "sub/x.safetensors",
        "..",
        ".",
        "",
        "sub\\\\x.safetensors",
        "C:x.safetensors",
        "x\\u0000.safetensors",
    ] {
        let dir = folder(&[], Some(&format!(r#"{{"weight_map":{{"a":"{shard}"}}}}"#)));
        let error = error(&dir);
        assert!(
            error.contains("index.json: tensor a is placed in"),
            "{error}"
        );
        assert!(error.contains("in the same folder"), "{error}");
    }
}

#[test]
fn more_tensors_than_the_limit_over_all_shards() {
    let dir = folder(
        &[("1.safetensors", &["a", "b"]), ("2.safetensors", &["c"])],
        Some(r#"{"weight_map":{"a":"1.safetensors","b":"1.safetensors","c":"2.safetensors"}}"#),
    );
    let limits = Limits {
        tensors: 2,
        ..Limits::default()
    };
    let error = open(&dir, &limits).unwrap_err().to_string();
    assert!(
        error.contains("tensors: 3 exceeds the limit of 2"),
        "{error}"
    );
}

#[test]
fn names_say_which_files_belong_together() {
    let listing = |names: &[&str]| {
        let listing = Listing::of(names.iter().map(|name| name.to_string()).collect());
        let sets: Vec<String> = listing.sets.iter().map(|set| set.0.join(" ")).collect();
        (sets, listing.incomplete.map(|(missing, _)| missing))
    };
    let n = |i: u32, of: u32| format!("model-{i:05}-of-{of:05}.safetensors");
    let (a, b) = (n(1, 2), n(2, 2));
    for (names, sets, missing) in [
        (vec![&*a, &b], vec![format!("{a} {b}")], None),
        (vec![&*a], vec![], Some(b.clone())),
        (
            vec![SINGLE, &a, &b, "config.json"],
            vec![SINGLE.into(), format!("{a} {b}")],
            None,
        ),
        // From 0, without zeros, under another name, with a variant.
        (
            vec!["model-0-of-2.safetensors", "model-1-of-2.safetensors"],
            vec!["model-0-of-2.safetensors model-1-of-2.safetensors".into()],
            None,
        ),
        (
            vec!["w_2-of-3.safetensors", "w_3-of-3.safetensors"],
            vec![],
            Some("w_1-of-3.safetensors".into()),
        ),
        (
            vec!["model-00001-of-00001.fp16.safetensors"],
            vec!["model-00001-of-00001.fp16.safetensors".into()],
            None,
        ),
        // Two sets, the usual name first; one is not whole.
        (
            vec!["a-1-of-1.safetensors", &a, &b, "b-1-of-2.safetensors"],
            vec![format!("{a} {b}"), "a-1-of-1.safetensors".into()],
            Some("b-2-of-2.safetensors".into()),
        ),
        (
            vec!["x.safetensors", "y.safetensors"],
            vec![
                "x.safetensors".into(),
                "y.safetensors".into(),
                "x.safetensors y.safetensors".into(),
            ],
            None,
        ),
        (
            vec![
                "adapter_model.safetensors",
                "consolidated.safetensors",
                "optimizer.safetensors",
                ".hidden.safetensors",
                "pytorch_model.bin",
            ],
            vec![],
            None,
        ),
        (
            vec!["model-99999999999999999999-of-18446744073709551615.safetensors"],
            vec![],
            Some("model-00000000000000000001-of-18446744073709551615.safetensors".into()),
        ),
    ] {
        assert_eq!(listing(&names), (sets, missing), "{names:?}");
    }
}
