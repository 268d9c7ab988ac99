//! Fetching when something goes wrong, once per way it can.

use crate::support::*;
use aeolus_hub::{Error, Hub, Selection, Target};
use aeolus_testkit::hub_server::{Access, Action, Content, Fault, HubServer, Repo, Site};
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

const FILE_BYTES: usize = 700_001;

/// A Hub with one large file, a client, and an empty cache.
struct Scene {
    server: HubServer,
    hub: Hub,
    cache: tempfile::TempDir,
    bytes: Vec<u8>,
}

impl Scene {
    fn new() -> Self {
        Self::of(FILE_BYTES)
    }

    fn of(bytes: usize) -> Self {
        let server = HubServer::start();
        let bytes = noise(bytes, 7);
        server.add_repo(
            "o/n",
            Repo::new()
                .large("w.gguf", bytes.clone())
                .file("a.txt", "small"),
        );
        let cache = tempfile::tempdir().unwrap();
        let hub = hub(settings(&server, cache.path()));
        Self {
            server,
            hub,
            cache,
            bytes,
        }
    }

    fn fetch(&self) -> Result<PathBuf, Error> {
        self.fetch_with(&())
    }

    fn fetch_with(&self, progress: &dyn aeolus_hub::Progress) -> Result<PathBuf, Error> {
        let all = Selection::patterns(&[], &[]).unwrap();
        Ok(self
            .hub
            .fetch(&repo("o/n"), &all, &Target::Cache, progress)?
            .place)
    }

    fn assert_good(&self, place: &std::path::Path) {
        assert!(fs::read(place.join("w.gguf")).unwrap() == self.bytes);
        assert_eq!(fs::read(place.join("a.txt")).unwrap(), b"small");
        assert!(
            self.blobs().iter().all(|n| !n.contains("partial")),
            "{:?}",
            self.blobs()
        );
    }

    fn blobs(&self) -> Vec<String> {
        names(&repo_folder(self.cache.path(), "o/n").join("blobs"))
    }

    /// Bytes the store has sent.
    fn sent(&self) -> u64 {
        self.server
            .requests()
            .iter()
            .filter(|r| r.site == Site::Store)
            .map(|r| r.body_bytes)
            .sum()
    }

    fn store(&self, times: usize, action: Action) {
        self.server
            .fault(Fault::new(action).site(Site::Store).times(times));
    }
}

#[test]
fn fifty_cuts_at_odd_places_lose_no_byte() {
    let scene = Scene::new();
    for i in 0..50u64 {
        // Some at once, some between two reads, some at the last byte of a range.
        scene.store(1, Action::CutAfter((i * i * 7919) % 65_536));
    }
    let place = scene.fetch().unwrap();
    scene.assert_good(&place);
    // What a client lets go when it gives up a connection is at most what was on its way.
    assert!(
        scene.sent() < FILE_BYTES as u64 + 65_536,
        "{} bytes for {FILE_BYTES}",
        scene.sent()
    );
}

#[test]
fn a_stalled_connection_is_given_up() {
    let scene = Scene::new();
    scene.store(2, Action::StallAfter(10_000));
    let record = Record::default();
    let place = scene.fetch_with(&record).unwrap();
    scene.assert_good(&place);
    assert!(
        record.lines().iter().any(|l| l.contains("no byte for")),
        "{:?}",
        record.lines()
    );

    // A stall before the head of an answer, of every kind of request.
    let scene = Scene::new();
    for path in ["/revision/", "/tree/", "/resolve/", "/lfs/"] {
        scene
            .server
            .fault(Fault::new(Action::StallAfter(0)).path(path));
    }
    scene.assert_good(&scene.fetch().unwrap());
}

#[test]
fn a_hub_that_stalls_for_good_is_an_error_in_bounded_time() {
    let scene = Scene::new();
    scene
        .server
        .fault(Fault::new(Action::StallAfter(0)).path("/tree/").times(99));
    let start = Instant::now();
    let error = scene.fetch().unwrap_err();
    assert!(matches!(&error, Error::Stalled { .. }), "{error}");
    assert!(
        start.elapsed() < Duration::from_secs(5),
        "{:?}",
        start.elapsed()
    );
}

#[test]
fn wrong_lengths_are_noticed() {
    // Short bodies that look whole: what came is kept, the rest is asked for.
    let scene = Scene::new();
    scene.store(3, Action::Shorten(1000));
    scene.assert_good(&scene.fetch().unwrap());

    // A file that is shorter or longer than the Hub says.
    for total in ["bytes 0-65535/700000", "bytes 0-65535/700002"] {
        let scene = Scene::new();
        scene.store(99, Action::Header("Content-Range", total.to_owned()));
        let error = scene.fetch().unwrap_err();
        assert!(
            matches!(
                &error,
                Error::WrongLength {
                    expected: 700_001,
                    ..
                }
            ),
            "{error}"
        );
        assert!(
            !scene.blobs().iter().any(|n| n.len() == 64),
            "{:?}",
            scene.blobs()
        );
    }

    // The server's last bytes never come.
    let scene = Scene::new();
    scene.store(999, Action::Shorten(1));
    let error = scene.fetch().unwrap_err();
    assert!(matches!(&error, Error::WrongLength { .. }), "{error}");
}

#[test]
fn corrupted_bytes_are_not_kept() {
    for (path, offset) in [("w.gguf", 333_333), ("a.txt", 2)] {
        let scene = Scene::new();
        let place = if path == "a.txt" {
            "resolve-cache"
        } else {
            "/lfs/"
        };
        scene.server.fault(
            Fault::new(Action::FlipBit(offset))
                .method("GET")
                .path(place)
                .times(99),
        );
        let error = scene.fetch().unwrap_err();
        assert!(
            matches!(&error, Error::WrongChecksum { path: p, .. } if p == path),
            "{error}"
        );
        let snapshots = repo_folder(scene.cache.path(), "o/n").join("snapshots");
        for commit in names(&snapshots) {
            assert!(
                !snapshots.join(commit).join(path).exists(),
                "{path} was kept"
            );
        }
        scene.server.clear_faults();
        scene.assert_good(&scene.fetch().unwrap());
    }
}

#[test]
fn a_damaged_partial_file_is_fetched_anew() {
    let scene = Scene::new();
    // An earlier run that ended with most of the file there.
    scene.store(6, Action::Trickle(65_536, 0));
    scene.store(999, Action::Status(500, vec![]));
    assert!(scene.fetch().is_err());
    scene.server.clear_faults();
    let blobs = repo_folder(scene.cache.path(), "o/n").join("blobs");
    // Of the files that were begun, one of which some bytes are finished: its journal names them.
    let (partial, done) = scene
        .blobs()
        .into_iter()
        .filter(|n| n.ends_with(".partial"))
        .find_map(|partial| {
            let journal = fs::read_to_string(blobs.join(format!("{partial}.journal"))).ok()?;
            let (_, records) = journal.split_once("\n\n")?;
            let (begin, _) = records.split_once('-')?;
            Some((partial, begin.parse::<usize>().unwrap()))
        })
        .expect("finished bytes");
    let mut bytes = fs::read(blobs.join(&partial)).unwrap();
    bytes[done] ^= 1;
    fs::write(blobs.join(&partial), bytes).unwrap();

    let record = Record::default();
    let place = scene.fetch_with(&record).unwrap();
    scene.assert_good(&place);
    assert_eq!(record.count("Lost"), 1, "{:?}", record.lines());
}

#[test]
fn a_server_that_ignores_ranges_is_read_once_through() {
    let scene = Scene::of(48 << 20);
    scene.store(999, Action::IgnoreRange);
    let place = scene.fetch().unwrap();
    scene.assert_good(&place);
    // Four connections began; three stopped after their first piece, what the system had buffered
    // for them was sent in vain.
    let sent = scene.sent();
    assert!(
        sent < 2 * scene.bytes.len() as u64,
        "{sent} bytes for {}",
        scene.bytes.len()
    );

    // And with cuts on top: every attempt gets further.
    let scene = Scene::new();
    let cuts: Vec<u64> = (1..8).map(|i| i * 90_000).collect();
    scene.store(4, Action::Status(503, vec![]));
    for cut in cuts {
        scene.store(1, Action::CutAfter(cut));
    }
    scene.assert_good(&scene.fetch().unwrap());
}

#[test]
fn another_range_than_asked_for_is_refused() {
    let scene = Scene::new();
    scene.store(99, Action::ShiftRange);
    let error = scene.fetch().unwrap_err();
    assert!(
        matches!(&error, Error::BadAnswer { .. }) && error.to_string().contains("Content-Range"),
        "{error}"
    );
}

#[test]
fn refusals_are_told_apart() {
    let scene = Scene::new();
    let fetch = |reference: &str| {
        let all = Selection::patterns(&[], &[]).unwrap();
        scene
            .hub
            .fetch(&repo(reference), &all, &Target::Cache, &())
            .map(|f| f.place)
    };
    // 404 in its three kinds.
    let error = fetch("o/missing").unwrap_err();
    assert!(matches!(&error, Error::RepoNotFound { .. }), "{error}");
    let error = fetch("o/n@missing").unwrap_err();
    assert!(matches!(&error, Error::RevisionNotFound { .. }), "{error}");
    let error = fetch("o/n/missing").unwrap_err();
    assert!(matches!(&error, Error::NothingMatched { .. }), "{error}");
    let gone = vec![("X-Error-Code", "EntryNotFound".to_owned())];
    scene
        .server
        .fault(Fault::new(Action::Status(404, gone)).path("/resolve/"));
    let error = fetch("o/n").unwrap_err();
    assert!(matches!(&error, Error::FileNotFound { .. }), "{error}");

    // 401: the token is not known.
    scene.server.set_token("hf_another");
    let mine = hub(signed_in(settings(&scene.server, scene.cache.path())));
    let error = mine.list(&repo("o/n")).unwrap_err();
    assert!(
        matches!(
            &error,
            Error::Unauthorized {
                signed_in: true,
                ..
            }
        ),
        "{error}"
    );
    assert!(error.to_string().contains("HF_TOKEN"), "{error}");

    // 403: gated, without and with a token.
    scene.server.set_token(TOKEN);
    scene.server.add_repo(
        "o/gated",
        Repo::new()
            .access(Access::Gated)
            .file("a", "1")
            .large("b.gguf", noise(9, 1)),
    );
    for client in [&scene.hub, &mine] {
        for name in ["a", "b.gguf"] {
            let reference = repo(&format!("o/gated/{name}"));
            let all = Selection::patterns(&[], &[]).unwrap();
            let error = client
                .fetch(&reference, &all, &Target::Cache, &())
                .unwrap_err();
            assert!(matches!(&error, Error::Gated { .. }), "{error}");
            let text = error.to_string();
            assert!(
                text.contains("accept its licence at http") && text.contains("/o/gated"),
                "{text}"
            );
            assert!(text.contains("set the token"), "{text}");
        }
    }
}

#[test]
fn too_many_requests_are_waited_out() {
    let scene = Scene::new();
    let later = || Action::Status(429, vec![("Retry-After", "1".to_owned())]);
    scene.server.fault(Fault::new(later()).path("/resolve/"));
    scene.server.fault(Fault::new(later()).path("/lfs/"));
    scene.server.fault(Fault::new(later()).path("/revision/"));
    let start = Instant::now();
    scene.assert_good(&scene.fetch().unwrap());
    // One for the revision, one for a file's link and one in the store, perhaps at the same time.
    assert!(
        start.elapsed() >= Duration::from_secs(2),
        "{:?}",
        start.elapsed()
    );

    let scene = Scene::new();
    scene.server.fault(
        Fault::new(Action::Status(429, vec![]))
            .path("/tree/")
            .times(99),
    );
    let error = scene.fetch().unwrap_err();
    assert!(
        matches!(&error, Error::RateLimited { attempts: 4, .. }),
        "{error}"
    );
}

#[test]
fn a_server_in_trouble_is_asked_again() {
    let scene = Scene::new();
    for path in [
        "/revision/",
        "/tree/",
        "/resolve/",
        "/lfs/",
        "/resolve-cache/",
    ] {
        scene
            .server
            .fault(Fault::new(Action::Status(503, vec![])).path(path));
    }
    let record = Record::default();
    scene.assert_good(&scene.fetch_with(&record).unwrap());
    assert_eq!(record.count("Retrying"), 5, "{:?}", record.lines());

    let scene = Scene::new();
    scene.server.fault(
        Fault::new(Action::Status(503, vec![]))
            .path("/tree/")
            .times(99),
    );
    let error = scene.fetch().unwrap_err();
    assert!(
        matches!(
            &error,
            Error::Server {
                status: 503,
                attempts: 4,
                ..
            }
        ),
        "{error}"
    );
}

#[test]
fn nobody_there_is_an_error_that_names_the_address() {
    let cache = tempfile::tempdir().unwrap();
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    // An address where nothing answers, and a name that no server knows.
    for endpoint in [
        format!("http://{port}"),
        "http://nowhere.invalid".to_owned(),
    ] {
        let mut settings = at(&endpoint, cache.path());
        settings.network.retries = 8;
        let record = Record::default();
        let all = Selection::patterns(&[], &[]).unwrap();
        let error = hub(settings)
            .fetch(&repo("o/n"), &all, &Target::Cache, &record)
            .unwrap_err();
        // What has never answered is not asked for long.
        assert!(
            matches!(&error, Error::Network { attempts: 4, .. }),
            "{error}"
        );
        let text = error.to_string();
        assert!(
            text.contains(&endpoint)
                && text.contains("HF_ENDPOINT")
                && text.contains("HTTPS_PROXY"),
            "{text}"
        );
        assert_eq!(record.count("Retrying"), 3);
        assert!(record.lines()[0].contains("cannot reach"), "{text}");
    }
}

/// As some proxy sends it, with what no parser expects before its beginning.
const PAGE: &str = "<!-- x --><html><head><title>\n Access\n denied </title></head></html>";

#[test]
fn a_web_page_ends_the_attempts() {
    // In place of the Hub's answers, of a small file and of a large one.
    for path in ["/revision/", "/tree/", "resolve-cache", "/lfs/"] {
        for status in [200, 403, 404, 407, 511] {
            let scene = Scene::new();
            let page = Fault::new(Action::Page(status, PAGE)).path(path).times(99);
            scene.server.fault(page);
            let record = Record::default();
            let error = scene.fetch_with(&record).unwrap_err();
            assert!(
                matches!(&error, Error::WebPage { status: s, .. } if *s == status),
                "{path} {status}: {error}"
            );
            let text = error.to_string();
            assert!(
                text.contains("a web page titled \"Access denied\"") && text.contains("proxy"),
                "{text}"
            );
            assert_eq!(record.count("Retrying"), 0, "{:?}", record.lines());
        }
    }
    // By its first words, where its head does not say what it is.
    let scene = Scene::new();
    let page = Content::from(b" <!DOCTYPE HTML>\n<html>log in</html>".to_vec());
    scene.server.fault(
        Fault::new(Action::Answer(200, page))
            .path("/lfs/")
            .times(99),
    );
    let error = scene.fetch().unwrap_err();
    assert!(matches!(&error, Error::WebPage { .. }), "{error}");
    assert!(
        scene.blobs().iter().all(|name| name.len() != 64),
        "{:?}",
        scene.blobs()
    );
}

#[test]
fn a_login_page_behind_a_redirect_is_named() {
    let scene = Scene::new();
    let portal = HubServer::start();
    portal.fault(Fault::new(Action::Page(200, PAGE)).path("/login").times(9));
    let to = format!("{}/login?from=hub", portal.endpoint());
    for path in ["/revision/", "/resolve/"] {
        let redirect = Action::Status(302, vec![("Location", to.clone())]);
        scene.server.fault(Fault::new(redirect).path(path));
        let error = scene.fetch().unwrap_err().to_string();
        assert!(
            error.starts_with(&format!("{}/login: ", portal.endpoint())),
            "{error}"
        );
        assert!(error.contains("Access denied"), "{error}");
    }
}

#[test]
fn a_page_of_a_status_that_passes_is_asked_again() {
    // Of a Hub that has answered: as patiently as ever.
    let scene = Scene::new();
    for status in [502, 503, 504, 429] {
        scene
            .server
            .fault(Fault::new(Action::Page(status, PAGE)).path("/lfs/"));
    }
    scene.assert_good(&scene.fetch().unwrap());
    // Before it ever has: not for long, and the page is named.
    let scene = Scene::new();
    let mut settings = settings(&scene.server, scene.cache.path());
    settings.network.retries = 8;
    scene
        .server
        .fault(Fault::new(Action::Page(502, PAGE)).times(99));
    let error = hub(settings).list(&repo("o/n")).unwrap_err();
    assert!(
        matches!(&error, Error::WebPage { status: 502, .. }),
        "{error}"
    );
    assert_eq!(scene.server.requests().len(), 4);
    // A token that has expired is told as such, whatever page comes with it.
    let scene = Scene::new();
    scene.server.fault(Fault::new(Action::Page(401, PAGE)));
    let mine = hub(signed_in(self::settings(&scene.server, scene.cache.path())));
    let error = mine.list(&repo("o/n")).unwrap_err();
    assert!(matches!(&error, Error::Unauthorized { .. }), "{error}");
    assert!(error.to_string().contains("Access denied"), "{error}");
    // A page instead of an identity.
    scene.server.fault(Fault::new(Action::Page(200, PAGE)));
    let error = mine.whoami().unwrap_err();
    assert!(
        matches!(&error, Error::WebPage { status: 200, .. }),
        "{error}"
    );
}

#[test]
fn pages_that_are_files_of_the_repository_arrive() {
    let server = HubServer::start();
    server.add_repo(
        "o/n",
        Repo::new().file("demo.html", PAGE).file("page", PAGE),
    );
    let cache = tempfile::tempdir().unwrap();
    let html = Action::Header("Content-Type", "text/html".to_owned());
    server.fault(Fault::new(html).path("resolve-cache").times(9));
    let all = Selection::patterns(&[], &[]).unwrap();
    let fetched = hub(settings(&server, cache.path()))
        .fetch(&repo("o/n"), &all, &Target::Cache, &())
        .unwrap();
    for name in ["demo.html", "page"] {
        assert_eq!(fs::read_to_string(fetched.place.join(name)).unwrap(), PAGE);
    }
}

#[test]
fn the_hub_s_own_words_are_told() {
    let scene = Scene::new();
    for (status, words) in [
        (400, "Invalid request"),
        (403, "Access to this model is restricted"),
    ] {
        let body = format!(r#"{{"error":"{words}"}}"#).into_bytes();
        let answer = Action::Answer(status, Content::from(body));
        scene.server.fault(Fault::new(answer).path("/revision/"));
        let text = scene.fetch().unwrap_err().to_string();
        assert!(
            text.contains(&format!("{status}")) && text.contains(words),
            "{text}"
        );
    }
}

#[test]
fn hostile_names_never_leave_the_folder() {
    for name in [
        "../escape.txt",
        "/tmp/escape.txt",
        "a/../../escape.txt",
        "a\\..\\escape.txt",
        "./x",
    ] {
        let server = HubServer::start();
        server.add_repo(
            "o/n",
            Repo::new().file(name, "evil").file("good.txt", "fine"),
        );
        let dir = tempfile::tempdir().unwrap();
        let hub = hub(settings(&server, &dir.path().join("cache")));
        let target = Target::Folder {
            path: dir.path().join("out"),
            overwrite: true,
        };
        let all = Selection::patterns(&[], &[]).unwrap();
        for target in [Target::Cache, target] {
            let error = hub.fetch(&repo("o/n"), &all, &target, &()).unwrap_err();
            assert!(
                matches!(&error, Error::UnsafeName { .. }),
                "{name}: {error}"
            );
        }
        assert!(names(dir.path()).is_empty(), "{:?}", names(dir.path()));
    }
}

#[cfg(unix)]
#[test]
fn links_in_the_way_are_not_followed() {
    use std::os::unix::fs::symlink;
    let server = HubServer::start();
    server.add_repo(
        "o/n",
        Repo::new().file("sub/a.txt", "one").file("b.txt", "two"),
    );
    let dir = tempfile::tempdir().unwrap();
    let (out, elsewhere) = (dir.path().join("out"), dir.path().join("elsewhere"));
    fs::create_dir_all(&out).unwrap();
    fs::create_dir_all(&elsewhere).unwrap();
    fs::write(elsewhere.join("victim"), "mine").unwrap();
    symlink(&elsewhere, out.join("sub")).unwrap();
    symlink(elsewhere.join("victim"), out.join("b.txt")).unwrap();
    let hub = hub(settings(&server, &dir.path().join("cache")));
    let fetch = |name: &str, overwrite| {
        let all = Selection::patterns(&[], &[]).unwrap();
        let target = Target::Folder {
            path: out.clone(),
            overwrite,
        };
        hub.fetch(&repo(&format!("o/n/{name}")), &all, &target, &())
    };
    assert!(matches!(
        fetch("sub/a.txt", true),
        Err(Error::UnsafeName { .. })
    ));
    assert!(matches!(fetch("b.txt", false), Err(Error::Exists { .. })));
    // Replacing a link replaces the link, not what it points at.
    fetch("b.txt", true).unwrap();
    assert_eq!(fs::read_to_string(out.join("b.txt")).unwrap(), "two");
    assert_eq!(names(&elsewhere), ["victim"]);
    assert_eq!(
        fs::read_to_string(elsewhere.join("victim")).unwrap(),
        "mine"
    );
}

#[test]
fn the_disk_is_asked_before_the_network() {
    let server = HubServer::start();
    server.add_repo(
        "o/n",
        Repo::new().large_sparse("huge.gguf", Vec::new(), 1 << 60),
    );
    let dir = tempfile::tempdir().unwrap();
    let hub = hub(settings(&server, &dir.path().join("cache")));
    let all = Selection::patterns(&[], &[]).unwrap();
    let folder = Target::Folder {
        path: dir.path().join("out"),
        overwrite: false,
    };
    for target in [Target::Cache, folder] {
        let error = hub.fetch(&repo("o/n"), &all, &target, &()).unwrap_err();
        assert!(
            matches!(&error, Error::NoSpace { needed, .. } if *needed == 1 << 60),
            "{error}"
        );
    }
    assert!(
        server
            .requests()
            .iter()
            .all(|r| !r.target.contains("huge.gguf"))
    );
}
