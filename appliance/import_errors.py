"""The errors of an import that lie not in the model but around it.

Owns: the classes, as `errors` describes them.
Refuses to know: what is wrong with a model (`errors`, the branch of `VoiceImportError`).
"""

from __future__ import annotations

from appliance.errors import CapacityError, RequestError, VoiceImportError


class ImportBusyError(RequestError):
    """A voice is being imported already; one at a time."""

    code = "import_busy"
    status = 409
    retryable = True


class ImporterUnreachableError(CapacityError):
    """supervisord can't start the importer now."""

    code = "importer_unreachable"


class VoiceDownloadError(VoiceImportError):
    """The model couldn't be downloaded."""

    code = "download_failed"
    retryable = True


class ModelUnknownError(VoiceImportError):
    """Coqui's list has no model of this name."""

    code = "model_unknown"


class TermsNotAcceptedError(VoiceImportError):
    """The model has terms of use, which only a setting can accept: coqui.accept_terms."""

    code = "terms_not_accepted"


class VoiceNotWrittenError(VoiceImportError):
    """The voice couldn't be written to the disk."""

    code = "voice_not_written"

    @classmethod
    def of(cls, error: OSError) -> VoiceNotWrittenError:
        """Return it with the system's reason, and without the place."""
        return cls(f"The voice couldn't be written: {error.strerror or type(error).__name__}")


class ImportStoppedError(VoiceImportError):
    """The import was ended before it was done."""

    code = "import_stopped"


class ImporterFailedError(VoiceImportError):
    """The import took too long or too much memory, or its process died."""

    code = "importer_failed"


class MemoryShortError(VoiceImportError):
    """There isn't as much memory free as an import needs."""

    code = "memory_short"
