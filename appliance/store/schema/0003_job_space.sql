-- Jobs: what each is still going to write, so that no two are promised the same space.

ALTER TABLE jobs ADD COLUMN pcm_bytes INTEGER NOT NULL DEFAULT 0;
ALTER TABLE jobs ADD COLUMN result_bytes INTEGER NOT NULL DEFAULT 0;
