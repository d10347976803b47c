"""A library in Coqui's place, which fails as asked, and a server in the place of Coqui's models."""

import contextlib
import functools
import http.server
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path

from appliance.packages import MAKER, NEEDED

BROKEN = 'raise ImportError("no Coqui on this machine")\n'
MANAGER = """
import errno, os, pathlib, signal


class ReadError(Exception):  # as httpx has it, which is no OSError
    pass


ReadError.__module__ = "httpx"


class ModelManager:
    def __init__(self, output_prefix=None, progress_bar=False):
        self.folder = pathlib.Path(output_prefix)
        items = {"hangs": {}, "offline": {}, "terms": {"tos_required": True, "license": "CPML"}, "dies": {},
            "full": {}, "cut": {}}
        self.models_dict = {"tts_models": {"en": {"stand-in": items}}}

    def download_model(self, name):
        (self.folder / "half").write_bytes(b"half of a model")
        match name.rsplit("/", 1)[1]:
            case "offline":
                raise ConnectionError("nobody answers")
            case "full":
                raise OSError(errno.ENOSPC, "No space left on device")
            case "cut":
                raise ReadError("the server hung up")
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

    `hangs` never ends, `offline` finds no network, `cut` is hung up on, `full` finds no room on the disk,
    `terms` asks for terms of use, `dies` crashes.
    """
    files = {"TTS/__init__.py": "", "TTS/utils/__init__.py": "", "TTS/utils/manage.py": MANAGER}
    files |= {f"{name}.py": "" for name in NEEDED[MAKER]}
    return _package(folder, files)


def _package(folder: Path, files: dict[str, str]) -> dict[str, str]:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    return {"PYTHONPATH": str(folder)}


REDIRECT = """
import sys

if "processes.importer.maker" in sys.orig_argv:
    import requests

    real_get = requests.get
    requests.get = lambda url, **options: real_get("{address}" + url.rsplit("/", 1)[1], **options)
"""


@contextlib.contextmanager
def served_models(folder: Path, models: dict[str, Path]) -> Iterator[dict[str, str]]:
    """The variables under which Coqui downloads from here, as long as the block lasts.

    Args:
        folder: For archives and the redirection.
        models: Name in Coqui's list → a folder with a checkpoint and its config.
    """
    archives = folder / "archives"
    archives.mkdir(parents=True)
    for name, source in models.items():
        title = name.replace("/", "--")
        with zipfile.ZipFile(archives / f"{title}.zip", "w") as archive:
            for path in source.iterdir():
                archive.write(path, f"{title}/{path.name}")
    handler = functools.partial(_SilentHandler, directory=str(archives))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        redirect = REDIRECT.format(address=f"http://127.0.0.1:{server.server_address[1]}/")
        (folder / "sitecustomize.py").write_text(redirect, "utf-8")
        try:
            yield {"PYTHONPATH": str(folder)}
        finally:
            server.shutdown()
            thread.join()


class _SilentHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass
