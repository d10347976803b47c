"""A full-size VITS voice with random weights on one core, beside Coqui's own server.

Owns: the section `neural` of the measurements: its order, its figures, their bounds.
Refuses to know: how anything is asked or read.

Whatever is measured runs on core 0, the clients on the others. The appliance and Coqui's server take turns,
so that both share the machine's good and bad moments.
"""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from itertools import cycle, islice
from pathlib import Path
from statistics import mean, median

from loadtests.appliance import Appliance, on_cores
from loadtests.client import Client, speech_request
from loadtests.exchange import Ending, Outcome
from loadtests.figures import Figure
from loadtests.neural import crowds, processes, voices, windows
from loadtests.neural.alone import CORE, one_core, other_cores
from loadtests.neural.coqui_server import running_coqui_server
from loadtests.samples import percentile
from loadtests.texts import SENTENCE_40, SENTENCE_150, SENTENCE_400, sentences

ROUNDS = {False: 7, True: 2}
REQUESTS = 3
"""Of the appliance for one of tts-server, in each round."""
FIRST_AUDIO_ROUNDS = {False: 20, True: 5}
LISTENERS = 4
LISTEN_S = {False: 420.0, True: 60.0}
STRETCH = 10
CROWD = 8
CROWD_ROUNDS = {False: 12, True: 3}
STARTS = {False: 7, True: 3}
TEXTS = {False: 5, True: 2}
UTTERANCES = {False: 5_000, True: 1_000}
STEPS = 20
QUARTER = 5
IDLE_S = 3.0
SAMPLE_S = 0.5
MOST_CPU = 1 / 3.5
MOST_FIRST_MS = {150: 250.0, 400: 300.0}
FP32_DIFFERENCE = 1e-6
WARM_UP = 2
WARM_UP_UTTERANCES = 250
MB, MIB = 1_000_000, 1_048_576


def run(*, is_short: bool) -> list[Figure]:
    """Measure the section; takes half an hour, or six minutes.

    At first two voices are imported, which takes torch and Coqui and can fail as `voices.voice` does.
    """
    for name in (voices.FULL, voices.HUNDRED):
        voices.voice(name)
    with on_cores(other_cores()):
        return [
            *_beside_coqui(is_short=is_short),
            *_four_workers(is_short=is_short),
            *_eight_workers(is_short=is_short),
            *_starts(is_short=is_short),
            *_windows(is_short=is_short),
            *_long_run(is_short=is_short),
        ]


def _beside_coqui(*, is_short: bool) -> list[Figure]:
    """CPU and first audio of one request at a time, in turns with tts-server."""
    with ExitStack() as stack:
        with on_cores({CORE}):
            coqui = stack.enter_context(running_coqui_server(voices.checkpoint(voices.FULL)))
        appliance = stack.enter_context(one_core(WORKERS_VITS=1))
        client = stack.enter_context(Client(appliance.port))
        idle_share = appliance.idle_cpu_share(IDLE_S)
        for _ in range(WARM_UP):
            _ask(client, SENTENCE_150)
        coqui.speak(SENTENCE_40)
        cpu: list[tuple[float, float]] = []
        coqui_first_s: list[float] = []
        for _ in range(ROUNDS[is_short]):
            begun_s = coqui.cpu_s()
            coqui_first_s.append(coqui.speak(SENTENCE_150))
            coqui_s = coqui.cpu_s() - begun_s
            cpu.append((coqui_s, _request_cpu_s(appliance, client, idle_share)))
        first_s = {
            chars: [_ask(client, text) for _ in range(FIRST_AUDIO_ROUNDS[is_short])]
            for chars, text in ((150, SENTENCE_150), (400, SENTENCE_400))
        }
        memory = coqui.shared_out_bytes()
    return [*_cpu_figures(cpu), *_first_audio_figures(coqui_first_s, first_s), _coqui_memory(memory)]


def _ask(client: Client, text: str) -> float:
    """Return the seconds to the first byte of audio; takes the whole answer."""
    return client.send(speech_request(text, voices.FULL, "pcm")).first_byte_s


def _request_cpu_s(appliance: Appliance, client: Client, idle_share: float) -> float:
    begun_s, begun_cpu_s = time.perf_counter(), appliance.cpu_s()
    for _ in range(REQUESTS):
        _ask(client, SENTENCE_150)
    idle_s = idle_share * (time.perf_counter() - begun_s)
    return (appliance.cpu_s() - begun_cpu_s - idle_s) / REQUESTS


def _cpu_figures(cpu: Sequence[tuple[float, float]]) -> Iterator[Figure]:
    coqui_s, ours_s = zip(*cpu, strict=True)
    yield Figure("tts-server, CPU of 150 characters", median(coqui_s), "s", min(coqui_s))
    yield Figure("appliance, CPU of 150 characters", median(ours_s), "s", min(ours_s))
    ratios = [ours / coqui for coqui, ours in cpu]
    yield Figure("appliance ÷ tts-server", median(ratios), "×", min(ours_s) / min(coqui_s), most=MOST_CPU)


def _first_audio_figures(
    coqui_s: Sequence[float], first_s: Mapping[int, Sequence[float]]
) -> Iterator[Figure]:
    yield Figure("tts-server, first audio of 150 characters, idle", median(coqui_s), "s", min(coqui_s))
    for chars, taken_s in first_s.items():
        name = f"first audio of {chars} characters, idle"
        yield Figure(name, 1000 * median(taken_s), "ms", 1000 * min(taken_s), most=MOST_FIRST_MS[chars])


def _coqui_memory(used_bytes: int) -> Figure:
    return Figure("tts-server, memory (PSS) after that", used_bytes / MB, "MB")


def _four_workers(*, is_short: bool) -> list[Figure]:
    """Listeners, and the memory of all processes before and meanwhile."""
    with one_core(WORKERS_VITS=LISTENERS) as appliance:
        idle_bytes = appliance.shared_out_bytes()
        ended = threading.Event()
        with ThreadPoolExecutor(1) as threads:
            largest = threads.submit(crowds.until, ended, appliance.shared_out_bytes, SAMPLE_S)
            try:
                heard = crowds.listen(appliance.port, voices.FULL, LISTENERS, LISTEN_S[is_short])
            finally:
                ended.set()
        used = appliance.memory_bytes()
    workers = sorted(own for name, own in used.items() if name.startswith("worker-"))
    gaps = [outcome.gap_s > 0 for outcome in heard]
    return [
        _p90(f"{LISTENERS} listeners, p90 first audio of {len(heard)}", _stretches(heard), most=500),
        Figure(f"{LISTENERS} listeners, sound stood still", 100 * mean(gaps), "%", most=2),
        _failed(f"{LISTENERS} listeners, failed", heard),
        Figure(f"{LISTENERS} workers, memory (PSS) of all processes, idle", idle_bytes / MB, "MB", most=700),
        Figure("the same under load, the most of all samples", largest.result() / MB, "MB", most=700),
        Figure("private memory (USS) of a further worker", median(workers) / MB, "MB", most=80),
    ]


def _eight_workers(*, is_short: bool) -> list[Figure]:
    """Short requests at one moment, each of another client."""
    with one_core(WORKERS_VITS=CROWD) as appliance:
        crowds.at_once(appliance.port, voices.FULL, SENTENCE_40, CROWD)
        rounds = [
            crowds.at_once(appliance.port, voices.FULL, SENTENCE_40, CROWD)
            for _ in range(CROWD_ROUNDS[is_short])
        ]
        used_bytes = appliance.shared_out_bytes()
    outcomes = [outcome for each in rounds for outcome in each]
    return [
        _p90(
            f"{CROWD} requests of 40 characters at once, {CROWD} workers, p90 first audio",
            rounds,
            most=1100,
        ),
        _failed("the same, failed", outcomes),
        Figure("memory (PSS) of all processes then", used_bytes / MB, "MB"),
    ]


def _p90(name: str, rounds: Sequence[Sequence[Outcome]], most: float) -> Figure:
    """Judge all rounds together; the best is the best single round."""
    taken_ms = [
        [1000 * outcome.first_audio_s for outcome in outcomes if outcome.first_audio_s is not None]
        for outcomes in rounds
    ]
    best = min(percentile(each, 0.9) for each in taken_ms if each)
    return Figure(name, percentile([each for some in taken_ms for each in some], 0.9), "ms", best, most=most)


def _stretches(heard: Sequence[Outcome]) -> list[Sequence[Outcome]]:
    """Cut a run into stretches of `STRETCH` texts."""
    return [heard[begin : begin + STRETCH] for begin in range(0, len(heard), STRETCH)]


def _failed(name: str, outcomes: Sequence[Outcome]) -> Figure:
    return Figure(name, sum(outcome.ending is not Ending.COMPLETED for outcome in outcomes), "", most=0)


def _starts(*, is_short: bool) -> list[Figure]:
    with on_cores({CORE}):
        taken_s = [
            processes.hello_s(voices.data_dir(voices.FULL), voices.FULL) for _ in range(STARTS[is_short])
        ]
    return [Figure("worker, start to hello", median(taken_s), "s", min(taken_s), most=1)]


def _windows(*, is_short: bool) -> list[Figure]:
    seeds = range(TEXTS[is_short])
    manifest = voices.voice(voices.FULL)
    assert manifest.vits is not None
    chosen = [windows.largest_difference(voices.place(voices.FULL), manifest.vits, seed) for seed in seeds]
    with tempfile.TemporaryDirectory(prefix="bench") as folder:
        windows.export_fp32(voices.checkpoint(voices.FULL), Path(folder))
        plain = [windows.largest_difference(Path(folder), manifest.vits, seed) for seed in seeds]
    most = 0.0 if manifest.variant.startswith("int8") else FP32_DIFFERENCE
    return [
        Figure(f"windowed against whole, {manifest.variant}", 1e6 * max(chosen), "·10⁻⁶", most=1e6 * most),
        Figure("windowed against whole, fp32", 1e6 * max(plain), "·10⁻⁶", most=1e6 * FP32_DIFFERENCE),
    ]


def _long_run(*, is_short: bool) -> list[Figure]:
    """Many utterances over many speakers of a tiny voice, by one worker."""
    speakers = cycle([voice.id for voice in voices.voice(voices.HUNDRED).voices()])
    count = UTTERANCES[is_short]
    with one_core(voices.HUNDRED, WORKERS_VITS=1) as appliance, Client(appliance.port) as client:
        asked = (speech_request(text, next(speakers), "wav") for text in sentences())
        for request in islice(asked, WARM_UP_UTTERANCES):
            client.send(request)
        resident = []
        for _ in range(STEPS):
            for request in islice(asked, count // STEPS):
                client.send(request)
            resident.append(appliance.resident_bytes("worker-vits-1") / MIB)
    growth = median(resident[-QUARTER:]) - median(resident[:QUARTER])
    name = f"{count:,} utterances over 100 speakers (tiny voice), growth of the worker's memory (RSS)"
    return [Figure(name, growth, "MiB", most=2)]
