//! Whoever reads the standard error may leave, or stop reading: clients, commands and signals do
//! not notice.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::{Child, ChildStderr, Stdio};

use rustix::process::{Pid, kill_process};

use crate::support::balancer::temporary_directory;
use crate::support::cli::ask;
use crate::support::lab::visit;
use crate::support::{Lab, Peer, Program, Signal, loopback, until};

/// A balancer whose standard error is a pipe that the test holds the other end of.
struct Piped {
    child: Child,
    stderr: Option<ChildStderr>,
    directory: PathBuf,
    socket: PathBuf,
    front: SocketAddr,
    /// Takes one client.
    small: SocketAddr,
}

impl Piped {
    fn start(lab: &Lab) -> Self {
        let echo = lab.origin("a");
        let (front, small) = (lab.address(), lab.address());
        let directory = temporary_directory();
        let (socket, file) = (directory.join("cli"), directory.join("lb.cfg"));
        let text = format!(
            "global\n    nbthread 1\n    stats socket {} level admin\n{}\n\
             listen small\n    bind {small}\n    maxconn 1\n    server s {}\n\
             listen api\n    bind {front}\n    server s {} backup\n    server spare {}\n",
            socket.display(),
            lab.defaults().replace("    log global\n", ""),
            echo.address(),
            echo.address(),
            echo.address(),
        );
        fs::write(&file, text).unwrap();
        // The origin lives as long as the process that runs the test.
        std::mem::forget(echo);
        let mut command = lab.program().command();
        command
            .arg("-f")
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let stderr = child.stderr.take();
        until("it listens", || {
            let listens = [front, small].iter().all(|&at| loopback::is_listening(at));
            (listens && socket.exists()).then_some(())
        });
        Self {
            child,
            stderr,
            directory,
            socket,
            front,
            small,
        }
    }

    /// Has it say something on the control thread and on the one that accepts, and serves on.
    fn assert_undisturbed(&mut self) {
        assert_eq!(visit(self.front), "a");
        assert_eq!(ask(&self.socket, "disable server api/spare"), "\n");
        assert_eq!(visit(self.front), "a");
        let mut first = Peer::connect(self.small);
        assert_eq!(first.receive_line(), "a");
        let mut second = Peer::connect(self.small);
        until("a client waits at the limit", || {
            let metrics = ask(&self.socket, "show stat small 1 -1");
            metrics.contains("small,FRONTEND,,,1,1,1,").then_some(())
        });
        drop(first);
        assert_eq!(second.receive_line(), "a");
        drop(second);
        assert_eq!(visit(self.small), "a");
        assert_eq!(self.child.try_wait().unwrap(), None);
    }

    fn assert_ends_at_once(&mut self) {
        kill_process(Pid::from_child(&self.child), Signal::TERM).unwrap();
        let status = until("it ends", || self.child.try_wait().unwrap());
        assert_eq!(status.signal(), Some(15), "{status:?}");
    }
}

impl Drop for Piped {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.directory);
    }
}

#[test]
fn a_closed_standard_error_is_no_reason_to_end_or_to_turn_deaf() {
    let mut lb = Piped::start(&Lab::of(Program::Evenkeel));
    drop(lb.stderr.take());
    for _ in 0..3 {
        lb.assert_undisturbed();
        assert_eq!(ask(&lb.socket, "enable server api/spare"), "\n");
    }
    lb.assert_ends_at_once();
}

#[test]
fn a_standard_error_that_nobody_reads_holds_up_nobody() {
    let mut lb = Piped::start(&Lab::of(Program::Evenkeel));
    rustix::pipe::fcntl_setpipe_size(lb.stderr.as_ref().unwrap(), 4096).unwrap();
    // A line or two each: more than the pipe holds.
    for _ in 0..100 {
        assert_eq!(ask(&lb.socket, "disable server api/spare"), "\n");
        assert_eq!(ask(&lb.socket, "enable server api/spare"), "\n");
    }
    lb.assert_undisturbed();
    lb.assert_ends_at_once();
}

/// The service manager reads both: twice would be once too often.
#[test]
fn a_servers_change_is_told_once_where_a_log_leads_to_the_same_place() {
    let lab = Lab::of(Program::Evenkeel);
    let dead = lab.dead_origin("dead");
    let text = format!(
        "global\n    log stdout format raw local0\n{}\nlisten api\n    bind {}\n    \
         server dead {} check inter 100ms\n",
        lab.defaults(),
        lab.address(),
        dead.address()
    );
    let mut lb = lab.start(&text);
    lb.says("Server api/dead is DOWN");
    lb.signal(Signal::USR1);
    assert_eq!(lb.exit().code(), Some(0));
    lb.says("the last connection has ended");
    let lines = lb.output();
    let told = lines
        .iter()
        .filter(|line| line.contains("Server api/dead is DOWN"));
    assert_eq!(told.count(), 1, "{lines:?}");
}
