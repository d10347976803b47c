-- What a job's result is called, in its tags and as a file.

ALTER TABLE jobs ADD COLUMN title TEXT NOT NULL DEFAULT '';
