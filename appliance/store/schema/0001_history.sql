-- The history: one row for each life of the gateway, one for each request that it accepted.

CREATE TABLE runs (
    run INTEGER PRIMARY KEY AUTOINCREMENT,
    started_at REAL NOT NULL,
    ended_at REAL,
    token INTEGER NOT NULL,
    accepted INTEGER NOT NULL DEFAULT 0,
    recorded INTEGER NOT NULL DEFAULT 0,
    unrecorded INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE TABLE requests (
    id INTEGER PRIMARY KEY,
    request_id TEXT NOT NULL,
    accepted_at REAL NOT NULL,
    ended_at REAL,
    state TEXT NOT NULL
        CHECK (state IN ('running', 'completed', 'failed', 'cancelled', 'expired', 'interrupted')),
    ended_by TEXT NOT NULL,
    voice TEXT NOT NULL,
    format TEXT NOT NULL,
    chars INTEGER NOT NULL,
    utterances INTEGER NOT NULL,
    queue_wait_s REAL,
    ttfa_s REAL,
    synthesis_s REAL NOT NULL,
    audio_s REAL NOT NULL,
    total_s REAL NOT NULL,
    bytes INTEGER NOT NULL,
    worker TEXT NOT NULL,
    text TEXT
) STRICT;

CREATE INDEX requests_by_time ON requests (accepted_at);
CREATE INDEX requests_by_request_id ON requests (request_id);
CREATE INDEX requests_running ON requests (id) WHERE state = 'running';
