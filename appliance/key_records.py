"""Keys as records: the form of a key, what is kept of one, and the changes that an operator can make.

Owns: creating, revoking, rotating and leaving out keys, each from the records now to the records then.
Refuses to know: the file that they stand in (`key_store`), who asks, what a key opens over HTTP.

A key is `tts_<id>_<secret>`: 12 hexadecimal digits that are no secret, and 256 random bits. Only the SHA-256
of the whole key is kept. A secret of that length can't be guessed, so neither salt nor a slow hash would add
anything. Source: OWASP ASVS 5.0, 6.5.2 and 11.4.2.

A revoked key stays among the records, so that the last one's end doesn't open the appliance to everybody, and
an operator sees when it ended, until `prune`.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Annotated, Literal, NamedTuple

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from appliance.errors import ConfigurationError

KEY = re.compile(r"tts_([0-9a-f]{12})_[A-Za-z0-9_-]{43}", re.ASCII)
PREFIX = "tts_"
ID_BYTES = 6
SECRET_BYTES = 32
MAX_KEYS = 1_000
"""Records, also of keys that have ended."""
MAX_NAME_CHARS = 64

Records = tuple["KeyRecord", ...]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Name = Annotated[str, StringConstraints(max_length=MAX_NAME_CHARS, pattern=r"^[^\x00-\x1f\x7f]*$")]


class Role(StrEnum):
    """What a key is for."""

    SPEECH = "speech"
    """To speak, and to see its own jobs."""
    ADMIN = "admin"
    """The admin paths, too, from an admin network."""


class KeyRecord(BaseModel):
    """What is kept of one key. Times are wall-clock times with their zone, as a person set them."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{12}$")]
    name: Name = ""
    """For a person to read."""
    role: Role = Role.SPEECH
    sha256: Sha256
    """Of the whole key."""
    created_at: AwareDatetime
    rotated_at: AwareDatetime | None = None
    expires_at: AwareDatetime | None = None
    """From when it is refused; None never."""
    revoked_at: AwareDatetime | None = None
    former_sha256: Sha256 | None = None
    """Of the key before the last rotation, where that was to stay for a while."""
    former_until: AwareDatetime | None = None
    """Until when it stays."""
    requests_per_min: Annotated[int, Field(ge=0, le=1_000_000)] | None = None
    """Requests a minute; 0 for any number, None for what the settings say."""
    burst: Annotated[int, Field(ge=1, le=10_000)] | None = None
    """Requests at once; None for what the settings say."""

    def is_live(self, now: datetime) -> bool:
        """Return whether it is neither revoked nor expired."""
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)

    def state(self, now: datetime) -> str:
        """Return `live`, `expired` or `revoked`."""
        if self.revoked_at is not None:
            return "revoked"
        return "live" if self.is_live(now) else "expired"


class KeyFile(BaseModel):
    """The content of `keys.json`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: Literal[1] = 1
    keys: Records = Field((), max_length=MAX_KEYS)


class NewKey(NamedTuple):
    """What an operator asks for."""

    name: str = ""
    role: Role = Role.SPEECH
    expires_at: datetime | None = None
    requests_per_min: int | None = None
    burst: int | None = None


class Issued(NamedTuple):
    """A key that exists from now on, with its secret, which is known nowhere else."""

    record: KeyRecord
    key: str


def parse_records(text: bytes) -> Records:
    """Read the content of a file of keys.

    Raises:
        ConfigurationError: It isn't one, or has an id twice; the message has no value of it.
    """
    try:
        records = KeyFile.model_validate_json(text).keys
    except ValidationError as error:
        detail = error.errors(include_input=False, include_url=False)[0]
        place = ".".join(str(part) for part in detail["loc"])
        message = f"is broken: {place or 'file'}: {detail['msg']}; put back a copy of it"
        raise ConfigurationError(message) from None
    if len({record.id for record in records}) < len(records):
        raise ConfigurationError("is broken: an id stands there twice; put back a copy of it")
    return records


def format_records(records: Records) -> bytes:
    """Return the content of a file of keys."""
    return KeyFile(keys=records).model_dump_json(indent=1, exclude_none=True).encode() + b"\n"


def create(records: Sequence[KeyRecord], new: NewKey, now: datetime) -> tuple[Records, Issued]:
    """Return the records with a new key, and that key.

    Raises:
        ConfigurationError: There are too many, a live one has the name already, or it would be expired.
    """
    if len(records) >= MAX_KEYS:
        raise ConfigurationError(f"there are {MAX_KEYS} keys already; ttsctl keys prune")
    if new.name and any(each.name == new.name and each.is_live(now) for each in records):
        raise ConfigurationError(
            f"a live key is called {new.name!r} already; rotate it, or choose another name"
        )
    if new.expires_at is not None and new.expires_at <= now:
        raise ConfigurationError("a key can't expire before it is created; name a later time")
    taken = {each.id for each in records}
    identity = next(each for each in iter(lambda: secrets.token_hex(ID_BYTES), "") if each not in taken)
    key = _new_key(identity)
    record = KeyRecord(
        id=identity,
        name=new.name,
        role=new.role,
        sha256=sha256(key),
        created_at=now,
        expires_at=new.expires_at,
        requests_per_min=new.requests_per_min,
        burst=new.burst,
    )
    return (*records, record), Issued(record, key)


def revoke(records: Sequence[KeyRecord], wanted: str, now: datetime) -> tuple[Records, KeyRecord]:
    """Return the records with one key revoked, also its former secret; one that is revoked stays so.

    Raises:
        ConfigurationError: No key, or several, are meant.
    """
    found = find_record(records, wanted, now)
    if found.revoked_at is not None:
        return tuple(records), found
    ended = found.model_copy(update={"revoked_at": now, "former_sha256": None, "former_until": None})
    return _with(records, ended), ended


def rotate(
    records: Sequence[KeyRecord], wanted: str, keep_old: timedelta, now: datetime
) -> tuple[Records, Issued]:
    """Return the records with another secret for one key, and that key; its jobs and quotas stay.

    Args:
        records: As they are.
        wanted: Which.
        keep_old: How long the secret of now goes on working; an earlier former one ends at once.
        now: The time.

    Raises:
        ConfigurationError: No key, or several, are meant, or the one meant isn't live.
    """
    found = find_record(records, wanted, now)
    if not found.is_live(now):
        raise ConfigurationError(f"key {found.id} is {found.state(now)}; create another one")
    key = _new_key(found.id)
    is_kept = keep_old > timedelta()
    update = {
        "sha256": sha256(key),
        "rotated_at": now,
        "former_sha256": found.sha256 if is_kept else None,
        "former_until": now + keep_old if is_kept else None,
    }
    rotated = found.model_copy(update=update)
    return _with(records, rotated), Issued(rotated, key)


def prune(records: Sequence[KeyRecord], now: datetime, *, may_open: bool) -> tuple[Records, Records]:
    """Return the records of live keys, and those that were left out.

    Raises:
        ConfigurationError: No key for speech would be left, so that nobody would need one any more, and
            `may_open` doesn't say so.
    """
    kept = tuple(each for each in records if each.is_live(now))
    if has_speech(records) and not has_speech(kept) and not may_open:
        message = "no key for speech would be left, so everybody could speak; say --open if that is wanted"
        raise ConfigurationError(message)
    return kept, tuple(each for each in records if each not in kept)


def has_speech(records: Sequence[KeyRecord]) -> bool:
    """Return whether there is a key for speech, live or not: then everybody needs one."""
    return any(each.role is Role.SPEECH for each in records)


def find_record(records: Sequence[KeyRecord], wanted: str, now: datetime) -> KeyRecord:
    """Return the one key that an id, a name or a whole key means; names of live keys go first.

    Raises:
        ConfigurationError: None or several are meant. A whole key isn't quoted.
    """
    match = KEY.fullmatch(wanted)
    identity = match[1] if match else wanted
    by_id = [each for each in records if each.id == identity]
    named = [each for each in records if each.name and each.name == wanted]
    found = by_id or [each for each in named if each.is_live(now)] or named
    if len(found) == 1:
        return found[0]
    shown = identity if len(identity) <= MAX_NAME_CHARS and PREFIX not in identity else "that"
    if found:
        raise ConfigurationError(f"several keys are called {shown!r}; name one by its id")
    raise ConfigurationError(f"no key has the id or name {shown!r}; see ttsctl keys list")


def sha256(key: str) -> str:
    """Return the SHA-256 of a key in hexadecimal; a header's odd bytes count as they came."""
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()


def _new_key(identity: str) -> str:
    return f"tts_{identity}_{secrets.token_urlsafe(SECRET_BYTES)}"


def _with(records: Sequence[KeyRecord], changed: KeyRecord) -> Records:
    return tuple(changed if each.id == changed.id else each for each in records)
