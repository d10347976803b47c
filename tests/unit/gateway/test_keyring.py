"""Which keys there are, and whose a key is."""

from __future__ import annotations

import asyncio
import statistics
import time
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest

from appliance.errors import ConfigurationError
from appliance.key_errors import TooManyWrongKeysError
from appliance.key_records import Issued, NewKey, Role, create, prune, revoke, rotate
from appliance.key_store import change_records
from appliance.settings import Settings, load_settings
from processes.gateway.keyring import Keyring
from processes.gateway.quota import Quota
from processes.gateway.wrong_keys import WrongKeys

TRIES = 100_000
"""Source: the security checklist, row R10."""


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load_settings({"APPLIANCE_DATA_DIR": str(tmp_path)})


def now() -> datetime:
    return datetime.now(UTC)


def created(settings: Settings, **wanted: Any) -> Issued:
    return change_records(settings.keys_path(), lambda records: create(records, NewKey(**wanted), now()))


def test_find_when_a_key_was_created_then_it_is_known_by_its_id_and_nothing_like_it_is(
    settings: Settings,
) -> None:
    issued = created(settings)
    keys = Keyring(settings)
    owner = keys.find(issued.key)
    assert owner is not None
    assert (owner.client, owner.role, owner.is_guessable) == (f"key:{issued.record.id}", Role.SPEECH, False)
    last = "A" if issued.key[-1] != "A" else "B"
    for wrong in (
        "",
        issued.key[:-1],
        issued.key[:-1] + last,
        issued.key + "x",
        issued.record.sha256,
        "\udcff",
    ):
        assert keys.find(wrong) is None


def test_find_when_it_is_rotated_then_both_secrets_are_the_same_owners(settings: Settings) -> None:
    issued = created(settings)
    hour = timedelta(hours=1)
    rotated = change_records(
        settings.keys_path(), lambda records: rotate(records, issued.record.id, hour, now())
    )
    keys = Keyring(settings)
    assert keys.find(issued.key) == keys.find(rotated.key) is not None
    past = now() - 2 * hour
    late = change_records(settings.keys_path(), lambda records: rotate(records, issued.record.id, hour, past))
    keys = Keyring(settings)
    assert keys.find(rotated.key) is None
    assert keys.find(late.key) is not None


def test_find_when_it_has_ended_then_it_is_unknown_and_keys_stay_in_force(settings: Settings) -> None:
    issued = created(settings)
    change_records(settings.keys_path(), lambda records: revoke(records, issued.record.id, now()))
    keys = Keyring(settings)
    assert keys.find(issued.key) is None
    assert keys.is_in_force
    change_records(settings.keys_path(), lambda records: prune(records, now(), may_open=True))
    assert not Keyring(settings).is_in_force


def test_find_when_keys_come_from_files_then_they_are_known_and_admin_goes_first(
    settings: Settings, tmp_path: Path
) -> None:
    for name, text in (("api", "one\nboth\n"), ("admin", "both\nroot\n")):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o600)
    variables = {"HTTP_API_KEYS_FILE": "api", "ADMIN_KEY_FILE": "admin", "DATA_DIR": "data"}
    settings = load_settings({f"APPLIANCE_{name}": str(tmp_path / text) for name, text in variables.items()})
    keys = Keyring(settings)
    found = {key: keys.find(key) for key in ("one", "both", "root", "two")}
    roles = {key: owner and owner.role for key, owner in found.items()}
    assert roles == {"one": Role.SPEECH, "both": Role.ADMIN, "root": Role.ADMIN, "two": None}
    assert all(owner.is_guessable for owner in found.values() if owner)
    assert keys.has_admin


@pytest.mark.parametrize(
    ("role", "is_required", "in_force"),
    [(None, False, False), (None, True, True), (Role.ADMIN, False, False), (Role.SPEECH, False, True)],
)
def test_force_when_there_is_such_a_key_then_others_need_one(
    tmp_path: Path, role: Role | None, *, is_required: bool, in_force: bool
) -> None:
    variables = {"APPLIANCE_DATA_DIR": str(tmp_path), "APPLIANCE_HTTP_REQUIRE_KEY": str(is_required)}
    settings = load_settings(variables)
    if role is not None:
        created(settings, role=role)
    assert Keyring(settings).is_in_force is in_force
    assert Keyring(settings).has_admin is (role is Role.ADMIN)


def test_refresh_when_the_file_changes_then_it_is_taken_and_use_is_remembered(settings: Settings) -> None:
    assert not Keyring(settings).is_in_force
    keys = Keyring(settings)
    issued = created(settings, requests_per_min=6)
    asyncio.run(keys.refresh())
    assert keys.is_in_force
    owner = keys.find(issued.key)
    assert owner is not None
    keys.note_use(owner)
    created(settings)
    asyncio.run(keys.refresh())
    [used, unused] = keys.as_dict()["keys"]
    assert (used["requests"], unused["requests"]) == (1, 0)
    assert used["last_used_at"] is not None
    assert issued.record.sha256 not in str(keys.as_dict())


def test_refresh_when_the_file_is_gone_or_broken_then_the_keys_are_as_before(settings: Settings) -> None:
    issued = created(settings)
    keys = Keyring(settings)
    kept = settings.keys_path().read_bytes()
    settings.keys_path().write_bytes(b"{")
    with pytest.raises(ConfigurationError, match="is broken"):
        asyncio.run(keys.refresh())
    settings.keys_path().unlink()
    with pytest.raises(ConfigurationError, match="is gone"):
        asyncio.run(keys.refresh())
    assert keys.find(issued.key) is not None
    settings.keys_path().write_bytes(kept)
    settings.keys_path().chmod(0o600)
    asyncio.run(keys.refresh())
    assert keys.is_in_force


def test_keyring_when_the_file_is_broken_at_the_start_then_it_is_refused(settings: Settings) -> None:
    created(settings)
    settings.keys_path().write_bytes(b"")
    with pytest.raises(ConfigurationError, match="is broken"):
        Keyring(settings)


def test_quota_when_a_key_has_one_then_it_is_that_keys_alone(settings: Settings) -> None:
    own = created(settings, requests_per_min=6, burst=2).record.id
    usual = created(settings, requests_per_min=6).record.id
    bursting = created(settings, burst=3).record.id
    none = created(settings).record.id
    keys = Keyring(settings)
    assert keys.quota_of(f"key:{own}") == Quota(6, 2)
    assert keys.quota_of(f"key:{usual}") == Quota(6, settings.dispatch.client_burst)
    assert keys.quota_of(f"key:{bursting}") == Quota(settings.dispatch.client_rate_per_min, 3)
    assert keys.quota_of(f"key:{none}") is None
    assert keys.quota_of("address:192.168.1.7") is None


def test_find_when_timed_then_an_unknown_id_takes_as_long_as_a_wrong_secret(settings: Settings) -> None:
    issued = created(settings)
    keys = Keyring(settings)
    near = issued.key[:-1] + ("A" if issued.key[-1] != "A" else "B")
    known = f"tts_{issued.record.id}_{'x' * 43}"
    far = f"tts_{'0' * 12}_{'x' * 43}"
    took_ns: dict[str, list[int]] = {near: [], known: [], far: []}
    for _ in range(TRIES // len(took_ns)):
        for key, times in took_ns.items():
            begun_ns = time.perf_counter_ns()
            keys.find(key)
            times.append(time.perf_counter_ns() - begun_ns)
    medians = [statistics.median(times) for times in took_ns.values()]
    # A comparison that ends at the first difference, or a hash that is left out, is a tenth and more.
    assert max(medians) < 1.1 * min(medians)


def test_wrong_keys_when_ten_came_from_an_address_then_it_waits_and_others_dont() -> None:
    wrong = WrongKeys(10)
    for _ in range(10):
        wrong.check(ip_address("192.168.1.7"))
        wrong.note(ip_address("192.168.1.7"))
    for ask in (wrong.note, wrong.check):
        with pytest.raises(TooManyWrongKeysError) as caught:
            ask(ip_address("192.168.1.7"))
        assert 1 <= caught.value.retry_after_s <= 8
    wrong.note(ip_address("192.168.1.8"))
    wrong.note(None)


def test_wrong_keys_when_they_come_over_ipv6_then_a_subscribers_network_is_one_address() -> None:
    wrong = WrongKeys(1)
    wrong.note(ip_address("2001:db8:0:1::1"))
    with pytest.raises(TooManyWrongKeysError):
        wrong.note(ip_address("2001:db8:0:1:ffff::2"))
    wrong.note(ip_address("2001:db8:0:2::1"))
