"""Every error of the appliance, in one tree.

Owns: the classes, their stable codes, HTTP statuses and whether a retry can help.
Refuses to know: how an error is written to a socket (the gateway's middleware does that).

An error carries a message for a person and a code for a program. The first line of a class's docstring is
its default message, so `raise QueueFullError` already says what happened.
"""

from __future__ import annotations

import inspect
from typing import ClassVar


class ApplianceError(Exception):
    """Something in the appliance failed."""

    code: ClassVar[str] = "internal_error"
    status: ClassVar[int] = 500
    retryable: ClassVar[bool] = False

    def __init__(self, message: str | None = None, *, param: str | None = None) -> None:
        """Take the message, or the first line of the class's docstring.

        Args:
            message: What went wrong, for a person; None takes the default message.
            param: Name of the request field at fault, if one is.
        """
        self.message = message or default_message(type(self))
        self.param = param
        super().__init__(self.message)


def default_message(error_class: type[ApplianceError]) -> str:
    """Return the first line of an error class's docstring."""
    return inspect.cleandoc(error_class.__doc__ or error_class.__name__).split("\n", 1)[0]


class RequestError(ApplianceError):
    """The request can't be served as it is."""

    code = "invalid_request"
    status = 400


class InvalidRequestError(RequestError):
    """A field of the request is missing or has a wrong value."""

    code = "invalid_value"


class NothingToSpeakError(RequestError):
    """The text holds nothing that can be spoken."""

    code = "nothing_to_speak"


class UnsupportedFormatError(RequestError):
    """The audio format isn't one of mp3, opus, aac, flac, wav, pcm; m4b is for jobs only."""

    code = "unsupported_format"


class TextTooLongError(RequestError):
    """The text is longer than the limit."""

    code = "text_too_long"
    status = 413


class RequestTimeoutError(RequestError):
    """The request's head or body took too long to come."""

    code = "request_timeout"
    status = 408
    retryable = True


class BodyTooLargeError(RequestError):
    """The request's body is larger than the limit."""

    code = "body_too_large"
    status = 413


class VoiceNotFoundError(RequestError):
    """No voice has this name; GET /v1/audio/voices lists them."""

    code = "voice_not_found"
    status = 404


class ModelNotFoundError(RequestError):
    """No model has this name; GET /v1/models lists them."""

    code = "model_not_found"
    status = 404


class RouteNotFoundError(RequestError):
    """Nothing answers at this path."""

    code = "not_found"
    status = 404


class MethodNotAllowedError(RequestError):
    """This path doesn't take this method."""

    code = "method_not_allowed"
    status = 405


class UnsupportedMediaTypeError(RequestError):
    """The body must be sent as plain application/json, without Content-Encoding."""

    code = "unsupported_media_type"
    status = 415


class RangeNotSatisfiableError(RequestError):
    """The requested byte range lies outside of the audio."""

    code = "range_not_satisfiable"
    status = 416


class HostNotAllowedError(RequestError):
    """The Host header names a host that this appliance doesn't answer for."""

    code = "host_not_allowed"
    status = 421


class PoisonRequestError(RequestError):
    """This request has killed workers before and is refused now."""

    code = "poison_request"
    status = 422


class AccessError(ApplianceError):
    """The caller isn't allowed to do this."""

    code = "access_denied"
    status = 403


class AuthenticationError(AccessError):
    """An API key is needed: send it as Authorization: Bearer KEY."""

    code = "invalid_api_key"
    status = 401


class AdminNetworkError(AccessError):
    """This path is open to the admin networks only."""

    code = "admin_network"


class OriginNotAllowedError(AccessError):
    """A page of another site may not do this."""

    code = "origin_not_allowed"


class CapacityError(ApplianceError):
    """The appliance can't take this request now; try again later."""

    code = "capacity"
    status = 503
    retryable = True

    def __init__(
        self, message: str | None = None, *, param: str | None = None, retry_after_s: float = 1.0
    ) -> None:
        """Take the message and when to come back.

        Args:
            message: What went wrong, for a person; None takes the default message.
            param: Name of the request field at fault, if one is.
            retry_after_s: Seconds after which a retry is likely to be served.
        """
        super().__init__(message, param=param)
        self.retry_after_s = retry_after_s


class QueueFullError(CapacityError):
    """Too many requests of this client are waiting already."""

    code = "queue_full"
    status = 429


class QuotaExceededError(CapacityError):
    """This client has made as many requests as its quota allows for now."""

    code = "quota"
    status = 429

    def __init__(self, *, retry_after_s: float = 1.0, limit: int = 1, full_after_s: float = 1.0) -> None:
        """Take when to come back, and what the quota is.

        Args:
            retry_after_s: Seconds after which the next request is allowed.
            limit: Requests that the client may make at once.
            full_after_s: Seconds after which it may make that many again.
        """
        super().__init__(retry_after_s=retry_after_s)
        self.limit = limit
        self.full_after_s = full_after_s


class OverloadedError(CapacityError):
    """Other clients' work would keep this request waiting too long."""

    code = "overloaded"
    has_waited = False  # true where it was let in, and its time has run out while it waited


class NoWorkersError(CapacityError):
    """No worker of this voice's engine is ready."""

    code = "no_workers"


class DrainingError(CapacityError):
    """The appliance is stopping or draining and takes no new requests."""

    code = "draining"


class SynthesisError(ApplianceError):
    """The text couldn't be spoken."""

    code = "synthesis_failed"


class EngineFailedError(SynthesisError):
    """The engine refused the text or failed while speaking it."""

    code = "engine_failed"


class UnspeakableTextError(SynthesisError):
    """The voice has no sound for anything in the text."""

    code = "unspeakable_text"
    status = 400


class UtteranceTooLongError(SynthesisError):
    """The voice can't speak so much in one go; more sentences of fewer words would help."""

    code = "utterance_too_long"
    status = 413


class WorkerLostError(SynthesisError):
    """The worker died while speaking."""

    code = "worker_lost"
    status = 503
    retryable = True


class SynthesisTimeoutError(SynthesisError):
    """The engine made no progress within its deadline."""

    code = "synthesis_timeout"
    status = 504
    retryable = True


class EncoderFailedError(SynthesisError):
    """The audio couldn't be encoded."""

    code = "encoder_failed"


class ProtocolError(ApplianceError):
    """A peer on the workers' socket broke the wire protocol."""

    code = "protocol_error"


class BadMagicError(ProtocolError):
    """The wire frame doesn't begin with the magic bytes."""

    code = "bad_magic"


class UnsupportedVersionError(ProtocolError):
    """The wire frame has a protocol version that isn't ours."""

    code = "unsupported_version"


class UnknownKindError(ProtocolError):
    """The wire frame is of an unknown kind."""

    code = "unknown_kind"


class FrameTooLargeError(ProtocolError):
    """The wire frame announces more bytes than the limits allow."""

    code = "frame_too_large"


class TruncatedFrameError(ProtocolError):
    """The connection ended inside a wire frame."""

    code = "truncated_frame"


class BadMessageError(ProtocolError):
    """The wire frame's meta isn't what its kind demands."""

    code = "bad_message"


class FrameFloodError(ProtocolError):
    """The peer sends more wire frames at once than any worker does."""

    code = "frame_flood"


class PeerStalledError(ProtocolError):
    """The peer doesn't read what it is sent."""

    code = "peer_stalled"


class ConfigurationError(ApplianceError):
    """The configuration is wrong; the appliance doesn't start (exit code 78)."""

    code = "configuration"


class VoiceImportError(ApplianceError):
    """The voice couldn't be imported."""

    code = "import_failed"


class VoiceConfigError(VoiceImportError):
    """The model's config.json is broken or says what can't be."""

    code = "voice_config"


class CheckpointBrokenError(VoiceImportError):
    """The checkpoint is truncated or damaged."""

    code = "checkpoint_broken"


class CheckpointForeignError(VoiceImportError):
    """The checkpoint isn't a VITS model."""

    code = "checkpoint_foreign"


class CheckpointMismatchError(VoiceImportError):
    """The checkpoint and its config.json don't belong together."""

    code = "checkpoint_mismatch"


class CheckpointUnsafeError(VoiceImportError):
    """The checkpoint holds program code, which is never run."""

    code = "checkpoint_unsafe"


class ModelTooLargeError(VoiceImportError):
    """The model is larger than the limits allow."""

    code = "model_too_large"


class ModelUnsupportedError(VoiceImportError):
    """The model needs something that is only there with Coqui itself."""

    code = "model_unsupported"


class VoiceQualityError(VoiceImportError):
    """What was made of the model doesn't sound like the model."""

    code = "voice_quality"


def error_classes(root: type[ApplianceError] = ApplianceError) -> list[type[ApplianceError]]:
    """Return every error class of the tree, each parent before its children."""
    return [root, *(found for child in root.__subclasses__() for found in error_classes(child))]
