//! Where whoever answers over HTTP asks for what is to be shown: the control loop's view of the
//! moment, and metrics printed from it.

use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use crate::columns::View;
use crate::exposition;
use crate::http::stats_admin::{Form, Outcome};
use crate::recorder::Recorder;
use crate::vitals::{Verdict, Vitals};

/// Requests for a view that may wait for the control loop; more wait to ask.
pub(crate) const MOST_QUESTIONS: usize = 64;
/// How long an answer may take before its visitor is sent away: the control loop never takes long.
const PATIENCE: Duration = Duration::from_secs(10);

/// What is asked of the control loop, with the place for the answer.
pub(crate) enum Question {
    /// A view of the moment.
    View(oneshot::Sender<View>),
    /// Whether this process serves.
    Vitals(oneshot::Sender<Vitals>),
    /// To do what a form asks for.
    Change(Form, oneshot::Sender<Outcome>),
}

/// Knows what to show; clones share it.
#[derive(Clone)]
pub(crate) struct Desk {
    pub(crate) recorder: Recorder,
    pub(crate) questions: mpsc::Sender<Question>,
}

impl Desk {
    /// The control loop's view of the moment; `None` when it has ended.
    pub(crate) async fn view(&self) -> Option<View> {
        let asked = async {
            let (question, answer) = oneshot::channel();
            self.questions.send(Question::View(question)).await.ok()?;
            answer.await.ok()
        };
        tokio::time::timeout(PATIENCE, asked).await.ok().flatten()
    }

    /// Whether this process serves; `None` when the control loop has ended.
    pub(crate) async fn verdict(&self) -> Option<Verdict> {
        let asked = async {
            let (question, answer) = oneshot::channel();
            self.questions.send(Question::Vitals(question)).await.ok()?;
            Some(answer.await.ok()?.verdict().await)
        };
        tokio::time::timeout(PATIENCE, asked).await.ok().flatten()
    }

    /// Has what `form` asks for done; `None` when the control loop has ended.
    pub(crate) async fn change(&self, form: Form) -> Option<Outcome> {
        let asked = async {
            let (question, answer) = oneshot::channel();
            let question = Question::Change(form, question);
            self.questions.send(question).await.ok()?;
            answer.await.ok()
        };
        tokio::time::timeout(PATIENCE, asked).await.ok().flatten()
    }

    /// Every metric, in the text format; `None` when the process ends.
    pub(crate) async fn metrics(&self, view: View) -> Option<String> {
        let recorder = self.recorder.clone();
        print(move || {
            let mut printed = exposition::print(&view);
            printed.push_str(&recorder.print(&view.proxy));
            printed
        })
        .await
    }
}

/// Prints beside the thread that asks: thousands of servers make megabytes of text, and that
/// thread runs the checks or carries connections. `None` when the process ends.
pub(crate) async fn print<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    tokio::task::spawn_blocking(work).await.ok()
}
