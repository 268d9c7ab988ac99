//! The token appears nowhere: not in errors, events, debug output, nor on another host.

use crate::support::*;
use aeolus_hub::{PublishRequest, Selection, Target};
use aeolus_testkit::hub_server::{Access, Action, Fault, HubServer, Repo, Site};

#[test]
fn no_error_event_or_debug_output_holds_the_token() {
    let server = HubServer::start();
    server.add_repo("o/gated", Repo::new().access(Access::Gated).file("a", "1"));
    server.add_repo(
        "o/n",
        Repo::new()
            .file("a", "1")
            .large("w.gguf", noise(100_000, 1)),
    );
    let dir = tempfile::tempdir().unwrap();
    let settings = signed_in(settings(&server, dir.path()));
    let hub = hub(settings.clone());
    let record = Record::default();
    let all = Selection::patterns(&[], &[]).unwrap();
    let mut texts = vec![format!("{settings:?} {hub:?}")];
    let mut fetch =
        |reference: &str| match hub.fetch(&repo(reference), &all, &Target::Cache, &record) {
            Ok(fetched) => texts.push(format!("{fetched:?}")),
            Err(error) => texts.push(format!("{error} {error:?}")),
        };
    fetch("o/gated");
    fetch("o/missing");
    // A server that repeats what it was sent.
    let echo = || {
        vec![(
            "X-Error-Message",
            format!("Bearer {TOKEN} is not good here"),
        )]
    };
    for status in [400, 401, 403, 404, 500] {
        for path in ["/revision/", "/tree/", "/resolve/"] {
            server.fault(
                Fault::new(Action::Status(status, echo()))
                    .path(path)
                    .times(4),
            );
            fetch("o/n");
            server.clear_faults();
        }
    }
    server.fault(Fault::new(Action::CutAfter(10)).site(Site::Store).times(3));
    fetch("o/n");
    let file = hub.open(&repo("o/n/w.gguf")).unwrap();
    file.read_range(0..10).unwrap();
    texts.push(format!("{file:?}"));
    server.fault(Fault::new(Action::Status(401, echo())).path("/whoami"));
    texts.push(format!("{:?}", hub.whoami()));

    let folder = dir.path().join("out");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("README.md"), "# x").unwrap();
    let plan = hub
        .plan(
            &PublishRequest::new(folder, repo("tester/new")).unwrap(),
            &record,
        )
        .unwrap();
    texts.push(format!("{plan} {plan:?}"));
    server.fault(Fault::new(Action::Status(403, echo())).path("/create"));
    texts.push(format!("{:?}", hub.publish(&plan, &record)));
    texts.extend(record.lines());
    let secret: &str = TOKEN;
    for text in &texts {
        assert!(!text.contains(secret), "{text}");
        assert!(!text.contains("signature="), "a signed link: {text}");
    }
    assert!(
        texts.iter().any(|t| t.contains("***")),
        "the server's words were shown, without the token"
    );
}

#[test]
fn a_redirect_to_another_host_does_not_take_the_token_along() {
    let server = HubServer::start();
    let other = HubServer::start();
    for hub in [&server, &other] {
        hub.add_repo(
            "o/n",
            Repo::new()
                .file("a.txt", "1")
                .large("w.gguf", noise(1000, 2)),
        );
    }
    // Every address of the Hub answers with one of another Hub, as a hostile mirror might.
    let commit = server.repo("o/n").unwrap().commit();
    let dir = tempfile::tempdir().unwrap();
    let hub = hub(signed_in(settings(&server, dir.path())));
    let to = |path: &str| {
        Action::Status(
            302,
            vec![("Location", format!("{}{path}", other.endpoint()))],
        )
    };
    server.fault(
        Fault::new(to(&format!("/api/models/o/n/tree/{commit}?recursive=true"))).path("/tree/"),
    );
    server.fault(
        Fault::new(to(&format!("/o/n/resolve/{commit}/a.txt")))
            .path("/resolve/")
            .path("a.txt")
            .times(2),
    );
    let all = Selection::patterns(&[], &[]).unwrap();
    hub.fetch(&repo("o/n"), &all, &Target::Cache, &()).unwrap();
    let seen = other.requests();
    assert!(seen.len() >= 3, "{seen:?}");
    assert!(
        seen.iter().all(|r| r.header("authorization").is_none()),
        "{seen:?}"
    );

    // Nor to the answer of what a revision is. A question about the token is not asked elsewhere at all.
    server.fault(Fault::new(to("/api/models/o/n/revision/main")).path("/revision/"));
    hub.list(&repo("o/n")).unwrap();
    server.fault(Fault::new(to("/api/whoami-v2")).path("/whoami"));
    assert!(hub.whoami().is_err());
    let seen = other.requests();
    assert!(
        seen.iter().all(|r| r.header("authorization").is_none()),
        "{seen:?}"
    );
    assert!(
        seen.iter().all(|r| !r.target.contains("whoami")),
        "{seen:?}"
    );
}
