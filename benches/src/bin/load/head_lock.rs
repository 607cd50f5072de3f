//! One hash chain by hand: every caller's transaction updates the head row and inserts. The strongest form of it: one
//! statement, one round trip, the hash computed by the server.

use std::error::Error;

use jit_bench_load::Setting;

use crate::connecting::connect;
use crate::single::inserting;

const SCHEMA: &str = "
CREATE TABLE head (size bigint NOT NULL, root bytea NOT NULL) WITH (fillfactor = 50);
INSERT INTO head VALUES (0, sha256(''));
CREATE TABLE event (
    position bigint PRIMARY KEY,
    stream bytea NOT NULL,
    version bigint NOT NULL,
    body bytea NOT NULL,
    root bytea NOT NULL,
    UNIQUE (stream, version)
)";

pub(crate) async fn run(setting: &Setting) -> Result<String, Box<dyn Error>> {
    connect(&setting.url).await?.batch_execute(SCHEMA).await?;
    let append = "WITH head AS (UPDATE head SET size = size + 1, root = sha256(root || $3) RETURNING size, root)
        INSERT INTO event SELECT size - 1, $1, $2, $3, root FROM head";
    inserting(setting, append).await
}
