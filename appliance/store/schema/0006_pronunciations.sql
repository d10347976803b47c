-- The pronunciation dictionary: how a word is to be respelled; for all voices, those of a language, or one.

CREATE TABLE pronunciations (
    word TEXT NOT NULL,
    language TEXT NOT NULL,
    voice TEXT NOT NULL,
    spoken TEXT NOT NULL,
    PRIMARY KEY (word, language, voice)
) STRICT, WITHOUT ROWID;
