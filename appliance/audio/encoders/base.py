"""What every encoder offers to the gateway.

Owns: the `Encoder` protocol. Refuses to know: any format.
"""

from __future__ import annotations

from typing import ClassVar, Protocol

from appliance.speech import AudioFormat


class Encoder(Protocol):
    """Turns one request's PCM into the bytes a client asked for.

    A plain blocking object, used by one thread at a time; the compressing libraries release the
    interpreter's lock, so it belongs into a thread. It may be dropped at any time: nothing has to
    be closed. After an error or `finish` it isn't used again.
    """

    format: ClassVar[AudioFormat]
    media_type: ClassVar[str]
    """For the Content-Type header."""

    def encode(self, pcm: bytes) -> bytes:
        """Return the bytes that are ready after this PCM.

        Args:
            pcm: Whole frames, int16 little-endian mono, at the sample rate the encoder was made for.

        Returns:
            What may be sent now; often nothing, since formats work in frames of their own.

        Raises:
            EncoderFailedError: The PCM isn't whole frames, or the library failed.
        """

    def finish(self) -> bytes:
        """Return the last bytes, once, when all PCM has been encoded.

        Raises:
            EncoderFailedError: The library failed.
        """
