"""One import after the other, each to its good or bad end.

Owns: the lock, the stages' names as states, what is tried again and when.
Refuses to know: the command line, and the process that makes a voice (`keeper`).
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from appliance.errors import ApplianceError
from appliance.import_errors import ImportBusyError, ImportStoppedError, VoiceNotWrittenError
from appliance.settings import Settings
from appliance.voice_folders import locked
from appliance.voice_imports import ImportState
from appliance.voice_store import VoiceManifest, VoiceStore
from processes.importer.book import ImportBook
from processes.importer.errand import Errand
from processes.importer.exit_code import ExitCode, exit_code_of
from processes.importer.keeper import Keeper
from processes.importer.telling import Teller

STATES = {
    "download": ImportState.DOWNLOADING,
    "copy": ImportState.LOADING,
    "load": ImportState.LOADING,
    "export": ImportState.EXPORTING,
    "speak": ImportState.EXPORTING,
    "quantise": ImportState.QUANTISING,
    "judge": ImportState.CHECKING,
    "store": ImportState.STORING,
    "done": ImportState.STORING,
}
"""The maker's stages, as everybody else calls them."""
RETRIES_S = (10.0, 60.0, 300.0)
"""Pauses before the downloads that failed are tried again, all together: the network often comes up after the
machine. Then they stay failed until the next start."""


class Stopped(BaseException):
    """A signal has asked this process to end."""

    def __init__(self, number: int) -> None:
        """Take the signal's number."""
        super().__init__(number)
        self.number = number


@contextmanager
def only_import(store: VoiceStore, *, wait: bool) -> Iterator[None]:
    """Be the only import into a store, and take away what earlier ones have left.

    Args:
        store: Where voices go; its folder is made if it isn't there.
        wait: Whether to block until another import has ended.

    Raises:
        ImportBusyError: Another one runs.
        OSError: The folder can't be made.
    """
    store.folder.mkdir(parents=True, exist_ok=True)
    with locked(store.folder, wait=wait) as is_ours:
        if not is_ours:
            raise ImportBusyError
        store.sweep()
        yield


class Importer:
    """Does errands and says how they stand."""

    def __init__(self, settings: Settings, teller: Teller, beside: Path | None = None) -> None:
        """Take the settings and who is told.

        Args:
            settings: Name the folders and the limits.
            teller: Hears of every change.
            beside: Where an appliance that runs elsewhere looks; see `imports_beside.claimed`.
        """
        self._settings = settings
        self._store = VoiceStore(settings.data.dir)
        self._teller = teller
        self._book = ImportBook(settings.run.dir, teller, beside)

    def expect(self, errands: Iterable[Errand]) -> None:
        """Say what is going to be imported."""
        for errand in errands:
            self._book.note(errand.title)

    def do(self, errand: Errand) -> None:
        """Make one voice, as the only import; blocks for minutes. Its end is written down, whatever ends it.

        Raises:
            ApplianceError: The class says what is wrong; see `exit_code_of`.
            Stopped: A signal came.
        """
        try:
            made = Keeper(errand, self._settings).run(lambda message: self._hear(errand, message))
        except OSError as error:
            failure = VoiceNotWrittenError.of(error)
            self._fail(errand, failure)
            raise failure from error
        except ApplianceError as error:
            self._fail(errand, error)
            raise
        except Stopped:
            self._fail(errand, ImportStoppedError())
            raise
        self._teller.made(made)
        self._book.note(errand.title, state=ImportState.DONE, fraction=1.0, voice=made.voice)

    def do_patiently(self, errands: Sequence[Errand], there: Sequence[VoiceManifest]) -> ExitCode:
        """Make voices one after the other; those that can't be downloaded are tried again behind the others.

        Another import may come in before the first try and while it waits for the next one, and is waited for
        then; what that has made isn't made again.

        Args:
            errands: Each of a model.
            there: The voices that there were when the errands were found.

        Returns:
            How they ended: `OK`, or the highest code of those that have failed for good.

        Raises:
            Stopped: A signal came.
        """
        codes = [ExitCode.OK]
        for pause_s in (*RETRIES_S, None):
            with only_import(self._store, wait=True):
                errands = self._unmade(errands, there)
                again = self._try_all(errands, pause_s, codes)
            if pause_s is None or not again:
                break
            time.sleep(pause_s)
            errands = again
        return max(codes)

    def _unmade(self, errands: Sequence[Errand], there: Sequence[VoiceManifest]) -> list[Errand]:
        """Return those of whose models nobody else has made a voice meanwhile; the others are done."""
        made = {manifest.model: manifest.id for manifest in self._store.manifests() if manifest not in there}
        for errand in errands:
            if errand.source in made:
                self._book.note(
                    errand.title, state=ImportState.DONE, fraction=1.0, reason="", voice=made[errand.source]
                )
        return [errand for errand in errands if errand.source not in made]

    def _try_all(
        self, errands: Sequence[Errand], pause_s: float | None, codes: list[ExitCode]
    ) -> list[Errand]:
        """Make voices one after the other; return those that are to be tried again after a pause.

        The codes of all others that fail are added to those given. Without a pause nothing is tried again.
        """
        again = []
        for errand in errands:
            self._book.note(errand.title, reason="")
        for errand in errands:
            try:
                self.do(errand)
            except ApplianceError as error:
                if error.retryable and pause_s is not None:
                    again.append(errand)
                    self._put_off(errand, error, pause_s, is_alone=len(errands) == 1)
                else:
                    codes.append(exit_code_of(error))
        return again

    def _put_off(self, errand: Errand, error: ApplianceError, pause_s: float, *, is_alone: bool) -> None:
        """Say that an errand will be tried again."""
        after = f"after {pause_s:g} s" if is_alone else f"{pause_s:g} s after the others"
        self._book.note(
            errand.title,
            state=ImportState.WAITING,
            fraction=0.0,
            reason=f"{error.message}; tried again {after}",
            code="",
        )

    def _hear(self, errand: Errand, message: dict[str, Any]) -> None:
        self._book.note(
            errand.title,
            state=STATES[message["stage"]],
            fraction=message["fraction"],
            downloaded_bytes=message.get("bytes", 0),
        )

    def _fail(self, errand: Errand, error: ApplianceError) -> None:
        self._book.note(errand.title, state=ImportState.FAILED, reason=error.message, code=error.code)
