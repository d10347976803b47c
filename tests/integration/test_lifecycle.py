"""The Unix sockets and process ties of appliance/lifecycle.py, with real sockets and real processes."""

import os
import signal
import socket
import stat
import subprocess
import sys
import threading

import psutil
import pytest

from appliance.errors import ConfigurationError
from appliance.lifecycle import (
    SUPERVISOR_SOCKET,
    is_own_peer,
    listen_unix,
    make_private_dir,
    peer_credentials,
    receive_descriptors,
    send_descriptors,
)
from appliance.unix_calls import RPC_ERRORS, supervisor_rpc
from appliance.watched import notify

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
NOBODY = 65534


def test_listen_when_the_path_is_free_then_only_this_user_reaches_it(run_dir):
    path = run_dir / "inner" / "a.sock"
    with listen_unix(path):
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM])
def test_listen_when_a_dead_process_left_its_socket_then_it_is_replaced(run_dir, kind):
    path = run_dir / "a.sock"
    listen_unix(path, kind).close()
    assert path.exists()
    with listen_unix(path, kind), socket.socket(socket.AF_UNIX, kind) as client:
        client.connect(str(path))


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM])
def test_listen_when_somebody_answers_then_it_is_refused(run_dir, kind):
    path = run_dir / "a.sock"
    with listen_unix(path, kind), pytest.raises(ConfigurationError, match="another process is listening"):
        listen_unix(path, kind)


def test_listen_when_the_backlog_of_the_living_owner_is_full_then_it_is_not_replaced(run_dir):
    path = run_dir / "a.sock"
    with listen_unix(path, backlog=0), socket.socket(socket.AF_UNIX) as waiting:
        waiting.connect(str(path))
        with pytest.raises(ConfigurationError, match="another process is listening"):
            listen_unix(path)


def test_listen_when_a_file_is_in_the_way_then_it_is_kept(run_dir):
    path = run_dir / "a.sock"
    path.write_text("precious")
    with pytest.raises(ConfigurationError, match="isn't a socket"):
        listen_unix(path)
    assert path.read_text() == "precious"


@as_root
def test_listen_when_the_socket_is_foreign_then_it_is_refused_and_kept(run_dir):
    path = run_dir / "a.sock"
    listen_unix(path).close()
    os.chown(path, NOBODY, NOBODY)
    with pytest.raises(ConfigurationError, match="belongs to user 65534"):
        listen_unix(path)
    assert path.exists()


@as_root
def test_private_dir_when_it_is_foreign_then_it_is_refused(run_dir):
    foreign = run_dir / "foreign"
    foreign.mkdir()
    os.chown(foreign, NOBODY, NOBODY)
    with pytest.raises(ConfigurationError, match="belongs to user 65534"):
        make_private_dir(foreign)


def test_private_dir_when_others_could_enter_then_they_no_longer_can(run_dir):
    run_dir.chmod(0o755)
    make_private_dir(run_dir)
    assert stat.S_IMODE(run_dir.stat().st_mode) == 0o700


def test_private_dir_when_it_is_a_file_then_it_is_refused(run_dir):
    (run_dir / "file").write_text("")
    with pytest.raises(ConfigurationError, match="can't be used as a directory"):
        make_private_dir(run_dir / "file" / "inner")


def test_peer_when_it_is_this_process_then_its_pid_and_user_are_known(run_dir):
    with listen_unix(run_dir / "a.sock") as server, socket.socket(socket.AF_UNIX) as client:
        client.connect(str(run_dir / "a.sock"))
        connection, _address = server.accept()
        with connection:
            assert peer_credentials(connection).pid == os.getpid()
            assert is_own_peer(connection)


def test_hand_over_when_sockets_are_sent_then_the_receiver_accepts_on_them(run_dir):
    with listen_unix(run_dir / "sockets.sock") as server, socket.create_server(("127.0.0.1", 0)) as http:

        def serve():
            connection, _address = server.accept()
            with connection:
                send_descriptors(connection, {"http": http.fileno()})

        thread = threading.Thread(target=serve)
        thread.start()
        received = receive_descriptors(run_dir)
        thread.join()
        assert list(received) == ["http"]
        with socket.socket(fileno=received["http"]) as listener, socket.create_connection(http.getsockname()):
            accepted, _address = listener.accept()
            accepted.close()
            assert not listener.get_inheritable()


def test_hand_over_when_no_launcher_is_there_then_it_says_so(run_dir):
    with pytest.raises(ConfigurationError, match="no launcher answers"):
        receive_descriptors(run_dir)


def test_hand_over_when_the_launcher_hangs_up_then_it_says_so(run_dir):
    with listen_unix(run_dir / "sockets.sock") as server:

        def hang_up():
            server.accept()[0].close()

        thread = threading.Thread(target=hang_up)
        thread.start()
        with pytest.raises(ConfigurationError, match="0 files for 0 names"):
            receive_descriptors(run_dir)
        thread.join()


def test_rpc_when_supervisord_dies_in_the_middle_of_its_answer_then_it_is_one_of_its_errors(run_dir):
    def break_off():
        with listener.accept()[0] as connection:
            connection.recv(65_536)
            head = b"HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\nContent-Length: 1000\r\n\r\n"
            connection.sendall(head + b"<?xml version='1.0'?><methodResponse><params>")

    with listen_unix(run_dir / SUPERVISOR_SOCKET) as listener:
        thread = threading.Thread(target=break_off)
        thread.start()
        with pytest.raises(RPC_ERRORS), supervisor_rpc(run_dir) as supervisor:
            supervisor.getAllProcessInfo()
        thread.join()


def test_notify_when_the_watchdog_listens_then_it_gets_the_datagram(run_dir):
    with listen_unix(run_dir / "notify.sock", socket.SOCK_DGRAM) as server:
        assert notify(run_dir, "READY=1", "STATUS=2 workers")
        assert server.recv(4096) == b"READY=1\nSTATUS=2 workers"


def test_notify_when_the_watchdog_is_stuck_then_it_does_not_block(run_dir):
    with listen_unix(run_dir / "notify.sock", socket.SOCK_DGRAM):
        sent = 0
        while notify(run_dir, "WATCHDOG=1"):
            sent += 1
            assert sent < 100_000


def test_notify_when_nobody_listens_then_it_is_no_error(run_dir):
    assert not notify(run_dir, "READY=1")


PARENT = """
import subprocess, sys
child = "from appliance.lifecycle import die_with_parent as d; d(); print('tied', flush=True); input()"
process = subprocess.Popen([sys.executable, "-c", child], stdin=sys.stdin, stdout=subprocess.PIPE)
process.stdout.readline()
print(process.pid, flush=True)
process.wait()
"""


def test_child_when_its_parent_is_killed_then_it_dies_with_it():
    with subprocess.Popen(
        [sys.executable, "-c", PARENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as parent:
        assert parent.stdout is not None
        child = psutil.Process(int(parent.stdout.readline()))
        parent.kill()
        gone, _alive = psutil.wait_procs([child], timeout=10)
        assert gone == [child]


def test_child_when_its_parent_is_gone_before_it_asks_then_it_dies_at_once():
    program = (
        "import os; from appliance.lifecycle import die_with_parent; die_with_parent(parent=os.getpid())"
    )
    result = subprocess.run([sys.executable, "-c", program], check=False, timeout=20)
    assert result.returncode == -signal.SIGKILL


SUBREAPER = """
import os, subprocess, sys
from appliance.lifecycle import become_subreaper
become_subreaper()
middle = "import subprocess, sys; print(subprocess.Popen(['sleep', '60'], stdout=-3).pid, flush=True)"
orphan = int(subprocess.run([sys.executable, "-c", middle], stdout=subprocess.PIPE).stdout)
os.kill(orphan, 9)
pid, _status = os.waitpid(orphan, 0)
print(pid == orphan)
"""


def test_subreaper_when_a_grandchild_is_orphaned_then_it_becomes_its_parent():
    result = subprocess.run(
        [sys.executable, "-c", SUBREAPER], capture_output=True, text=True, check=True, timeout=20
    )
    assert result.stdout == "True\n"
