//! Which loads are run, in this order in every round.

/// One row of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Load {
    pub(crate) kind: Kind,
    /// The size of a record in bytes, about.
    pub(crate) bytes: usize,
    /// How many processes run at the same time.
    pub(crate) processes: usize,
    /// The callers of each process; the batch size of the raw loads.
    pub(crate) callers: usize,
}

/// What runs, in the order of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Single,
    HeadLock,
    PostgresEs,
    Eventually,
    Disintegrate,
    Raw,
    Ours,
    OursEarly,
    RawSqlite,
    OursSqlite,
}

/// A record of a case.
pub(crate) const RECORD: usize = 1200;
/// The smallest record there is.
pub(crate) const SMALL: usize = 600;

pub(crate) fn all() -> Vec<Load> {
    let records = [
        (Kind::Single, [1, 16, 64].as_slice()),
        (Kind::HeadLock, &[16, 64]),
        (Kind::PostgresEs, &[16, 64]),
        (Kind::Eventually, &[16, 64]),
        (Kind::Disintegrate, &[16, 64]),
        (Kind::Raw, &[64, 256, 1024]),
        (Kind::Ours, &[1, 16, 64, 256, 1024]),
        (Kind::OursEarly, &[1, 64, 256, 1024]),
        (Kind::RawSqlite, &[1, 256]),
        (Kind::OursSqlite, &[1, 64, 256]),
    ];
    let records = records.into_iter().flat_map(|(kind, callers)| callers.iter().map(move |n| Load::new(kind, *n)));
    let small = [(Kind::Raw, 256), (Kind::Ours, 64), (Kind::Ours, 256)];
    let small = small.into_iter().map(|(kind, callers)| Load { bytes: SMALL, ..Load::new(kind, callers) });
    let several = [64, 256].into_iter().map(|callers| Load { processes: 4, ..Load::new(Kind::Ours, callers) });
    records.chain(small).chain(several).collect()
}

impl Load {
    /// One process, records of a case.
    pub(crate) fn new(kind: Kind, callers: usize) -> Self {
        Self { kind, bytes: RECORD, processes: 1, callers }
    }

    pub(crate) fn title(&self) -> String {
        let processes = if self.processes == 1 { String::new() } else { format!(", {} processes", self.processes) };
        let bytes = if self.bytes == RECORD { String::new() } else { format!(", {} bytes", self.bytes) };
        format!("{}{processes}{bytes}", self.kind.title())
    }
}

impl Kind {
    /// The program, which is beside the driver's own, and the first argument it needs.
    pub(crate) fn program(self) -> (&'static str, Option<&'static str>) {
        match self {
            Self::Single => ("load", Some("single")),
            Self::HeadLock => ("load", Some("head-lock")),
            Self::PostgresEs => ("peer-postgres-es", None),
            Self::Eventually => ("peer-eventually-postgres", None),
            Self::Disintegrate => ("peer-disintegrate-postgres", None),
            Self::Raw => ("load", Some("raw")),
            Self::Ours => ("load", Some("ours")),
            Self::OursEarly => ("load", Some("ours-early")),
            Self::RawSqlite => ("load", Some("raw-sqlite")),
            Self::OursSqlite => ("load", Some("ours-sqlite")),
        }
    }

    /// Whether it says `ready` and waits to be told to begin.
    pub(crate) fn waits(self) -> bool {
        matches!(self, Self::Ours | Self::OursEarly | Self::OursSqlite)
    }

    /// Whether it works on a file and not on the server.
    pub(crate) fn is_file(self) -> bool {
        matches!(self, Self::RawSqlite | Self::OursSqlite)
    }

    fn title(self) -> &'static str {
        match self {
            Self::Single => "single: one row per commit",
            Self::HeadLock => "head lock: a hash chain by hand",
            Self::PostgresEs => "`postgres-es` 0.5",
            Self::Eventually => "`eventually-postgres` 0.2",
            Self::Disintegrate => "`disintegrate-postgres` 4.0.1",
            Self::Raw => "raw: our rows in batches, one connection",
            Self::Ours => "**`Log::append`**",
            Self::OursEarly => "**`Log::append`**, early lock release",
            Self::RawSqlite => "SQLite raw: our rows in batches",
            Self::OursSqlite => "**`Log::append`** on SQLite",
        }
    }
}
