"""Which keys there are, and whose a key is.

Owns: the keys of the files that the settings name and those that `ttsctl keys` has created, taking changes of
the latter while the gateway runs, what is known of each one's use.
Refuses to know: requests and addresses (`access`), how keys are made (`appliance.key_records`).

A change is taken when `ttsctl` says so, else within `LOOK_S`. A file that is gone or broken changes nothing,
until the next start: what opens the appliance to everybody is never an accident.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from loguru import logger

from appliance.errors import ConfigurationError
from appliance.key_records import KEY, KeyRecord, Records, Role, has_speech
from appliance.key_store import read_records
from appliance.keys import read_keys
from appliance.settings import Settings
from processes.gateway.quota import Quota

LOOK_S = 1.0
"""Seconds between two looks at the file."""
NOBODYS = hashlib.sha256(b"").hexdigest()
"""What the key of an unknown id is compared with, so that an unknown id takes as long as a wrong secret."""
CREATED, WRITTEN = "key", "file"


class KeyOwner(NamedTuple):
    """Whose a key is."""

    client: str
    """The name under which its requests take turns with others'."""
    jobs: str
    """The owner of its jobs: a hash that stays the same when a created key is rotated."""
    role: Role
    is_guessable: bool
    """Whether a person chose it, so that it may be short; a created one has 256 random bits."""


@dataclass(slots=True)
class Use:
    """What is known of a created key's use since the gateway's start."""

    requests: int = 0
    last_at: datetime | None = None


class Keyring:
    """All keys that are in force."""

    def __init__(self, settings: Settings) -> None:
        """Read every file of keys.

        Raises:
            ConfigurationError: One can't be read, is broken or empty, or others may read it.
        """
        self._path = settings.keys_path()
        self._usual = Quota(settings.dispatch.client_rate_per_min, settings.dispatch.client_burst)
        self._is_required = settings.http.require_key
        self._written = {
            Role.SPEECH: read_keys(settings.http.api_keys_file),
            Role.ADMIN: read_keys(settings.admin.key_file),
        }
        self._mark = _mark_of(self._path)
        self._records: dict[str, KeyRecord] = {}
        self._uses: dict[str, Use] = {}
        self._are_for_speech = False
        self._take(read_records(self._path))
        self._told = ""
        """The last trouble with the file that was logged; empty while there is none."""

    @property
    def is_in_force(self) -> bool:
        """Whether speech needs a key: there is one for it, if only a revoked one, or the settings say so."""
        return self._is_required or bool(self._written[Role.SPEECH]) or self._are_for_speech

    @property
    def has_admin(self) -> bool:
        """Whether anybody has an admin key that is in force."""
        now = datetime.now(UTC)
        return bool(self._written[Role.ADMIN]) or any(
            each.role is Role.ADMIN and each.is_live(now) for each in self._records.values()
        )

    def find(self, key: str) -> KeyOwner | None:
        """Return whose a key is; None for one that is unknown, revoked or expired, and for an empty one.

        Every comparison takes its full time, whatever it finds.
        """
        sha256 = hashlib.sha256(key.encode("utf-8", "surrogateescape"))
        created = self._find_created(key, sha256.hexdigest())
        found = [role for role, hashes in self._written.items() if _is_among(sha256.digest(), hashes)]
        if created is not None:
            name = f"{CREATED}:{created.id}"
            return KeyOwner(name, hashlib.sha256(name.encode()).hexdigest(), created.role, is_guessable=False)
        if not found:
            return None
        hashed = sha256.hexdigest()
        return KeyOwner(f"{WRITTEN}:{hashed[:16]}", hashed, found[-1], is_guessable=True)

    def _find_created(self, key: str, hashed: str) -> KeyRecord | None:
        form = KEY.fullmatch(key)
        record = self._records.get(form[1]) if form else None
        now = datetime.now(UTC)
        is_former = record is not None and record.former_until is not None and now < record.former_until
        former = (record.former_sha256 if record is not None and is_former else None) or NOBODYS
        is_right = hmac.compare_digest(hashed, NOBODYS if record is None else record.sha256)
        is_right |= hmac.compare_digest(hashed, former)
        return record if record is not None and is_right and record.is_live(now) else None

    def note_use(self, owner: KeyOwner) -> None:
        """Count a request of a created key."""
        kind, _, identity = owner.client.partition(":")
        if kind == CREATED and (use := self._uses.get(identity)) is not None:
            use.requests += 1
            use.last_at = datetime.now(UTC)

    def quota_of(self, client: str) -> Quota | None:
        """Return the quota of a client that is a created key with one of its own; None for the settings'."""
        kind, _, identity = client.partition(":")
        record = self._records.get(identity) if kind == CREATED else None
        if record is None or (record.requests_per_min is None and record.burst is None):
            return None
        rate = record.requests_per_min
        return Quota(
            self._usual.requests_per_min if rate is None else rate, record.burst or self._usual.burst
        )

    def as_dict(self) -> dict[str, Any]:
        """Return what an operator may know of the keys; none of it opens anything."""
        now = datetime.now(UTC)
        return {
            "in_force": self.is_in_force,
            "from_files": {role.value: len(hashes) for role, hashes in self._written.items()},
            "trouble": self._told or None,
            "keys": [_described(each, self._uses[each.id], now) for each in self._records.values()],
        }

    async def refresh(self) -> None:
        """Take the file's keys now.

        Raises:
            ConfigurationError: It can't be used; the keys are as before.
        """
        mark = await asyncio.to_thread(_mark_of, self._path)
        if mark is None and self._records:
            raise ConfigurationError(
                f"{self._path}: is gone; the keys stay as they were until the next start"
            )
        records = await asyncio.to_thread(read_records, self._path)
        self._mark, self._told = mark, ""
        self._take(records)
        logger.info("keys_taken", keys=len(records), in_force=self.is_in_force)

    async def watch(self) -> None:
        """Take changes of the file until cancelled; trouble with it is said once for as long as it lasts."""
        while True:
            await asyncio.sleep(LOOK_S)
            if not self._told and await asyncio.to_thread(_mark_of, self._path) == self._mark:
                continue
            try:
                await self.refresh()
            except ConfigurationError as error:
                if error.message != self._told:
                    self._told = error.message
                    logger.error("keys_not_taken", reason=error.message)

    def _take(self, records: Records) -> None:
        self._records = {each.id: each for each in records}
        self._uses = {each.id: self._uses.get(each.id) or Use() for each in records}
        self._are_for_speech = has_speech(records)


def _mark_of(path: Path) -> tuple[int, int, int] | None:
    """Return what changes with every change of a file; None where there is none or it can't be looked at."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_mode


def _is_among(digest: bytes, hashes: Iterable[bytes]) -> bool:
    # Every hash is compared, so that the time doesn't tell which one matched.
    return sum(hmac.compare_digest(digest, each) for each in hashes) > 0


def _described(record: KeyRecord, use: Use, now: datetime) -> dict[str, Any]:
    return {
        "id": record.id,
        "name": record.name,
        "role": record.role.value,
        "state": record.state(now),
        "requests": use.requests,
        "last_used_at": None if use.last_at is None else use.last_at.isoformat(timespec="seconds"),
    }
