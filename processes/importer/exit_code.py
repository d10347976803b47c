"""Why an importer ended.

Owns: the exit codes, and which error leads to which.
Refuses to know: how an error comes about.
"""

from __future__ import annotations

from enum import IntEnum

from appliance.errors import ApplianceError, ConfigurationError, EngineFailedError, VoiceImportError
from appliance.import_errors import (
    ImportBusyError,
    ImporterFailedError,
    ImportStoppedError,
    MemoryShortError,
    TermsNotAcceptedError,
    VoiceDownloadError,
    VoiceNotWrittenError,
)
from appliance.lifecycle import EXIT_CONFIG, EXIT_OK


class ExitCode(IntEnum):
    """Source: sysexits.h; for 130 and 143: the shells."""

    OK = EXIT_OK
    """Every voice is there."""
    USAGE = 64
    """The command line is wrong."""
    MODEL_REFUSED = 65
    """The model is broken, unsafe, unknown, or doesn't sound like itself any more."""
    NO_NETWORK = 68
    """The model couldn't be downloaded."""
    NOT_INSTALLED = 69
    """torch, Coqui or espeak-ng isn't there, or can't be used."""
    FAILED = 70
    """There is too little memory, the import took too long or too much of it, or its process died."""
    NOT_WRITTEN = 73
    """The voice couldn't be written to the disk."""
    BUSY = 75
    """Another import runs."""
    TERMS = 77
    """The model has terms of use that nobody has accepted."""
    BAD_CONFIGURATION = EXIT_CONFIG
    """A setting is wrong."""
    INTERRUPTED = 130
    """Ctrl-C."""
    STOPPED = 143
    """SIGTERM or SIGHUP."""


_CODES: dict[type[ApplianceError], ExitCode] = {
    ConfigurationError: ExitCode.BAD_CONFIGURATION,
    EngineFailedError: ExitCode.NOT_INSTALLED,
    ImportBusyError: ExitCode.BUSY,
    ImportStoppedError: ExitCode.STOPPED,
    ImporterFailedError: ExitCode.FAILED,
    MemoryShortError: ExitCode.FAILED,
    TermsNotAcceptedError: ExitCode.TERMS,
    VoiceDownloadError: ExitCode.NO_NETWORK,
    VoiceImportError: ExitCode.MODEL_REFUSED,
    VoiceNotWrittenError: ExitCode.NOT_WRITTEN,
}


def exit_code_of(error: ApplianceError) -> ExitCode:
    """Return the exit code that says why an import failed."""
    classes = (error_class for error_class in type(error).__mro__ if error_class in _CODES)
    return _CODES[next(classes, ImporterFailedError)]
