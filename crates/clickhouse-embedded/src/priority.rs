//! Merges step back: whoever waits for an answer goes first.
//!
//! The engine's own setting for this asks for a capability of the process, although anyone may
//! lower the priority of his own threads. A priority that was lowered cannot be raised again
//! without one, so only threads that do nothing but merge are lowered, and stay so.

use std::collections::HashSet;
use std::fs;
use std::time::Duration;

use daemon::Stop;
use rustix::process::{Pid, setpriority_process};

/// What the engine calls the threads that merge and mutate.
const MERGING: &str = "MergeMutate";
/// How often new ones are looked for: the engine starts them once, soon after it opened.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How the kernel shows the threads of a process: a folder each.
const THREADS: &str = "/proc/self/task";

/// Lowers the threads that merge by `nice`, until the stop. 0: none is touched.
pub(crate) async fn lower_merges(nice: u8, stop: Stop) {
    if nice == 0 {
        return;
    }
    let mut lowered = HashSet::new();
    loop {
        for thread in merging_threads().difference(&lowered).copied().collect::<Vec<_>>() {
            match setpriority_process(Pid::from_raw(thread), i32::from(nice)) {
                Ok(()) => tracing::debug!(thread, nice, "merges step back"),
                // It costs answers some time, and nothing else.
                Err(error) => tracing::warn!(thread, nice, %error, "merges do not step back"),
            }
            lowered.insert(thread);
        }
        if !stop.sleep(LOOK_EVERY).await {
            return;
        }
    }
}

/// The threads of this process that merge; none where the kernel does not show them.
fn merging_threads() -> HashSet<i32> {
    let threads = fs::read_dir(THREADS).into_iter().flatten().flatten();
    let merging = threads.filter_map(|thread| {
        let name = fs::read_to_string(thread.path().join("comm")).ok()?;
        let id = thread.file_name().to_str()?.parse().ok()?;
        (name.trim_end() == MERGING).then_some(id)
    });
    merging.collect()
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use rustix::process::getpriority_process;

    use super::*;

    #[tokio::test]
    async fn threads_that_merge_are_lowered_and_no_others() {
        let (send, tids) = channel();
        let mut ends = Vec::new();
        for name in [MERGING, "QueryPullPipeEx"] {
            let (end, ended) = channel::<()>();
            let send = send.clone();
            let run = move || {
                send.send(rustix::thread::gettid()).unwrap();
                // Until the test lets go of it.
                let _ = ended.recv();
            };
            std::thread::Builder::new().name(name.to_owned()).spawn(run).unwrap();
            ends.push((tids.recv().unwrap(), end));
        }
        let stop = Stop::new();
        stop.stop();
        lower_merges(7, stop).await;
        let nice: Vec<i32> =
            ends.iter().map(|(tid, _)| getpriority_process(Some(*tid)).unwrap()).collect();
        let own = getpriority_process(None).unwrap();
        assert_eq!(nice, [7, own]);
    }
}
