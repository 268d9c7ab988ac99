//! Lists of digests that were there before, and lists of strangers.

use crate::resume::Mount;
use crate::support::{aeolus, arg, command, fails, fixture, names, ok, refusal, sha256};
use std::path::Path;

fn quantize(out: &Path, more: &[&str]) -> std::process::Output {
    let model = fixture("notus-mini");
    let args = ["quantize", arg(&model), "--type", "Q4_0", "-o", arg(out)];
    aeolus([&args[..], more].concat())
}

const Q4: &str = "notus-mini.Q4_0.gguf";

#[test]
fn a_foreign_list_keeps_every_byte_and_the_run_says_that_it_added_to_it() {
    let out = tempfile::tempdir().unwrap();
    let list = out.path().join("SHA256SUMS");
    let zeros = "0".repeat(64);
    let theirs = format!("{zeros} *z.iso\r\n# words\n\n{zeros}  a.txt\nwithout an end");
    std::fs::write(&list, &theirs).unwrap();
    std::fs::write(out.path().join("a.txt"), "changed since").unwrap();
    let run = quantize(out.path(), &[]);
    assert!(run.status.success(), "{run:?}");
    let told = String::from_utf8(run.stderr).unwrap();
    let line = format!("digests are in {}", list.display());
    assert!(told.contains(&line), "{told}");
    let digest = sha256(&std::fs::read(out.path().join(Q4)).unwrap());
    let expected = format!("{theirs}\n{digest}  {Q4}\n");
    assert_eq!(std::fs::read_to_string(&list).unwrap(), expected);
    // Replaced in its place, wherever that is.
    let moved = format!("{zeros}  {Q4}\n{theirs}\n");
    std::fs::write(&list, moved).unwrap();
    let run = quantize(out.path(), &["--force", "--json"]);
    let made: serde_json::Value = serde_json::from_slice(&run.stdout).unwrap();
    assert_eq!(made["sums"], arg(&list));
    let expected = format!("{digest}  {Q4}\n{theirs}\n");
    assert_eq!(std::fs::read_to_string(&list).unwrap(), expected);
}

#[test]
fn a_list_that_cannot_be_added_to_ends_a_run_before_it_begins() {
    let out = tempfile::tempdir().unwrap();
    let list = out.path().join("SHA256SUMS");
    let near = format!("{}  a\n", "0".repeat(64)).repeat((1 << 20) / 68);
    for (bytes, why) in [
        (&[0xff, 0, 1][..], "is not a text file"),
        (near.as_bytes(), "the most that is read is 1048576"),
    ] {
        std::fs::write(&list, bytes).unwrap();
        let model = fixture("notus-mini");
        let message = fails(["table", arg(&model), "-o", arg(out.path())]);
        assert!(
            message.contains(why) && message.contains("SHA256SUMS"),
            "{message}"
        );
        assert_eq!(names(out.path()), ["SHA256SUMS"], "nothing was begun");
        assert!(std::fs::read(&list).unwrap() == bytes);
    }
}

#[test]
fn a_disk_that_fills_up_under_the_list_leaves_the_old_one_and_the_outputs() {
    let Some(disk) = Mount::new("size=64m") else {
        return;
    };
    let whole = tempfile::tempdir().unwrap();
    assert!(quantize(whole.path(), &["-q"]).status.success());
    let made = std::fs::read(whole.path().join(Q4)).unwrap();
    let out = disk.path().join("out");
    std::fs::create_dir(&out).unwrap();
    let list = out.join("SHA256SUMS");
    let theirs = format!("{}  a\n", "0".repeat(64)).repeat(15_000);
    std::fs::write(&list, &theirs).unwrap();
    // Room for the output and what belongs to it while it grows, not for a second list.
    let filler = disk.path().join("filler");
    let free = aeolus_source::available_bytes(disk.path()).unwrap();
    let room = made.len() as u64 + (512 << 10);
    std::fs::write(&filler, vec![0; (free - room) as usize]).unwrap();
    let message = refusal(quantize(&out, &[]));
    let told = format!("{}: cannot write: No space left on device", list.display());
    assert!(message.contains(&told), "{message}");
    assert!(std::fs::read_to_string(&list).unwrap() == theirs);
    assert!(std::fs::read(out.join(Q4)).unwrap() == made);
    let journal = format!("{Q4}.partial.journal");
    assert_eq!(names(&out), ["SHA256SUMS", Q4, &journal]);
    // Once there is room the same command lists it, without making it anew.
    std::fs::remove_file(&filler).unwrap();
    let run = quantize(&out, &[]);
    let told = String::from_utf8(run.stderr).unwrap();
    assert!(run.status.success(), "{told}");
    assert!(told.contains("are there from an earlier run"), "{told}");
    let expected = format!("{theirs}{}  {Q4}\n", sha256(&made));
    assert!(std::fs::read_to_string(&list).unwrap() == expected);
    assert_eq!(names(&out), ["SHA256SUMS", Q4]);
    assert!(std::fs::read(out.join(Q4)).unwrap() == made);
}

#[cfg(target_os = "linux")]
#[test]
fn no_list_is_told_of_that_has_no_digest() {
    use std::os::unix::ffi::OsStrExt;
    let out = tempfile::tempdir().unwrap();
    // No list can have such a name: it is text.
    let path = out
        .path()
        .join(std::ffi::OsStr::from_bytes(b"odd\xff.gguf"));
    let model = fixture("notus-mini");
    let run = |more: &[&str]| {
        let mut command = command();
        command.args(["quantize", arg(&model), "--type", "Q4_0", "-o"]);
        command.arg(&path).args(more).output().unwrap()
    };
    let told = run(&[]);
    assert!(told.status.success(), "{told:?}");
    let told = String::from_utf8_lossy(&told.stderr).into_owned();
    assert!(told.contains(" written in "), "{told}");
    assert!(!told.contains("digests are in"), "{told}");
    assert!(path.exists() && !out.path().join("SHA256SUMS").exists());
    let made = run(&["--force", "--json"]);
    let made: serde_json::Value = serde_json::from_slice(&made.stdout).unwrap();
    assert!(made["sums"].is_null(), "{made}");
    assert_eq!(made["files"][0]["sha256"].as_str().unwrap().len(), 64);
}

#[test]
fn lists_of_strangers_are_refused_in_words() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out");
    std::fs::create_dir(&out).unwrap();
    assert!(quantize(&out, &["-q"]).status.success());
    let secret = dir.path().join("secret");
    std::fs::write(&secret, "secret").unwrap();
    let list = out.join("SHA256SUMS");
    let good = std::fs::read_to_string(&list).unwrap();
    let (zeros, ones) = ("0".repeat(64), "1".repeat(64));
    let cases: [(Vec<u8>, &str); 8] = [
        (vec![0xff; 99], "is not a text file"),
        (vec![0; 99], "is not a text file"),
        (
            vec![b'x'; 2 << 20],
            "has 2097152 bytes, at most 1048576 are read",
        ),
        (
            format!("{good}{zeros}  ../secret\n").into(),
            "names \"../secret\", which is not in its folder",
        ),
        (
            format!("{good}{zeros}  {}\n", secret.display()).into(),
            "which is not in its folder",
        ),
        (
            format!("{good}{zeros}  a\n{zeros}  a\n{ones}  a\n").into(),
            "names \"a\" twice, with different digests",
        ),
        // Other words for the same place.
        (
            format!("{good}{zeros}  d/a\n{ones}  d//./a\n").into(),
            "names \"d//./a\" twice, with different digests",
        ),
        (
            format!("{good}{zeros}  ././a\n{ones}  a\n").into(),
            "names \"a\" twice, with different digests",
        ),
    ];
    let model = fixture("notus-mini");
    let against = ["--against", arg(&model), "--type", "Q4_0"];
    for (bytes, why) in cases {
        std::fs::write(&list, &bytes).unwrap();
        let message = fails(["verify", arg(&out)]);
        assert!(message.contains(why), "{message}");
        assert!(message.contains(arg(&out)), "{message}");
        assert!(!message.contains(&sha256(b"secret")), "{message}");
        let message = fails([&["verify", arg(&out)], &against[..]].concat());
        assert!(message.contains(why), "{message}");
        let message = fails(["verify", arg(&out.join(Q4))]);
        assert!(message.contains(why), "{message}");
    }
    std::fs::remove_file(&list).unwrap();
    std::fs::create_dir(&list).unwrap();
    let message = fails(["verify", arg(&out)]);
    assert!(message.contains("is not a regular file"), "{message}");
    std::fs::remove_dir(&list).unwrap();

    // Ten thousand names, one of which would drive a terminal: all missing, which is a finding.
    let mut many: String = (0..10_000).map(|i| format!("{zeros}  {i}\n")).collect();
    many += &format!("{good}{zeros}  \u{1b}]0;title\u{7}\n{zeros}  torn");
    many += "\ntorn line\n# words\n";
    std::fs::write(&list, many).unwrap();
    let run = aeolus(["verify", arg(&out)]);
    assert_eq!(run.status.code(), Some(1));
    let (table, told) = (
        String::from_utf8(run.stdout).unwrap(),
        String::from_utf8(run.stderr).unwrap(),
    );
    assert_eq!(table.matches(" ok\n").count(), 1);
    assert_eq!(table.matches(", and missing\n").count(), 10_002);
    assert!(!table.contains('\u{1b}'), "a name drives the terminal");
    assert!(told.contains("1 lines are not digests"), "{told}");
}

#[cfg(unix)]
#[test]
fn a_list_that_may_not_be_read_is_named() {
    use std::os::unix::fs::PermissionsExt;
    let out = tempfile::tempdir().unwrap();
    assert!(quantize(out.path(), &["-q"]).status.success());
    let list = out.path().join("SHA256SUMS");
    std::fs::set_permissions(&list, std::fs::Permissions::from_mode(0o000)).unwrap();
    if std::fs::read(&list).is_ok() {
        println!("SKIPPED: this user may read everything");
        return;
    }
    let message = fails(["verify", arg(out.path())]);
    assert!(message.contains("SHA256SUMS: cannot open"), "{message}");
    let run = quantize(out.path(), &["--force"]);
    assert_eq!(run.status.code(), Some(2));
}

#[test]
fn a_list_in_the_default_folder_is_told_of_too() {
    let out = tempfile::tempdir().unwrap();
    let model = std::fs::canonicalize(fixture("notus-mini")).unwrap();
    let run = command()
        .args(["quantize", arg(&model), "--type", "Q4_0"])
        .current_dir(out.path())
        .output()
        .unwrap();
    let told = String::from_utf8(run.stderr).unwrap();
    assert!(told.contains("digests are in "), "{told}");
    assert_eq!(names(out.path()), ["SHA256SUMS", Q4]);
    ok(["verify", arg(out.path())]);
}
