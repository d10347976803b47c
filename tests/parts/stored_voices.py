"""Voices in a store, with the least that can be in one."""

from pathlib import Path
from typing import Any

from appliance.voice_store import MAKING_PREFIX, FileRecord, VoiceManifest, VoiceStore

GRAPH = b"a graph"


def manifest(voice_id: str = "amy", **fields: Any) -> VoiceManifest:
    values = {"name": "Amy", "engine": "vits", "model": "checkpoint", "languages": ["en"]}
    return VoiceManifest.model_validate({"id": voice_id, "sample_rate_hz": 22050, **values, **fields})


def made(store: VoiceStore, content: bytes = GRAPH) -> Path:
    """A folder that an import has filled."""
    folder = store.folder / f"{MAKING_PREFIX}1"
    folder.mkdir(parents=True)
    (folder / "text.onnx").write_bytes(content)
    return folder


def put(store: VoiceStore, voice_id: str = "amy", content: bytes = GRAPH, **fields: Any) -> VoiceManifest:
    folder = made(store, content)
    wanted = manifest(voice_id, files={"text.onnx": FileRecord.of(folder / "text.onnx")}, **fields)
    store.put(folder, wanted)
    return wanted
