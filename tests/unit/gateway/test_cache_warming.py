"""What is spoken ahead, and what becomes of it when something fails."""

from __future__ import annotations

import asyncio
import contextlib
import json
from pathlib import Path
from typing import Any

import pytest
from loguru import logger

from appliance.settings import load_settings
from processes.gateway import cache_warming, warm_list
from processes.gateway.__main__ import build_gateway
from processes.gateway.cache_warming import warm
from processes.gateway.warm_list import WarmList, read_warm_file

SECRET = "Nobody is to read this."


async def test_warm_when_a_text_fails_in_an_unknown_way_then_the_next_is_taken_and_the_log_lacks_the_text(
    run_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    both = asyncio.Event()

    def fail(_gateway: object, values: dict[str, Any]) -> None:
        asked.append(values["input"])
        if len(asked) == 2:
            both.set()
        raise RuntimeError(values["input"])

    monkeypatch.setattr(cache_warming, "check_speech", fail)
    environ = {"APPLIANCE_RUN_DIR": str(run_dir), "APPLIANCE_DATA_DIR": str(run_dir)}
    gateway = await asyncio.to_thread(lambda: build_gateway(load_settings(environ)))
    gateway.warm_list.want([{"input": SECRET}, {"input": "Next."}])
    logged: list[str] = []
    sink = logger.add(lambda message: logged.append(f"{message.record['message']} {message.record['extra']}"))
    warming = asyncio.create_task(warm(gateway))
    await asyncio.wait_for(both.wait(), 30)
    warming.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await warming
    logger.remove(sink)
    assert asked == [SECRET, "Next."]
    assert gateway.warm_list.failed == 2
    assert logged == ["cache_warming_crashed {'error': 'RuntimeError'}"] * 2


def test_list_when_a_line_is_nested_too_deep_then_the_others_are_taken(tmp_path: Path) -> None:
    path = tmp_path / "list.jsonl"
    path.write_text("[" * 100_000 + "\n" + json.dumps({"input": "Well."}), "utf-8")
    assert read_warm_file(path) == [{"input": "Well."}]


async def test_list_when_it_is_longer_than_is_taken_then_that_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "list.jsonl"
    lines = [json.dumps({"input": f"Number {number}."}) + "\n" for number in range(5)]
    await asyncio.to_thread(path.write_text, "".join(lines), "utf-8")
    monkeypatch.setattr(warm_list, "MAX_FILE_BYTES", len("".join(lines[:4])) + 3)  # cuts the last line
    monkeypatch.setattr(warm_list, "MAX_WANTED", 3)
    logged: list[tuple[str, str]] = []

    def log(message: Any) -> None:
        logged.append((message.record["message"], message.record["extra"]["reason"]))

    sink = logger.add(log)
    wanted = WarmList(path)
    await wanted.load()
    logger.remove(sink)
    assert wanted.waiting == 3
    assert (await wanted.next())["input"] == "Number 0."
    assert logged == [
        ("cache_warm_file_cut", f"longer than {warm_list.MAX_FILE_BYTES} bytes"),
        ("cache_warm_file_cut", "1 requests more than may wait"),
    ]
