"""Files that somebody has written become a text to be spoken.

Owns: plain texts and EPUB books. `plain` and `epub` are the ways in; the other modules are steps to a book.
Refuses to know: HTTP, jobs, how a text is spoken, and any path of this machine: a document is bytes.

    book ─ archive (bounded) ─ epub (container → package → spine) ─ xhtml (on markup) ─ markdown
                                    └ contents (titles of chapters) ─┘

Everything here blocks and trusts nothing that it reads: sizes are looked at before and while something is
unpacked, and no entity is ever expanded.
"""
