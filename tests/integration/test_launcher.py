"""How the launcher starts, refuses to start, and ends."""

import contextlib
import ipaddress
import json
import os
import signal
import socket
import subprocess
import sys
import textwrap
import xmlrpc.client
from pathlib import Path

import pytest

from appliance.lifecycle import EXIT_CONFIG, EXIT_FATAL, EXIT_OK, EXIT_SUPERVISOR, listen_unix
from appliance.settings import ROOT, load_settings
from appliance.unix_calls import RPC_ERRORS, supervisor_rpc
from processes.launcher.listeners import open_listeners
from tests.parts.appliance import Appliance, eventually, run_launcher, taken_port
from tests.parts.ttsctl import run_ttsctl

pytestmark = pytest.mark.timeout(120)
NOBODY = 65534


def refusal(base, *arguments, **settings):
    """The one line with which a launcher refuses its configuration."""
    result = run_launcher(base, *arguments, **settings)
    assert (result.returncode, result.stdout) == (EXIT_CONFIG, ""), result
    assert result.stderr.startswith("configuration: ")
    assert result.stderr.count("\n") == 1
    return result.stderr


def plant_file_as_run_dir(base):
    (base / "run").write_text("")


def plant_file_as_supervisor_socket(base):
    (base / "run").mkdir()
    (base / "run" / "supervisor.sock").write_text("")


def plant_foreign_socket(base):
    listen_unix(base / "run" / "supervisor.sock").close()
    os.chown(base / "run" / "supervisor.sock", NOBODY, NOBODY)


def plant_nothing(_base):
    pass


@pytest.mark.parametrize(
    ("plant", "settings", "words"),
    [
        (plant_nothing, {"HTTP_PORT": 99_999}, ["http.port = '99999'"]),
        (plant_nothing, {"HTTP_COLOUR": "red"}, ["APPLIANCE_HTTP_COLOUR", "no such setting"]),
        (plant_nothing, {"HTTP_HOST": "192.0.2.1"}, ["http.port", "192.0.2.1"]),
        (plant_nothing, {"HTTP_HOST": "not a host"}, ["http.host = 'not a host'"]),
        (plant_nothing, {"VOICES_FILE": "absent.toml"}, ["absent.toml: can't be read"]),
        (plant_file_as_run_dir, {}, ["run: can't be used as a directory"]),
        (plant_file_as_supervisor_socket, {}, ["supervisor.sock: is in the way"]),
        pytest.param(
            plant_foreign_socket,
            {},
            ["supervisor.sock: belongs to user 65534"],
            marks=pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away"),
        ),
    ],
)
def test_start_when_something_is_wrong_then_it_says_so_in_one_line(run_dir, plant, settings, words):
    plant(run_dir)
    line = refusal(run_dir, **settings)
    assert [word for word in words if word not in line] == []


@pytest.mark.parametrize("section", ["http", "exporter"])
def test_start_when_a_port_is_taken_then_it_says_so_in_one_line(run_dir, section):
    listener, port = taken_port()
    with listener:
        line = refusal(run_dir, **{f"{section.upper()}_PORT": port})
    assert f"{section}.port = {port}" in line
    assert line.endswith("can't listen on 127.0.0.1: Address already in use\n")


def test_start_when_one_port_is_set_for_both_servers_then_it_says_so_in_one_line(run_dir):
    listener, port = taken_port()
    listener.close()
    line = refusal(run_dir, HTTP_PORT=port, EXPORTER_PORT=port)
    assert f"http.port = {port}" in line
    assert "in use" in line


def link_local_address():
    """An address with its interface, such as `fe80::1%eth0`; None on a machine without one.

    Source: proc_net_if_inet6: address, index, prefix length, scope (20 is link-local), flags, interface.
    """
    with contextlib.suppress(OSError):
        for line in Path("/proc/net/if_inet6").read_text().splitlines():
            digits, _, _, scope, _, interface = line.split()
            if scope == "20":
                return f"{ipaddress.IPv6Address(bytes.fromhex(digits))}%{interface}"
    return None


@pytest.mark.skipif(link_local_address() is None, reason="no interface has a link-local address")
def test_listeners_when_the_address_is_link_local_then_its_interface_counts():
    environ = {"APPLIANCE_HTTP_HOST": link_local_address(), "APPLIANCE_HTTP_PORT": "0"}
    settings = load_settings(environ | {"APPLIANCE_WYOMING_ENABLED": "false"})
    with open_listeners(settings)["http"] as listener, socket.socket(socket.AF_INET6) as client:
        client.connect(listener.getsockname())
        assert client.getpeername() == listener.getsockname()


def test_check_when_the_configuration_is_right_then_nothing_starts(run_dir):
    result = run_launcher(run_dir, "--check-config")
    assert (result.returncode, result.stdout, result.stderr) == (EXIT_OK, "configuration: ok\n", "")
    assert list(run_dir.iterdir()) == []


def test_check_when_the_configuration_is_wrong_then_it_says_so_in_one_line(run_dir):
    assert "log.level" in refusal(run_dir, "--check-config", LOG_LEVEL="LOUD")


@pytest.fixture(scope="module")
def lives(appliance_factory):
    """Appliances that start at the same time, since each test ends one."""
    made = {name: appliance_factory() for name in ("interrupted", "hung", "orphaned", "killed", "doomed")}
    doomed = made["doomed"]
    doomed.wait_for("launcher_started")
    (doomed.run_dir / "gateway.sock").write_text("in the way of every gateway")
    return made


def test_pools_when_left_to_the_appliance_then_they_are_chosen_once_and_everybody_has_the_same(
    appliance_factory,
):
    appliance = appliance_factory(
        WORKERS_ESPEAK=-1, WORKERS_TONE=0, WORKERS_VITS=-1, WORKERS_COQUI=-1, DISPATCH_CORES=3
    )
    appliance.wait_until_ready()
    eventually(lambda: appliance.programs()["gateway"]["status"] == "workers espeak 3/3")
    sized = {line["engine"]: line for line in appliance.lines if line["event"] == "pool_sized"}
    assert {engine: line["size"] for engine, line in sized.items()} == {
        "espeak": 3,
        "tone": 0,
        "vits": 0,
        "coqui": 0,
    }
    assert sized["espeak"]["reason"] == "as many as cores"
    told = json.loads(run_ttsctl(appliance, "doctor", "--json").stdout)["checks"]
    (pools,) = [each for each in told if each["name"] == "pools"]
    assert pools["verdict"] == "ok"
    assert pools["seen"].startswith("espeak 3, as many as cores; vits 0, no voice is imported")


STAGES = ["appliance_ready", "appliance_stopping", "launcher_ends"]


def stages(appliance):
    return [line["event"] for line in appliance.lines if line["event"] in STAGES]


def stopped(appliance):
    """The programs that supervisord has stopped, in that order."""
    messages = [str(line.get("message")) for line in appliance.lines]
    return [message.split()[1] for message in messages if message.startswith("stopped: ")]


def is_gateway_first(programs):
    return programs[0] == "gateway" and set(programs) == {
        "gateway",
        "worker-tone-1",
        "exporter",
        "watchdog",
    }


def test_stop_when_interrupted_then_all_ends_in_order_with_exit_code_0(lives):
    appliance = lives["interrupted"]
    appliance.wait_until_ready()
    assert appliance.stop(signal.SIGINT) == EXIT_OK
    assert stages(appliance) == STAGES
    assert is_gateway_first(stopped(appliance))
    last = appliance.lines[[line["event"] for line in appliance.lines].index("appliance_stopping") :]
    # A gateway without espeak-ng's voices complains of names that point nowhere, early or late.
    assert [line for line in last if line["level"] != "INFO" and line["program"] != "gateway"] == []


def test_stop_when_signalled_at_the_very_start_then_it_ends_too(appliance_factory):
    appliance = appliance_factory()
    appliance.wait_for("launcher_started")
    assert appliance.stop() == EXIT_OK


def test_stop_when_the_gateway_hangs_and_a_second_signal_comes_then_it_hurries(lives):
    appliance = lives["hung"]
    appliance.wait_until_ready()
    appliance.program("gateway").suspend()
    appliance.send_signal(signal.SIGTERM)
    appliance.wait_for("appliance_stopping")
    assert appliance.process.poll() is None
    assert appliance.stop() == EXIT_OK
    assert appliance.lines[-1]["event"] == "launcher_ends"


def test_supervisord_when_it_is_killed_then_all_end_with_an_error(lives):
    appliance = lives["orphaned"]
    appliance.wait_until_ready()
    appliance.supervisord().kill()
    assert appliance.wait() == EXIT_SUPERVISOR
    appliance.assert_nothing_left()
    assert any(line["event"] == "supervisord_died" and line["status"] == -9 for line in appliance.lines)


def test_launcher_when_it_is_killed_then_nothing_outlives_it_and_the_next_one_starts(lives):
    appliance = lives["killed"]
    appliance.wait_until_ready()
    appliance.process.kill()
    appliance.process.wait()
    eventually(lambda: appliance.left_processes() == [], 5)
    assert (appliance.run_dir / "gateway.sock").exists()
    with contextlib.closing(Appliance(appliance.base)) as next_one:
        next_one.wait_until_ready()
        assert next_one.stop(signal.SIGTERM) == EXIT_OK
        assert stages(next_one) == STAGES
        assert is_gateway_first(stopped(next_one))


def test_gateway_when_it_cannot_be_kept_running_then_the_appliance_gives_up(lives):
    appliance = lives["doomed"]
    given_up = appliance.wait_for("program_given_up", name="gateway")
    assert appliance.wait(10) == EXIT_FATAL
    assert given_up["level"] == "ERROR"
    appliance.assert_nothing_left()
    assert json.loads((appliance.run_dir / "verdict.json").read_text())["reason"] == "gateway_fatal"


def test_supervisord_when_a_client_leaves_before_its_answer_then_that_is_no_error(appliance_factory):
    appliance = appliance_factory()
    appliance.wait_until_ready()
    body = xmlrpc.client.dumps((), "supervisor.getAllProcessInfo").encode()
    head = f"POST /RPC2 HTTP/1.1\r\nHost: x\r\nContent-Type: text/xml\r\nContent-Length: {len(body)}\r\n\r\n"
    for _ in range(20):
        with socket.socket(socket.AF_UNIX) as leaver:
            leaver.connect(str(appliance.run_dir / "supervisor.sock"))
            leaver.sendall(head.encode() + body)
    assert appliance.supervisorctl("status").returncode == 0  # it has come to all of them
    assert appliance.stop() == EXIT_OK
    assert [line for line in appliance.lines if "uncaptured" in line.get("message", "")] == []


CLOCK_STEP = """
import os, sys, time
real = time.time
time.time = lambda: real() + (3600 if os.path.exists(sys.argv[1]) else 0)
from processes.launcher.supervisord import steady_clock
from supervisor import supervisord
if sys.argv[2] == "steady":
    steady_clock()
supervisord.main(["-n", "-c", sys.argv[3]])
"""
CHILD = """
import pathlib, signal, sys, time
here = pathlib.Path(sys.argv[1])
def stop(number, frame):
    (here / "stopping").write_text("")
    time.sleep(2)
    (here / "clean").write_text("")
    sys.exit(0)
signal.signal(signal.SIGTERM, stop)
(here / "started").write_text("")
while True:
    signal.pause()
"""


@pytest.mark.parametrize(("clock", "is_clean"), [("steady", True), ("wall", False)])
def test_stop_when_the_wall_clock_steps_then_only_a_steady_supervisord_waits(run_dir, clock, is_clean):
    (run_dir / "child.py").write_text(CHILD)
    config = run_dir / "supervisord.conf"
    config.write_text(
        textwrap.dedent(f"""\
            [unix_http_server]
            file={run_dir}/supervisor.sock
            [supervisord]
            logfile=/dev/null
            logfile_maxbytes=0
            pidfile={run_dir}/supervisord.pid
            [rpcinterface:supervisor]
            supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface
            [program:child]
            command={sys.executable} {run_dir}/child.py {run_dir}
            stopwaitsecs=60
            """)
    )
    with subprocess.Popen(
        [sys.executable, "-c", CLOCK_STEP, str(run_dir / "step"), clock, str(config)],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        try:
            eventually((run_dir / "started").exists)
            ask(run_dir, lambda supervisor: supervisor.stopProcess("child", False))
            eventually((run_dir / "stopping").exists)
            (run_dir / "step").write_text("")
            eventually(lambda: ask(run_dir, state_of_child) == "STOPPED")
            assert (run_dir / "clean").exists() is is_clean
        finally:
            process.terminate()


def state_of_child(supervisor):
    return supervisor.getProcessInfo("child")["statename"]


def ask(run_dir, call):
    try:
        with supervisor_rpc(run_dir) as supervisor:
            return call(supervisor)
    except RPC_ERRORS as error:
        pytest.fail(f"supervisord doesn't answer: {error}")
