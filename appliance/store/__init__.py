"""What lasts: one SQLite database, its backups, and the space that is kept for it.

Owns: every statement of SQL (`queries.sql`), the schema (`schema/`), the files below `data.dir` that belong
to them. Nothing outside of this package speaks SQL or opens the database.
Refuses to know: HTTP, workers, what a request is about.
"""
