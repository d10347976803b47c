"""One run of the load test: whom it asks, with which voices, addresses and keys, and what it has measured.

Owns: the choice of the next text, voice, format and client identity.
Refuses to know: Locust, limits, when a request is sent.
"""

from __future__ import annotations

import ipaddress
import itertools
import random
import socket
from collections.abc import Iterator, Sequence
from urllib.parse import urlsplit

from loadtests.exchange import Manner, Order, Target, voices_of
from loadtests.samples import Samples
from processes.ttsctl.voice_bench.texts import CHARS_150, SEED, sentences

FORMATS = ("mp3", "mp3", "mp3", "wav", "opus", "pcm", "aac", "flac")
"""mp3 is the default of every client, so it comes oftener."""
MAX_VOICES = 12
TEXT_REPEATS = 4
"""A long text is about 600 characters, 35 s of speech."""
FIRST_HOST = 2
HOSTS_PER_NET = 250
NETS = 250


class LoadRun:
    """What all users of a run share."""

    def __init__(self, url: str, keys: Sequence[str], engine: str, samples: Samples) -> None:
        """Ask for the engine's voices; blocks.

        Args:
            url: Of the appliance.
            keys: API keys that the users take in turns; empty for none.
            engine: Whose voices to use.
            samples: Where results go.

        Raises:
            OSError: The appliance doesn't answer.
            ValueError: It has no voice of this engine.
        """
        self.url = url
        self.is_over = False
        """Set when no request is to begin any more."""
        self.requests = 0
        """That were begun, warm-up included."""
        self.samples = samples
        self._keys = itertools.cycle(keys or [""])
        self._sources = _loopback_addresses() if _is_loopback(url) else itertools.repeat("")
        self._texts = sentences()
        self._chosen = random.Random(SEED)
        voices = voices_of(self.next_target(), engine)
        if not voices:
            message = f"the appliance has no voice of the engine {engine}"
            raise ValueError(message)
        self._voices = voices[:: max(1, len(voices) // MAX_VOICES)][:MAX_VOICES]

    def next_target(self) -> Target:
        """Return the appliance as one more client sees it: with an address or a key of its own."""
        return Target(self.url, next(self._keys), next(self._sources))

    def next_sentence(self) -> Order:
        """Return one sentence in any voice and format."""
        self.requests += 1
        return Order(next(self._texts), self._chosen.choice(self._voices), self._chosen.choice(FORMATS))

    def next_text(self, manner: Manner) -> Order:
        """Return a long text as PCM, of which each sounds different at its beginning."""
        self.requests += 1
        text = " ".join([next(self._texts), *[CHARS_150] * TEXT_REPEATS])
        return Order(text, self._chosen.choice(self._voices), "pcm", manner)


def _is_loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        address = socket.gethostbyname(host)
    except OSError:
        return False
    return ipaddress.ip_address(address).is_loopback


def _loopback_addresses() -> Iterator[str]:
    """Yield 127.0.0.2, 127.0.0.3 … without end; all of 127.0.0.0/8 is this machine on Linux."""
    places = itertools.product(range(NETS), range(FIRST_HOST, FIRST_HOST + HOSTS_PER_NET))
    return itertools.cycle(f"127.0.{net}.{host}" for net, host in places)
