//! Fetching when all goes well: what lands where, and what is asked for.

use crate::support::*;
use aeolus_hub::{Error, Hub, Selection, Target};
use aeolus_testkit::hub_server::{Access, HubServer, Repo, Site};
use std::fs;
use std::path::Path;

fn notus_mini() -> &'static Path {
    Path::new(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../fixtures/notus-mini"
    ))
}

fn all() -> Selection {
    Selection::patterns(&[], &[]).unwrap()
}

#[test]
fn a_checkpoint_comes_whole_and_only_once() {
    let server = HubServer::start();
    let files = Repo::new()
        .folder(notus_mini())
        .file("pytorch_model.bin.index.json", "{}");
    server.add_repo(
        "test/notus-mini",
        files.large("pytorch_model.bin", noise(1000, 1)),
    );
    let cache = tempfile::tempdir().unwrap();
    let mut settings = settings(&server, cache.path());
    settings.network.range_bytes = 1 << 20;
    let hub = hub(settings.clone());
    let repo = repo("hf:test/notus-mini");

    let record = Record::default();
    let fetched = hub
        .fetch(&repo, &Selection::conversion(), &Target::Cache, &record)
        .unwrap();
    for name in names(notus_mini()) {
        let there = fs::read(fetched.place.join(&name)).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert!(
            there == fs::read(notus_mini().join(&name)).unwrap(),
            "{name} differs"
        );
    }
    assert!(
        !fetched.place.join("pytorch_model.bin").exists(),
        "a second copy of the weights"
    );
    let folder = repo_folder(cache.path(), "test/notus-mini");
    assert_eq!(
        fs::read_to_string(folder.join("refs/main")).unwrap(),
        fetched.commit
    );
    assert_eq!(
        fetched.place,
        folder.join("snapshots").join(&fetched.commit)
    );
    assert!(
        names(&folder.join("blobs"))
            .iter()
            .all(|n| !n.contains("partial"))
    );
    assert_eq!(record.count("Done"), fetched.files.len());
    let bytes: u64 = record
        .lines()
        .iter()
        .filter(|l| l.starts_with("Advanced"))
        .map(|l| {
            let (_, count) = l.split_once("count: ").unwrap();
            let (count, _) = count.split_once(',').unwrap();
            count.parse::<u64>().unwrap()
        })
        .sum();
    assert_eq!(bytes, fetched.files.iter().map(|f| f.bytes).sum::<u64>());

    // The store was asked in ranges, and mostly without asking the Hub where it is.
    let requests = server.requests();
    let ranges = requests.iter().filter(|r| r.site == Site::Store).count();
    assert!(ranges >= 15, "{ranges} ranges");
    let resolved = requests
        .iter()
        .filter(|r| r.site == Site::Hub && r.target.contains("safetensors"))
        .count();
    assert!(resolved <= 10, "{resolved} questions for two large files");
    // Connections are mostly kept from one request to the next; a few more than needed are opened
    // when a request comes before the last one's connection is back.
    let connections = server.connections();
    assert!(
        2 * connections < requests.len(),
        "{connections} for {} requests",
        requests.len()
    );

    server.clear_requests();
    let record = Record::default();
    let again = hub
        .fetch(&repo, &Selection::conversion(), &Target::Cache, &record)
        .unwrap();
    assert_eq!(again.place, fetched.place);
    assert!(again.files.iter().all(|f| f.present));
    assert_eq!(
        server.requests().len(),
        1,
        "only the question what main is: {:?}",
        server.requests()
    );
    assert_eq!(record.count("Present"), again.files.len());

    server.clear_requests();
    settings.offline = true;
    let offline = crate::support::hub(settings);
    let again = offline
        .fetch(&repo, &Selection::conversion(), &Target::Cache, &())
        .unwrap();
    assert_eq!(again.place, fetched.place);
    let error = offline
        .fetch(&repo, &all(), &Target::Cache, &())
        .unwrap_err();
    assert!(matches!(&error, Error::Offline { .. }), "{error}");
    assert!(error.to_string().contains("pytorch_model.bin"), "{error}");
    assert!(server.requests().is_empty());
}

#[test]
fn a_new_commit_fetches_what_changed() {
    let server = HubServer::start();
    let first = Repo::new()
        .file("a.txt", "one")
        .large("w.bin", noise(5000, 1))
        .file("sub/empty", "");
    server.add_repo("o/n", first.clone());
    let cache = tempfile::tempdir().unwrap();
    let hub = hub(settings(&server, cache.path()));
    let old = hub
        .fetch(&repo("o/n"), &all(), &Target::Cache, &())
        .unwrap();

    server.add_repo("o/n", first.file("a.txt", "two").file("b.txt", "two"));
    server.clear_requests();
    let new = hub
        .fetch(&repo("o/n"), &all(), &Target::Cache, &())
        .unwrap();
    assert_ne!(old.commit, new.commit);
    let read = |place: &Path, name| fs::read_to_string(place.join(name)).unwrap();
    assert_eq!(
        (read(&old.place, "a.txt"), read(&new.place, "a.txt")),
        ("one".into(), "two".into())
    );
    // The same bytes under two names are one download and one blob.
    assert_eq!(read(&new.place, "b.txt"), "two");
    assert_eq!(
        fs::canonicalize(new.place.join("a.txt")).unwrap(),
        fs::canonicalize(new.place.join("b.txt")).unwrap()
    );
    assert!(
        server.requests().iter().all(|r| r.site == Site::Hub),
        "the large file was there"
    );
    let gets = server
        .requests()
        .iter()
        .filter(|r| r.method == "GET" && r.target.contains("resolve-cache"))
        .count();
    assert_eq!(gets, 1);
    assert_eq!(fs::metadata(new.place.join("sub/empty")).unwrap().len(), 0);

    // The old commit by its hash, which needs no question at all.
    server.clear_requests();
    let by_hash = repo("o/n").at(&old.commit).unwrap();
    assert_eq!(
        hub.fetch(&by_hash, &all(), &Target::Cache, &())
            .unwrap()
            .place,
        old.place
    );
    assert!(server.requests().is_empty());
}

#[test]
fn revisions_paths_and_pages() {
    let server = HubServer::start();
    let mut files = Repo::new().page(3);
    for i in 0..10 {
        files = files.file(&format!("d{}/a b#{i}?.txt", i % 3), format!("{i}"));
    }
    server.add_repo("o/n", files);
    server.add_revision("o/n", "feature/x", Repo::new().file("only.txt", "here"));
    server.add_revision("o/n", "refs/pr/1", Repo::new().file("pr.txt", "here"));
    let cache = tempfile::tempdir().unwrap();
    let hub = hub(settings(&server, cache.path()));
    assert_eq!(hub.list(&repo("o/n")).unwrap().files.len(), 10);
    let fetched = hub
        .fetch(&repo("o/n"), &all(), &Target::Cache, &())
        .unwrap();
    assert_eq!(
        fs::read_to_string(fetched.place.join("d1/a b#4?.txt")).unwrap(),
        "4"
    );
    let one = hub
        .fetch(&repo("o/n/d2/a b#8?.txt"), &all(), &Target::Cache, &())
        .unwrap();
    assert_eq!(fs::read_to_string(one.place).unwrap(), "8");
    let folder = hub
        .fetch(&repo("o/n/d2"), &all(), &Target::Cache, &())
        .unwrap();
    assert_eq!(names(&folder.place).len(), 3);
    for (reference, name) in [("o/n@feature%2Fx", "only.txt"), ("o/n@refs/pr/1", "pr.txt")] {
        let fetched = hub
            .fetch(&repo(reference), &all(), &Target::Cache, &())
            .unwrap();
        assert_eq!(names(&fetched.place), [name]);
    }
    assert!(
        repo_folder(cache.path(), "o/n")
            .join("refs/refs/pr/1")
            .is_file()
    );
}

#[test]
fn a_folder_gets_plain_files_and_keeps_what_it_has() {
    let server = HubServer::start();
    server.add_repo(
        "o/n",
        Repo::new()
            .file("sub/a.txt", "one")
            .large("w.gguf", noise(300_000, 2)),
    );
    let dir = tempfile::tempdir().unwrap();
    let (cache, out) = (dir.path().join("cache"), dir.path().join("out"));
    let hub = hub(settings(&server, &cache));
    let target = |overwrite| Target::Folder {
        path: out.clone(),
        overwrite,
    };
    let fetched = hub
        .fetch(&repo("o/n"), &all(), &target(false), &())
        .unwrap();
    assert_eq!(fetched.place, out);
    assert_eq!(names(&out), ["sub", "w.gguf"]);
    assert_eq!(names(&out.join("sub")), ["a.txt"]);
    assert!(fs::read(out.join("w.gguf")).unwrap() == noise(300_000, 2));
    assert!(
        fs::symlink_metadata(out.join("w.gguf")).unwrap().is_file(),
        "no link"
    );
    assert!(!cache.exists(), "the cache was left alone");

    let again = hub
        .fetch(&repo("o/n"), &all(), &target(false), &())
        .unwrap();
    assert!(again.files.iter().all(|f| f.present));
    fs::write(out.join("sub/a.txt"), "own").unwrap();
    let error = hub
        .fetch(&repo("o/n"), &all(), &target(false), &())
        .unwrap_err();
    assert!(
        matches!(&error, Error::Exists { path } if path.ends_with("sub/a.txt")),
        "{error}"
    );
    assert_eq!(fs::read_to_string(out.join("sub/a.txt")).unwrap(), "own");
    hub.fetch(&repo("o/n"), &all(), &target(true), &()).unwrap();
    assert_eq!(fs::read_to_string(out.join("sub/a.txt")).unwrap(), "one");
    assert_eq!(names(&out), ["sub", "w.gguf"]);
}

#[test]
fn two_fetches_at_once_share_the_work() {
    // Also where the blob moves away under those who wait for it.
    for links in [true, false] {
        let server = HubServer::start();
        let bytes = noise(1 << 20, 3);
        server.add_repo("o/n", Repo::new().large("w.gguf", bytes.clone()));
        let cache = tempfile::tempdir().unwrap();
        let mut settings = settings(&server, cache.path());
        settings.links = links;
        let place = std::thread::scope(|scope| {
            let run = || hub(settings.clone()).fetch(&repo("o/n"), &all(), &Target::Cache, &());
            let both = [scope.spawn(run), scope.spawn(run)];
            both.map(|thread| thread.join().unwrap().unwrap().place)
        });
        assert!(fs::read(place[0].join("w.gguf")).unwrap() == bytes);
        let sent: u64 = server
            .requests()
            .iter()
            .filter(|r| r.site == Site::Store)
            .map(|r| r.body_bytes)
            .sum();
        assert!(
            sent < (2 << 20),
            "{sent} bytes for a file of {}: fetched twice",
            bytes.len()
        );
    }
}

#[test]
fn private_repositories_open_with_the_token_and_it_goes_to_the_hub_only() {
    let server = HubServer::start();
    server.set_token(TOKEN);
    let files = Repo::new()
        .access(Access::Private)
        .file("config.json", "{}")
        .large("w.gguf", noise(200_000, 4));
    server.add_repo("o/n", files);
    let cache = tempfile::tempdir().unwrap();
    let error = hub(settings(&server, cache.path()))
        .list(&repo("o/n"))
        .unwrap_err();
    assert!(
        matches!(
            &error,
            Error::RepoNotFound {
                signed_in: false,
                ..
            }
        ),
        "{error}"
    );

    let hub = hub(signed_in(settings(&server, cache.path())));
    hub.fetch(&repo("o/n"), &all(), &Target::Cache, &())
        .unwrap();
    let bearer = format!("Bearer {TOKEN}");
    for request in server.requests().iter().filter(|r| r.site == Site::Store) {
        assert_eq!(request.header("authorization"), None, "{}", request.target);
    }
    assert!(
        server
            .requests()
            .iter()
            .any(|r| r.header("authorization") == Some(&bearer))
    );
    let identity = hub.whoami().unwrap();
    assert_eq!(
        (identity.name.as_str(), identity.organizations),
        ("tester", vec!["test-org".to_owned()])
    );
}

#[test]
fn the_environment_gives_no_token_to_a_client_without_one() {
    let server = HubServer::start();
    server.add_repo("o/n", Repo::new().file("a", "1"));
    let cache = tempfile::tempdir().unwrap();
    hub(settings(&server, cache.path()))
        .fetch(&repo("o/n"), &all(), &Target::Cache, &())
        .unwrap();
    assert!(
        server
            .requests()
            .iter()
            .all(|r| r.header("authorization").is_none())
    );
}

#[test]
fn many_small_files_at_once() {
    let server = HubServer::start();
    let files = (0..120).fold(Repo::new(), |r, i| {
        r.file(&format!("{i}.txt"), format!("{i}"))
    });
    server.add_repo("o/n", files);
    let cache = tempfile::tempdir().unwrap();
    let mut settings = settings(&server, cache.path());
    settings.network.connections = 16;
    let fetched = hub(settings)
        .fetch(&repo("o/n"), &all(), &Target::Cache, &())
        .unwrap();
    for i in 0..120 {
        let text = fs::read_to_string(fetched.place.join(format!("{i}.txt"))).unwrap();
        assert_eq!(text, i.to_string());
    }
    assert_eq!(
        names(&fetched.place).len(),
        120,
        "the files and nothing else"
    );
}

#[test]
fn a_folder_takes_from_the_cache_what_is_there() {
    let server = HubServer::start();
    let large: Vec<u8> = (0..3_000_000u32).map(|i| (i % 251) as u8).collect();
    let files = Repo::new()
        .file("a.txt", "one")
        .file("deep/b.txt", "two")
        .large("c.bin", large.clone());
    server.add_repo("o/n", files);
    let dir = tempfile::tempdir().unwrap();
    let mut settings = settings(&server, &dir.path().join("cache"));
    let online = hub(settings.clone());
    let cached = online.fetch(&repo("o/n"), &all(), &Target::Cache, &());
    let cached = cached.unwrap();
    server.clear_requests();
    settings.offline = true;
    let offline = hub(settings);
    let target = |name: &str| Target::Folder {
        path: dir.path().join(name),
        overwrite: false,
    };
    let fetch = |name: &str| offline.fetch(&repo("o/n"), &all(), &target(name), &());
    let check = |name: &str| {
        let folder = dir.path().join(name);
        assert_eq!(names(&folder), ["a.txt", "c.bin", "deep"]);
        assert_eq!(names(&folder.join("deep")), ["b.txt"]);
        for file in ["a.txt", "deep/b.txt", "c.bin"] {
            let place = folder.join(file);
            assert!(place.symlink_metadata().unwrap().is_file(), "no link");
            let (a, b) = (fs::read(place), fs::read(cached.place.join(file)));
            assert!(a.unwrap() == b.unwrap(), "{file}");
        }
    };
    for name in ["whole", "whole", "deeper/still"] {
        let fetched = fetch(name).unwrap();
        assert_eq!(fetched.place, dir.path().join(name));
        assert_eq!(fetched.files.len(), 3);
        check(name);
    }
    // What the Python client's older versions leave: no list of the commit's files.
    let repo_folder = dir.path().join("cache/models--o--n");
    fs::remove_dir_all(repo_folder.join("trees")).unwrap();
    fetch("walked").unwrap();
    check("walked");
    assert!(server.requests().is_empty());
    // Online, too, nothing but the commit and its files' names is asked for.
    let fetched = online.fetch(&repo("o/n"), &all(), &target("online"), &());
    fetched.unwrap();
    check("online");
    assert_eq!(server.requests().len(), 2, "{:?}", server.requests());

    // A damaged blob is not passed on: offline that is an error, online it is fetched.
    let blob = fs::canonicalize(cached.place.join("c.bin")).unwrap();
    let mut damaged = large;
    damaged[7] ^= 1;
    fs::write(blob, damaged).unwrap();
    let error = fetch("damaged").unwrap_err();
    assert!(matches!(&error, Error::Offline { .. }), "{error}");
    let fetched = online.fetch(&repo("o/n"), &all(), &target("damaged"), &());
    fetched.unwrap();
    assert_eq!(
        fs::read(dir.path().join("damaged/c.bin")).unwrap()[..9],
        [0, 1, 2, 3, 4, 5, 6, 7, 8]
    );
    // Without anything in the cache it stays an error.
    fs::remove_dir_all(repo_folder).unwrap();
    let error = fetch("none").unwrap_err();
    assert!(matches!(&error, Error::Offline { .. }), "{error}");
}

#[test]
fn without_links_the_cache_holds_plain_files() {
    let server = HubServer::start();
    let files = Repo::new()
        .file("a.txt", "same")
        .file("sub/deep/a.txt", "same")
        .large("w.gguf", noise(200_000, 4));
    server.add_repo("o/n", files.clone());
    let dir = tempfile::tempdir().unwrap();
    let mut settings = settings(&server, &dir.path().join("cache"));
    settings.links = false;
    let online = hub(settings.clone());
    settings.offline = true;
    let offline = hub(settings);
    let fetch = |hub: &Hub, target: &Target| hub.fetch(&repo("o/n"), &all(), target, &()).unwrap();

    let fetched = fetch(&online, &Target::Cache);
    for file in &fetched.files {
        let there = fs::symlink_metadata(&file.place).unwrap();
        assert!(there.is_file() && there.len() == file.bytes, "{file:?}");
        assert!(files.holds(&file.path, &fs::read(&file.place).unwrap()));
    }
    let folder = repo_folder(&dir.path().join("cache"), "o/n");
    assert_eq!(names(&folder.join("blobs")), [""; 0], "no second copy");

    // All of it is found again, also where the list of files was not kept.
    for tree in [true, false] {
        server.clear_requests();
        if !tree {
            fs::remove_dir_all(folder.join("trees")).unwrap();
        }
        let out = Target::Folder {
            path: dir.path().join(format!("out-{tree}")),
            overwrite: false,
        };
        let again = fetch(&offline, &Target::Cache);
        assert_eq!(again.place, fetched.place);
        assert!(again.files.iter().all(|file| file.present));
        for file in fetch(&offline, &out).files {
            assert!(files.holds(&file.path, &fs::read(&file.place).unwrap()));
        }
        assert!(server.requests().is_empty());
    }
    assert!(
        fetch(&online, &Target::Cache)
            .files
            .iter()
            .all(|f| f.present)
    );

    // A blob that a file system with links has left is copied, and stays for its links.
    fs::remove_dir_all(dir.path().join("cache")).unwrap();
    let linking = hub(crate::support::settings(&server, &dir.path().join("cache")));
    let linked = fetch(&linking, &Target::Cache).place;
    fs::remove_file(linked.join("w.gguf")).unwrap();
    server.clear_requests();
    let copied = fetch(&online, &Target::Cache);
    assert!(copied.files.iter().all(|file| file.present));
    assert!(
        fs::symlink_metadata(linked.join("w.gguf"))
            .unwrap()
            .is_file()
    );
    assert_eq!(names(&folder.join("blobs")).len(), 2);
    assert!(
        server
            .requests()
            .iter()
            .all(|r| r.target.starts_with("/api/"))
    );
}

#[cfg(target_os = "linux")]
#[test]
fn a_blob_that_cannot_be_read_is_fetched() {
    let server = HubServer::start();
    server.add_repo("o/n", Repo::new().file("a", "one").file("empty", ""));
    let dir = tempfile::tempdir().unwrap();
    let online = hub(settings(&server, &dir.path().join("cache")));
    let cached = online.fetch(&repo("o/n"), &all(), &Target::Cache, &());
    let snapshot = cached.unwrap().place;
    // Of no bytes, as it says, and an error to whoever reads it.
    let blob = snapshot.join("empty");
    fs::remove_file(&blob).unwrap();
    std::os::unix::fs::symlink("/proc/self/mem", &blob).unwrap();
    fs::read(&blob).unwrap_err();
    let out = dir.path().join("out");
    fs::create_dir(&out).unwrap();
    // What a copy of it left that was interrupted: the hash is git's of no bytes.
    fs::write(out.join(".empty.e69de29bb2d1d643.copy"), "").unwrap();
    let target = Target::Folder {
        path: out.clone(),
        overwrite: false,
    };
    let fetched = online.fetch(&repo("o/n"), &all(), &target, &()).unwrap();
    let present: Vec<bool> = fetched.files.iter().map(|file| file.present).collect();
    assert_eq!(present, [true, false]);
    assert_eq!(names(&out), ["a", "empty"]);
    assert_eq!(fs::metadata(out.join("empty")).unwrap().len(), 0);
}

#[test]
fn offline_means_that_no_request_is_made() {
    let server = HubServer::start();
    server.add_repo("o/n", Repo::new().file("a", "1"));
    let dir = tempfile::tempdir().unwrap();
    let mut settings = signed_in(settings(&server, dir.path()));
    settings.offline = true;
    let hub = hub(settings);
    let folder = dir.path().join("out");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("README.md"), "x").unwrap();
    let request = aeolus_hub::PublishRequest::new(folder.clone(), repo("tester/m")).unwrap();
    let target = Target::Folder {
        path: folder,
        overwrite: false,
    };
    let errors = [
        hub.whoami().unwrap_err(),
        hub.list(&repo("o/n")).unwrap_err(),
        hub.open(&repo("o/n/a")).unwrap_err(),
        hub.fetch(&repo("o/n"), &all(), &Target::Cache, &())
            .unwrap_err(),
        hub.fetch(&repo("o/n"), &all(), &target, &()).unwrap_err(),
        hub.plan(&request, &()).unwrap_err(),
    ];
    for error in errors {
        assert!(matches!(&error, Error::Offline { .. }), "{error}");
        assert!(error.to_string().contains("HF_HUB_OFFLINE"), "{error}");
    }
    assert!(server.requests().is_empty());
}
