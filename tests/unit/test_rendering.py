import configparser
import math

import pytest
from supervisor.datatypes import dict_of_key_value_pairs

from appliance.errors import ConfigurationError
from appliance.packages import THREAD_VARIABLES
from appliance.pools import look_at_machine
from appliance.settings import ROOT, load_settings
from appliance.store.database import BEGIN_STEP_S
from appliance.voice_imports import PROGRAM_FILE, provide_importer
from appliance.watched import ONE_SHOT_PROGRAM
from appliance.worker_programs import WORKER_STOP_S
from processes.gateway.__main__ import END_S, LINGER_S
from processes.gateway.http_server import CUT_S
from processes.gateway.pool import OBEY_S
from processes.gateway.store_keeper import CLOSE_S
from processes.gateway.worker_link import KILL_AFTER_ABORT_S
from processes.launcher.launch import stop_limit_s
from processes.launcher.rendering import (
    GATEWAY_MARGIN_S,
    TEMPLATE,
    gateway_stop_s,
    render_configuration,
)
from processes.worker.session import ANSWER_S, FINISH_S


def settings_for(run_dir, **values):
    environ = {f"APPLIANCE_{name}": str(value) for name, value in values.items()}
    return load_settings({"APPLIANCE_RUN_DIR": str(run_dir), **environ})


def read(path):
    parser = configparser.RawConfigParser()
    parser.read_string(path.read_text())
    return parser


@pytest.mark.parametrize(("models", "is_there"), [("", False), ("tts_models/en/ljspeech/vits", True)])
def test_importer_when_a_voice_is_missing_then_started_and_else_no_program(tmp_path, models, is_there):
    settings = settings_for(tmp_path, DATA_DIR=tmp_path / "data", VOICES_IMPORT=models)
    (tmp_path / PROGRAM_FILE.parent).mkdir()
    provide_importer(tmp_path)  # as an earlier life may have left it
    render_configuration(settings)
    assert (tmp_path / PROGRAM_FILE).exists() is is_there
    if is_there:
        program = read(tmp_path / PROGRAM_FILE)[f"program:{ONE_SHOT_PROGRAM}"]
        assert (program["autostart"], program["autorestart"]) == ("true", "false")


def test_importer_when_a_voice_is_imported_elsewhere_then_no_program_but_workers_for_it(tmp_path):
    settings = settings_for(
        tmp_path,
        DATA_DIR=tmp_path / "data",
        VOICES_IMPORT="tts_models/en/ljspeech/vits",
        IMPORTER_ELSEWHERE="true",
    )
    (tmp_path / PROGRAM_FILE.parent).mkdir()
    provide_importer(tmp_path)
    render_configuration(settings)
    assert not (tmp_path / PROGRAM_FILE).exists()
    assert look_at_machine(settings).voiced == {"vits"}


def test_workers_when_rendered_then_only_vits_ones_have_the_thresholds_of_their_memory(tmp_path):
    render_configuration(settings_for(tmp_path, WORKERS_VITS=1, WORKERS_COQUI=1, WORKERS_ESPEAK=1))
    vits = read(tmp_path / "workers.d" / "worker-vits-1.conf")["program:worker-vits-1"]
    assert vits["environment"].startswith('GLIBC_TUNABLES="glibc.malloc.hugetlb=1:')
    coqui = read(tmp_path / "workers.d" / "worker-coqui-1.conf")["program:worker-coqui-1"]
    assert "GLIBC_TUNABLES" not in coqui["environment"]
    espeak = read(tmp_path / "workers.d" / "worker-espeak-1.conf")["program:worker-espeak-1"]
    assert "environment" not in espeak


def test_workers_when_rendered_then_neural_ones_have_as_many_threads_as_the_settings_say(tmp_path):
    render_configuration(settings_for(tmp_path, WORKERS_VITS=1, WORKERS_COQUI=1, COQUI_THREADS=3))
    for engine, threads in (("vits", "1"), ("coqui", "3")):
        program = read(tmp_path / "workers.d" / f"worker-{engine}-1.conf")[f"program:worker-{engine}-1"]
        variables = dict_of_key_value_pairs(program["environment"])
        assert {variables[name] for name in THREAD_VARIABLES} == {threads}


@pytest.fixture
def rendered(tmp_path):
    return read(render_configuration(settings_for(tmp_path, DISPATCH_DRAIN_S=12.4)))


def test_rendered_when_compared_with_the_template_then_every_path_lies_beside_it(rendered):
    template = read(TEMPLATE)
    assert rendered.sections() == template.sections()
    assert "../run" in TEMPLATE.read_text()
    values = [value for section in rendered.sections() for _key, value in rendered.items(section)]
    assert not [value for value in values if ".." in value]
    assert rendered["supervisorctl"]["serverurl"] == "unix://%(here)s/supervisor.sock"
    assert rendered["include"]["files"] == "workers.d/*.conf"


def test_gateway_when_rendered_then_it_has_longer_to_stop_than_to_drain(rendered):
    assert int(rendered["program:gateway"]["stopwaitsecs"]) >= 12.4 + 4
    defaults = load_settings({})
    assert read(TEMPLATE)["program:gateway"]["stopwaitsecs"] == str(math.ceil(gateway_stop_s(defaults)))
    workers_s = OBEY_S + KILL_AFTER_ABORT_S
    assert CLOSE_S + 2 * BEGIN_STEP_S < END_S
    assert LINGER_S + 2 * (2 * CUT_S) + max(workers_s, END_S) < GATEWAY_MARGIN_S
    assert defaults.dispatch.drain_s < gateway_stop_s(defaults) < stop_limit_s(defaults)


def test_programs_when_listed_then_each_starts_a_package_of_processes(tmp_path):
    render_configuration(settings_for(tmp_path))
    texts = [TEMPLATE.read_text(), *(path.read_text() for path in (tmp_path / "workers.d").iterdir())]
    parser = configparser.RawConfigParser()
    for text in texts:
        parser.read_string(text)
    programs = [name for name in parser.sections() if name.startswith(("program:", "eventlistener:"))]
    assert len(programs) == 5
    for name in programs:
        package = parser[name]["command"].split()[2].removeprefix("processes.")
        assert (ROOT / "processes" / package / "__main__.py").exists()
        assert name.partition(":")[2].startswith(package)
        assert int(parser[name]["startsecs"]) >= 3
        assert parser[name]["autorestart"] == "true"
    assert int(parser["eventlistener:watchdog"]["buffer_size"]) == 1000


def test_programs_when_ordered_then_they_stop_gateway_workers_exporter_watchdog(tmp_path):
    render_configuration(settings_for(tmp_path))
    parser = read(tmp_path / "supervisord.conf")
    parser.read_string((tmp_path / "workers.d" / "worker-espeak-1.conf").read_text())
    names = [
        "program:gateway",
        "program:worker-espeak-1",
        "program:exporter",
        "eventlistener:watchdog",
    ]
    assert sorted(names, key=lambda name: -int(parser[name]["priority"])) == names


def test_worker_when_stopped_then_it_has_longer_than_it_takes_to_finish():
    assert ANSWER_S < FINISH_S < WORKER_STOP_S


def test_workers_when_the_pool_shrinks_then_the_files_of_those_gone_are_removed(tmp_path):
    render_configuration(settings_for(tmp_path, WORKERS_ESPEAK=3, WORKERS_TONE=1))
    assert len(list((tmp_path / "workers.d").iterdir())) == 4
    render_configuration(settings_for(tmp_path, WORKERS_ESPEAK=1))
    assert [path.name for path in (tmp_path / "workers.d").iterdir()] == ["worker-espeak-1.conf"]


def test_worker_when_rendered_then_it_knows_engine_and_slot(tmp_path):
    render_configuration(settings_for(tmp_path, WORKERS_ESPEAK=0, WORKERS_TONE=2))
    text = (tmp_path / "workers.d" / "worker-tone-2.conf").read_text()
    assert "[program:worker-tone-2]" in text
    assert "--engine tone --slot 2" in text


def test_rendering_when_the_template_is_missing_then_it_says_so_in_one_line(tmp_path):
    with pytest.raises(ConfigurationError, match=r"^[^\n]*can't be written[^\n]*$"):
        render_configuration(settings_for(tmp_path), tmp_path / "absent.conf")
