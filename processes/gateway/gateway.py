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
from processes.gateway.answer_cache import AnswerCache
from processes.gateway.backups import Backups
from processes.gateway.disk_keeper import DiskKeeper
from processes.gateway.dispatch import Dispatcher
from processes.gateway.encoding import EncoderThreads
from processes.gateway.fallback import Fallbacks
from processes.gateway.imports import Imports
from processes.gateway.job_runner import JobRunner
from processes.gateway.models import ModelList
from processes.gateway.pool import WorkerPool
from processes.gateway.probe import Prober
from processes.gateway.pronunciation_book import PronunciationBook
from processes.gateway.record import RequestLedger
from processes.gateway.request_trace import Tracer
from processes.gateway.store_keeper import StoreKeeper
from processes.gateway.warm_list import WarmList

STARTING_S = 30.0
"""Seconds that engines may take to get warm before their absence counts."""


@dataclass(frozen=True, slots=True)
class Gateway:
    """The parts of a running gateway."""

    settings: Settings
    metrics: GatewayMetrics
    access: AccessRules
    catalog: VoiceCatalog
    fallbacks: Fallbacks
    models: ModelList
    pool: WorkerPool
    dispatcher: Dispatcher
    ledger: RequestLedger
    store: StoreKeeper
    backups: Backups
    disk: DiskKeeper
    threads: EncoderThreads
    answers: AnswerCache
    book: PronunciationBook
    warm_list: WarmList
    prober: Prober
    imports: Imports
    jobs: JobRunner
    tracer: Tracer
    since: datetime = field(default_factory=lambda: datetime.now(UTC))
    started_at_s: float = field(default_factory=time.monotonic)

    @property
    def is_young(self) -> bool:
        """Whether it has started so short a time ago that what isn't there may just not be there yet."""
        return time.monotonic() - self.started_at_s < STARTING_S


GATEWAY_KEY = web.AppKey("gateway", Gateway)
