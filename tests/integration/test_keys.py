"""`ttsctl keys` and a running gateway: what is changed is in force at once."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator

import pytest

from tests.parts.appliance import Appliance, eventually, launcher_environment
from tests.parts.keys import SPEECH, addresses, ask, create_key, forget_keys, speak_with
from tests.parts.speaking import asked_locally, counted
from tests.parts.ttsctl import run_ttsctl, run_ttsctl_in

pytestmark = pytest.mark.timeout(120)
LINE = re.compile(r"tts_[0-9a-f]{12}_[\w-]{43}\n")


@pytest.fixture(scope="module")
def started(appliance_factory: Callable[..., Appliance]) -> Appliance:
    made = appliance_factory(VOICES_DEFAULT="tone-low", HEALTH_PROBE_INTERVAL_S=3600)
    made.wait_until_ready()
    return made


@pytest.fixture
def appliance(started: Appliance) -> Iterator[Appliance]:
    yield started
    forget_keys(started)


def test_create_when_the_first_key_is_made_then_from_now_on_nobody_speaks_without_one(
    appliance: Appliance,
) -> None:
    assert speak_with(appliance).status == 200
    made = run_ttsctl(appliance, "keys", "create", "--name", "kitchen")
    assert made.returncode == 0
    assert LINE.fullmatch(made.stdout)
    assert "it can't be shown again" in made.stderr
    assert "nobody speaks without a key" in made.stderr
    assert "Wyoming knows no keys: over it nobody may speak (wyoming.keyless_networks)" in made.stderr
    assert speak_with(appliance).status == 401
    assert speak_with(appliance, made.stdout.strip()).status == 200
    assert ask(appliance, "/v1/audio/voices").status == 200
    again = run_ttsctl(appliance, "keys", "create", "--name", "kitchen")
    assert again.returncode == 1
    assert "called 'kitchen' already" in again.stderr


def test_revoke_when_it_is_the_last_key_then_it_ends_at_once_and_nobody_else_may_speak(
    appliance: Appliance,
) -> None:
    key = create_key(appliance, "--name", "kitchen").key
    assert speak_with(appliance, key).status == 200
    revoked = run_ttsctl(appliance, "keys", "revoke", "kitchen")
    assert (revoked.returncode, "is revoked" in revoked.stdout) == (0, True)
    assert speak_with(appliance, key).status == 401
    assert speak_with(appliance).status == 401
    pruned = run_ttsctl(appliance, "keys", "prune")
    assert (pruned.returncode, "--open" in pruned.stderr) == (1, True)
    assert run_ttsctl(appliance, "keys", "prune", "--open").returncode == 0
    assert speak_with(appliance).status == 200


def test_rotate_when_the_old_secret_is_kept_then_both_work_and_see_the_same_jobs(
    appliance: Appliance,
) -> None:
    old = create_key(appliance)
    other = create_key(appliance)
    job = json.loads(ask(appliance, "/v1/jobs", old.key, body=SPEECH).body)["id"]
    rotated = run_ttsctl(appliance, "keys", "rotate", old.id, "--keep-old", "1h")
    new_key = rotated.stdout.strip()
    assert "the old secret works until" in rotated.stderr
    for key in (old.key, new_key):
        assert speak_with(appliance, key).status == 200
        assert ask(appliance, f"/v1/jobs/{job}", key).status == 200
    assert ask(appliance, f"/v1/jobs/{job}", other.key).status == 404
    last_key = run_ttsctl(appliance, "keys", "rotate", old.id).stdout.strip()
    statuses = [speak_with(appliance, key).status for key in (old.key, new_key, last_key)]
    assert statuses == [401, 401, 200]
    assert ask(appliance, f"/v1/jobs/{job}", last_key).status == 200


def test_create_when_it_is_an_admin_key_then_the_admin_paths_are_there_for_it(appliance: Appliance) -> None:
    assert ask(appliance, "/admin/status", "any").status == 404
    admin = create_key(appliance, "--role", "admin")
    assert speak_with(appliance).status == 200  # it isn't for speech, so nobody needs one
    speech = create_key(appliance)
    statuses = [ask(appliance, "/admin/status", key).status for key in ("", speech.key, admin.key)]
    assert statuses == [401, 401, 200]
    assert speak_with(appliance, admin.key).status == 200


def test_create_when_it_has_a_quota_then_that_key_alone_is_refused_beyond_it(appliance: Appliance) -> None:
    bounded = create_key(appliance, "--requests-per-minute", "2", "--burst", "3")
    free = create_key(appliance)
    statuses = [speak_with(appliance, bounded.key).status for _ in range(3)]
    refused = speak_with(appliance, bounded.key)
    assert (statuses, refused.status, refused.code) == ([200] * 3, 429, "quota")
    assert 1 <= int(refused.headers["Retry-After"]) <= 36
    assert (refused.headers["RateLimit-Limit"], refused.headers["RateLimit-Remaining"]) == ("3", "0")
    assert 60 < int(refused.headers["RateLimit-Reset"]) <= 90
    assert speak_with(appliance, free.key).status == 200


def test_list_when_asked_then_it_says_what_was_used_and_shows_nothing_that_opens_anything(
    appliance: Appliance,
) -> None:
    used = create_key(appliance, "--name", "kitchen", "--expires", "90d", "--requests-per-minute", "60")
    create_key(appliance, "--role", "admin")
    assert speak_with(appliance, used.key).status == 200
    listed = run_ttsctl(appliance, "keys", "--json")
    values = json.loads(listed.stdout)
    first, second = values["keys"]
    assert values["in_force"]
    assert (first["id"], first["name"], first["state"], first["requests"]) == (used.id, "kitchen", "live", 1)
    assert (second["role"], second["requests"], second["last_used_at"]) == ("admin", 0, None)
    shown = run_ttsctl(appliance, "keys", "list").stdout
    assert "kitchen" in shown
    assert "speech needs a key" in shown
    assert "sha256" not in listed.stdout + shown + json.dumps(asked_locally(appliance, "/admin/keys"))


def test_create_when_the_gateway_is_stopped_then_the_key_is_in_force_from_its_start_on(
    appliance: Appliance,
) -> None:
    run_ttsctl(appliance, "supervisorctl", "stop", "gateway")
    try:
        made = run_ttsctl(appliance, "keys", "create")
        listed = run_ttsctl(appliance, "keys", "list", "--json")
    finally:
        run_ttsctl(appliance, "supervisorctl", "start", "gateway")
    assert "no gateway runs" in made.stderr
    assert json.loads(listed.stdout)["keys"][0]["requests"] is None
    eventually(lambda: asked_locally(appliance, "/health").get("worker", {}).get("ready"))
    assert speak_with(appliance).status == 401
    assert speak_with(appliance, made.stdout.strip()).status == 200


def test_file_when_it_is_damaged_then_the_keys_stay_and_when_it_is_back_it_is_taken(
    appliance: Appliance,
) -> None:
    key = create_key(appliance).key
    path = appliance.base / "data" / "keys" / "keys.json"
    whole, seen = path.read_bytes(), len(appliance.lines)
    path.write_bytes(b"{}x")
    try:
        line = appliance.wait_for("keys_not_taken", after=seen)
        assert "is broken" in line["reason"]
        assert speak_with(appliance, key).status == 200
        assert speak_with(appliance).status == 401
        listed = run_ttsctl(appliance, "keys", "list")
        assert (listed.returncode, "is broken" in listed.stderr) == (1, True)
    finally:
        path.write_bytes(whole)
    appliance.wait_for("keys_taken", after=seen)


def test_file_when_nobody_says_that_it_has_changed_then_it_is_taken_all_the_same(
    appliance: Appliance,
) -> None:
    path = appliance.base / "data" / "keys" / "keys.json"
    create_key(appliance)
    with_key = path.read_bytes()
    forget_keys(appliance)
    assert speak_with(appliance).status == 200
    path.write_bytes(with_key)
    eventually(lambda: speak_with(appliance).status == 401)


def test_wrong_keys_when_a_hundred_come_from_one_address_then_ten_are_looked_at_and_others_go_on(
    appliance: Appliance,
) -> None:
    key = create_key(appliance).key
    guesser, other = next(addresses), next(addresses)
    denied = counted(appliance, 'tts_security_denied_total{rule="wrong_keys"}')
    answers = [speak_with(appliance, f"guess-{number}", address=guesser) for number in range(100)]
    statuses = [answer.status for answer in answers]
    assert statuses[:10] == [401] * 10
    looked_at = statuses.count(401)
    assert looked_at <= 20  # ten more would take a minute
    assert statuses.count(429) == 100 - looked_at
    assert answers[-1].code == "too_many_wrong_keys"
    assert 1 <= int(answers[-1].headers["Retry-After"]) <= 8
    assert counted(appliance, 'tts_security_denied_total{rule="wrong_keys"}') == denied + 100 - looked_at
    assert speak_with(appliance, "guess", address=other).status == 401
    assert speak_with(appliance, key, address=other).status == 200
    assert speak_with(appliance, key, address=guesser).status == 200  # nobody guesses such a key
    assert speak_with(appliance, address=guesser).status == 401  # no key is no guess


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["create", "--expires", "soon"], 64),
        (["create", "--expires", "2001-01-01"], 1),
        (["create", "--role", "root"], 64),
        (["create", "--requests-per-minute", "-1"], 64),
        (["create", "--burst", "0"], 64),
        (["create", "--name", "x" * 65], 1),
        (["rotate", "nobody"], 1),
        (["rotate", "nobody", "--keep-old", "1 year"], 64),
        (["rotate", "nobody", "--keep-old", "366d"], 64),
        (["create", "--expires", "999999w"], 64),
        (["revoke", "nobody"], 1),
        (["revoke"], 64),
    ],
)
def test_keys_when_the_command_is_wrong_then_it_says_so_and_makes_nothing(
    run_dir_environment: dict[str, str], arguments: list[str], code: int
) -> None:
    done = run_ttsctl_in(run_dir_environment, "keys", *arguments)
    assert (done.returncode, done.stdout if code == 1 else "") == (code, "")
    assert json.loads(run_ttsctl_in(run_dir_environment, "keys", "--json").stdout)["keys"] == []


def test_keys_when_a_setting_is_wrong_then_78(run_dir_environment: dict[str, str]) -> None:
    done = run_ttsctl_in(run_dir_environment | {"APPLIANCE_HTTP_PORT": "many"}, "keys")
    assert (done.returncode, "http.port" in done.stderr) == (78, True)


@pytest.fixture
def run_dir_environment(run_dir) -> dict[str, str]:
    """Of an appliance that isn't there."""
    return launcher_environment(run_dir)
