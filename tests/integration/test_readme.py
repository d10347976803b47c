"""Every block of the pages that is marked as tested runs as it stands; only the port and the place differ."""

from __future__ import annotations

import contextlib
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import av
import pytest

from tests.parts.appliance import Appliance, eventually, running_appliance
from tests.parts.missing import give_up
from tests.parts.pages import Block, blocks, pages
from tests.parts.scrape import scrape
from tests.parts.speaking import asked_locally

MARKED = [block for page in pages() for block in blocks(page) if block.is_tested]
TESTED = [block for block in MARKED if not block.is_in_order]
IN_ORDER = sorted({block.page for block in MARKED if block.is_in_order})
NAMES = [f"{block.page}-{block.language}-{index}" for index, block in enumerate(TESTED)]
BIN = str(Path(sys.executable).parent)
LIMIT_S = 60
SHELLS = {"sh": ["bash", "-euo", "pipefail", "-c"], "python": [sys.executable, "-c"]}
LEAST_AUDIO_S = 0.05
AUDIO_SUFFIXES = {".mp3", ".opus", ".wav", ".aac", ".flac"}


@contextlib.contextmanager
def started() -> Iterator[Appliance]:
    """An appliance as a newcomer has it."""
    with (
        tempfile.TemporaryDirectory(prefix="tts-", dir="/tmp") as base,
        running_appliance(Path(base), CACHE_SPEECH="true", WORKERS_ESPEAK=1, WORKERS_TONE=0) as appliance,
    ):
        appliance.wait_for("worker_joined")
        appliance.wait_until_running()
        yield appliance


@pytest.fixture(scope="module")
def appliance() -> Iterator[Appliance]:
    with started() as made:
        yield made


@pytest.mark.timeout(LIMIT_S * 2)
@pytest.mark.parametrize("block", TESTED, ids=NAMES)
def test_block_when_run_as_it_stands_then_works(block: Block, appliance: Appliance, tmp_path: Path) -> None:
    run_as_it_stands(block, appliance, tmp_path)


@pytest.mark.timeout(LIMIT_S * 4)
@pytest.mark.parametrize("page", IN_ORDER)
def test_blocks_when_run_one_after_the_other_then_each_works(page: str, tmp_path: Path) -> None:
    """Those that change for whom the appliance speaks, in one of their own."""
    with started() as own:
        for number, block in enumerate(block for block in blocks(page) if block.is_in_order):
            (folder := tmp_path / str(number)).mkdir()
            run_as_it_stands(block, own, folder)


def run_as_it_stands(block: Block, appliance: Appliance, tmp_path: Path) -> None:
    if block.language == "sh" and "curl" in block.text and shutil.which("curl") is None:
        give_up("this machine has no curl")
    eventually(lambda: _is_well(appliance))  # also behind a block that has restarted something
    text = _for_this_place(block.text, appliance)
    done = subprocess.run(
        [*SHELLS[block.language], text],
        cwd=tmp_path,
        env=appliance.environment,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr + done.stdout
    assert not re.search(r'"error":\s*\{', done.stdout)  # a log's line may have one that is null
    for path in tmp_path.iterdir():
        if path.suffix in AUDIO_SUFFIXES:
            assert _audio_s(path) > LEAST_AUDIO_S, path.name
    written = re.findall(r"-o (\S+\.\w+)", text)
    assert {path.name for path in tmp_path.iterdir()} >= set(written)


def _is_well(appliance: Appliance) -> bool:
    """Whether the gateway, its workers and the exporter are there."""
    if asked_locally(appliance, "/health").get("status") != "ok":
        return False
    with contextlib.suppress(OSError):
        return bool(scrape(appliance.exporter_url)["tts_up",])
    return False


def _for_this_place(text: str, appliance: Appliance) -> str:
    places = {
        "http://127.0.0.1:8000": appliance.base_url,
        "http://127.0.0.1:9464": appliance.exporter_url,
        "-c config/supervisord.conf": f"-c {appliance.run_dir}/supervisord.conf",
        ".venv/bin/": f"{BIN}/",
        "--unix-socket run/": f"--unix-socket {appliance.run_dir}/",
        "cp data/": f"cp {appliance.base}/data/",
        "ls -l data ": f"ls -l {appliance.base}/data ",
    }
    for shown, here in places.items():
        text = text.replace(shown, here)
    assert ":8000" not in text
    return text


def _audio_s(path: Path) -> float:
    """Seconds of audio that can be decoded of a file."""
    with av.open(str(path)) as file:
        return sum(frame.samples / frame.sample_rate for frame in file.decode(audio=0))
