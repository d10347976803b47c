"""A server in the place of the Hugging Face Hub, with one model in one version."""

import contextlib
import functools
import http.server
import json
import threading
from collections.abc import Iterator
from pathlib import Path

COMMIT = "1" * 40


@contextlib.contextmanager
def served_hub(folder: Path, repository: str) -> Iterator[dict[str, str]]:
    """The variables under which huggingface_hub downloads a repository from here, as long as the block lasts.

    Args:
        folder: The repository's files.
        repository: Its name, `owner/name`.
    """
    handler = functools.partial(_HubHandler, folder, repository)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield {"HF_ENDPOINT": f"http://127.0.0.1:{server.server_address[1]}"}
        finally:
            server.shutdown()
            thread.join()


class _HubHandler(http.server.BaseHTTPRequestHandler):
    """Answers what `huggingface_hub.snapshot_download` asks: repo_info, list_repo_tree, hf_hub_download."""

    def __init__(self, folder: Path, repository: str, *arguments: object) -> None:
        self._folder, self._repository = folder, repository
        super().__init__(*arguments)  # type: ignore[arg-type]  # socketserver's own three

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self.wfile.write(self._answer())

    def _answer(self) -> bytes:
        path = self.path.partition("?")[0]
        api, files = f"/api/models/{self._repository}", f"/{self._repository}/resolve/{COMMIT}/"
        if path.startswith(f"{api}/revision/"):
            return self._head(json.dumps({"id": self._repository, "sha": COMMIT, "siblings": []}).encode())
        if path == f"{api}/tree/{COMMIT}":
            listed = [
                {"type": "file", "path": each.name, "size": each.stat().st_size, "oid": each.name}
                for each in self._folder.iterdir()
            ]
            return self._head(json.dumps(listed).encode())
        if path.startswith(files) and (found := self._folder / path.removeprefix(files)).is_file():
            return self._head(found.read_bytes(), found.name)
        self.send_error(http.HTTPStatus.NOT_FOUND)
        return b""

    def _head(self, body: bytes, tag: str = "answer") -> bytes:
        self.send_response(http.HTTPStatus.OK)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("ETag", f'"{tag}"')
        self.send_header("X-Repo-Commit", COMMIT)
        self.end_headers()
        return body

    def log_message(self, *_: object) -> None:
        pass
