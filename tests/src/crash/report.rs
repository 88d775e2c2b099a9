//! What happened, and what is left of it.

use std::fmt;
use std::time::Duration;

/// What happened.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// Collectors killed.
    pub collector_kills: usize,
    /// Engines killed.
    pub engine_kills: usize,
    /// Times that power was lost: both killed, and what was not synced gone.
    pub power_losses: usize,
    /// Collectors told to stop, and started again.
    pub stops: usize,
    /// Of these, those that were still not done at the deadline, and killed.
    pub overdue_stops: usize,
    /// Times that the engine stood still.
    pub freezes: usize,
    /// Long outages of the store, and how long they were in all.
    pub outages: (usize, Duration),
    /// Connections to the engine cut after it had done what it was asked.
    pub lost_answers: usize,
    /// Connections to the engine cut in the middle of a request.
    pub cut_requests: usize,
    /// Times that the journal had used up its bound.
    pub full_journals: usize,
    /// Times that the journal's disk was full, and that the store's was.
    pub full_disks: (usize, usize),
    /// Requests acknowledged.
    pub requests: usize,
    /// Spans, log records and points of them.
    pub sent: [usize; 3],
    /// Requests that were sent more than once, because no answer came or one that says "later".
    pub repeated_requests: usize,
    /// Acknowledged, and not in a table that it feeds.
    pub lost: usize,
    /// More than once for a reader, or never sent.
    pub doubled: usize,
    /// Looked for in a table while it did not merge.
    pub counted: usize,
    /// Of these, those sent once and there more than once.
    pub doubled_by_us: usize,
    /// Orders acknowledged.
    pub orders: usize,
    /// Orders whose state is not what was acknowledged.
    pub wrong_orders: usize,
    /// Orders that a full derivation changed.
    pub rederived: usize,
    /// The first findings.
    pub findings: Vec<String>,
    /// How long it took.
    pub took: Duration,
}

impl Report {
    /// Whether every acknowledged thing is there once, and every order where it must be.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        let wrong = self.lost + self.doubled + self.doubled_by_us;
        wrong + self.wrong_orders + self.rederived == 0
    }

    /// Programs killed so far.
    #[must_use]
    pub fn kills(&self) -> usize {
        self.collector_kills + self.engine_kills
    }
}

impl fmt::Display for Report {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [spans, logs, points] = self.sent;
        for (what, figure) in [
            ("collector killed", self.collector_kills),
            ("engine killed", self.engine_kills),
            ("of these by a loss of power, both at once", self.power_losses),
            ("collector stopped and started", self.stops),
            ("of these killed at the stop's deadline", self.overdue_stops),
            ("engine frozen", self.freezes),
            ("long outages of the store", self.outages.0),
            ("answer of the store lost after commit", self.lost_answers),
            ("request to the store cut", self.cut_requests),
            ("journal at its bound", self.full_journals),
            ("disk of the journal full", self.full_disks.0),
            ("disk of the store full", self.full_disks.1),
            ("requests acknowledged", self.requests),
            ("of these sent more than once", self.repeated_requests),
            ("spans acknowledged", spans),
            ("log records acknowledged", logs),
            ("points of metrics acknowledged", points),
            ("lost, in any table they feed", self.lost),
            ("doubled for readers", self.doubled),
            ("rows counted before they could fold", self.counted),
            ("of these doubled by our own repeats", self.doubled_by_us),
            ("orders acknowledged", self.orders),
            ("orders not in the state that was acknowledged", self.wrong_orders),
            ("orders that a full derivation changed", self.rederived),
        ] {
            writeln!(out, "| {what} | {figure} |")?;
        }
        writeln!(out, "| outages in all | {} s |", self.outages.1.as_secs())?;
        writeln!(out, "| took | {} s |", self.took.as_secs())?;
        self.findings.iter().try_for_each(|finding| writeln!(out, "{finding}"))
    }
}
