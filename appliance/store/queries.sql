-- Every statement of the store, by name. `:name` is a parameter; what a statement is for stands above it.

-- The database itself.

-- name: begin
BEGIN IMMEDIATE

-- name: begin_reading
BEGIN

-- Writes a page, and changes nothing.
-- name: touch
UPDATE runs SET accepted = accepted WHERE run = (SELECT max(run) FROM runs)

-- name: commit
COMMIT

-- name: rollback
ROLLBACK

-- name: read_application_id
PRAGMA application_id

-- name: read_schema_version
PRAGMA user_version

-- name: list_tables
SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name

-- name: list_columns
SELECT tables.name, columns.name FROM sqlite_schema AS tables, pragma_table_info(tables.name) AS columns
WHERE tables.type = 'table' AND tables.name NOT LIKE 'sqlite_%'

-- name: check_quickly
PRAGMA quick_check(1)

-- name: check_wholly
PRAGMA integrity_check(1)

-- name: check_references
PRAGMA foreign_key_check

-- name: write_log_into_database
PRAGMA wal_checkpoint(TRUNCATE)

-- The history.

-- name: begin_run
INSERT INTO runs (started_at, token) VALUES (:started_at, :token) RETURNING run

-- A run that a kill ended, with what its counter file says: see `history`.
-- name: list_open_runs
SELECT run, token, accepted, recorded FROM runs WHERE ended_at IS NULL AND run <> :run

-- name: find_run
SELECT recorded FROM runs WHERE run = :run AND token = :token AND ended_at IS NULL

-- name: end_run
UPDATE runs SET ended_at = :ended_at, accepted = :accepted, unrecorded = max(0, :accepted - recorded)
WHERE run = :run

-- name: interrupt_running
UPDATE requests SET state = 'interrupted', ended_by = 'kill', ended_at = :ended_at
WHERE state = 'running' AND id < :first_id

-- name: list_recorded
SELECT id FROM requests WHERE id IN (SELECT value FROM json_each(:ids))

-- What runs, by its row, and has ended without another one: an older database was put back.
-- name: interrupt_forgotten
UPDATE requests SET state = 'interrupted', ended_by = 'kill', ended_at = :ended_at
WHERE state = 'running' AND id >= :first_id AND id NOT IN (SELECT value FROM json_each(:ids))

-- name: count_recorded
UPDATE runs SET accepted = :accepted, recorded = :recorded WHERE run = :run

-- name: put_request
INSERT INTO requests VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (id) DO UPDATE SET
    ended_at = excluded.ended_at, state = excluded.state, ended_by = excluded.ended_by, voice = excluded.voice,
    utterances = excluded.utterances, queue_wait_s = excluded.queue_wait_s, ttfa_s = excluded.ttfa_s,
    synthesis_s = excluded.synthesis_s, audio_s = excluded.audio_s, total_s = excluded.total_s,
    bytes = excluded.bytes, worker = excluded.worker

-- Newest first; a parameter that is NULL filters nothing.
-- name: list_requests
SELECT * FROM requests
WHERE id < :before
    AND (:state IS NULL OR state = :state)
    AND (:voice IS NULL OR voice = :voice)
ORDER BY id DESC LIMIT :limit

-- name: list_requests_by_request_id
SELECT * FROM requests
WHERE request_id = :request_id
    AND id < :before
    AND (:state IS NULL OR state = :state)
    AND (:voice IS NULL OR voice = :voice)
ORDER BY id DESC LIMIT :limit

-- name: count_unrecorded
SELECT coalesce(sum(unrecorded), 0) FROM runs

-- Of any kind, and 0 where there is none: by the wall clock it was at least as late.
-- name: find_newest_time
SELECT max(
    coalesce((SELECT max(accepted_at) FROM requests), 0.0),
    coalesce((SELECT max(max(started_at, coalesce(ended_at, 0.0))) FROM runs), 0.0),
    coalesce((SELECT max(max(created_at, coalesce(ended_at, 0.0))) FROM jobs), 0.0)
)

-- name: count_requests
SELECT count(*) FROM requests

-- From two indexes alone, as there may be millions.
-- name: count_old_requests
SELECT (SELECT count(*) FROM requests WHERE accepted_at < :accepted_before) - (
    SELECT count(*) FROM requests INDEXED BY requests_running
    WHERE state = 'running' AND accepted_at < :accepted_before
)

-- name: delete_old_requests
DELETE FROM requests WHERE id IN (
    SELECT id FROM requests WHERE accepted_at < :accepted_before AND state <> 'running'
    ORDER BY accepted_at LIMIT :limit
)

-- name: delete_first_requests
DELETE FROM requests WHERE id IN (
    SELECT id FROM requests WHERE state <> 'running' ORDER BY id LIMIT :limit
)

-- name: delete_old_runs
DELETE FROM runs WHERE run < :run - :kept

-- Jobs.

-- name: put_job
INSERT INTO jobs (
    id, owner, idempotency_key, order_sha256, created_at, state, voice, format, speed, pitch, volume,
    input_type, make_speakable, spell_out, captions, chapters, chars, title, pcm_bytes, result_bytes
) VALUES (
    :id, :owner, :idempotency_key, :order_sha256, :created_at, 'queued', :voice, :format, :speed, :pitch, :volume,
    :input_type, :make_speakable, :spell_out, :captions, :chapters, :chars, :title, :pcm_bytes, :result_bytes
) RETURNING *

-- name: count_jobs
SELECT count(*) FROM jobs

-- name: find_job
SELECT * FROM jobs WHERE id = :id

-- name: find_job_by_idempotency_key
SELECT * FROM jobs WHERE owner = :owner AND idempotency_key = :idempotency_key

-- Newest first; an owner that is NULL filters nothing.
-- name: list_jobs
SELECT * FROM jobs
WHERE job < :before
    AND (:owner IS NULL OR owner = :owner)
    AND (:state IS NULL OR state = :state)
ORDER BY job DESC LIMIT :limit

-- name: list_next_jobs
SELECT id, owner FROM (
    SELECT id, owner, job, started_at,
        row_number() OVER (PARTITION BY owner ORDER BY started_at IS NULL, job) AS turn
    FROM jobs INDEXED BY jobs_unfinished
    WHERE state IN ('queued', 'running', 'paused') AND state <> 'paused'
        AND voice NOT IN (SELECT value FROM json_each(:silent))
        AND id NOT IN (SELECT value FROM json_each(:passed_over))
) WHERE turn <= :limit ORDER BY started_at IS NULL, job

-- name: list_waiting_voices
SELECT DISTINCT voice FROM jobs INDEXED BY jobs_unfinished
WHERE state IN ('queued', 'running', 'paused') AND state <> 'paused'

-- name: count_unfinished_jobs
SELECT state, count(*) AS count FROM jobs INDEXED BY jobs_unfinished
WHERE state IN ('queued', 'running', 'paused') GROUP BY state

-- name: count_unfinished_jobs_of_owner
SELECT count(*) AS count FROM jobs INDEXED BY jobs_unfinished
WHERE state IN ('queued', 'running', 'paused') AND owner = :owner

-- The rest of their PCM, and their results.
-- name: sum_bytes_to_come
SELECT coalesce(sum(result_bytes + pcm_bytes * (1.0 - coalesce(1.0 * done / utterances, 0.0))), 0.0) AS bytes
FROM jobs INDEXED BY jobs_unfinished WHERE state IN ('queued', 'running', 'paused')

-- name: begin_job
UPDATE jobs SET state = 'running', reason = '', started_at = coalesce(started_at, :now)
WHERE id = :id AND state IN ('queued', 'running') RETURNING *

-- name: queue_job
UPDATE jobs SET state = 'queued' WHERE id = :id AND state = 'running' RETURNING *

-- name: pause_job
UPDATE jobs SET state = 'paused', reason = 'requested' WHERE id = :id AND state IN ('queued', 'running')
RETURNING *

-- name: resume_job
UPDATE jobs SET state = 'queued', reason = '' WHERE id = :id AND state = 'paused' RETURNING *

-- name: retry_job
UPDATE jobs SET state = 'queued', reason = '', ended_at = NULL WHERE id = :id AND state = 'failed' RETURNING *

-- name: cancel_job
UPDATE jobs SET state = 'cancelled', reason = :reason, ended_at = :now
WHERE id = :id AND state IN ('queued', 'running', 'paused') RETURNING *

-- name: fail_job
UPDATE jobs SET state = 'failed', reason = :reason, ended_at = :now
WHERE id = :id AND state = 'running' RETURNING *

-- name: complete_job
UPDATE jobs SET state = 'completed', reason = '', ended_at = :now, audio_s = :audio_s, bytes = :size_bytes,
    utterances = :utterances, done = :utterances
WHERE id = :id AND state = 'running' RETURNING *

-- Its audio isn't there: the row is an older backup's, or somebody has deleted the file.
-- name: lose_job
UPDATE jobs SET state = 'failed', reason = :reason WHERE id = :id AND state = 'completed' RETURNING *

-- name: count_job_utterances
UPDATE jobs SET utterances = :utterances WHERE job = :job

-- name: note_job_progress
UPDATE jobs SET done = :done, audio_s = :audio_s WHERE job = :job

-- name: put_job_utterance
INSERT OR REPLACE INTO job_utterances VALUES (:job, :number, :name, :sha256, :audio_s)

-- name: list_job_utterances
SELECT number, name, sha256, audio_s FROM job_utterances
WHERE job = :job AND number >= :first ORDER BY number LIMIT :limit

-- name: sum_job_utterances
SELECT count(*) AS done, coalesce(sum(audio_s), 0.0) AS audio_s FROM job_utterances WHERE job = :job

-- name: delete_job_utterances
DELETE FROM job_utterances WHERE job = :job

-- name: delete_job
DELETE FROM jobs WHERE id = :id AND state IN ('completed', 'failed', 'cancelled') RETURNING *

-- Newest first.
-- name: list_ended_jobs
SELECT * FROM jobs WHERE job < :before AND state IN ('completed', 'failed', 'cancelled')
ORDER BY job DESC LIMIT :limit

-- name: list_old_jobs
SELECT id FROM jobs WHERE ended_at < :ended_before AND state IN ('completed', 'failed', 'cancelled')
ORDER BY job LIMIT :limit

-- The pronunciation dictionary.

-- name: list_pronunciations
SELECT word, language, voice, spoken FROM pronunciations ORDER BY language, voice, word

-- name: put_pronunciation
INSERT INTO pronunciations (word, language, voice, spoken) VALUES (:word, :language, :voice, :spoken)
ON CONFLICT (word, language, voice) DO UPDATE SET spoken = excluded.spoken

-- name: delete_pronunciation
DELETE FROM pronunciations WHERE word = :word AND language = :language AND voice = :voice RETURNING word

-- name: delete_pronunciations
DELETE FROM pronunciations
