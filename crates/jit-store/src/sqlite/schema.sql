-- Version 1 of the schema of an evidence log in SQLite.
-- Evidence: written once. Triggers refuse what no code here does; whoever owns the file can drop them, and is found out by
-- the checkpoints outside it.
CREATE TABLE log (
    one      INTEGER PRIMARY KEY CHECK (one = 1),
    meta     BLOB    NOT NULL,
    size     INTEGER NOT NULL CHECK (size >= 0),
    root     BLOB    NOT NULL CHECK (length(root) = 32),
    frontier BLOB    NOT NULL CHECK (length(frontier) % 32 = 0)
) STRICT;

-- The leaf hash stands before the header, so that it is read without it.
CREATE TABLE record (
    idx    INTEGER PRIMARY KEY CHECK (idx >= 0),
    id     BLOB    NOT NULL CHECK (length(id) = 16),
    stream BLOB    NOT NULL CHECK (length(stream) = 32),
    n      INTEGER NOT NULL CHECK (n >= 0),
    leaf   BLOB    NOT NULL CHECK (length(leaf) = 32),
    header BLOB    NOT NULL
) STRICT;
CREATE UNIQUE INDEX record_by_id ON record (id);
CREATE UNIQUE INDEX record_by_stream ON record (stream, n);

CREATE TABLE payload (
    idx   INTEGER PRIMARY KEY,
    bytes BLOB    NOT NULL
) STRICT;

CREATE TABLE tile (
    level  INTEGER NOT NULL,
    idx    INTEGER NOT NULL,
    root   BLOB    NOT NULL CHECK (length(root) = 32),
    hashes BLOB    NOT NULL
) STRICT;
CREATE UNIQUE INDEX tile_by_key ON tile (level, idx);

CREATE TABLE checkpoint (
    size     INTEGER PRIMARY KEY CHECK (size >= 0),
    note     BLOB    NOT NULL,
    frontier BLOB    NOT NULL CHECK (length(frontier) % 32 = 0)
) STRICT;

CREATE TABLE blob (
    id    INTEGER PRIMARY KEY,
    key   BLOB NOT NULL UNIQUE CHECK (length(key) = 32),
    bytes BLOB NOT NULL
) STRICT;

-- Projections: replaced at will, and computed again from the records.
CREATE TABLE stream (
    key    BLOB    NOT NULL PRIMARY KEY CHECK (length(key) = 32),
    next   INTEGER NOT NULL,
    leaf   BLOB    NOT NULL CHECK (length(leaf) = 32),
    closed INTEGER NOT NULL CHECK (closed IN (0, 1))
) STRICT, WITHOUT ROWID;

CREATE TABLE lookup (
    key BLOB    NOT NULL CHECK (length(key) = 32),
    idx INTEGER NOT NULL,
    PRIMARY KEY (key, idx)
) STRICT, WITHOUT ROWID;

CREATE TABLE due (
    key   BLOB    NOT NULL PRIMARY KEY CHECK (length(key) = 32),
    at_us INTEGER NOT NULL,
    work  BLOB    NOT NULL
) STRICT;
CREATE INDEX due_by_time ON due (at_us, key);

-- How often the file was opened for writing, and how often a commit was in doubt.
CREATE TABLE opening (
    one   INTEGER PRIMARY KEY CHECK (one = 1),
    count INTEGER NOT NULL
) STRICT;
INSERT INTO opening (one, count) VALUES (1, 0);

CREATE TRIGGER log_stays BEFORE DELETE ON log BEGIN SELECT raise(ABORT, 'evidence is never deleted'); END;
CREATE TRIGGER log_meta_stays BEFORE UPDATE OF one, meta ON log BEGIN SELECT raise(ABORT, 'evidence is never changed'); END;
CREATE TRIGGER log_grows BEFORE UPDATE OF size ON log WHEN new.size < old.size
    BEGIN SELECT raise(ABORT, 'the log never shrinks'); END;
CREATE TRIGGER record_stays BEFORE DELETE ON record BEGIN SELECT raise(ABORT, 'evidence is never deleted'); END;
CREATE TRIGGER record_as_written BEFORE UPDATE ON record BEGIN SELECT raise(ABORT, 'evidence is never changed'); END;
CREATE TRIGGER payload_as_written BEFORE UPDATE ON payload BEGIN SELECT raise(ABORT, 'evidence is never changed'); END;
CREATE TRIGGER tile_stays BEFORE DELETE ON tile BEGIN SELECT raise(ABORT, 'evidence is never deleted'); END;
CREATE TRIGGER tile_as_written BEFORE UPDATE ON tile BEGIN SELECT raise(ABORT, 'evidence is never changed'); END;
CREATE TRIGGER checkpoint_stays BEFORE DELETE ON checkpoint BEGIN SELECT raise(ABORT, 'evidence is never deleted'); END;
CREATE TRIGGER checkpoint_as_written BEFORE UPDATE ON checkpoint
    BEGIN SELECT raise(ABORT, 'evidence is never changed'); END;
CREATE TRIGGER blob_stays BEFORE DELETE ON blob BEGIN SELECT raise(ABORT, 'evidence is never deleted'); END;
CREATE TRIGGER blob_as_written BEFORE UPDATE ON blob BEGIN SELECT raise(ABORT, 'evidence is never changed'); END;
