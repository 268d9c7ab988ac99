//! Publishing: what is planned is what arrives.

use crate::support::*;
use aeolus_hub::{Error, How, Hub, Plan, PublishRequest, Published};
use aeolus_testkit::hub_server::{Action, Fault, HubServer, Repo, Site, Transfer};
use serde_json::{Value, json};
use std::fs;
use std::path::PathBuf;

struct Scene {
    server: HubServer,
    hub: Hub,
    folder: PathBuf,
    _dir: tempfile::TempDir,
}

const GGUF_BYTES: usize = 300_000;

impl Scene {
    fn new() -> Self {
        let server = HubServer::start();
        server.set_token(TOKEN);
        let dir = tempfile::tempdir().unwrap();
        let hub = hub(signed_in(settings(&server, &dir.path().join("cache"))));
        let folder = dir.path().join("out");
        fs::create_dir_all(folder.join("imatrix")).unwrap();
        fs::write(folder.join("m.Q4_K_M.gguf"), noise(GGUF_BYTES, 1)).unwrap();
        fs::write(folder.join("m.Q8_0.gguf"), noise(GGUF_BYTES + 1, 2)).unwrap();
        fs::write(folder.join("README.md"), "# m\n").unwrap();
        fs::write(folder.join("imatrix/m.txt"), "text").unwrap();
        fs::write(folder.join("m.Q2_K.gguf.partial"), "unfinished").unwrap();
        Self {
            server,
            hub,
            folder,
            _dir: dir,
        }
    }

    fn request(&self, id: &str) -> PublishRequest {
        let mut request = PublishRequest::new(self.folder.clone(), repo(id)).unwrap();
        request.summary = "Upload m".to_owned();
        request.private = true;
        request
    }

    fn plan(&self, id: &str) -> Plan {
        self.hub.plan(&self.request(id), &()).unwrap()
    }

    fn publish(&self, id: &str) -> Result<Published, Error> {
        self.hub.publish(&self.plan(id), &())
    }

    fn assert_arrived(&self, id: &str) {
        let there = self.server.repo(id).unwrap();
        for path in ["m.Q4_K_M.gguf", "m.Q8_0.gguf", "README.md", "imatrix/m.txt"] {
            assert!(
                there.holds(path, &fs::read(self.folder.join(path)).unwrap()),
                "{path}"
            );
        }
        assert!(!there.files().contains_key("m.Q2_K.gguf.partial"));
    }

    fn uploaded(&self) -> u64 {
        self.server
            .requests()
            .iter()
            .filter(|r| r.method == "PUT")
            .count() as u64
    }
}

/// The lines of a commit, as the plan promises them.
fn promised(plan: &Plan) -> Vec<Value> {
    let mut lines =
        vec![json!({ "key": "header", "value": { "summary": plan.summary, "description": "" } })];
    for file in &plan.files {
        lines.push(match file.how {
            How::Store => json!({ "key": "lfsFile", "value":
                { "path": file.path, "algo": "sha256", "oid": file.sha256, "size": file.bytes } }),
            How::Inline => {
                use base64::Engine;
                let content = base64::engine::general_purpose::STANDARD.encode(fs::read(&file.local).unwrap());
                json!({ "key": "file", "value": { "content": content, "path": file.path, "encoding": "base64" } })
            }
            _ => continue,
        });
    }
    lines
}

#[test]
fn the_hub_receives_what_the_dry_run_printed() {
    for transfer in [Transfer::Basic, Transfer::Multipart(100_000)] {
        let scene = Scene::new();
        scene.server.set_transfer(transfer);
        let plan = scene.plan("tester/m-GGUF");
        let dry = plan.to_string();
        assert!(
            scene.server.repo("tester/m-GGUF").is_none(),
            "a dry run changes nothing"
        );
        assert!(scene.server.requests().iter().all(|r| r.method == "GET"));
        assert!(plan.create);

        let done = scene.hub.publish(&plan, &()).unwrap();
        assert_eq!(done.plan.to_string(), dry, "{transfer:?}");
        assert!(done.changed);
        assert_eq!(done.uploaded_bytes, 2 * GGUF_BYTES as u64 + 1);
        scene.assert_arrived("tester/m-GGUF");
        let commits = scene.server.commits();
        assert_eq!(commits.len(), 1);
        let lines: Vec<Value> = commits[0]
            .1
            .split(|b| *b == b'\n')
            .filter(|l| !l.is_empty())
            .map(|l| serde_json::from_slice(l).unwrap())
            .collect();
        assert_eq!(lines, promised(&plan));
        assert_eq!(
            done.commit,
            scene.server.repo("tester/m-GGUF").unwrap().commit()
        );
        assert!(done.url.ends_with(&done.commit), "{}", done.url);
        for file in plan.files {
            assert!(
                dry.contains(&format!("sha256:{}  {}", file.sha256, file.path)),
                "{dry}"
            );
        }
        if let Transfer::Multipart(part) = transfer {
            assert!(
                scene
                    .server
                    .stored()
                    .values()
                    .all(|s| s.requests as u64 == s.bytes.div_ceil(part))
            );
        }
        // The store takes links, not tokens.
        assert!(
            scene
                .server
                .requests()
                .iter()
                .filter(|r| r.site == Site::Store)
                .all(|r| r.header("authorization").is_none())
        );
    }
}

#[test]
fn a_second_time_sends_nothing_and_a_change_sends_the_change() {
    let scene = Scene::new();
    scene.publish("test-org/m").unwrap();
    let puts = scene.uploaded();
    let again = scene.publish("test-org/m").unwrap();
    assert!(!again.changed && again.plan.is_unchanged());
    assert_eq!(
        again.commit,
        scene.server.repo("test-org/m").unwrap().commit()
    );
    assert_eq!((scene.uploaded(), scene.server.commits().len()), (puts, 1));

    fs::write(scene.folder.join("README.md"), "# m, better\n").unwrap();
    let third = scene.publish("test-org/m").unwrap();
    assert!(third.changed && !third.plan.create);
    let sent: Vec<_> = third
        .plan
        .files
        .iter()
        .filter(|f| f.how != How::Unchanged)
        .map(|f| &f.path)
        .collect();
    assert_eq!(sent, ["README.md"]);
    assert_eq!(scene.uploaded(), puts);
    scene.assert_arrived("test-org/m");
}

#[test]
fn an_interrupted_publication_goes_on_with_what_is_missing() {
    let scene = Scene::new();
    // The first large file goes up, then the store refuses for good.
    scene
        .server
        .fault(Fault::new(Action::Header("X-Fine", "1".to_owned())).method("PUT"));
    scene.server.fault(
        Fault::new(Action::Status(500, vec![]))
            .method("PUT")
            .times(99),
    );
    let error = scene.publish("tester/m").unwrap_err();
    assert!(
        matches!(&error, Error::Server { status: 500, .. }),
        "{error}"
    );
    assert_eq!(scene.server.stored().len(), 1);
    assert!(scene.server.commits().is_empty());
    scene.server.clear_faults();
    let done = scene.publish("tester/m").unwrap();
    assert!(
        done.uploaded_bytes < 2 * GGUF_BYTES as u64,
        "{}",
        done.uploaded_bytes
    );
    scene.assert_arrived("tester/m");
}

#[test]
fn faults_on_the_way_up_are_overcome() {
    for transfer in [Transfer::Basic, Transfer::Multipart(50_000)] {
        let scene = Scene::new();
        scene.server.set_transfer(transfer);
        let once = |action| Fault::new(action);
        for (method, path) in [
            ("POST", "/preupload/"),
            ("POST", "/batch"),
            ("POST", "/create"),
            ("POST", "/commit/"),
        ] {
            scene
                .server
                .fault(once(Action::Status(503, vec![])).method(method).path(path));
        }
        scene
            .server
            .fault(once(Action::Status(503, vec![])).method("PUT"));
        scene.server.fault(once(Action::DropAnswer).method("PUT"));
        // A link that has expired: new ones are asked for.
        scene
            .server
            .fault(once(Action::Status(403, vec![])).method("PUT"));
        scene
            .server
            .fault(once(Action::Status(503, vec![])).path("/verify"));
        scene
            .server
            .fault(once(Action::Status(503, vec![])).path("/complete/"));
        scene.publish("tester/m").unwrap();
        scene.assert_arrived("tester/m");
        assert_eq!(scene.server.commits().len(), 1);
    }
}

#[test]
fn a_commit_whose_answer_is_lost_is_not_made_twice() {
    for loss in [Action::DropAnswer, Action::GiveUp(504)] {
        let scene = Scene::new();
        scene.server.fault(Fault::new(loss).path("/commit/"));
        let done = scene.publish("tester/m").unwrap();
        assert_eq!(scene.server.commits().len(), 1);
        assert_eq!(done.commit, scene.server.repo("tester/m").unwrap().commit());
        scene.assert_arrived("tester/m");
    }
}

#[test]
fn what_cannot_be_published_is_refused_before_it_is_tried() {
    let scene = Scene::new();
    // No token.
    let mut settings = scene.hub.settings().clone();
    settings.token = None;
    let error = crate::support::hub(settings)
        .publish(&scene.plan("tester/m"), &())
        .unwrap_err();
    assert!(matches!(&error, Error::NoToken { .. }), "{error}");
    // Not ours.
    let error = scene.publish("somebody/m").unwrap_err();
    assert!(matches!(&error, Error::Forbidden { .. }), "{error}");
    assert!(error.to_string().contains("rights"), "{error}");
    // Xet only.
    scene.server.set_transfer(Transfer::Xet);
    let error = scene.publish("tester/m").unwrap_err();
    assert!(matches!(&error, Error::XetOnly { .. }), "{error}");
    assert!(error.to_string().contains("hf upload tester/m"), "{error}");
    assert!(scene.server.commits().is_empty());
    // Nothing there, and a folder that does not exist.
    let empty = tempfile::tempdir().unwrap();
    let request = PublishRequest::new(empty.path().to_path_buf(), repo("tester/m")).unwrap();
    assert!(matches!(
        scene.hub.plan(&request, &()),
        Err(Error::NothingToPublish { .. })
    ));
    let request = PublishRequest::new(empty.path().join("none"), repo("tester/m")).unwrap();
    assert!(matches!(
        scene.hub.plan(&request, &()),
        Err(Error::Io { .. })
    ));
    assert!(PublishRequest::new(empty.path().to_path_buf(), repo("tester/m/x.gguf")).is_err());
}

#[test]
fn a_large_file_is_never_inlined() {
    let scene = Scene::new();
    fs::File::create(scene.folder.join("large.txt"))
        .unwrap()
        .set_len(11 << 20)
        .unwrap();
    scene.server.add_repo("tester/m", Repo::new());
    // The Hub asks for everything inside the commit.
    let plan = scene.plan("tester/m");
    assert!(
        plan.files
            .iter()
            .any(|f| f.path == "large.txt" && f.how == How::Store)
    );
    scene.server.set_inline_all(true);
    let error = scene.hub.plan(&scene.request("tester/m"), &()).unwrap_err();
    assert!(
        matches!(
            &error,
            Error::TooLargeInline {
                bytes: 11_534_336,
                ..
            }
        ),
        "{error}"
    );
    let error = scene.hub.publish(&plan, &()).unwrap_err();
    assert!(matches!(&error, Error::TooLargeInline { .. }), "{error}");
    assert!(scene.server.commits().is_empty() && scene.server.stored().is_empty());
}

#[test]
fn a_file_that_changes_after_the_plan_is_not_sent_as_the_planned_one() {
    let scene = Scene::new();
    let plan = scene.plan("tester/m");
    fs::write(scene.folder.join("README.md"), "# other\n").unwrap();
    let error = scene.hub.publish(&plan, &()).unwrap_err();
    assert!(matches!(&error, Error::LocalChanged { .. }), "{error}");
    assert!(scene.server.commits().is_empty() && scene.server.stored().is_empty());
    let plan = scene.plan("tester/m");
    fs::write(scene.folder.join("m.Q8_0.gguf"), "short").unwrap();
    let error = scene.hub.publish(&plan, &()).unwrap_err();
    assert!(matches!(&error, Error::LocalChanged { .. }), "{error}");
}
