"""Memory of every process over many requests.

Owns: the section `memory` of the measurements, and its picture.
Refuses to know: how a request is sent, how memory is read.

Four clients ask for short sentences, engines and formats in turns. What is judged is the memory that a
process has for itself (USS): the median of the last quarter's samples less that of the first quarter's,
as the allocator gives pages back and takes them again all the time.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from itertools import cycle, islice
from statistics import median

from loadtests.appliance import running_appliance
from loadtests.chart import line_chart
from loadtests.client import Client, speech_request
from loadtests.figures import Figure
from processes.ttsctl.voice_bench.texts import sentences

REQUESTS = {False: 10_000, True: 1_000}
WARM_UP = 500
STEPS = 20
"""Points of each line in the picture."""
QUARTER = 5
CLIENTS = 4
FORMATS = ("mp3", "wav", "opus", "flac", "aac", "pcm")
VOICES = ("tone-low", "en-us")
MOST_MIB = 1.0
MIB = 1024 * 1024


def run(*, is_short: bool) -> tuple[list[Figure], str]:
    """Measure the section; return its figures and a picture (SVG). Takes minutes, or a quarter of one."""
    requests = REQUESTS[is_short]
    with running_appliance(WORKERS_TONE=1, WORKERS_ESPEAK=1) as appliance:
        asked = _requests()
        with ThreadPoolExecutor(CLIENTS) as threads:
            clients = [Client(appliance.port) for _ in range(CLIENTS)]
            _ask(threads, clients, sorted(islice(asked, WARM_UP), key=_format_of))
            samples = [appliance.memory_bytes()]
            for _ in range(STEPS):
                _ask(threads, clients, list(islice(asked, requests // STEPS)))
                samples.append(appliance.memory_bytes())
            for client in clients:
                client.close()
    lines = {name: [sample[name] / MIB for sample in samples] for name in samples[0]}
    figures = [
        Figure(
            f"{name}, {median(line[:QUARTER]):.1f} MiB at first, growth over {requests:,} requests",
            median(line[-QUARTER:]) - median(line[:QUARTER]),
            "MiB",
            most=MOST_MIB,
        )
        for name, line in lines.items()
    ]
    title = f"Growth of each process's own memory, MiB, over {requests:,} requests"
    return figures, line_chart(
        title, {name: [each - line[0] for each in line] for name, line in lines.items()}
    )


def _requests() -> islice[bytes] | cycle[bytes]:
    """Return requests without end, every engine in every format."""
    pairs = [(voice, name) for name in FORMATS for voice in VOICES]
    texts = islice(sentences(), 997 * len(pairs))
    return cycle([speech_request(text, *pair) for text, pair in zip(texts, cycle(pairs), strict=False)])


def _format_of(request: bytes) -> bytes:
    """Sort the warm-up by format, so that all clients have the largest encoder at the same time in it."""
    return request.rpartition(b'"response_format"')[2]


def _ask(threads: ThreadPoolExecutor, clients: list[Client], requests: list[bytes]) -> None:
    def ask_share(place: int) -> None:
        for request in requests[place :: len(clients)]:
            clients[place].send(request)

    for _ in threads.map(ask_share, range(len(clients))):
        pass
