-- One log. Evidence is inserted only; everything else is derived from it or does not outlive a process.

-- The log's settings, opaque here. There is a row if and only if the log was created.
CREATE TABLE "{schema}".log (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    meta bytea NOT NULL,
    -- Rows of a partition; does not change once there is a log.
    partition_rows bigint NOT NULL DEFAULT 4194304 CHECK (partition_rows > 0)
);

-- The row whose lock is the log's lock. Half of each page is left free, so that an update stays on its page.
CREATE TABLE "{schema}".head (
    one boolean PRIMARY KEY DEFAULT true REFERENCES "{schema}".log,
    size bigint NOT NULL CHECK (size >= 0),
    root bytea NOT NULL CHECK (octet_length(root) = 32),
    -- 32 bytes for each bit set in the size.
    frontier bytea NOT NULL CHECK (octet_length(frontier) % 32 = 0),
    -- The last commit did not wait for the disk, so whoever relies on it has to.
    lazy boolean NOT NULL DEFAULT false,
    -- There are partitions for all indexes below this one.
    room bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 50);

CREATE TABLE "{schema}".leaf (
    idx bigint NOT NULL,
    n bigint NOT NULL CHECK (n >= 0),
    record bytea NOT NULL CHECK (octet_length(record) = 16),
    stream bytea NOT NULL CHECK (octet_length(stream) = 32),
    leaf bytea NOT NULL CHECK (octet_length(leaf) = 32),
    header bytea NOT NULL,
    PRIMARY KEY (idx)
) PARTITION BY RANGE (idx);

-- Not one index over all records: its pages would be read and written all over as the log grows. A stream is looked for from
-- the partition of its first record to that of its last.
CREATE INDEX leaf_stream ON "{schema}".leaf (stream, n);

-- The only table from which anything is deleted.
CREATE TABLE "{schema}".payload (
    idx bigint NOT NULL,
    payload bytea NOT NULL,
    PRIMARY KEY (idx)
) PARTITION BY RANGE (idx);

-- Record ids ascend with time, so this index grows at its end.
CREATE TABLE "{schema}".record (
    record bytea PRIMARY KEY CHECK (octet_length(record) = 16),
    idx bigint NOT NULL
);

CREATE TABLE "{schema}".tile (
    level smallint NOT NULL CHECK (level >= 0),
    idx bigint NOT NULL CHECK (idx >= 0),
    root bytea NOT NULL CHECK (octet_length(root) = 32),
    hashes bytea NOT NULL CHECK (octet_length(hashes) = 8192),
    PRIMARY KEY (level, idx)
);

-- Hashes do not compress, and roots are read without them.
ALTER TABLE "{schema}".tile ALTER COLUMN hashes SET STORAGE EXTERNAL;

CREATE TABLE "{schema}".checkpoint (
    size bigint PRIMARY KEY CHECK (size >= 0),
    note bytea NOT NULL,
    frontier bytea NOT NULL CHECK (octet_length(frontier) % 32 = 0)
);

CREATE TABLE "{schema}".blob (
    key bytea PRIMARY KEY CHECK (octet_length(key) = 32),
    bytes bytea NOT NULL
);

-- Projections.

CREATE TABLE "{schema}".stream_head (
    stream bytea PRIMARY KEY CHECK (octet_length(stream) = 32),
    next bigint NOT NULL CHECK (next >= 0),
    -- No record of the stream has a smaller or a larger index.
    first_idx bigint NOT NULL CHECK (first_idx >= 0),
    last_idx bigint NOT NULL CHECK (last_idx >= first_idx),
    leaf bytea NOT NULL CHECK (octet_length(leaf) = 32),
    closed boolean NOT NULL
) WITH (fillfactor = 80);

CREATE TABLE "{schema}".lookup (
    idx bigint NOT NULL,
    key bytea NOT NULL CHECK (octet_length(key) = 32),
    PRIMARY KEY (key, idx)
) PARTITION BY RANGE (idx);

CREATE TABLE "{schema}".due (
    at_us bigint NOT NULL,
    key bytea PRIMARY KEY CHECK (octet_length(key) = 32),
    work bytea NOT NULL
);

CREATE INDEX due_at ON "{schema}".due (at_us, key);

-- Not in the write-ahead log: leases may be lost at a restart. The fence is.
CREATE UNLOGGED TABLE "{schema}".lease (
    until timestamptz NOT NULL,
    fence bigint NOT NULL,
    key bytea PRIMARY KEY CHECK (octet_length(key) = 32),
    holder bytea NOT NULL CHECK (octet_length(holder) = 16)
);

CREATE INDEX lease_until ON "{schema}".lease (until);

CREATE SEQUENCE "{schema}".lease_fence;
