"""The worker's end of the wire over a real socket pair."""

import os
import socket
import threading
from collections.abc import Iterator

import pytest

from appliance.errors import BadMagicError, BadMessageError, TruncatedFrameError
from appliance.ipc.blocking_channel import BlockingChannel
from appliance.ipc.frames import Frame, Kind, encode_frame
from appliance.ipc.messages import Audio, Cancel, Drain, Grant, Heartbeat
from appliance.speech import PcmChunk


@pytest.fixture
def peer_and_channel() -> Iterator[tuple[socket.socket, BlockingChannel]]:
    peer, own = socket.socketpair()
    channel = BlockingChannel(own)
    yield peer, channel
    channel.close()
    peer.close()


def test_poll_when_nothing_came_then_none_and_no_wait(peer_and_channel) -> None:
    _, channel = peer_and_channel
    assert channel.poll() is None


def test_receive_when_frames_come_together_then_one_by_one_in_order(peer_and_channel) -> None:
    peer, channel = peer_and_channel
    peer.sendall(encode_frame(Frame(Kind.GRANT, 1)) + encode_frame(Frame(Kind.CANCEL, 2)))
    assert channel.receive() == Grant(1)
    assert channel.poll() == Cancel(2)
    assert channel.poll() is None


def test_receive_when_a_frame_comes_in_two_halves_then_whole(peer_and_channel) -> None:
    peer, channel = peer_and_channel
    data = encode_frame(Frame(Kind.GRANT, 2**64 - 1))
    peer.sendall(data[:7])
    assert channel.poll() is None
    peer.sendall(data[7:])
    assert channel.receive() == Grant(2**64 - 1)


def test_receive_when_time_is_over_then_none(peer_and_channel) -> None:
    _, channel = peer_and_channel
    assert channel.receive(0.001) is None


def test_receive_when_woken_then_none_without_waiting() -> None:
    peer, own = socket.socketpair()
    reader, writer = os.pipe()
    channel = BlockingChannel(own, reader)
    os.write(writer, b"x")
    assert channel.receive() is None
    channel.send(Drain())
    assert BlockingChannel(peer).receive() == Drain()
    for fd in (reader, writer):
        os.close(fd)
    channel.close()
    peer.close()


@pytest.mark.parametrize("method", ["receive", "poll"])
def test_receive_when_the_peer_left_between_frames_then_eof_after_the_last_message(
    peer_and_channel, method
) -> None:
    peer, channel = peer_and_channel
    peer.sendall(encode_frame(Frame(Kind.DRAIN, 0)))
    peer.close()
    assert getattr(channel, method)() == Drain()
    with pytest.raises(EOFError):
        getattr(channel, method)()


def test_receive_when_the_peer_left_inside_a_frame_then_truncated(peer_and_channel) -> None:
    peer, channel = peer_and_channel
    peer.sendall(encode_frame(Frame(Kind.DRAIN, 0))[:5])
    peer.close()
    with pytest.raises(TruncatedFrameError):
        channel.receive()


def test_receive_when_bytes_are_no_frame_then_protocol_error(peer_and_channel) -> None:
    peer, channel = peer_and_channel
    peer.sendall(b"GET / HTTP/1.1\r\n\r\n")
    with pytest.raises(BadMagicError):
        channel.receive()


def test_receive_when_the_meta_is_wrong_then_bad_message(peer_and_channel) -> None:
    peer, channel = peer_and_channel
    peer.sendall(encode_frame(Frame(Kind.HEARTBEAT, 0, b'{"rss_bytes":"many"}')))
    with pytest.raises(BadMessageError):
        channel.receive()


def test_send_when_the_peer_left_then_eof(peer_and_channel) -> None:
    peer, channel = peer_and_channel
    peer.close()
    with pytest.raises(EOFError):
        channel.send(Drain())


def test_send_when_two_threads_send_then_frames_never_mix(peer_and_channel) -> None:
    peer, channel = peer_and_channel
    pcm = bytes(60_000)
    beats = threading.Thread(target=lambda: [channel.send(Heartbeat(7)) for _ in range(200)])
    audio = threading.Thread(target=lambda: [channel.send(Audio(1, PcmChunk(pcm, 8000))) for _ in range(50)])
    receiver = BlockingChannel(peer)
    beats.start()
    audio.start()
    messages = [receiver.receive() for _ in range(250)]
    beats.join()
    audio.join()
    assert sum(message == Heartbeat(7) for message in messages) == 200
    assert sum(isinstance(message, Audio) and message.chunk.pcm == pcm for message in messages) == 50
