-- Jobs: one row for each that was accepted, one for each utterance that lies on the disk.

CREATE TABLE jobs (
    job INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    owner TEXT NOT NULL,
    idempotency_key TEXT,
    order_sha256 TEXT NOT NULL,
    created_at REAL NOT NULL,
    started_at REAL,
    ended_at REAL,
    state TEXT NOT NULL
        CHECK (state IN ('queued', 'running', 'paused', 'completed', 'failed', 'cancelled')),
    reason TEXT NOT NULL DEFAULT '',
    voice TEXT NOT NULL,
    format TEXT NOT NULL,
    speed REAL NOT NULL,
    pitch REAL NOT NULL,
    volume REAL NOT NULL,
    input_type TEXT NOT NULL,
    make_speakable INTEGER NOT NULL,
    captions INTEGER NOT NULL,
    chapters INTEGER NOT NULL,
    chars INTEGER NOT NULL,
    utterances INTEGER,
    done INTEGER NOT NULL DEFAULT 0,
    audio_s REAL NOT NULL DEFAULT 0,
    bytes INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE UNIQUE INDEX jobs_by_idempotency_key ON jobs (owner, idempotency_key)
    WHERE idempotency_key IS NOT NULL;
CREATE INDEX jobs_unfinished ON jobs (job) WHERE state IN ('queued', 'running', 'paused');
CREATE INDEX jobs_by_owner ON jobs (owner, job);

CREATE TABLE job_utterances (
    job INTEGER NOT NULL REFERENCES jobs (job) ON DELETE CASCADE,
    number INTEGER NOT NULL,
    name TEXT NOT NULL,
    sha256 TEXT NOT NULL,
    audio_s REAL NOT NULL,
    PRIMARY KEY (job, number)
) STRICT, WITHOUT ROWID;
