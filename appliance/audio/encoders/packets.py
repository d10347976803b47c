"""Compressed packets from libav, without a container around them.

Owns: driving one of libav's encoders.
Refuses to know: how its packets are put into a stream; the modules of the formats do that. libav's own
writers delay the first sound by a page, put 8 KiB of padding into flac, and can't be dropped unfinished
without waiting for the garbage collector.
"""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from typing import Any, Literal, NamedTuple

from av import AudioCodecContext, CodecContext, Packet

from appliance.audio.libav import LAYOUT, FrameMaker, libav_errors


class CompressedPacket(NamedTuple):
    """One packet, and when it ends."""

    payload: bytes
    end_ticks: int
    """End of the packet's audio in periods of the compressed sample rate, from the first PCM frame on.

    The last packet ends where the PCM ended.
    """


class PacketEncoder:
    """Compresses PCM into packets. Blocking; releases the interpreter's lock while it compresses."""

    def __init__(
        self,
        library: Literal["aac", "flac", "libopus"],
        rates_hz: tuple[int, int],
        *,
        sample_format: str,
        options: dict[str, str],
        bit_rate: int | None = None,
    ) -> None:
        """Open libav's encoder.

        Args:
            library: libav's name of the encoder.
            rates_hz: Sample rate of the PCM, and the one to compress at; libav resamples between them.
            sample_format: libav's name of the samples that this encoder takes.
            options: libav's options of this encoder.
            bit_rate: Bits per second; None leaves it to the encoder.

        Raises:
            EncoderFailedError: libav refused the rate or an option.
        """
        self._what = f"{library} encoding"
        pcm_rate_hz, rate_hz = rates_hz
        self._frames = FrameMaker(pcm_rate_hz)
        with libav_errors(self._what):
            context = CodecContext.create(library, "w")
            assert isinstance(context, AudioCodecContext)
            context.sample_rate = rate_hz
            context.time_base = Fraction(1, rate_hz)
            context.layout = LAYOUT
            context.format = sample_format
            context.options = options
            if bit_rate is not None:
                context.bit_rate = bit_rate
            context.open()
        self._context = context
        self.header = context.extradata or b""
        """The decoder's set-up as libav gives it; flac's is complete only after `finish`."""

    def encode(self, pcm: bytes) -> list[CompressedPacket]:
        """Return the packets that are ready after this PCM.

        Raises:
            EncoderFailedError: The PCM isn't whole frames, or libav failed.
        """
        if not pcm:
            return []
        with libav_errors(self._what):
            return _taken(self._context.encode(self._frames.wrap(pcm)))

    def finish(self) -> list[CompressedPacket]:
        """Return the last packets: none when there was no PCM at all.

        Raises:
            EncoderFailedError: libav failed.
        """
        if not self._frames.made_frames:
            return []
        with libav_errors(self._what):
            packets = self._context.encode(None)
            for packet in packets:
                if packet.has_sidedata("new_extradata"):
                    # The context's own copy is no good any more: libav has ended the MD5 twice in it.
                    self.header = bytes(packet.get_sidedata("new_extradata"))
            return _taken(packets)


def _taken(packets: Iterable[Packet[Any]]) -> list[CompressedPacket]:
    """Copy libav's packets, without the empty one that flac ends with."""
    return [
        CompressedPacket(bytes(packet), (packet.pts or 0) + (packet.duration or 0))
        for packet in packets
        if packet.size
    ]
