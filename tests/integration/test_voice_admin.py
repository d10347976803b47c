"""Imports as a part of the appliance: begun by its start or over HTTP, told everywhere, harming nobody."""

import functools
import json
import shutil
import tempfile
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest

from appliance.settings import PREFIX
from appliance.voice_imports import IMPORTS_FILE, read_imports, request_import
from appliance.voice_store import VoiceStore
from processes.gateway.fallback import FALLBACK_HEADER
from processes.ttsctl.gateway_socket import ask_json
from processes.ttsctl.outcome import CommandError
from tests.docs.test_env_example import variables
from tests.parts.appliance import Appliance, eventually, running_appliance
from tests.parts.scrape import scrape
from tests.parts.stand_in_coqui import broken_coqui, stand_in_coqui
from tests.parts.stored_voices import put
from tests.parts.ttsctl import run_ttsctl

pytestmark = pytest.mark.timeout(120)
MODEL = "tts_models/en/ljspeech/vits"
HANGS = "tts_models/en/stand-in/hangs"
OFFLINE = "tts_models/en/stand-in/offline"
LEAST_WAV_BYTES = 10_000


@pytest.fixture
def base() -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(prefix="tts-", dir="/tmp"))
    yield path
    shutil.rmtree(path)


@pytest.fixture
def stand_in(base: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Appliance]:
    """An appliance on whose machine the stand-in lies in Coqui's place."""
    monkeypatch.setenv("PYTHONPATH", stand_in_coqui(base / "lib")["PYTHONPATH"])
    with running_appliance(base) as appliance:
        yield appliance


def admin(appliance: Appliance, method: str = "GET", path: str = "", body: dict[str, Any] | None = None):
    return ask_json(appliance.run_dir, method, f"/admin/voices{path}", body, statuses=(200, 202))


def refusal(appliance: Appliance, method: str, path: str, body: dict[str, Any] | None = None) -> str:
    with pytest.raises(CommandError) as refused:
        admin(appliance, method, path, body)
    return refused.value.code


def states(appliance: Appliance) -> dict[str, str]:
    return {entry["model"]: entry["state"] for entry in json.loads(appliance.get("/health"))["imports"]}


def test_start_when_a_wanted_voice_cannot_be_imported_then_said_everywhere_and_all_else_is_well(
    base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", broken_coqui(base / "lib")["PYTHONPATH"])
    with running_appliance(base, WORKERS_ESPEAK=1, WORKERS_TONE=0, VOICES_IMPORT=MODEL) as appliance:
        failed = appliance.wait_for("voice_import_failed", model=MODEL)
        assert (failed["level"], failed["code"]) == ("ERROR", "engine_failed")
        assert "no Coqui on this machine" in failed["message"]
        eventually(lambda: states(appliance) == {MODEL: "failed"})
        eventually(lambda: json.loads(appliance.get("/health"))["status"] == "ok")
        assert scrape(appliance.base_url)["tts_voice_imports", "failed"] == 1
        appliance.wait_until_running()
        shown = run_ttsctl(appliance, "status")
        assert shown.returncode == 0, shown
        assert "failed" in shown.stdout
        assert "no Coqui on this machine" in shown.stdout
        eventually(lambda: "importer" not in appliance.programs())
        assert appliance.supervisorctl("status").returncode == 0
        assert run_ttsctl(appliance, "say", "Hello.", "-o", str(base / "hello.wav")).returncode == 0
        assert "program_degraded" not in {line["event"] for line in appliance.lines}
        assert appliance.stop() == 0


def test_start_with_the_example_when_its_voices_cannot_be_imported_then_ready_and_espeak_speaks_for_them(
    base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the lines of `.env.example` and nothing else, on a machine where no import succeeds."""
    monkeypatch.setenv("PYTHONPATH", broken_coqui(base / "lib")["PYTHONPATH"])
    ours = {name: value for name, value in variables().items() if name.startswith(PREFIX)}
    example = {name.removeprefix(PREFIX): value for name, value in ours.items()}
    with running_appliance(base, WORKERS_ESPEAK=1, WORKERS_TONE=0, **example) as appliance:
        appliance.wait_for("probe_changed", engine="espeak", success=True)
        health = eventually(lambda: json.loads(appliance.get("/health")))
        assert health["status"] == "ok"
        assert [each["model"] for each in health["imports"]] == example["VOICES_IMPORT"].split(",")
        assert json.loads(appliance.get("/health/ready")) == {"status": "ok"}
        assert json.loads(appliance.get("/health/tts"))["engine"] == "espeak"
        for voice, speaker in (
            ("", "en-us"),
            (example["VOICES_DEFAULT"], "en-us"),
            ("pl-mai-female-vits", "pl"),
        ):
            assert heard(appliance, voice) == speaker
        told = {line["event"] for line in appliance.lines}
        assert not told & {"default_voice_missing", "alias_points_nowhere", "fallback_points_nowhere"}


def heard(appliance: Appliance, voice: str) -> str | None:
    """Ask for a voice, or for none; return who has spoken in its place."""
    body = {"input": "Hello.", "response_format": "wav"} | ({"voice": voice} if voice else {})
    url, content = f"{appliance.base_url}/v1/audio/speech", {"Content-Type": "application/json"}
    with urllib.request.urlopen(urllib.request.Request(url, json.dumps(body).encode(), content)) as answer:
        assert len(answer.read()) > LEAST_WAV_BYTES
        speaker: str | None = answer.headers[FALLBACK_HEADER]
        return speaker


def test_import_when_begun_over_http_then_told_and_no_second_one_begins(stand_in: Appliance) -> None:
    assert admin(stand_in, "POST", body={"model": HANGS}) == {"model": HANGS, "state": "waiting"}
    eventually(lambda: states(stand_in) == {HANGS: "downloading"})
    eventually(lambda: scrape(stand_in.base_url)["tts_voice_imports", "downloading"] == 1)
    assert refusal(stand_in, "POST", "", {"model": MODEL}) == "import_busy"
    assert admin(stand_in)["imports"][0]["state"] == "downloading"
    maker = stand_in.program("importer").children()[0]
    assert stand_in.stop() == 0
    assert not psutil.pid_exists(maker.pid)
    assert list((stand_in.base / "data" / "voices").iterdir()) == []


def begun(appliance: Appliance, model: str) -> bool:
    """Ask for an import; say whether it was taken, else it was refused because of another one."""
    try:
        admin(appliance, "POST", body={"model": model})
    except CommandError as refused:
        if refused.code != "import_busy":
            raise
        return False
    return True


def imported(appliance: Appliance) -> list[str]:
    """The models that the importer itself says it has begun with."""
    entries = eventually(lambda: read_imports(appliance.run_dir))
    return [entry.model for entry in entries]


def test_import_when_two_are_asked_for_at_once_then_that_one_is_made_which_was_not_refused(
    stand_in: Appliance,
) -> None:
    models = [HANGS, OFFLINE]
    with ThreadPoolExecutor(len(models)) as threads:
        [*were_taken] = threads.map(functools.partial(begun, stand_in), models)
    assert sorted(were_taken) == [False, True]
    assert imported(stand_in) == [models[were_taken.index(True)]]


def test_import_when_another_is_asked_for_before_it_has_begun_then_that_is_refused_and_nothing_mixed_up(
    stand_in: Appliance,
) -> None:
    assert [begun(stand_in, model) for model in (HANGS, OFFLINE)] == [True, False]
    assert imported(stand_in) == [HANGS]


def test_import_when_no_importer_has_taken_what_was_asked_for_earlier_then_the_next_one_begins(
    stand_in: Appliance,
) -> None:
    request_import(stand_in.run_dir, OFFLINE)
    assert begun(stand_in, HANGS)
    assert imported(stand_in) == [HANGS]


def test_import_when_killed_then_failed_and_the_next_start_cleans_up(stand_in: Appliance) -> None:
    admin(stand_in, "POST", body={"model": HANGS})
    folder = stand_in.base / "data" / "voices"
    eventually(lambda: list(folder.glob(".making-*/half")))
    importer = stand_in.program("importer")
    importer.kill()
    eventually(lambda: states(stand_in) == {HANGS: "failed"})
    eventually(lambda: "importer" not in stand_in.programs())
    assert list(folder.iterdir()) != []
    assert stand_in.stop() == 0
    with running_appliance(stand_in.base) as again:
        assert list(folder.iterdir()) == []
        assert not (again.run_dir / IMPORTS_FILE).exists()
        assert states(again) == {}


def test_import_when_the_last_one_has_failed_then_the_next_one_can_begin(stand_in: Appliance) -> None:
    first, second = (f"tts_models/en/stand-in/{kind}" for kind in ("absent", "terms"))
    admin(stand_in, "POST", body={"model": first})
    eventually(lambda: states(stand_in) == {first: "failed"})
    admin(stand_in, "POST", body={"model": second})
    eventually(lambda: states(stand_in) == {second: "failed"})


@pytest.mark.parametrize(
    "model", ["/etc/passwd", "../voices", "tts_models/../../x", "", 7, None, ["tts_models/en/ljspeech/vits"]]
)
def test_import_when_a_path_is_named_then_refused_as_a_bad_value(speaking: Appliance, model: object) -> None:
    assert refusal(speaking, "POST", "", {"model": model}) == "invalid_value"


def test_voice_when_removed_then_gone_from_the_store(stand_in: Appliance) -> None:
    store = VoiceStore(stand_in.base / "data")
    put(store, license="CC0", figures={"snr_db": 39.5})
    [listed] = admin(stand_in)["voices"]
    assert (listed["id"], listed["license"], listed["figures"]) == ("amy", "CC0", {"snr_db": 39.5})
    assert (listed["listed"], listed["speakers"], listed["bytes"]) == (False, 0, 7)
    assert admin(stand_in, "DELETE", "/amy") == {"removed": "amy"}
    assert admin(stand_in)["voices"] == []
    stand_in.wait_for("voices_changed")


def test_voice_when_copied_from_another_machine_as_described_then_there_without_a_restart(
    stand_in: Appliance, tmp_path: Path
) -> None:
    """docs/operate/voices.md, "Where memory is short"."""
    put(VoiceStore(tmp_path))
    data = stand_in.base / "data"
    (data / "voices").mkdir(exist_ok=True)
    shutil.copytree(tmp_path / "voices" / "amy", data / "voices" / ".amy")
    assert admin(stand_in)["voices"] == []
    (data / "voices" / ".amy").rename(data / "voices" / "amy")
    shutil.copy(tmp_path / "voices.changed", data)
    stand_in.wait_for("voices_changed")
    assert [voice["id"] for voice in admin(stand_in)["voices"]] == ["amy"]


@pytest.mark.parametrize("voice", ["amy", "..", "%2e%2e%2fconfig", ".hidden", "A"])
def test_voice_when_there_is_none_then_not_found(speaking: Appliance, voice: str) -> None:
    assert refusal(speaking, "DELETE", f"/{voice}") in {"voice_not_found", "not_found", "method_not_allowed"}


def test_admin_voices_when_asked_for_over_tcp_without_a_key_in_force_then_not_there(
    speaking: Appliance,
) -> None:
    with pytest.raises(OSError, match="404"):
        speaking.get("/admin/voices")
