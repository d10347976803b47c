"""Which of several free workers speaks next."""

from __future__ import annotations

from pathlib import Path

import pytest

from appliance.errors import EngineFailedError
from tests.parts.dispatch_rig import DispatchRig, dispatch_rig


async def speaker(rig: DispatchRig, text: str) -> str:
    delivery = rig.ask(text)
    await rig.hear(delivery)
    await rig.idle()
    return delivery.stream.worker


async def test_next_when_several_are_free_then_the_last_to_be_busy_speaks(run_dir: Path) -> None:
    async with dispatch_rig(run_dir, 3) as rig:
        assert len({await speaker(rig, f"Sentence {number}.") for number in range(5)}) == 1


async def test_next_when_the_last_utterance_of_one_failed_then_another_speaks(
    run_dir: Path,
) -> None:
    async with dispatch_rig(run_dir, 2) as rig:
        first = await speaker(rig, "Hello.")
        with pytest.raises(EngineFailedError):
            await speaker(rig, "__FAIL__")
        await rig.idle()
        assert await speaker(rig, "Hello again.") != first
