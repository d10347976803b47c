"""Workers that are replaced or killed while something of theirs is still on its way."""

from __future__ import annotations

import asyncio
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from appliance.ipc.messages import Audio, Done
from appliance.ipc.stream_channel import StreamChannel
from appliance.speech import PcmChunk
from processes.gateway.worker_link import WorkerLink, WorkerState
from tests.parts.dispatch_rig import dispatch_rig, wanted_pcm
from tests.parts.worker_link import WorkerProcess

TEXT = "A sentence whose worker is replaced."


@contextmanager
def group_leader() -> Iterator[subprocess.Popen[bytes]]:
    """A process that leads a group of its own and does nothing."""
    with subprocess.Popen(["sleep", "60"], process_group=0) as process:
        yield process
        process.kill()


async def opened_channel(sock: socket.socket) -> tuple[StreamChannel, asyncio.Event]:
    """The gateway's end of a connection, and what is set once that has ended."""
    ended = asyncio.Event()
    channel = StreamChannel(
        lambda _: None, lambda _channel, _message: None, lambda _channel, _error: ended.set()
    )
    await asyncio.get_running_loop().create_connection(lambda: channel, sock=sock)
    return channel, ended


async def test_kill_when_the_worker_is_gone_and_its_number_is_anothers_then_the_other_lives() -> None:
    here, there = socket.socketpair()
    with there, ExitStack() as owned:
        channel, ended = await opened_channel(here)
        worker = owned.enter_context(group_leader())
        link = WorkerLink(channel, worker.pid)
        worker.kill()
        worker.wait()
        stranger = owned.enter_context(group_leader())
        link.pid = stranger.pid  # as if the kernel had given the number away
        link.kill("hung")
        await ended.wait()
        assert stranger.poll() is None


async def test_worker_when_another_takes_its_name_then_its_late_frames_count_for_nothing(
    run_dir: Path,
) -> None:
    async with dispatch_rig(run_dir, 1, cores=1, APPLIANCE_TONE_DELAY_S="30") as rig:
        (old,) = rig.pool.links()
        hearing = asyncio.ensure_future(rig.hear(rig.ask(TEXT)))
        await rig.until(lambda: old.ticket is not None)
        assert old.ticket is not None
        late_id = old.ticket.utterance_id
        with WorkerProcess(run_dir, APPLIANCE_TONE_HOOKS="true"):
            await rig.until(lambda: any(link is not old for link in rig.pool.links()))
            last = PcmChunk(b"\x01\x00", 22_050, is_last=True, ends_window=True)
            rig.dispatcher.audio_came(old, Audio(late_id, last))
            rig.dispatcher.utterance_ended(old, Done(late_id, 0.1, 0))
            assert old.state is WorkerState.HUNG
            assert await hearing == [wanted_pcm(TEXT)]
            assert rig.counted("tts_stale_frames_total") == 2
            assert await rig.hear(rig.ask("The next one.")) == [wanted_pcm("The next one.")]
