//! What a container may use.

/// What a container may use; nothing means unlimited.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Limits {
    /// Memory in bytes.
    pub memory: Option<u64>,
    /// Time on processors, in billionths of one processor.
    pub nano_cpus: Option<u64>,
    /// Processes and threads.
    pub pids: Option<u64>,
    /// Size of `/dev/shm` in bytes.
    pub shm_size: Option<u64>,
    /// Limits of each process.
    pub ulimits: Vec<Ulimit>,
}

/// A limit of each process: setrlimit(2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ulimit {
    /// Its name in lower case: `nofile`.
    pub name: String,
    /// The limit, or nothing if there is none.
    pub soft: Option<u64>,
    /// What the limit may be raised to, or nothing if there is none.
    pub hard: Option<u64>,
}
