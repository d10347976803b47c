"""What the gateway's handlers share: one object, made at start, passed by the application.

Owns: nothing but the references.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from datetime import UTC, datetime

from aiohttp import web

from appliance.metrics import GatewayMetrics
from appliance.settings import Settings
from appliance.voices import VoiceCatalog
from processes.gateway.access import AccessRules
from processes.gateway.dispatch import Dispatcher
from processes.gateway.encoding import EncoderThreads
from processes.gateway.imports import Imports
from processes.gateway.kept_audio import KeptAudio
from processes.gateway.models import ModelList
from processes.gateway.pool import WorkerPool
from processes.gateway.probe import Prober
from processes.gateway.record import RequestLedger

STARTING_S = 30.0
"""Seconds that engines may take to get warm before their absence counts."""


@dataclass(frozen=True, slots=True)
class Gateway:
    """The parts of a running gateway."""

    settings: Settings
    metrics: GatewayMetrics
    access: AccessRules
    catalog: VoiceCatalog
    models: ModelList
    pool: WorkerPool
    dispatcher: Dispatcher
    ledger: RequestLedger
    threads: EncoderThreads
    kept_audio: KeptAudio
    prober: Prober
    imports: Imports
    since: datetime = field(default_factory=lambda: datetime.now(UTC))
    started_at_s: float = field(default_factory=time.monotonic)

    @property
    def is_young(self) -> bool:
        """Whether it has started so short a time ago that what isn't there may just not be there yet."""
        return time.monotonic() - self.started_at_s < STARTING_S


GATEWAY_KEY = web.AppKey("gateway", Gateway)
