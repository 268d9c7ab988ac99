//! More than anybody has a reason for: answers that do not end, and entries of the cache that cannot
//! be right.

use crate::support::*;
use aeolus_hub::{Error, Hub, Selection, Target};
use aeolus_testkit::hub_server::{Action, Content, Fault, HubServer, Repo};
use std::fs;
use std::path::{Path, PathBuf};

const PAGE_BYTES: u64 = 32 << 20;
const VALUES: usize = 262_144;
const REASON_BYTES: usize = 64 << 10;

fn scene() -> (HubServer, Hub, tempfile::TempDir) {
    let server = HubServer::start();
    server.add_repo("o/n", Repo::new().file("a.txt", "one"));
    let cache = tempfile::tempdir().unwrap();
    let hub = hub(settings(&server, cache.path()));
    (server, hub, cache)
}

fn fetch(hub: &Hub) -> Result<PathBuf, Error> {
    let all = Selection::patterns(&[], &[]).unwrap();
    let fetched = hub.fetch(&repo("o/n"), &all, &Target::Cache, &())?;
    Ok(fetched.place)
}

fn assert_good(place: &Path) {
    assert_eq!(fs::read_to_string(place.join("a.txt")).unwrap(), "one");
}

#[test]
fn pages_end_somewhere() {
    let (server, hub, _cache) = scene();
    let answer = |body: Content| {
        let fault = Fault::new(Action::Answer(200, body));
        server.fault(fault.path("/tree/"));
        hub.list(&repo("o/n"))
    };
    // An empty list, and blanks up to the length that is asked for.
    let blank = |bytes: u64| {
        let mut text = vec![b' '; bytes as usize];
        text[..2].copy_from_slice(b"[]");
        Content::from(text)
    };
    assert!(answer(blank(PAGE_BYTES)).unwrap().files.is_empty());
    // Sent without end it is given up all the same; here it has one.
    for body in [
        blank(PAGE_BYTES + 1),
        Content::sparse(b"[".to_vec(), 1 << 40),
    ] {
        let error = answer(body).unwrap_err();
        assert!(matches!(&error, Error::BadAnswer { .. }), "{error}");
        let text = error.to_string();
        assert!(text.contains("more than 33554432 bytes"), "{text}");
    }
    // Folders, of which nothing but the kind and the path is read: two values, and what is around.
    let list = |items: usize| {
        let folder = r#"{"type":"directory","path":"d","more":["#;
        let zeros = vec!["0"; items].join(",");
        Content::from(format!("[{folder}{zeros}]}}]").into_bytes())
    };
    assert!(answer(list(VALUES - 5)).unwrap().files.is_empty());
    let error = answer(list(VALUES - 4)).unwrap_err();
    let text = error.to_string();
    let told = "an answer of 262145 JSON values, expected at most 262144";
    assert!(text.contains(told), "{text}");
}

#[test]
fn reasons_end_somewhere() {
    let (server, hub, _cache) = scene();
    let answer = |bytes: usize| {
        let text = format!(
            r#"{{"error":"in the mood for nothing"{}}}"#,
            " ".repeat(bytes - 35)
        );
        assert_eq!(text.len(), bytes);
        let fault = Fault::new(Action::Answer(418, Content::from(text.into_bytes())));
        server.fault(fault.path("/tree/"));
        hub.list(&repo("o/n")).unwrap_err().to_string()
    };
    let text = answer(REASON_BYTES);
    assert!(
        text.ends_with("answered 418: in the mood for nothing"),
        "{text}"
    );
    let text = answer(REASON_BYTES + 1);
    assert!(text.ends_with("answered 418: I'm a teapot"), "{text}");
}

#[test]
fn entries_of_the_cache_that_cannot_be_right_are_asked_for_anew() {
    let (server, hub, cache) = scene();
    let place = fetch(&hub).unwrap();
    assert_good(&place);
    let folder = repo_folder(cache.path(), "o/n");
    let commit = server.repo("o/n").unwrap().commit();
    let reference = folder.join("refs/main");
    let tree = folder.join("trees").join(format!("{commit}.json"));
    let good = fs::read_to_string(&tree).unwrap();
    let mut offline = hub.settings().clone();
    offline.offline = true;
    let offline = crate::support::hub(offline);
    assert_good(&fetch(&offline).unwrap());

    let long = |text: &str, bytes: usize| text.to_owned() + &" ".repeat(bytes);
    let zeros = vec!["0"; VALUES].join(",");
    let many = good.replacen('{', &format!(r#"{{"more":[{zeros}],"#), 1);
    for bad in [
        long(&good, 32 << 20),
        many,
        "[".repeat(1 << 20),
        "{}".into(),
    ] {
        fs::write(&tree, bad).unwrap();
        // Without the network there is what was linked.
        assert_good(&fetch(&offline).unwrap());
        server.clear_requests();
        assert_good(&fetch(&hub).unwrap());
        let requests = server.requests();
        let listed = requests.iter().filter(|r| r.target.contains("/tree/"));
        assert_eq!(listed.count(), 1, "{requests:?}");
    }
    fs::write(&tree, &good).unwrap();

    fs::write(&reference, long(&commit, 2000)).unwrap();
    let error = fetch(&offline).unwrap_err();
    assert!(matches!(&error, Error::Offline { .. }), "{error}");
    assert_good(&fetch(&hub).unwrap());
    assert_eq!(fs::read_to_string(&reference).unwrap(), commit, "mended");
    assert_good(&fetch(&offline).unwrap());
}

#[cfg(unix)]
#[test]
fn pipes_among_the_files_keep_nobody_waiting() {
    let (server, hub, cache) = scene();
    let bytes = noise(200_000, 8);
    let repo = Repo::new()
        .file("a.txt", "one")
        .large("w.gguf", bytes.clone());
    server.add_repo("o/n", repo);
    let folder = repo_folder(cache.path(), "o/n");
    let commit = server.repo("o/n").unwrap().commit();
    let large = server.repo("o/n").unwrap().files()["w.gguf"].oid.clone();
    for place in [
        "refs/main".to_owned(),
        format!("trees/{commit}.json"),
        format!("blobs/{large}.partial"),
        format!("blobs/{large}.partial.journal"),
        format!("../.locks/models--o--n/{large}.lock"),
    ] {
        let place = folder.join(place);
        fs::create_dir_all(place.parent().unwrap()).unwrap();
        let made = std::process::Command::new("mkfifo").arg(&place).status();
        assert!(made.unwrap().success());
    }
    let place = fetch(&hub).unwrap();
    assert_good(&place);
    assert!(fs::read(place.join("w.gguf")).unwrap() == bytes);
    assert_eq!(names(&folder.join("blobs")).len(), 2);
}
