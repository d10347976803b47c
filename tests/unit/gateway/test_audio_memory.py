"""Finished audio in memory."""

from __future__ import annotations

from processes.gateway.audio_memory import Audio, AudioMemory, finished_audio


def audio(size_bytes: int) -> Audio:
    return finished_audio(bytes(size_bytes), "audio/mpeg")


def test_put_when_the_bound_is_reached_then_the_least_recently_used_goes() -> None:
    memory = AudioMemory(100)
    for key in ("a", "b"):
        memory.put(key, audio(50))
    memory.get("a")
    memory.put("c", audio(40))
    assert ("a" in memory, "b" in memory, "c" in memory) == (True, False, True)
    assert (memory.bytes, memory.evicted, len(memory)) == (90, 1, 2)


def test_put_when_it_is_larger_than_all_then_nothing_goes_for_it() -> None:
    memory = AudioMemory(100)
    memory.put("a", audio(60))
    memory.put("b", audio(101))
    assert "a" in memory
    assert "b" not in memory


def test_put_when_a_key_is_kept_already_then_its_bytes_count_once() -> None:
    memory = AudioMemory(100)
    memory.put("a", audio(60))
    memory.put("a", audio(30))
    assert (memory.bytes, len(memory)) == (30, 1)
    memory.drop("a")
    assert (memory.bytes, len(memory)) == (0, 0)


def test_clear_when_something_is_kept_then_it_is_named_and_gone() -> None:
    memory = AudioMemory(100)
    memory.put("a", audio(60))
    assert memory.clear() == {"a"}
    assert memory.get("a") is None
    assert memory.bytes == 0
