//! Plans run on this machine: their scripts write only below a folder of the test's own.

use std::path::{Path, PathBuf};

use super::*;
use crate::plan::{Action, Text};

struct Scene {
    folder: PathBuf,
    log: Log,
    machines: BTreeMap<String, Machine>,
    held: std::cell::Cell<bool>,
}

impl Scene {
    fn new(name: &str) -> Self {
        let folder =
            std::env::temp_dir().join(format!("evenkeel-run-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("made");
        let log = Log::create(&folder, "run.log").expect("made");
        let machines = ["a", "b"]
            .map(|name| (name.to_owned(), Machine::here(name)))
            .into();
        Self {
            folder,
            log,
            machines,
            held: std::cell::Cell::new(true),
        }
    }

    fn path(&self, name: &str) -> String {
        self.folder.join(name).display().to_string()
    }

    fn text(&self, name: &str) -> String {
        std::fs::read_to_string(self.folder.join(name)).unwrap_or_default()
    }

    async fn run(&self, plan: &Plan) -> Result<Summary, Failed> {
        self.run_until(plan, &|| false).await
    }

    async fn run_until(&self, plan: &Plan, stop: &dyn Fn() -> bool) -> Result<Summary, Failed> {
        let run = Run {
            machines: &self.machines,
            log: &self.log,
            progress: &Progress::new(plan.steps().count()),
            hash_ca: &|_| Ok("sha256:0".to_owned()),
            stop,
            held: &|| self.held.get(),
            ca_host: "a",
            uploads: Semaphore::new(UPLOADS_AT_ONCE),
            known: Mutex::default(),
        };
        run.all(plan).await
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn script(text: &str) -> Action {
    Action::Run {
        script: Text::with_gaps(text),
        limit: Duration::from_secs(20),
    }
}

fn step(host: &str, id: &str, brings: Vec<Fact>, actions: Vec<Action>) -> Step {
    Step {
        id: format!("{host}/{id}"),
        host: host.to_owned(),
        title: id.to_owned(),
        brings,
        actions,
        advice: "look there".to_owned(),
    }
}

fn stage(order: Order, steps: Vec<Step>) -> Plan {
    Plan {
        stages: vec![Stage {
            title: "all".to_owned(),
            order,
            steps,
        }],
        notes: Vec::new(),
    }
}

fn line(path: &str) -> Vec<Fact> {
    vec![Fact::Stamp {
        path: path.to_owned(),
        line: "done".to_owned(),
    }]
}

#[tokio::test]
async fn more_hosts_than_places_are_all_served() {
    let mut scene = Scene::new("many");
    let names: Vec<_> = (0..23).map(|number| format!("host{number}")).collect();
    scene.machines = names
        .iter()
        .map(|name| (name.clone(), Machine::here(name)))
        .collect();
    let steps = names.iter().map(|name| {
        let file = scene.path(name);
        let acts = vec![script(&format!("echo done >{file}"))];
        step(name, "write", line(&file), acts)
    });
    let plan = stage(Order::AtOnce(4), steps.collect());
    let summary = scene.run(&plan).await.expect("runs");
    assert_eq!(
        summary,
        Summary {
            done: 23,
            already: 0
        }
    );
    for name in &names {
        assert_eq!(scene.text(name), "done\n", "{name}");
    }
}

#[tokio::test]
async fn a_file_that_somebody_changed_since_the_plan_was_made_is_left_alone() {
    let scene = Scene::new("changed");
    let path = scene.path("hosts");
    std::fs::write(&path, "theirs\n").expect("written");
    let write = |before: &str| Action::Write {
        path: path.clone(),
        content: "ours\n".into(),
        mode: 0o644,
        before: Some(before.to_owned()),
        temporary: false,
    };
    let plan = |before| {
        stage(
            Order::InTurn,
            vec![step("a", "write", Vec::new(), vec![write(before)])],
        )
    };
    let failed = scene
        .run(&plan("what was there\n"))
        .await
        .expect_err("it is another");
    assert!(
        failed.to_string().contains("somebody changed it since"),
        "{failed}"
    );
    assert_eq!(scene.text("hosts"), "theirs\n");
    scene.run(&plan("theirs\n")).await.expect("it is the same");
    assert_eq!(scene.text("hosts"), "ours\n");
}

#[tokio::test]
async fn no_step_begins_once_the_lock_is_lost() {
    let scene = Scene::new("lost");
    let file = scene.path("file");
    let acts = vec![script(&format!("echo done >>{file}"))];
    let plan = stage(Order::InTurn, vec![step("a", "write", line(&file), acts)]);
    scene.held.set(false);
    let failed = scene.run(&plan).await.expect_err("the lock is lost");
    assert!(matches!(failed.reason, Reason::LockLost), "{failed}");
    assert_eq!(scene.text("file"), "");
}

#[tokio::test]
async fn a_step_that_is_done_is_passed_over_the_second_time() {
    let scene = Scene::new("twice");
    let file = scene.path("file");
    let acts = vec![script(&format!("echo done >>{file}"))];
    let plan = stage(Order::InTurn, vec![step("a", "write", line(&file), acts)]);
    assert_eq!(
        scene.run(&plan).await.expect("runs"),
        Summary {
            done: 1,
            already: 0
        }
    );
    assert_eq!(
        scene.run(&plan).await.expect("runs"),
        Summary {
            done: 0,
            already: 1
        }
    );
    assert_eq!(scene.text("file"), "done\n");
}

#[tokio::test]
async fn the_first_failure_ends_the_run_with_its_command_output_and_advice() {
    let scene = Scene::new("fails");
    let after = scene.path("after");
    let plan = stage(
        Order::InTurn,
        vec![
            step(
                "a",
                "break",
                Vec::new(),
                vec![script("echo went wrong >&2; exit 7")],
            ),
            step(
                "a",
                "later",
                Vec::new(),
                vec![script(&format!("touch {after}"))],
            ),
        ],
    );
    let failed = scene.run(&plan).await.expect_err("fails").to_string();
    assert!(
        failed.starts_with("a: could not break: this ended with status 7:\necho went wrong"),
        "{failed}"
    );
    assert!(
        failed.contains("it said:\nwent wrong\nwhat to do: look there"),
        "{failed}"
    );
    assert!(!Path::new(&after).exists());
    assert!(scene.text("run.log").contains("failed a/break"));
}

#[tokio::test]
async fn a_step_that_brings_nothing_of_what_it_promised_has_failed() {
    let scene = Scene::new("empty");
    let plan = stage(
        Order::InTurn,
        vec![step(
            "a",
            "promise",
            line(&scene.path("none")),
            vec![script("true")],
        )],
    );
    let failed = scene.run(&plan).await.expect_err("fails");
    assert!(
        matches!(failed.reason, Reason::NotSo { ref missing } if missing.len() == 1),
        "{failed}"
    );
}

#[tokio::test]
async fn hosts_go_beside_each_other_and_a_failure_starts_nothing_new() {
    let scene = Scene::new("beside");
    let (a, b) = (scene.path("a"), scene.path("b"));
    // Each waits for the other: in turn, neither would end. (Both are this machine, on which two scripts that
    // change it would wait for each other; one that is waited for changes nothing.)
    let meet = |mine: &str, other: &str| Action::Await {
        what: "the other".to_owned(),
        script: format!("touch {mine}; [ -e {other} ]").into(),
        times: 1,
        every: Duration::from_millis(10),
        limit: Duration::from_secs(20),
    };
    let steps = |last: &str| {
        vec![
            step("a", "meet", Vec::new(), vec![meet(&a, &b)]),
            step("b", "meet", Vec::new(), vec![meet(&b, &a)]),
            step("a", "break", Vec::new(), vec![script("exit 1")]),
            step(
                "a",
                "last",
                Vec::new(),
                vec![script(&format!("touch {last}"))],
            ),
        ]
    };
    let last = scene.path("last");
    let failed = scene
        .run(&stage(Order::AtOnce(2), steps(&last)))
        .await
        .expect_err("fails");
    assert_eq!(failed.step, "a/break");
    assert!(!Path::new(&last).exists());
}

#[tokio::test]
async fn what_is_temporary_goes_even_if_the_step_fails_and_secrets_stay_out_of_the_log() {
    let scene = Scene::new("secret");
    let (file, seen) = (scene.path("join.yaml"), scene.path("seen"));
    let write = Action::Write {
        path: file.clone(),
        content: Text::with_gaps("token <token> key <certificate-key>\n"),
        mode: 0o600,
        before: None,
        temporary: true,
    };
    let fail = script(&format!("cp {file} {seen}; cat {file}; exit 1"));
    let announced = scene.path("announced");
    let credentials = Action::Credentials {
        actions: vec![script(&format!("echo known >>{announced}"))],
    };
    let plan = stage(
        Order::InTurn,
        vec![
            step(
                "a",
                "announce",
                Vec::new(),
                vec![credentials.clone(), credentials],
            ),
            step("a", "join", Vec::new(), vec![write, fail]),
        ],
    );
    let failed = scene.run(&plan).await.expect_err("fails").to_string();
    let seen = scene.text("seen");
    let token = seen.split(' ').nth(1).expect("a token").to_owned();
    assert_eq!(token.len(), 23, "{seen}");
    assert_eq!(scene.text("announced"), "known\n", "once is enough");
    assert!(!Path::new(&file).exists());
    let log = scene.text("run.log");
    assert!(
        log.contains("token ****** key ******") && !log.contains(&token),
        "{log}"
    );
    assert!(
        !failed.contains(&token) && failed.contains("token ******"),
        "{failed}"
    );
}

#[tokio::test]
async fn a_condition_has_to_come_as_often_in_a_row_as_asked() {
    let scene = Scene::new("wait");
    let count = scene.path("count");
    // The third look fails, so that the sixth is the third good one in a row.
    let look = format!("echo x >>{count}; n=$(wc -l <{count}); [ $n -ne 3 ]");
    let wait = |times, limit| Action::Await {
        what: "three good looks".to_owned(),
        script: look.clone().into(),
        times,
        every: Duration::from_millis(5),
        limit,
    };
    let plan = stage(
        Order::InTurn,
        vec![step(
            "a",
            "wait",
            Vec::new(),
            vec![wait(3, Duration::from_secs(20))],
        )],
    );
    scene.run(&plan).await.expect("comes");
    assert_eq!(scene.text("count").lines().count(), 6);
    let never = Action::Await {
        what: "the end of time".to_owned(),
        script: "echo not yet; false".into(),
        times: 1,
        every: Duration::from_millis(5),
        limit: Duration::from_millis(50),
    };
    let failed = scene
        .run(&stage(
            Order::InTurn,
            vec![step("a", "wait", Vec::new(), vec![never])],
        ))
        .await;
    let failed = failed.expect_err("late").to_string();
    assert!(
        failed.contains("the end of time did not come") && failed.contains("not yet"),
        "{failed}"
    );
}

#[tokio::test]
async fn an_operator_who_stops_leaves_the_rest_for_the_next_run() {
    let scene = Scene::new("stop");
    let file = scene.path("file");
    let plan = stage(
        Order::InTurn,
        vec![step("a", "write", line(&file), vec![script("true")])],
    );
    let failed = scene.run_until(&plan, &|| true).await.expect_err("stopped");
    assert!(matches!(failed.reason, Reason::Stopped));
}
