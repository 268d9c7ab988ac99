//! Reading parts of a file that stays where it is.

use crate::support::*;
use aeolus_hub::{Error, Progress};
use aeolus_testkit::hub_server::{Action, Fault, HubServer, Repo, Site};

const GIB: u64 = 1 << 30;

#[test]
fn the_head_of_a_large_file_costs_what_it_weighs() {
    let server = HubServer::start();
    let head = noise(3 << 20, 1);
    server.add_repo("o/n", Repo::new().large_sparse("m.gguf", head.clone(), GIB));
    let cache = tempfile::tempdir().unwrap();
    let hub = hub(settings(&server, cache.path()));
    let file = hub.open(&repo("hf:o/n/m.gguf")).unwrap();
    assert_eq!((file.len(), file.path()), (GIB, "m.gguf"));
    // As a parser asks: a little, then as much as it turned out to need.
    assert!(file.read_range(0..64 << 10).unwrap() == head[..64 << 10]);
    assert!(file.read_range(64 << 10..3 << 20).unwrap() == head[64 << 10..]);
    assert_eq!(file.read_range(GIB - 5..GIB + 5).unwrap(), [0; 5]);
    assert!(file.read_range(GIB..GIB + 5).unwrap().is_empty());
    let sent: u64 = server.requests().iter().map(|r| r.body_bytes).sum();
    assert!(sent < 5_000_000, "{sent} bytes were sent");
    assert!(names(cache.path()).is_empty(), "nothing is kept");
}

#[test]
fn a_read_goes_on_after_cuts_and_stalls() {
    let server = HubServer::start();
    let head = noise(200_000, 2);
    server.add_repo("o/n", Repo::new().large_sparse("m.gguf", head.clone(), GIB));
    let cache = tempfile::tempdir().unwrap();
    let file = hub(settings(&server, cache.path()))
        .open(&repo("o/n/m.gguf"))
        .unwrap();
    for action in [
        Action::CutAfter(70_000),
        Action::StallAfter(50_000),
        Action::Shorten(1),
        Action::Status(503, vec![]),
    ] {
        server.fault(Fault::new(action).site(Site::Store));
    }
    assert!(file.read_range(0..200_000).unwrap() == head);
}

#[test]
fn an_expired_link_is_asked_for_again() {
    let server = HubServer::start();
    server.add_repo("o/n", Repo::new().large("m.gguf", noise(1000, 3)));
    let cache = tempfile::tempdir().unwrap();
    let file = hub(settings(&server, cache.path()))
        .open(&repo("o/n/m.gguf"))
        .unwrap();
    file.read_range(0..10).unwrap();
    server.fault(Fault::new(Action::Status(403, vec![])).site(Site::Store));
    assert_eq!(file.read_range(10..20).unwrap(), noise(1000, 3)[10..20]);
}

#[test]
fn a_server_without_ranges_is_read_at_the_start_only() {
    let server = HubServer::start();
    server.add_repo(
        "o/n",
        Repo::new().large_sparse("m.gguf", noise(100, 4), GIB),
    );
    let cache = tempfile::tempdir().unwrap();
    let file = hub(settings(&server, cache.path()))
        .open(&repo("o/n/m.gguf"))
        .unwrap();
    server.fault(Fault::new(Action::IgnoreRange).site(Site::Store).times(9));
    assert_eq!(file.read_range(0..100).unwrap(), noise(100, 4));
    let error = file.read_range(50..100).unwrap_err();
    assert!(
        matches!(&error, Error::BadAnswer { .. }) && error.to_string().contains("ranges"),
        "{error}"
    );
    server.clear_faults();
    server.fault(Fault::new(Action::ShiftRange).site(Site::Store).times(9));
    assert!(matches!(
        file.read_range(50..100),
        Err(Error::BadAnswer { .. })
    ));
}

#[test]
fn what_is_not_a_file_cannot_be_opened() {
    let server = HubServer::start();
    server.add_repo("o/n", Repo::new().file("d/a", "1"));
    let cache = tempfile::tempdir().unwrap();
    let hub = hub(settings(&server, cache.path()));
    for reference in ["o/n", "o/n/d", "o/n/missing"] {
        let error = hub.open(&repo(reference)).unwrap_err();
        assert!(matches!(&error, Error::NothingMatched { .. }), "{error}");
    }
    let mut offline = settings(&server, cache.path());
    offline.offline = true;
    assert!(matches!(
        crate::support::hub(offline).open(&repo("o/n/d/a")),
        Err(Error::Offline { .. })
    ));
}

#[test]
fn a_web_page_is_not_read_as_the_file() {
    let server = HubServer::start();
    server.add_repo("o/n", Repo::new().large("m.gguf", noise(1000, 5)));
    let cache = tempfile::tempdir().unwrap();
    let file = hub(settings(&server, cache.path()))
        .open(&repo("o/n/m.gguf"))
        .unwrap();
    let page = "<html><title>Log in</title></html>";
    server.fault(
        Fault::new(Action::Page(200, page))
            .site(Site::Store)
            .times(9),
    );
    let error = file.read_range(0..10).unwrap_err();
    assert!(matches!(&error, Error::WebPage { .. }), "{error}");
}

#[test]
fn retries_of_reads_are_told() {
    let server = HubServer::start();
    server.add_repo("o/n", Repo::new().large("m.gguf", noise(1000, 6)));
    let cache = tempfile::tempdir().unwrap();
    let record = std::sync::Arc::new(Record::default());
    let listener = std::sync::Arc::clone(&record);
    let hub = hub(settings(&server, cache.path()))
        .telling(move |event: aeolus_hub::Event<'_>| listener.event(event));
    for path in ["/revision/", "/lfs/"] {
        server.fault(Fault::new(Action::Status(503, vec![])).path(path));
    }
    let file = hub.open(&repo("o/n/m.gguf")).unwrap();
    assert_eq!(file.read_range(0..10).unwrap(), noise(1000, 6)[..10]);
    assert_eq!(record.count("Retrying"), 2, "{:?}", record.lines());
}

#[test]
fn types_and_branches_with_slashes_are_found() {
    let server = HubServer::start();
    let files = || {
        Repo::new()
            .large("m.Q4_K_M.gguf", noise(10, 7))
            .file("d/a", "1")
    };
    server.add_repo("o/n", files());
    for branch in ["feature/x", "a/b/c"] {
        server.add_revision("o/n", branch, files().file("branch", branch));
    }
    let cache = tempfile::tempdir().unwrap();
    let hub = hub(settings(&server, cache.path()));
    for (text, meant) in [
        ("o/n:q4_k_m", "hf:o/n/m.Q4_K_M.gguf"),
        ("o/n@feature/x", "hf:o/n@feature%2Fx"),
        ("o/n@feature/x:Q4_K_M", "hf:o/n@feature%2Fx/m.Q4_K_M.gguf"),
        ("o/n@a/b/c/d/a", "hf:o/n@a%2Fb%2Fc/d/a"),
        ("o/n@main/d/a", "hf:o/n@main/d/a"),
    ] {
        let (settled, _) = hub.settle(&repo(text)).unwrap();
        assert_eq!(settled.to_string(), meant, "{text}");
    }
    let error = hub.settle(&repo("o/n@none/x")).unwrap_err().to_string();
    assert!(
        error.contains("no branch, tag or commit named none, or none/x"),
        "{error}"
    );
    let error = hub.settle(&repo("o/n:Q8_0")).unwrap_err().to_string();
    assert!(error.contains("m.Q4_K_M.gguf"), "{error}");

    // Fetched, it is found offline, and the place is of what was meant.
    let all = aeolus_hub::Selection::patterns(&[], &[]).unwrap();
    let fetch = |hub: &aeolus_hub::Hub, text| {
        let target = aeolus_hub::Target::Cache;
        hub.fetch(&repo(text), &all, &target, &()).unwrap().place
    };
    let mut settings = settings(&server, cache.path());
    settings.offline = true;
    let offline = crate::support::hub(settings);
    for text in ["o/n@feature/x/branch", "o/n@feature/x:Q4_K_M"] {
        let place = fetch(&hub, text);
        assert!(place.is_file(), "{}", place.display());
        assert_eq!(fetch(&offline, text), place);
    }
}
