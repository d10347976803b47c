"""Utterances of jobs with real workers: once at a time, and behind whoever listens."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import pytest

from appliance.errors import EngineFailedError, NoWorkersError, PoisonRequestError
from appliance.settings import DispatchSettings, load_settings
from appliance.voices import VoiceCatalog
from processes.gateway import job_speaker
from processes.gateway.admission import PROBE_CLIENT
from processes.gateway.imports import Imports
from processes.gateway.job_pack import SpokenUtterance
from processes.gateway.job_speaker import JobSpeaker
from processes.gateway.pronunciation_book import PronunciationBook
from processes.gateway.sounds import Sounds
from processes.gateway.ticket import Ticket
from tests.parts.dispatch_rig import PATIENCE_S, DispatchRig, dispatch_rig, wanted_pcm
from tests.parts.rogue import running_rogue
from tests.parts.tickets import make_utterance

RATE_HZ = 22050


async def speaker_of(rig: DispatchRig, cores: int) -> JobSpeaker:
    sounds = await asyncio.to_thread(sounds_of, rig)  # reads files
    return JobSpeaker(rig.dispatcher, rig.pool, sounds, PronunciationBook(), cores, rig.metrics)


def sounds_of(rig: DispatchRig) -> Sounds:
    settings = load_settings({})
    return Sounds(
        settings, rig.pool, Imports(settings, VoiceCatalog({}, "tone-low", {}), rig.pool, rig.metrics)
    )


def speaking(speaker: JobSpeaker, text: str, job_id: str = "a") -> asyncio.Task[SpokenUtterance]:
    utterance = make_utterance(text)
    name = speaker.sounds.utterance_name(utterance)
    return asyncio.create_task(speaker.speak(name, utterance, job_id, RATE_HZ))


async def test_speak_when_jobs_have_equal_utterances_under_way_then_each_is_spoken_once(
    run_dir: Path,
) -> None:
    async with dispatch_rig(run_dir) as rig:
        speaker = await speaker_of(rig, 4)
        texts = ["Chorus.", "Verse.", "Chorus.", "Chorus."]
        tasks = [speaking(speaker, text, job_id) for text in texts for job_id in "ab"]
        spoken = await asyncio.gather(*tasks)
        assert [each.pcm for each in spoken] == [wanted_pcm(text) for text in texts for _ in "ab"]
        assert rig.counted("tts_job_utterances_total") == 2


async def test_speak_when_the_job_that_began_is_stopped_then_the_other_one_gets_its_audio(
    run_dir: Path,
) -> None:
    async with dispatch_rig(run_dir, 1, APPLIANCE_TONE_CHUNK_DELAY_S="0.05") as rig:
        speaker = await speaker_of(rig, 4)
        text = "A sentence that is long enough to be left in its middle."
        first, second = speaking(speaker, text, "a"), speaking(speaker, text, "b")
        await rig.until(lambda: rig.dispatcher.running_count() == 1)
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        assert (await second).pcm == wanted_pcm(text)
        third = speaking(speaker, text)
        await rig.until(lambda: rig.dispatcher.running_count() == 1)
        third.cancel()
        with pytest.raises(asyncio.CancelledError):
            await third
        await rig.idle()
        assert rig.counted("tts_job_utterances_total") == 1


async def test_speak_when_an_engine_fails_or_is_gone_then_every_job_hears_it(run_dir: Path) -> None:
    async with dispatch_rig(run_dir, 1, dispatch=DispatchSettings(outage_limit_s=0.01)) as rig:
        speaker = await speaker_of(rig, 4)
        tasks = [speaking(speaker, "It breaks. __FAIL__", job_id) for job_id in "ab"]
        for task in tasks:
            with pytest.raises(EngineFailedError):
                await task
        speaker.check("tone")
        rig.workers[0].signal(signal.SIGKILL)
        await rig.until(lambda: rig.dispatcher.admission.is_without_workers("tone"))
        with pytest.raises(NoWorkersError):
            speaker.check("tone")
        with pytest.raises(NoWorkersError):
            await speaking(speaker, "Nobody is there.")


async def test_speak_when_a_text_kills_its_workers_then_the_job_fails_on_it_and_a_retry_costs_none(
    run_dir: Path,
) -> None:
    async with dispatch_rig(run_dir, 3) as rig:
        speaker = await speaker_of(rig, 4)
        for job_id in ("a", "a", "b"):
            with pytest.raises(PoisonRequestError):
                await speaking(speaker, "Poison __EXIT_0__ text.", job_id)
        assert rig.counted("tts_worker_exits_total", cause="lost") == 2
        assert (await speaking(speaker, "Harmless.")).pcm == wanted_pcm("Harmless.")


async def test_speak_when_jobs_keep_every_worker_busy_then_a_listener_is_next(run_dir: Path) -> None:
    """The order in which workers get something to do tells it, whatever time that takes."""
    async with dispatch_rig(run_dir, 2, cores=2, APPLIANCE_TONE_DELAY_S="0.05") as rig:
        speaker = await speaker_of(rig, 2)
        tasks = [
            speaking(speaker, f"Number {number} of job {job_id}.", job_id)
            for number in range(8)
            for job_id in "ab"
        ]
        await rig.until(lambda: rig.dispatcher.running_count() == 2)
        begun: list[Ticket] = []

        def has_person_begun() -> bool:
            tickets = [link.ticket for link in rig.pool.links() if link.ticket is not None]
            begun.extend(ticket for ticket in tickets if ticket not in begun)
            return any(ticket.stream is person.stream for ticket in begun)

        person = rig.ask("I listen.", client="person")
        assert not has_person_begun()
        hearing = asyncio.create_task(rig.hear(person))
        await rig.until(has_person_begun)
        assert [ticket.stream is person.stream for ticket in begun] == [False, False, True]
        assert await hearing == [wanted_pcm("I listen.")]
        assert len(await asyncio.gather(*tasks)) == 16


async def test_speak_when_somebody_has_just_listened_then_jobs_leave_a_worker_until_it_is_quiet(
    run_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with dispatch_rig(run_dir, 2, cores=2, APPLIANCE_TONE_DELAY_S="0.02") as rig:
        speaker = await speaker_of(rig, 2)

        async def most_busy(job_id: str) -> int:
            tasks = [speaking(speaker, f"Number {number}.", job_id) for number in range(8)]
            seen: list[int] = []

            def is_over() -> bool:
                tickets = [link.ticket for link in rig.pool.links() if link.ticket is not None]
                seen.append(sum(not ticket.has_last for ticket in tickets))
                return all(task.done() for task in tasks)

            await rig.until(is_over)
            await asyncio.gather(*tasks)
            return max(seen)

        assert await most_busy("a") == 2
        await rig.hear(rig.ask("I listen.", client="person"))
        assert await most_busy("b") == 1
        monkeypatch.setattr(job_speaker, "QUIET_S", 0.0)
        assert await most_busy("c") == 2


class Watched:
    """What happens to a job's utterance while somebody waits for a first sound."""

    def __init__(self, rig: DispatchRig, speaker: JobSpeaker) -> None:
        self.rig, self.speaker = rig, speaker
        self.seen: list[tuple[bool, int]] = []
        """Whether the person had heard something, and how many workers were busy, again and again."""

    async def watch(self) -> None:
        """Let a person ask, hand in an utterance of a job meanwhile, and wait until both are over."""
        person = self.rig.ask("I listen.", client="person")
        hearing = asyncio.create_task(self.rig.hear(person))
        await self.rig.until(lambda: self.rig.dispatcher.running_count() == 1)
        job = speaking(self.speaker, "It can wait.")

        def is_over() -> bool:
            self.seen.append(
                (person.stream.first_audio_at_s is not None, self.rig.dispatcher.running_count())
            )
            return job.done()

        await self.rig.until(is_over)
        await asyncio.gather(hearing, job)

    def most_busy(self, *, is_heard: bool) -> int:
        return max((running for heard, running in self.seen if heard is is_heard), default=0)


async def test_speak_when_somebody_waits_for_a_first_sound_then_jobs_begin_nothing_until_it_has_come(
    run_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On two cores: one for the sentence, one for what is between it and the listener."""
    monkeypatch.setattr(job_speaker, "STEP_BACK_S", PATIENCE_S)
    monkeypatch.setattr(job_speaker, "JUST_HEARD_S", 0.05)
    async with dispatch_rig(run_dir, 3, cores=2, APPLIANCE_TONE_DELAY_S="0.1") as rig:
        watched = Watched(rig, await speaker_of(rig, 2))
        await watched.watch()
        assert watched.most_busy(is_heard=False) == 1
        heard_s = rig.dispatcher.admission.unheard_s()
        assert heard_s >= job_speaker.JUST_HEARD_S + 0.1  # after which it was spoken, for 0.1 s


async def test_speak_when_a_core_is_to_spare_then_jobs_do_not_step_back(
    run_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job_speaker, "STEP_BACK_S", PATIENCE_S)
    async with dispatch_rig(run_dir, 3, cores=4, APPLIANCE_TONE_DELAY_S="0.3") as rig:
        watched = Watched(rig, await speaker_of(rig, 4))
        await watched.watch()
        assert watched.most_busy(is_heard=False) == 2


async def test_speak_when_only_a_probe_waits_then_jobs_do_not_step_back(
    run_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job_speaker, "STEP_BACK_S", PATIENCE_S)
    async with dispatch_rig(run_dir, 2, cores=1) as rig:
        speaker = await speaker_of(rig, 1)
        probing = asyncio.create_task(rig.hear(rig.ask("__HANG__ Probe.", client=PROBE_CLIENT)))
        await rig.until(lambda: rig.dispatcher.running_count() == 1)
        assert (await speaking(speaker, "It goes on.")).pcm == wanted_pcm("It goes on.")
        probing.cancel()


async def test_speak_when_somebody_waits_longer_than_a_job_steps_back_then_the_job_goes_on(
    run_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job_speaker, "STEP_BACK_S", 0.05)
    async with dispatch_rig(run_dir, 2, cores=2) as rig:
        speaker = await speaker_of(rig, 2)
        person = rig.ask("__HANG__ I listen.", client="person")
        hearing = asyncio.create_task(rig.hear(person))
        await rig.until(lambda: rig.dispatcher.running_count() == 1)
        assert (await speaking(speaker, "It can't wait.")).pcm == wanted_pcm("It can't wait.")
        assert person.stream.first_audio_at_s is None
        hearing.cancel()


async def test_name_when_workers_with_other_sources_are_there_then_there_is_none(run_dir: Path) -> None:
    async with dispatch_rig(run_dir, 1) as rig:
        sounds = await asyncio.to_thread(sounds_of, rig)
        utterance = make_utterance("Hello.")
        name = sounds.utterance_name(utterance)
        with running_rogue(run_dir, "behaves"):
            await rig.until(lambda: len(rig.pool.links()) == 2)
            assert sounds.utterance_name(utterance) == ""
            rig.workers[0].signal(signal.SIGKILL)
            await rig.until(lambda: len(rig.pool.links()) == 1)
            others = sounds.utterance_name(utterance)
    assert len({name, others, ""}) == 3


async def test_step_back_when_somebody_waits_for_a_first_sound_then_encoding_waits_until_it_has_come(
    run_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job_speaker, "STEP_BACK_S", PATIENCE_S)
    async with dispatch_rig(run_dir, 1, cores=2, APPLIANCE_TONE_DELAY_S="0.1") as rig:
        speaker = await speaker_of(rig, 2)
        person = rig.ask("I listen.", client="person")
        hearing = asyncio.create_task(rig.hear(person))
        await rig.until(lambda: rig.dispatcher.running_count() == 1)
        assert speaker.is_awaited()
        await speaker.step_back()
        assert person.stream.first_audio_at_s is not None
        assert not speaker.is_awaited()
        await hearing


async def test_step_back_when_the_first_sound_does_not_come_then_encoding_goes_on(
    run_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job_speaker, "STEP_BACK_S", 0.05)
    async with dispatch_rig(run_dir, 1, cores=2) as rig:
        speaker = await speaker_of(rig, 2)
        hearing = asyncio.create_task(rig.hear(rig.ask("__HANG__ I listen.", client="person")))
        await rig.until(lambda: rig.dispatcher.running_count() == 1)
        await speaker.step_back()
        assert speaker.is_awaited()
        hearing.cancel()
