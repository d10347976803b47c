"""The errors of jobs, as `appliance.errors` describes them.

Owns: the classes.
Refuses to know: when one is raised.
"""

from __future__ import annotations

from appliance.errors import ApplianceError, CapacityError, RequestError


class UnreadableDocumentError(RequestError):
    """The file isn't what its name or its type says, or it is broken."""

    code = "unreadable_document"


class ProtectedDocumentError(RequestError):
    """The book is encrypted; only books without copy protection can be spoken."""

    code = "protected_document"


class JobNotFoundError(RequestError):
    """There is no such job, or it is somebody else's."""

    code = "job_not_found"
    status = 404


class JobFilesGoneError(RequestError):
    """The job's files are gone: they were deleted, or its row is that of an older backup."""

    code = "job_files_gone"
    status = 410


class NoCaptionsError(RequestError):
    """The job was asked for without captions."""

    code = "no_captions"
    status = 404


class JobNotCompletedError(RequestError):
    """The job hasn't completed."""

    code = "job_not_completed"
    status = 409


class JobStateError(RequestError):
    """The job's state doesn't allow this."""

    code = "job_state"
    status = 409


class PreconditionFailedError(RequestError):
    """The file isn't the one that If-Match or If-Unmodified-Since speaks of."""

    code = "precondition_failed"
    status = 412


class AudioTooLargeError(RequestError):
    """A wav file can't hold so much audio; ask for flac, mp3 or opus."""

    code = "audio_too_large"
    status = 413


class DocumentTooLargeError(RequestError):
    """The file unpacks to more than the limits, or takes too long or too much memory to read."""

    code = "document_too_large"
    status = 413


class IdempotencyConflictError(RequestError):
    """Another job was asked for under this Idempotency-Key."""

    code = "idempotency_conflict"
    status = 422


class JobDamagedError(ApplianceError):
    """The job's text on the disk is gone or damaged."""

    code = "job_damaged"


class TooManyJobsError(CapacityError):
    """Too many jobs haven't ended yet."""

    code = "too_many_jobs"
    status = 429


class TooManyOwnJobsError(CapacityError):
    """Too many jobs of this key haven't ended yet."""

    code = "too_many_own_jobs"
    status = 429
