"""The import of voices as the gateway sees it: how it stands, how it is begun, what follows from it.

Owns: looking at what importers here and beside it have told, and at the store and what has changed there; the
importer's start.
Refuses to know: how a voice is imported; requests and answers (`voice_admin`).

Workers name their voices when they join, and the mark that the store had then. So when a voice has come or
gone, those with an older mark are replaced one after the other, and the next ones name it: also after a
restart of the gateway, which workers outlive.
"""

from __future__ import annotations

import asyncio
import hashlib
import threading
import time
import xmlrpc.client
from collections import Counter
from collections.abc import Callable
from typing import Any

from loguru import logger

from appliance.import_errors import ImportBusyError, ImporterUnreachableError
from appliance.imports_beside import read_all_imports
from appliance.metrics import IMPORT_STATES, GatewayMetrics
from appliance.settings import Settings
from appliance.unix_calls import RPC_ERRORS, supervisor_rpc
from appliance.voice_imports import (
    VoiceImport,
    is_requested,
    provide_importer,
    read_imports,
    request_import,
    take_request,
)
from appliance.voice_store import VoiceManifest, VoiceStore
from appliance.voices import VoiceCatalog
from appliance.watched import ONE_SHOT_PROGRAM
from processes.gateway.pool import WorkerPool

LOOK_S = 1.0
"""Seconds between two looks."""
STORE_ENGINES = ("vits", "coqui")
"""Engines whose voices lie in the store."""
ALREADY_ADDED = 90
ALREADY_STARTED = 60
BAD_NAME = 10
"""supervisord's faults: it knows the program already; it runs; it knows none. Source: supervisor.xmlrpc."""
ENDING_FAULTS = (ALREADY_STARTED, BAD_NAME)
"""What it says of an importer that is about to end, or that the watchdog has just had it forget."""
ENDING_S = 3.0
"""Seconds that an importer has to end after it has told how its work ended."""
ENDING_LOOK_S = 0.1
COMING_STATES = ("STARTING", "RUNNING")
"""Of supervisord: in these the importer may still take what is asked for, as before its first start."""


class Imports:
    """What was imported, and what is being imported."""

    def __init__(
        self, settings: Settings, catalog: VoiceCatalog, pool: WorkerPool, metrics: GatewayMetrics
    ) -> None:
        """Look once; blocks for the disk.

        Args:
            settings: Name the folders.
            catalog: Loses a voice that is removed, at once.
            pool: Its workers are replaced when a voice has come or gone.
            metrics: Where states are counted.
        """
        self._run_dir = settings.run.dir
        self._data_dir = settings.data.dir
        self._store = VoiceStore(settings.data.dir)
        self._catalog = catalog
        self._pool = pool
        self._metrics = metrics
        self._entries: list[VoiceImport] = []
        self._beginning = threading.Lock()
        self._mark = self._store.change_mark()
        self._versions = self._read_versions()

    @property
    def mark(self) -> str:
        """What is another one as soon as an imported voice has come, gone, or was made anew."""
        return self._mark

    def voice_version(self, engine: str, engine_voice: str) -> str | None:
        """Return what changes whenever a voice is made anew; empty for those that aren't imported.

        None where nobody can say, as long as workers that knew the store earlier are being replaced.
        """
        if engine not in STORE_ENGINES:
            return ""
        if any(link.store_mark != self._mark for link in self._pool.links(engine)):
            return None
        return self._versions.get(engine_voice.partition("/")[0])

    def as_dicts(self) -> list[dict[str, Any]]:
        """Return how the imports of the latest importers stand, here and beside, as JSON-ready values."""
        return [entry.as_dict() for entry in self._entries]

    async def watch(self) -> None:
        """Look again and again; cancelled at the end."""
        while True:
            entries, mark = await asyncio.to_thread(self._look)
            self._entries = entries
            counts = Counter(entry.state.value for entry in entries)
            for state in IMPORT_STATES:
                self._metrics.voice_imports.labels(state).set(counts[state])
            if mark != self._mark:
                self._versions = await asyncio.to_thread(self._read_versions)
                self._mark = mark
                logger.info("voices_changed")
                self._catalog.readmit(manifest.id for manifest in await self.manifests())
            for engine in STORE_ENGINES:
                self._pool.renew(engine, mark)
            await asyncio.sleep(LOOK_S)

    async def manifests(self) -> list[VoiceManifest]:
        """Return every imported voice, sorted by id."""
        return await asyncio.to_thread(self._store.manifests)

    async def begin(self, model: str) -> None:
        """Have a model of Coqui's list imported; comes back as soon as supervisord has taken it.

        Args:
            model: In the list's form.

        Raises:
            ImportBusyError: The importer runs, or is about to.
            ImporterUnreachableError: supervisord doesn't answer, or refuses.
        """
        await asyncio.to_thread(self._begin, model)
        self._entries = [VoiceImport(model)]

    async def remove(self, voice_id: str) -> bool:
        """Take an imported voice away; return whether there was one.

        Nobody is let in with it from now on, whatever the workers still name until they have been replaced.

        Raises:
            ConfigurationError: No voice can have this id.
        """
        was_there = await asyncio.to_thread(self._store.remove, voice_id)
        if was_there:
            for engine in STORE_ENGINES:
                self._catalog.withdraw(engine, voice_id)
        return was_there

    def _read_versions(self) -> dict[str, str]:
        """Return for each voice a hash of all that its manifest says, files and their hashes among it."""
        return {
            manifest.id: hashlib.sha256(manifest.model_dump_json().encode()).hexdigest()
            for manifest in self._store.manifests()
        }

    def _look(self) -> tuple[list[VoiceImport], str]:
        return self._read(), self._store.change_mark()

    def _begin(self, model: str) -> None:
        if not self._beginning.acquire(blocking=False):
            raise ImportBusyError
        try:
            if self._is_busy():
                raise ImportBusyError
            request_import(self._run_dir, model)
            self._have_taken()
        finally:
            self._beginning.release()

    def _is_busy(self) -> bool:
        """Return whether an import is under way, or one is asked for and the importer is yet to take it."""
        if any(entry.is_under_way for entry in self._read()):
            return True
        if not is_requested(self._run_dir):
            return False
        try:
            with supervisor_rpc(self._run_dir) as supervisor:
                importer = supervisor.getProcessInfo(ONE_SHOT_PROGRAM)
        except RPC_ERRORS:  # nobody is there to take it
            return False
        return importer["statename"] in COMING_STATES or not importer["start"]

    def _read(self) -> list[VoiceImport]:
        return read_all_imports(self._run_dir, self._data_dir)

    def _is_own_under_way(self) -> bool:
        return any(entry.is_under_way for entry in read_imports(self._run_dir))

    def _have_taken(self) -> None:
        """Have an importer take what was asked for; take it back where none does."""
        try:
            provide_importer(self._run_dir)
            with supervisor_rpc(self._run_dir) as supervisor:
                self._start(supervisor)
        except RPC_ERRORS as error:
            if take_request(self._run_dir) is None:
                return  # by one that had only just begun
            if isinstance(error, xmlrpc.client.Fault) and error.faultCode == ALREADY_STARTED:
                raise ImportBusyError from None
            logger.warning("importer_not_started", error=str(error))
            raise ImporterUnreachableError from None

    def _start(self, supervisor: Any) -> None:
        """Have supervisord start the importer; blocks while one that has told its end still ends."""
        until_s = time.monotonic() + ENDING_S
        while True:
            try:
                _take_in_or_start(supervisor)
            except xmlrpc.client.Fault as fault:
                is_ending = is_requested(self._run_dir) and not self._is_own_under_way()
                if fault.faultCode not in ENDING_FAULTS or not is_ending or time.monotonic() > until_s:
                    raise
                time.sleep(ENDING_LOOK_S)
            else:
                return


def _take_in_or_start(supervisor: Any) -> None:
    """Have supervisord take the importer in, which starts it, or start one that has just ended."""
    supervisor.reloadConfig()
    add: Callable[[str], bool] = supervisor.addProcessGroup
    try:
        add(ONE_SHOT_PROGRAM)
    except xmlrpc.client.Fault as fault:
        if fault.faultCode != ALREADY_ADDED:
            raise
        supervisor.startProcess(ONE_SHOT_PROGRAM, False)
