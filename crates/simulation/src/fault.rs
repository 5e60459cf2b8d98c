//! Faults that are planted, one at least for each promise: what the checker does not find of them, it would not find of
//! the server either. None of them is in the server; each bends what passes between it and those around it.

/// A planted fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Fault {
    /// A disk that says that it has written, and has not: a power cut takes what was acknowledged.
    LyingDisk,
    /// A node that answers before it commits, and dies.
    AnswersEarly,
    /// A node that does not know tokens again.
    ForgetsTokens,
    /// A status is read from a copy that lags behind.
    StaleStatus,
    /// Nobody looks for processors that never call back.
    NoDeadlines,
    /// Two frames are told in the wrong order.
    SwapsFrames,
    /// A frame is not told.
    DropsFrames,
    /// A frame is told twice.
    RepeatsFrames,
    /// A frame is told to somebody whom it is not for.
    TellsOutsiders,
    /// What a channel says is read to somebody who does not belong.
    ReadsToOutsiders,
    /// Somebody who does not belong may send.
    HearsOutsiders,
    /// Whoever resumes is shown nothing of what it missed.
    ForgetsMissed,
    /// A record counts as handed over that never was.
    LosesRecords,
    /// Records leave in the wrong order.
    SwapsRecords,
}
