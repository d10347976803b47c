"""The folder in which a voice is made: nothing of it stays, whatever happens."""

import fcntl
import os

import pytest

from appliance.voice_store import VoiceManifest, VoiceStore


@pytest.fixture
def store(tmp_path) -> VoiceStore:
    return VoiceStore(tmp_path)


def manifest() -> VoiceManifest:
    return VoiceManifest(
        id="anna", name="Anna", engine="vits", model="checkpoint", languages=("en",), sample_rate_hz=22050
    )


def hidden(store: VoiceStore) -> list[str]:
    return [path.name for path in store.folder.iterdir() if path.name.startswith(".")]


def test_making_when_the_voice_is_put_then_only_the_voice_is_there(store) -> None:
    with store.making() as folder:
        assert store.manifests() == []
        store.put(folder, manifest())
    assert store.manifests() == [manifest()]
    assert hidden(store) == []


def test_making_when_it_fails_then_nothing_is_left(store) -> None:
    def make() -> None:
        with store.making() as folder:
            (folder / "text.onnx").write_bytes(b"half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        make()
    assert list(store.folder.iterdir()) == []


def test_making_when_another_was_killed_then_its_folder_is_taken_away(store) -> None:
    (store.folder / ".making-killed" / "deep").mkdir(parents=True)
    with store.making():
        assert ".making-killed" not in hidden(store)


def test_making_when_another_is_under_way_then_its_folder_stays(store) -> None:
    other = store.folder / ".making-other"
    other.mkdir(parents=True)
    descriptor = os.open(other, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        with store.making():
            assert other.exists()
    finally:
        os.close(descriptor)
