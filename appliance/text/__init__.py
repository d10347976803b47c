"""What happens to a text before an engine speaks it: split, made speakable, mapped back.

Owns: hop 3 of the path of an utterance. `utterances` is the way in; the other modules are its steps.
Refuses to know: engines, audio, HTTP.

    request text ─ normalize (clean → blocks → inline) ─ split (sentences → clauses) ─┐
                 └ ssml (parse, sieve) ─ fragments (group) ──────────────────────────┴─ utterances
"""
