"""Secrets that an appliance meets are found nowhere: not in a log, a file, an answer or an environment.

Row H4 of the security checklist. The secrets are canaries: words that stand for nothing else, sent in every
way in which a client or an operator may send one, also by mistake.
"""

from __future__ import annotations

import contextlib
import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import psutil
import pytest

from tests.parts.appliance import Appliance, eventually
from tests.parts.keys import SPEECH, addresses, ask, create_key
from tests.parts.speaking import HOOKED, asked_locally, stack_is_logged
from tests.parts.ttsctl import run_ttsctl

pytestmark = pytest.mark.timeout(180)
IN_ENVIRONMENT, ADMIN = "CANARY-environment-2f81", "CANARY-admin-77ab"
SENT = {
    "wrong": "CANARY-wrong-c0de",
    "basic": "CANARY-basic-9a9a",
    "query": "CANARY-query-41d1",
    "unreadable": "CANARY-unreadable-e3e3",
    "odd": "CANARY-odd-5b5b",
}
SECRET_FILES = {"admin_key", "http_api_keys"}
VERBS = (
    *(("status", "--json"), ("doctor", "--json"), ("check-config", "--json"), ("keys", "--json"), ("jobs",)),
    *(("backup", "create", "--json"), ("backup", "list"), ("backup", "verify"), ("cache", "stats")),
    *(("voices", "--json"), ("supervisorctl", "status"), ("supervisorctl", "tail", "gateway")),
)


@pytest.fixture
def appliance(run_dir: Path) -> Iterator[Appliance]:
    """One that says and keeps as much as it can."""
    settings = HOOKED | {"CACHE_SPEECH": "true", "LOG_LEVEL": "DEBUG", "LOG_LEDGER_FILE": "ledger.jsonl"}
    secrets: dict[str, Any] = {"HTTP_API_KEYS": IN_ENVIRONMENT, "ADMIN_KEY": ADMIN}
    made = Appliance(run_dir, **settings, **secrets, WORKERS_TONE=2, STORE_HISTORY_TEXT="true")
    with contextlib.closing(made) as appliance:
        appliance.wait_until_ready()
        appliance.wait_until_running()
        yield appliance


def test_canaries_when_sent_in_every_way_then_found_nowhere(
    appliance: Appliance, capfd: pytest.CaptureFixture[str]
) -> None:
    created = [create_key(appliance, "--name", "kitchen"), create_key(appliance, "--role", "admin")]
    answers = [*speaking(appliance, created[0].key), *mistaken(appliance), *asking(appliance, created[1].key)]
    crash(appliance, created[0].key)
    answers += [said for verb in VERBS for said in told(appliance, *verb)]
    rotated = run_ttsctl(appliance, "keys", "rotate", created[0].id, "--keep-old", "1h")
    answers += [rotated.stderr.encode(), *told(appliance, "keys", "revoke", "kitchen")]
    keys = [key for _, key in created] + [rotated.stdout.strip()]
    secrets = [IN_ENVIRONMENT, ADMIN, *SENT.values(), *(key.partition("_")[2][13:] for key in keys)]
    assert all(len(secret) > 12 for secret in secrets)

    process = psutil.Process(appliance.process.pid)
    environments = [
        Path(f"/proc/{each.pid}/environ") for each in (process, *process.children(recursive=True))
    ]
    held = {str(path): path.read_bytes() for path in environments}
    running = kept_files(appliance)
    assert appliance.stop() == 0
    stopped = kept_files(appliance)
    assert any(name.endswith(".sqlite") and "backups" in name for name in stopped)
    output = capfd.readouterr()
    places = {
        **held,
        **running,
        **{f"{name}, afterwards": content for name, content in stopped.items()},
        "log": json.dumps(appliance.lines).encode(),
        "what it wrote beside the log": (output.out + output.err).encode(),
        **{f"answer {number}": answer for number, answer in enumerate(answers)},
    }
    hits = [
        (name, secret) for name, content in places.items() for secret in secrets if secret.encode() in content
    ]
    assert hits == []
    # The search would have found them where they have to be.
    assert len(answers) > 40
    assert b"access_denied" in places["log"]
    assert b'"request_finished"' in places["log"]


def speaking(appliance: Appliance, key: str) -> Iterator[bytes]:
    """What clients with right keys get: audio, jobs, errors."""
    for each in (key, IN_ENVIRONMENT, ADMIN):
        for path, body in (
            ("/v1/audio/speech", SPEECH),
            ("/v1/audio/speech", {"input": ""}),
            ("/v1/audio/speech?text=Hello.&voice=tone-low&format=wav", None),
            ("/v1/jobs", SPEECH),
            ("/v1/jobs", None),
        ):
            answer = ask(appliance, path, each, body=body)
            assert answer.status in (200, 202, 400)
            yield answer.body + str(answer.headers).encode()
    job = json.loads(ask(appliance, "/v1/jobs", key, body=SPEECH).body)["id"]
    eventually(lambda: json.loads(ask(appliance, f"/v1/jobs/{job}", key).body)["state"] == "completed")
    yield ask(appliance, f"/v1/jobs/{job}", key).body


def mistaken(appliance: Appliance) -> Iterator[bytes]:
    """What clients get that send a wrong secret, or one in the wrong place."""
    address = next(addresses)
    for number in range(15):
        answer = ask(appliance, "/v1/audio/speech", SENT["wrong"], body=SPEECH, address=address)
        assert answer.status == (401 if number < 10 else 429)
        yield answer.body + str(answer.headers).encode()
    for headers in (
        {"Authorization": f"Basic {SENT['basic']}"},
        {"Authorization": SENT["basic"]},
        {"Authorization": f"Bearer {SENT['odd']}\xff\xfe"},
        {"X-API-Key": SENT["odd"]},
        {"Cookie": f"key={SENT['odd']}"},
        {"Origin": f"http://{SENT['odd']}.example"},
        {"Host": f"{SENT['odd']}.example"},
        {"X-Request-ID": f"{SENT['odd']} is no id"},
        {"X-Forwarded-For": SENT["odd"]},
    ):
        yield ask(appliance, "/v1/audio/speech", body=SPEECH, headers=headers, address=next(addresses)).body
    for path in (
        f"/v1/audio/speech?text=Hello.&voice=tone-low&api_key={SENT['query']}",
        f"/admin/status?key={SENT['query']}",
        f"/v1/history?key={SENT['query']}",
        f"/{SENT['query']}?key={SENT['query']}",
        f"/health?key={SENT['query']}",
    ):
        for key in ("", IN_ENVIRONMENT, SENT["wrong"]):
            answer = ask(appliance, path, key, address=next(addresses))
            assert answer.status in (200, 401, 404)
            yield str(answer.headers).encode() + answer.body
    with socket.create_connection(("127.0.0.1", appliance.port)) as connection:
        connection.sendall(f"GET / HTTP/1.1\r\nAuthorization Bearer {SENT['unreadable']}\r\n\r\n".encode())
        answered = connection.recv(65_536)
        assert b" 400 " in answered
        yield answered


def asking(appliance: Appliance, admin: str) -> Iterator[bytes]:
    """What operators and their programs read."""
    for path in ("/admin/status", "/admin/keys", "/admin/cache", "/v1/history", "/metrics"):
        for key in (admin, ADMIN):
            answer = ask(appliance, path, key)
            assert answer.status == 200
            yield answer.body
    for path in ("/health", "/health/ready", "/health/tts", "/openapi.json"):
        yield ask(appliance, path).body
    for path in ("/admin/keys", "/health"):
        yield json.dumps(asked_locally(appliance, path)).encode()
    with urlopen(f"{appliance.exporter_url}/metrics", timeout=10) as answer:
        yield answer.read()


def crash(appliance: Appliance, key: str) -> None:
    """Have two workers crash over a request with a key, each with its stack in the log."""
    seen = len(appliance.lines)
    gone = ask(appliance, "/v1/audio/speech", key, body=SPEECH | {"input": "__SEGV__"})
    assert (gone.status, gone.code) == (503, "worker_lost")
    eventually(lambda: stack_is_logged(appliance, "synthesize", seen))


def told(appliance: Appliance, *arguments: str) -> Iterator[bytes]:
    """What a verb of ttsctl says."""
    done = run_ttsctl(appliance, *arguments)
    assert done.returncode in (0, 1, 2), done.stderr
    yield (done.stdout + done.stderr).encode()


def kept_files(appliance: Appliance) -> dict[str, bytes]:
    """Every file below the run and data directories but those that are for secrets."""
    found = {}
    for folder in (appliance.run_dir, appliance.base / "data"):
        for path in folder.rglob("*"):
            is_secret = path.parent == appliance.run_dir / "secrets" and path.name in SECRET_FILES
            with contextlib.suppress(FileNotFoundError):  # a temporary one
                if path.is_file() and not is_secret:
                    found[str(path)] = path.read_bytes()
    return found
