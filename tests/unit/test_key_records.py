"""What can be done with keys, as records."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from appliance.errors import ConfigurationError
from appliance.key_records import (
    KEY,
    MAX_KEYS,
    Issued,
    NewKey,
    Records,
    Role,
    create,
    find_record,
    format_records,
    has_speech,
    parse_records,
    prune,
    revoke,
    rotate,
    sha256,
)

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
HOUR = timedelta(hours=1)


def created(records: Records = (), **wanted: Any) -> tuple[Records, Issued]:
    return create(records, NewKey(**wanted), NOW)


def test_create_when_asked_then_a_key_of_256_bits_of_which_only_the_hash_is_kept() -> None:
    records, (record, key) = created(name="kitchen", requests_per_min=30, burst=5)
    match = KEY.fullmatch(key)
    assert match is not None
    assert match[1] == record.id
    assert record.sha256 == sha256(key)
    assert records == (record,)
    assert (record.requests_per_min, record.burst, record.role) == (30, 5, Role.SPEECH)
    secret = key.removeprefix(f"tts_{record.id}_")
    assert len(secret) == 43
    assert secret not in format_records(records).decode()


def test_create_when_asked_often_then_no_two_keys_are_alike() -> None:
    records: Records = ()
    keys = set()
    for _ in range(50):
        records, issued = created(records)
        keys.add(issued.key)
    assert len(keys) == len({each.id for each in records}) == 50


def test_create_when_a_live_key_has_the_name_then_it_is_refused_until_that_is_revoked() -> None:
    records, (first, _) = created(name="kitchen")
    with pytest.raises(ConfigurationError, match="called 'kitchen' already"):
        created(records, name="kitchen")
    records, _ = revoke(records, first.id, NOW)
    records, (second, _) = created(records, name="kitchen")
    assert find_record(records, "kitchen", NOW) == second


@pytest.mark.parametrize(
    ("wanted", "message"),
    [({"expires_at": NOW}, "can't expire before"), ({"expires_at": NOW - HOUR}, "can't")],
)
def test_create_when_it_makes_no_sense_then_it_is_refused(wanted: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        created(**wanted)


def test_create_when_there_are_very_many_then_it_is_refused_and_says_what_to_do() -> None:
    _, (record, _) = created()
    full = tuple(record.model_copy(update={"id": f"{number:012x}"}) for number in range(MAX_KEYS))
    with pytest.raises(ConfigurationError, match="ttsctl keys prune"):
        created(full)


def test_state_when_time_passes_then_live_expired_or_revoked() -> None:
    records, (record, _) = created(expires_at=NOW + HOUR)
    assert record.state(NOW) == "live"
    assert record.state(NOW + HOUR) == "expired"
    _, ended = revoke(records, record.id, NOW + HOUR)
    assert ended.state(NOW) == "revoked"


def test_revoke_when_done_twice_then_the_first_time_counts() -> None:
    records, (record, _) = created()
    records, first = revoke(records, record.id, NOW)
    records, second = revoke(records, record.id, NOW + HOUR)
    assert first == second == records[0]
    assert first.revoked_at == NOW


def test_rotate_when_the_old_secret_is_kept_then_until_then_both_are_there() -> None:
    records, (record, key) = created(name="kitchen", requests_per_min=7)
    records, (rotated, other) = rotate(records, "kitchen", HOUR, NOW)
    assert other != key
    assert (rotated.id, rotated.name, rotated.requests_per_min) == (record.id, "kitchen", 7)
    assert (rotated.sha256, rotated.former_sha256) == (sha256(other), sha256(key))
    assert rotated.former_until == NOW + HOUR
    records, (again, _) = rotate(records, "kitchen", timedelta(), NOW)
    assert (again.former_sha256, again.former_until) == (None, None)


def test_rotate_when_the_key_has_ended_then_it_is_refused() -> None:
    records, (record, _) = created(expires_at=NOW + HOUR)
    with pytest.raises(ConfigurationError, match="is expired; create another one"):
        rotate(records, record.id, HOUR, NOW + HOUR)


def test_revoke_when_a_key_was_rotated_then_its_former_secret_ends_too() -> None:
    records, (record, _) = created()
    records, _ = rotate(records, record.id, HOUR, NOW)
    _, ended = revoke(records, record.id, NOW)
    assert ended.former_sha256 is None


def test_prune_when_the_last_key_for_speech_would_go_then_only_if_that_is_said() -> None:
    records, (record, _) = created()
    records, (admin, _) = created(records, role=Role.ADMIN)
    records, _ = revoke(records, record.id, NOW)
    assert has_speech(records)
    with pytest.raises(ConfigurationError, match="--open"):
        prune(records, NOW, may_open=False)
    kept, gone = prune(records, NOW, may_open=True)
    assert kept == (admin,)
    assert [each.id for each in gone] == [record.id]


def test_prune_when_a_live_key_for_speech_is_left_then_those_that_ended_go() -> None:
    records, (record, _) = created()
    records, (other, _) = created(records, expires_at=NOW + HOUR)
    kept, gone = prune(records, NOW + HOUR, may_open=False)
    assert (kept, [each.id for each in gone]) == ((record,), [other.id])


@pytest.mark.parametrize("by", ["id", "name", "key"])
def test_find_when_named_in_any_way_then_the_same_record(by: str) -> None:
    records, (record, key) = created(name="kitchen")
    assert find_record(records, {"id": record.id, "name": "kitchen", "key": key}[by], NOW) == record


def test_find_when_nothing_is_meant_then_the_message_quotes_no_key() -> None:
    _, (_, key) = created()
    for wanted in (key, f" {key}", key[:-1], "x" * 200):
        with pytest.raises(ConfigurationError) as caught:
            find_record((), wanted, NOW)
        assert key[17:30] not in caught.value.message
        assert "x" * 100 not in caught.value.message


def test_find_when_several_ended_keys_have_the_name_then_an_id_is_asked_for() -> None:
    records: Records = ()
    for _ in range(2):
        records, issued = created(records, name="kitchen")
        records, _ = revoke(records, issued.record.id, NOW)
    with pytest.raises(ConfigurationError, match="by its id"):
        find_record(records, "kitchen", NOW)


def test_records_when_written_and_read_then_the_same() -> None:
    records, _ = created(name='Küche "1"', expires_at=NOW + HOUR)
    records, _ = rotate(records, records[0].id, HOUR, NOW)
    records, _ = created(records, role=Role.ADMIN, requests_per_min=0)
    assert parse_records(format_records(records)) == records


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"[]",
        b"{",
        b"\xff",
        b'{"version":2,"keys":[]}',
        b'{"keys":[{"id":"x"}]}',
        b'{"keys":[],"more":1}',
        b'{"keys":[{"id":"0123456789ab","sha256":"SECRET","created_at":"2026-01-02T03:04:05Z"}]}',
        b'{"keys":[{"id":"0123456789ab","sha256":"' + b"0" * 64 + b'","created_at":"2026-01-02T03:04:05"}]}',
    ],
)
def test_parse_when_it_is_something_else_then_an_error_without_its_values(text: bytes) -> None:
    with pytest.raises(ConfigurationError, match="is broken") as caught:
        parse_records(text)
    assert "SECRET" not in caught.value.message


def test_parse_when_an_id_stands_there_twice_then_it_is_refused() -> None:
    records, _ = created()
    with pytest.raises(ConfigurationError, match="twice"):
        parse_records(format_records(records * 2))
