-- Whether a job's units, dates and abbreviations become words; jobs of before are spoken on as they began.

ALTER TABLE jobs ADD COLUMN spell_out INTEGER NOT NULL DEFAULT 0;
