//! The Python client on the same cache and against the same Hub; see `tests/python_client`.

use crate::support::*;
use aeolus_hub::{Selection, Target};
use aeolus_testkit::hub_server::{HubServer, Repo, Transfer};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The environment that `AEOLUS_INTEROP` names.
fn python() -> Option<PathBuf> {
    let Some(folder) = std::env::var_os("AEOLUS_INTEROP") else {
        println!("AEOLUS_INTEROP names no Python environment: nothing was compared");
        return None;
    };
    let python = PathBuf::from(folder).join("bin/python");
    let has = Command::new(&python)
        .args(["-c", "import huggingface_hub"])
        .output()
        .unwrap();
    assert!(
        has.status.success(),
        "{} has no huggingface_hub: tests/interop/venv.sh makes an environment that has it",
        python.display()
    );
    Some(python)
}

fn client(
    python: &Path,
    server: &HubServer,
    cache: &Path,
    offline: bool,
    args: &[&str],
) -> Command {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/python_client/check.py");
    let mut command = Command::new(python);
    command
        .arg(script)
        .args(args)
        .env("HF_ENDPOINT", server.endpoint())
        .env("HF_HUB_CACHE", cache)
        .env("HF_HOME", cache.join("home"))
        .env("HF_TOKEN", TOKEN)
        .env("HF_HUB_OFFLINE", if offline { "1" } else { "0" })
        .env("HF_HUB_DISABLE_XET", "1")
        .env("HF_HUB_DISABLE_TELEMETRY", "1")
        .env("HF_HUB_DISABLE_PROGRESS_BARS", "1");
    command
}

fn run(python: &Path, server: &HubServer, cache: &Path, offline: bool, args: &[&str]) -> Value {
    answer(&mut client(python, server, cache, offline, args), args)
}

fn answer(command: &mut Command, args: &[&str]) -> Value {
    let output = command.output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{args:?}: {error}");
    serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{args:?}: {e}\n{error}"))
}

const ID: &str = "test/notus-mini";

fn scene() -> (HubServer, tempfile::TempDir, Vec<String>) {
    let fixtures = Path::new(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../fixtures/notus-mini"
    ));
    let server = HubServer::start();
    let files = Repo::new()
        .folder(fixtures)
        .file("sub/deep/extra.txt", "deep");
    server.add_repo(ID, files.clone());
    (
        server,
        tempfile::tempdir().unwrap(),
        files.files().keys().cloned().collect(),
    )
}

fn downloads(server: &HubServer) -> usize {
    server
        .requests()
        .iter()
        .filter(|r| r.method == "GET" && !r.target.starts_with("/api/models/"))
        .count()
}

#[test]
fn what_we_fetch_the_python_client_finds() {
    let Some(python) = python() else { return };
    let (server, cache, files) = scene();
    let all = Selection::patterns(&[], &[]).unwrap();
    let ours = hub(settings(&server, cache.path()))
        .fetch(&repo(ID), &all, &Target::Cache, &())
        .unwrap();
    server.clear_requests();
    for offline in [true, false] {
        let theirs = run(&python, &server, cache.path(), offline, &["snapshot", ID]);
        assert_eq!(
            theirs.as_str().unwrap(),
            ours.place.to_str().unwrap(),
            "offline: {offline}"
        );
        let mut args = vec!["files", ID];
        args.extend(files.iter().map(String::as_str));
        let theirs = run(&python, &server, cache.path(), offline, &args);
        for name in &files {
            assert_eq!(
                theirs[name].as_str().unwrap(),
                ours.place.join(name).to_str().unwrap()
            );
        }
        assert_eq!(downloads(&server), 0, "{:?}", server.requests());
    }
    let scan = run(&python, &server, cache.path(), true, &["scan", ID]);
    assert_eq!(scan["files"], files.len());
    assert_eq!(
        scan["bytes"],
        ours.files.iter().map(|f| f.bytes).sum::<u64>()
    );
}

#[test]
fn what_the_python_client_fetches_we_find() {
    let Some(python) = python() else { return };
    let (server, cache, files) = scene();
    let theirs = run(&python, &server, cache.path(), false, &["snapshot", ID]);
    server.clear_requests();
    let all = Selection::patterns(&[], &[]).unwrap();
    for offline in [true, false] {
        let mut settings = settings(&server, cache.path());
        settings.offline = offline;
        let ours = hub(settings)
            .fetch(&repo(ID), &all, &Target::Cache, &())
            .unwrap();
        assert_eq!(ours.place.to_str(), theirs.as_str());
        assert_eq!(ours.files.len(), files.len());
        assert!(ours.files.iter().all(|f| f.present));
    }
    assert_eq!(downloads(&server), 0, "{:?}", server.requests());
}

#[test]
fn without_links_each_finds_what_the_other_fetched() {
    let Some(python) = python() else { return };
    for ours_first in [true, false] {
        let (server, cache, files) = scene();
        let mut settings = settings(&server, cache.path());
        settings.links = false;
        let all = Selection::patterns(&[], &[]).unwrap();
        let ours = |offline| {
            let mut settings = settings.clone();
            settings.offline = offline;
            hub(settings)
                .fetch(&repo(ID), &all, &Target::Cache, &())
                .unwrap()
        };
        // Told to make none, it makes none; told to make some, it takes plain files as they are.
        let theirs = |offline, links: &str| {
            let args = ["snapshot", ID];
            let mut client = client(&python, &server, cache.path(), offline, &args);
            answer(client.env("HF_HUB_DISABLE_SYMLINKS", links), &args)
        };
        let first = match ours_first {
            true => ours(false).place,
            false => PathBuf::from(theirs(false, "1").as_str().unwrap()),
        };
        for name in &files {
            let there = fs::symlink_metadata(first.join(name)).unwrap();
            assert!(there.is_file(), "{name}");
        }
        server.clear_requests();
        for offline in [true, false] {
            for links in ["0", "1"] {
                assert_eq!(theirs(offline, links).as_str(), first.to_str());
            }
            let again = ours(offline);
            assert_eq!(again.place, first);
            assert!(again.files.iter().all(|file| file.present));
        }
        assert_eq!(downloads(&server), 0, "{:?}", server.requests());
    }
}

#[test]
fn the_test_hub_is_a_hub_to_the_python_client() {
    let Some(python) = python() else { return };
    for transfer in [Transfer::Basic, Transfer::Multipart(50_000)] {
        let (server, cache, _) = scene();
        server.set_transfer(transfer);
        let out = tempfile::tempdir().unwrap();
        fs::write(out.path().join("m.gguf"), noise(200_000, 1)).unwrap();
        fs::write(out.path().join("README.md"), "# m\n").unwrap();
        let commit = run(
            &python,
            &server,
            cache.path(),
            false,
            &["publish", "tester/m", out.path().to_str().unwrap()],
        );
        let there = server.repo("tester/m").unwrap();
        assert_eq!(commit.as_str().unwrap(), there.commit());
        assert!(there.holds("m.gguf", &noise(200_000, 1)) && there.holds("README.md", b"# m\n"));
        // The same folder from here: nothing is left to send.
        let hub = hub(signed_in(settings(&server, cache.path())));
        let request =
            aeolus_hub::PublishRequest::new(out.path().to_path_buf(), repo("tester/m")).unwrap();
        assert!(hub.plan(&request, &()).unwrap().is_unchanged());
    }
}
