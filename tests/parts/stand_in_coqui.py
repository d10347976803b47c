"""A library that stands in for Coqui, so that imports can be held up and fail without torch and network."""

from pathlib import Path

BROKEN = 'raise ImportError("no Coqui on this machine")\n'
MANAGER = """
import os, pathlib, signal


class ModelManager:
    def __init__(self, output_prefix=None, progress_bar=False):
        self.folder = pathlib.Path(output_prefix)
        items = {"hangs": {}, "offline": {}, "terms": {"tos_required": True, "license": "CPML"}, "dies": {}}
        self.models_dict = {"tts_models": {"en": {"stand-in": items}}}

    def download_model(self, name):
        (self.folder / "half").write_bytes(b"half of a model")
        match name.rsplit("/", 1)[1]:
            case "offline":
                raise ConnectionError("nobody answers")
            case "dies":
                os.kill(os.getpid(), signal.SIGSEGV)
            case _:
                print("is this ours to say? [y/n]", flush=True)
                while True:
                    signal.pause()
"""


def broken_coqui(folder: Path) -> dict[str, str]:
    """The variables under which `import TTS` fails, as on a machine without it."""
    return _package(folder, {"TTS/__init__.py": BROKEN})


def stand_in_coqui(folder: Path) -> dict[str, str]:
    """The variables under which the library's list holds `tts_models/en/stand-in/…`.

    `hangs` never ends, `offline` finds no network, `terms` asks for terms of use, `dies` crashes.
    """
    files = {"TTS/__init__.py": "", "TTS/utils/__init__.py": "", "TTS/utils/manage.py": MANAGER}
    return _package(folder, files)


def _package(folder: Path, files: dict[str, str]) -> dict[str, str]:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    return {"PYTHONPATH": str(folder)}
