"""The pronunciation dictionary over HTTP: changed, heard at once, kept."""

from __future__ import annotations

import json
import shutil
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from processes.ttsctl.gateway_socket import ask_json
from tests.parts.appliance import Appliance, eventually, running_appliance
from tests.parts.asked import asked, database_state

PATH = "/admin/dictionary"
ENTRY = {"word": "Nguyen", "spoken": "win", "language": "", "voice": ""}


def sent(appliance: Appliance, method: str, path: str, body: Any = None, status: int = 200) -> dict[str, Any]:
    return dict(ask_json(appliance.run_dir, method, path, body, statuses=(status,)))


@pytest.fixture
def base() -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(prefix="tts-", dir="/tmp"))
    yield path
    shutil.rmtree(path)


@pytest.fixture
def empty(speaking: Appliance) -> Iterator[Appliance]:
    """An appliance whose dictionary is empty, and is emptied again."""
    eventually(lambda: database_state(speaking) == "ok")
    sent(speaking, "PUT", PATH, {"entries": []})
    yield speaking
    sent(speaking, "PUT", PATH, {"entries": []})


def tried(appliance: Appliance, text: str, voice: str = "en-us") -> str:
    found = sent(appliance, "POST", f"{PATH}/try", {"input": text, "voice": voice})
    assert found["voice"] == voice
    return " ".join(found["spoken"])


def test_entries_when_changed_then_listed_and_taken_at_once(empty: Appliance) -> None:
    german = {**ENTRY, "spoken": "Wienn", "language": "de"}
    own = {**ENTRY, "spoken": "wen", "voice": "en-gb"}
    assert sent(empty, "POST", PATH, {"entries": [ENTRY]}) == {"entries": [ENTRY]}
    sent(empty, "POST", PATH, {"entries": [german, own]})
    assert asked(empty, PATH) == {"entries": [ENTRY, own, german]}
    assert tried(empty, "Dr. Nguyen is in.") == "Doctor win is in."
    assert tried(empty, "Nguyen", "de") == "Wienn"
    assert tried(empty, "Nguyen", "en-gb+m3") == "wen"
    sent(empty, "POST", PATH, {"entries": [{**ENTRY, "spoken": "nwin"}]})
    assert tried(empty, "Nguyen") == "nwin"
    assert sent(empty, "DELETE", f"{PATH}?word=Nguyen&language=de") == {"removed": 1}
    assert sent(empty, "DELETE", f"{PATH}?word=Nguyen&language=de") == {"removed": 0}
    assert tried(empty, "Nguyen", "de") == "nwin"


def test_list_when_imported_elsewhere_then_the_same_entries(empty: Appliance) -> None:
    sent(empty, "POST", PATH, {"entries": [ENTRY, {**ENTRY, "word": "C++", "spoken": "see plus plus"}]})
    exported = asked(empty, PATH)
    sent(empty, "PUT", PATH, {"entries": [{"word": "other", "spoken": "udder"}]})
    assert tried(empty, "Nguyen, other") == "Nguyen, udder"
    assert sent(empty, "PUT", PATH, exported) == exported
    assert tried(empty, "Nguyen, other") == "win, other"


@pytest.mark.parametrize(
    "entry",
    [
        {"word": "", "spoken": "x"},
        {"word": "→", "spoken": "x"},
        {"word": "x", "spoken": "..."},
        {"word": "x"},
        {"word": "x" * 101, "spoken": "x"},
        {"word": "x", "spoken": "a\nb"},
        {"word": "x", "spoken": "\ud800x"},
        {"word": "x", "spoken": "y", "language": "../en"},
        {"word": "x", "spoken": "y", "ipa": "z"},
        {"word": 5, "spoken": "y"},
        "x",
    ],
)
def test_entry_when_it_is_none_then_refused_and_nothing_has_changed(empty: Appliance, entry: Any) -> None:
    sent(empty, "POST", PATH, {"entries": [ENTRY]})
    answer = sent(empty, "PUT", PATH, {"entries": [entry]}, 400)
    assert (answer["error"]["code"], answer["error"]["param"]) == ("invalid_value", "entries")
    assert asked(empty, PATH) == {"entries": [ENTRY]}


def test_dictionary_when_full_then_one_more_is_refused(empty: Appliance) -> None:
    entries = [{"word": f"w{number}", "spoken": "x"} for number in range(2_000)]
    assert len(sent(empty, "PUT", PATH, {"entries": entries})["entries"]) == 2_000
    sent(empty, "POST", PATH, {"entries": [{"word": "w0", "spoken": "y"}]})
    assert sent(empty, "POST", PATH, {"entries": [ENTRY]}, 400)["error"]["param"] == "entries"


def test_dictionary_when_full_of_long_entries_then_what_it_exports_is_taken_in_again(
    empty: Appliance,
) -> None:
    entries = [{**ENTRY, "word": f"{number:04} {'ш' * 95}", "spoken": "ш" * 300} for number in range(2_000)]
    exported = sent(empty, "PUT", PATH, {"entries": entries})
    assert sent(empty, "PUT", PATH, exported) == exported


def heard(appliance: Appliance) -> tuple[str, int]:
    """Whether an answer was kept, and the bytes of its audio."""
    body = {"input": "A kept word about Nguyen.", "voice": "tone-low", "response_format": "wav"}
    question = urllib.request.Request(
        f"{appliance.base_url}/v1/audio/speech",
        json.dumps(body).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(question, timeout=30) as answer:
        return answer.headers["X-Cache"], len(answer.read())


def test_kept_answer_when_a_word_of_it_changes_then_spoken_anew_also_after_a_start(
    base: Path,
) -> None:
    with running_appliance(base, CACHE_SPEECH="true", VOICES_DEFAULT="tone-low") as appliance:
        eventually(lambda: database_state(appliance) == "ok")
        before = heard(appliance)[1]
        assert heard(appliance) == ("hit", before)
        sent(appliance, "POST", PATH, {"entries": [{**ENTRY, "spoken": "a much longer thing to say"}]})
        kind, after = heard(appliance)
        assert kind == "miss"
        assert after > 1.2 * before
        sent(appliance, "POST", PATH, {"entries": [{"word": "other", "spoken": "x", "language": "de"}]})
        assert heard(appliance) == ("hit", after)
    with running_appliance(base, CACHE_SPEECH="true", VOICES_DEFAULT="tone-low") as appliance:
        eventually(lambda: len(asked(appliance, PATH)["entries"]) == 2)
        assert heard(appliance)[1] == after
        assert sent(appliance, "DELETE", f"{PATH}?word=Nguyen") == {"removed": 1}
        assert heard(appliance)[1] == before


def test_dictionary_when_asked_for_without_an_admin_key_then_it_is_not_there(empty: Appliance) -> None:
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(f"{empty.base_url}{PATH}", timeout=10)
    assert caught.value.code == 404
    caught.value.close()
