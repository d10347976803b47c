"""The Unix socket for a reverse proxy: who may connect, where it can be, and that its clients have limits."""

from __future__ import annotations

import contextlib
import grp
import os
import socket
import stat
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from appliance.errors import ConfigurationError
from appliance.lifecycle import EXIT_CONFIG
from appliance.preflight import check_files
from appliance.proxy_socket import check_proxy_socket, open_proxy_socket
from appliance.settings import Settings, load_settings
from tests.parts.appliance import Appliance, eventually, run_launcher
from tests.parts.slow_clients import (
    HALF_A_HEAD,
    LIVE,
    LONG_TEXT,
    PATIENCE_S,
    closed,
    error_of,
    read_to_end,
    speech,
    status,
)


def settings_for(place: Path, **values: object) -> Settings:
    given = {"HTTP_PROXY_SOCKET": place / "door.sock", "RUN_DIR": place / "run", "DATA_DIR": place, **values}
    return load_settings({f"APPLIANCE_{name}": str(value) for name, value in given.items()})


def own_group() -> str:
    return grp.getgrgid(os.getegid()).gr_name


@pytest.mark.parametrize(("group", "mode"), [("", 0o600), (own_group(), 0o660)])
def test_socket_when_opened_then_nobody_but_its_group_may_connect(
    run_dir: Path, group: str, mode: int
) -> None:
    settings = settings_for(run_dir, HTTP_PROXY_SOCKET_GROUP=group)
    opened = open_proxy_socket(settings)
    assert opened is not None
    with opened, socket.socket(socket.AF_UNIX) as client:
        found = (run_dir / "door.sock").stat()
        assert (stat.S_IMODE(found.st_mode), found.st_gid) == (mode, os.getegid())
        client.connect(str(run_dir / "door.sock"))
        with pytest.raises(ConfigurationError, match="another process is listening"):
            open_proxy_socket(settings)


def test_socket_when_a_dead_process_has_left_one_then_it_is_replaced(run_dir: Path) -> None:
    for _ in range(2):
        opened = open_proxy_socket(settings_for(run_dir))
        assert opened is not None
        opened.close()


def test_socket_when_none_is_asked_for_then_none_is_opened(run_dir: Path) -> None:
    assert open_proxy_socket(settings_for(run_dir, HTTP_PROXY_SOCKET="")) is None


@pytest.mark.parametrize(
    ("values", "word"),
    [
        ({"HTTP_PROXY_SOCKET": "{place}/run/door.sock"}, "outside of run.dir"),
        ({"HTTP_PROXY_SOCKET": "{place}/none/door.sock"}, "let the proxy enter it"),
        ({"HTTP_PROXY_SOCKET": "{place}/open/door.sock"}, "chmod o-w"),
        (
            {"HTTP_PROXY_SOCKET_GROUP": "no-such-group"},
            "http.proxy_socket_group = 'no-such-group': there is no",
        ),
    ],
)
def test_check_when_there_is_no_place_for_it_then_the_message_names_the_setting_and_the_cure(
    run_dir: Path, values: dict[str, str], word: str
) -> None:
    for name in ("run", "open"):
        (run_dir / name).mkdir()
    (run_dir / "open").chmod(0o777)
    settings = settings_for(run_dir, **{name: value.format(place=run_dir) for name, value in values.items()})
    for check in (check_proxy_socket, open_proxy_socket, check_files):
        with pytest.raises(ConfigurationError, match=word) as caught:
            check(settings)
        assert "http.proxy_socket" in caught.value.message


def test_settings_when_the_path_is_too_long_then_refused(run_dir: Path) -> None:
    with pytest.raises(ConfigurationError, match="too long by 9 bytes for Unix sockets"):
        settings_for(run_dir, HTTP_PROXY_SOCKET="/" + "x" * 115)


@pytest.fixture(scope="module")
def appliance(appliance_factory: Callable[..., Appliance]) -> Iterator[Appliance]:
    """An appliance without patience."""
    with tempfile.TemporaryDirectory(prefix="tts-", dir="/tmp") as place:
        made = appliance_factory(
            HTTP_PROXY_SOCKET=Path(place) / "door.sock",
            HTTP_HEAD_LIMIT_S=1,
            HTTP_WRITE_LIMIT_S=1,
            VOICES_DEFAULT="tone-low",
            HEALTH_PROBE_INTERVAL_S=3600,
        )
        made.wait_until_ready()
        yield made


@contextlib.contextmanager
def connected(appliance: Appliance, data: bytes) -> Iterator[socket.socket]:
    """A proxy's connection, on which this was sent."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(PATIENCE_S)
        client.connect(appliance.environment["APPLIANCE_HTTP_PROXY_SOCKET"])
        client.sendall(data)
        yield client


def test_head_when_it_does_not_end_on_a_proxys_socket_then_408(appliance: Appliance) -> None:
    with connected(appliance, HALF_A_HEAD) as client:
        answer = read_to_end(client)
    assert answer.split()[1] == b"408"
    assert error_of(answer)["code"] == "request_timeout"


def test_proxy_when_it_reads_no_more_then_it_is_cut_off_and_holds_no_worker(appliance: Appliance) -> None:
    before = closed(appliance, "write_late")
    with connected(appliance, speech(LONG_TEXT)) as client:
        assert client.recv(1_024).startswith(b"HTTP/1.1 200 ")
        eventually(lambda: closed(appliance, "write_late") == before + 1)
        assert status(appliance)["queue"]["running"] == 0


def test_connection_when_it_is_kept_and_idle_then_no_limit_ends_it(appliance: Appliance) -> None:
    before = closed(appliance, "head_late")
    with connected(appliance, LIVE) as client, connected(appliance, HALF_A_HEAD) as late:
        assert client.recv(4_096).startswith(b"HTTP/1.1 200 ")
        read_to_end(late)  # an unfinished head has had its time, and that of an idle connection is as long
        assert closed(appliance, "head_late") == before + 1
        client.sendall(LIVE)
        assert client.recv(4_096).startswith(b"HTTP/1.1 200 ")


def test_start_when_the_sockets_place_is_not_there_then_exit_78_in_one_line(run_dir: Path) -> None:
    ended = run_launcher(run_dir, HTTP_PROXY_SOCKET=run_dir / "none" / "door.sock")
    assert ended.returncode == EXIT_CONFIG
    assert ended.stderr.startswith("configuration: http.proxy_socket = ")
    assert ended.stderr.count("\n") == 1
