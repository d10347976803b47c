"""What is written short becomes what a reader says, in the language of the voice.

Owns: numbers with units, currencies, dates, times, ordinals, abbreviations, signs and addresses. `form` is
the way in; `appliance/text/languages` holds the words.
Refuses to know: mark-up, emoji, engines.
"""
