//! Files and sets of shards on disk.

use crate::raw::{Raw, good_file};
use aeolus_gguf::{
    Array, Endian, Error, FormatErrorKind, GgufFile, HeaderSpec, Layout, Limits, Metadata, Shape,
    SplitError, TensorSpec, TensorType, Value,
};
use std::path::{Path, PathBuf};

struct Shard {
    keys: Vec<(&'static str, Value<'static>)>,
    names: Vec<&'static str>,
    endian: Endian,
}

/// Shard `number` (from 1) of `count`, with one F32 tensor of 3 for each name.
fn shard(number: u16, count: u16, tensors: i32, names: &[&'static str]) -> Shard {
    Shard {
        keys: vec![
            ("general.name", format!("shard {number}").into()),
            ("split.no", (number - 1).into()),
            ("split.count", count.into()),
            ("split.tensors.count", tensors.into()),
        ],
        names: names.to_vec(),
        endian: Endian::Little,
    }
}

impl Shard {
    /// Writes a file; each tensor's bytes are the first letter of its name.
    fn write(&self, path: &Path) {
        let spec = |name: &&str| TensorSpec {
            name: name.to_string(),
            shape: Shape::from_gguf(&[3]).unwrap(),
            ty: TensorType::F32,
        };
        let layout = Layout::new(HeaderSpec {
            version: 3,
            endian: self.endian,
            metadata: self.keys.iter().cloned().collect::<Metadata>(),
            tensors: self.names.iter().map(spec).collect(),
        })
        .unwrap();
        let mut file = layout.encode_header();
        file.resize(layout.file_bytes() as usize, 0);
        for (i, name) in self.names.iter().enumerate() {
            let at = layout.tensor_offset(i) as usize;
            file[at..at + 12].fill(name.as_bytes()[0]);
        }
        std::fs::write(path, file).unwrap();
    }
}

/// A folder with the shards given, named m-0000N-of-0000M.gguf.
fn folder(shards: &[Shard]) -> (tempfile::TempDir, Vec<PathBuf>) {
    let dir = tempfile::tempdir().unwrap();
    let count = shards.len();
    let path = |n| dir.path().join(format!("m-{n:05}-of-{count:05}.gguf"));
    let paths: Vec<PathBuf> = (1..=count).map(path).collect();
    for (shard, path) in shards.iter().zip(&paths) {
        shard.write(path);
    }
    (dir, paths)
}

fn three() -> [Shard; 3] {
    [
        shard(1, 3, 4, &["a", "b"]),
        shard(2, 3, 4, &["c"]),
        shard(3, 3, 4, &["d"]),
    ]
}

#[test]
fn one_file_opens() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("m.gguf");
    let (bytes, _) = good_file(3, Endian::Big);
    std::fs::write(&path, &bytes).unwrap();
    let file = GgufFile::open(&path).unwrap();
    assert_eq!(file.header().endian, Endian::Big);
    assert_eq!(file.file_bytes(), bytes.len() as u64);
    assert_eq!(file.metadata().bool("bool").unwrap(), Some(true));
    assert_eq!(file.tensors().len(), 3);
    assert!(file.tensor("d").is_none());
    let info = file.tensor("b.weight").unwrap();
    assert_eq!(file.tensor_bytes(info), [0xab; 288]);
    let place = file.place(info);
    assert_eq!((place.shard, place.range.len()), (0, 288));
    assert_eq!(
        place.range.start as u64,
        file.header().data_offset + info.offset
    );
    assert_eq!(file.maps()[0].path(), path);

    let limits = Limits {
        tensor_count: 2,
        ..Limits::default()
    };
    let error = GgufFile::open_with(&path, &limits).unwrap_err();
    let text = format!(
        "{}: the header at byte 8: has a tensor count of 3, and 2 is the limit",
        path.display()
    );
    assert_eq!(error.to_string(), text);
}

#[test]
fn shards_open_as_one_from_any_of_them() {
    let (_dir, paths) = folder(&three());
    for path in &paths {
        let file = GgufFile::open(path).unwrap();
        let names: Vec<&str> = file.tensors().iter().map(|t| t.name.as_str()).collect();
        assert_eq!(names, ["a", "b", "c", "d"]);
        for (info, shard) in file.tensors().iter().zip([0, 0, 1, 2]) {
            assert_eq!(file.tensor_bytes(info), [info.name.as_bytes()[0]; 12]);
            assert_eq!(file.place(info).shard, shard);
        }
        assert_eq!(
            file.metadata().str("general.name").unwrap(),
            Some("shard 1")
        );
        let keys: Vec<&str> = file.metadata().iter().map(|(key, _)| key).collect();
        assert_eq!(keys, ["general.name"], "no split keys in the whole");
        assert_eq!(file.maps().len(), 3);
        let sizes: u64 = paths.iter().map(|p| p.metadata().unwrap().len()).sum();
        assert_eq!(file.file_bytes(), sizes);
    }
}

#[test]
fn a_set_of_one_needs_no_number_in_its_name() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("m.gguf");
    shard(1, 1, 1, &["a"]).write(&path);
    assert_eq!(GgufFile::open(&path).unwrap().tensors().len(), 1);
}

/// Opens the `open`th file of a set and gives the path it complains of, and why.
fn refused(shards: &[Shard], open: usize) -> (usize, SplitError) {
    let (_dir, paths) = folder(shards);
    match GgufFile::open(&paths[open - 1]).unwrap_err() {
        Error::Split { path, error } => (paths.iter().position(|p| *p == path).unwrap() + 1, error),
        other => panic!("{other}"),
    }
}

#[test]
fn missing_shards_are_named() {
    let (dir, paths) = folder(&three());
    std::fs::remove_file(&paths[1]).unwrap();
    for open in [0, 2] {
        let error = GgufFile::open(&paths[open]).unwrap_err().to_string();
        let text = format!("{}: shard 2 of 3 is missing", paths[1].display());
        assert!(error.starts_with(&text), "{error}");
        assert!(error.contains("all 3 belong in one folder"), "{error}");
    }
    let renamed = dir.path().join("renamed.gguf");
    std::fs::rename(&paths[0], &renamed).unwrap();
    let error = GgufFile::open(&renamed).unwrap_err().to_string();
    assert!(
        error.ends_with("is one of 3 shards, expected a name that ends in -00001-of-00003.gguf"),
        "{error}"
    );
}

#[test]
fn shards_that_contradict_each_other_are_refused() {
    let number = |key, found, expected| SplitError::Number {
        key,
        found,
        expected,
    };
    let set = |change: fn(&mut [Shard; 3])| {
        let mut shards = three();
        change(&mut shards);
        shards
    };
    let shards = set(|s| s[1].keys[1].1 = 2u16.into());
    let error = number("split.no", Some(2), 1);
    assert_eq!(refused(&shards, 1), (2, error.clone()));
    assert_eq!(refused(&shards, 2), (2, error));

    let shards = set(|s| s[2].keys[2].1 = 4u16.into());
    assert_eq!(refused(&shards, 1), (3, number("split.count", Some(4), 3)));
    assert_eq!(refused(&shards, 3), (3, SplitError::Name { count: 4 }));

    let shards = set(|s| drop(s[1].keys.remove(1)));
    assert_eq!(refused(&shards, 1), (2, number("split.no", None, 1)));

    let shards = set(|s| s[0].keys[3].1 = 5i32.into());
    let error = number("split.tensors.count", Some(5), 4);
    assert_eq!(refused(&shards, 2), (1, error));

    let shards = set(|s| s[2].names = vec!["b"]);
    let error = SplitError::Duplicate {
        name: "b".into(),
        first: 1,
    };
    assert_eq!(refused(&shards, 1), (3, error));

    let shards = set(|s| s[1].endian = Endian::Big);
    let error = SplitError::Endian {
        found: Endian::Big,
        expected: Endian::Little,
    };
    assert_eq!(refused(&shards, 1), (2, error));

    let shards = set(|s| s[1].keys[2].1 = "three".into());
    let (at, error) = refused(&shards, 1);
    assert_eq!(at, 2);
    assert_eq!(
        error.to_string(),
        "key \"split.count\" is STRING, expected an integer"
    );
}

#[test]
fn a_bad_shard_is_named_by_its_path() {
    let (_dir, paths) = folder(&three());
    let bytes = std::fs::read(&paths[2]).unwrap();
    std::fs::write(&paths[2], &bytes[..bytes.len() - 32]).unwrap();
    match GgufFile::open(&paths[0]).unwrap_err() {
        Error::Format { path, error } => {
            assert_eq!(path, paths[2]);
            let expected = bytes.len() as u64 - 20;
            let found = bytes.len() as u64 - 32;
            assert_eq!(
                error.kind,
                FormatErrorKind::DataTruncated { expected, found }
            );
        }
        other => panic!("{other}"),
    }
}

#[test]
fn what_is_no_file_is_an_error_with_its_path() {
    let dir = tempfile::tempdir().unwrap();
    let missing = dir.path().join("none.gguf");
    let error = GgufFile::open(&missing).unwrap_err().to_string();
    assert!(
        error.contains("none.gguf") && error.contains("cannot open"),
        "{error}"
    );
    assert!(matches!(GgufFile::open(dir.path()), Err(Error::Source(_))));
    let empty = dir.path().join("empty.gguf");
    std::fs::write(&empty, []).unwrap();
    let error = GgufFile::open(&empty).unwrap_err().to_string();
    assert!(
        error.contains("empty.gguf: an empty file, not a GGUF file; "),
        "{error}"
    );
}

#[test]
#[should_panic(expected = "no tensor \"x\"")]
fn bytes_of_a_foreign_tensor_are_a_wrong_call() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("m.gguf");
    shard(1, 1, 1, &["a"]).write(&path);
    let file = GgufFile::open(&path).unwrap();
    let mut info = file.tensors()[0].clone();
    info.name = "x".into();
    file.tensor_bytes(&info);
}

/// Opening reads the header and no data: a sparse file of 64 GiB opens as a small one does.
#[test]
#[cfg(target_os = "linux")]
fn opening_does_not_read_the_data() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("m.gguf");
    let layout = Layout::new(HeaderSpec {
        version: 3,
        endian: Endian::Little,
        metadata: [("list", Array::from_i32s(&[1, 2]))].into_iter().collect(),
        tensors: vec![TensorSpec {
            name: "a".into(),
            shape: Shape::from_gguf(&[1 << 20, 1 << 14]).unwrap(),
            ty: TensorType::F32,
        }],
    })
    .unwrap();
    std::fs::write(&path, layout.encode_header()).unwrap();
    let sparse = std::fs::File::options().write(true).open(&path).unwrap();
    sparse.set_len(layout.file_bytes()).unwrap();
    let file = GgufFile::open(&path).unwrap();
    let bytes = file.tensor_bytes(&file.tensors()[0]);
    assert_eq!(bytes.len(), 1 << 36);
    assert_eq!(bytes[1 << 35], 0);
}

/// A file of some tensors at the offsets given, and zeros as data.
fn odd(tensors: &[(&str, &[u64], u32, u64)], data: usize) -> Vec<u8> {
    let raw = tensors
        .iter()
        .fold(Raw::v3(tensors.len() as u64, 0), |raw, t| {
            raw.tensor(t.0, t.1, t.2, t.3)
        });
    raw.data(32, data)
}

fn opened(bytes: &[u8]) -> Result<GgufFile, Error> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("m.gguf");
    std::fs::write(&path, bytes).unwrap();
    GgufFile::open(&path)
}

#[test]
fn empty_tensors_and_scalars_open() {
    // The empty one lies behind the end of a file without padding.
    let tensors: [(&str, &[u64], u32, u64); 3] =
        [("a", &[], 0, 0), ("b", &[5], 24, 32), ("c", &[4, 0], 0, 64)];
    let file = opened(&odd(&tensors, 37)).unwrap();
    let bytes = |name| file.tensor_bytes(file.tensor(name).unwrap()).len();
    assert_eq!((bytes("a"), bytes("b"), bytes("c")), (4, 5, 0));
    let error = file.require_usable().unwrap_err().to_string();
    assert!(
        error.ends_with("m.gguf: tensor \"c\" is empty: its shape is 4 x 0"),
        "{error}"
    );
}

#[test]
fn foreign_types_take_what_their_layout_or_the_next_tensor_says() {
    let tensors: [(&str, &[u64], u32, u64); 4] = [
        ("iq4_k", &[256, 2], 139, 0),
        ("unknown", &[256, 2], 77, 1024),
        ("f", &[4], 0, 1536),
        ("cut", &[256, 2], 139, 1568),
    ];
    let file = opened(&odd(&tensors, 1568 + 100)).unwrap();
    let sizes: Vec<_> = file
        .tensors()
        .iter()
        .map(|t| (t.bytes(), t.measured))
        .collect();
    assert_eq!(
        sizes,
        [(288, None), (512, Some(512)), (16, None), (100, Some(100))]
    );
    let error = file.require_model().unwrap_err().to_string();
    let said = "tensor \"iq4_k\" has tensor type 139 (IQ4_K of ik_llama.cpp), which";
    assert!(error.contains(said), "{error}");
    // Two of them at one place still overlap, and one behind the end has no bytes.
    let tensors: [(&str, &[u64], u32, u64); 2] = [("a", &[4], 77, 0), ("b", &[4], 77, 0)];
    let error = opened(&odd(&tensors, 64)).unwrap_err().to_string();
    assert!(error.contains("inside tensor \"a\""), "{error}");
    let error = opened(&odd(&[("a", &[4], 77, 64)], 64))
        .unwrap_err()
        .to_string();
    assert!(error.contains("truncated"), "{error}");
}

#[test]
fn files_behind_each_other_are_told_apart_from_one() {
    let (mut bytes, _) = good_file(3, Endian::Little);
    let second = bytes.len().next_multiple_of(32);
    bytes.resize(second, 0);
    bytes.extend(bytes.clone());
    let error = opened(&bytes).unwrap_err().to_string();
    let said = format!("another GGUF file begins at byte {second}: ");
    assert!(error.contains(&said), "{error}");
}

#[test]
fn files_that_hold_no_model_say_what_they_hold() {
    for (key, value, said) in [
        (
            "general.type",
            "imatrix",
            "an importance matrix (imatrix), not a model; ",
        ),
        (
            "general.type",
            "adapter",
            "a LoRA adapter, not a model; merge it",
        ),
        (
            "general.type",
            "mmproj",
            "a multimodal projector (mmproj), not a model; ",
        ),
        ("general.architecture", "clip", "a multimodal projector"),
        ("general.architecture", "controlvector", "a control vector"),
    ] {
        let shard = Shard {
            keys: vec![(key, value.into())],
            names: vec!["a"],
            endian: Endian::Little,
        };
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("m.gguf");
        shard.write(&path);
        let file = GgufFile::open(&path).unwrap();
        let error = file.require_model().unwrap_err().to_string();
        assert!(error.contains(said), "{error}");
    }
}
