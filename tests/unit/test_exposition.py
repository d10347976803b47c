import pytest
from prometheus_client import generate_latest
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics_families
from prometheus_client.parser import text_string_to_metric_families

from appliance.metrics import GatewayMetrics
from processes.exporter.exposition import (
    KINDS,
    STATES,
    Observation,
    Process,
    is_joinable,
    metrics,
    render,
)


@pytest.fixture(scope="module")
def gateway_text():
    return generate_latest(GatewayMetrics(("speech",)).registry).decode()


def samples(text):
    return {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_metrics_when_compared_with_the_gateways_then_no_name_is_shared(gateway_text):
    own = {metric.name for metric in metrics(Observation())}
    gateways = {family.name for family in text_string_to_metric_families(gateway_text)}
    assert own
    assert gateways
    assert not own & gateways


def test_metrics_when_nothing_was_seen_then_every_label_pair_is_there():
    seen = samples(render(Observation()).decode())
    states = {key[1:] for key in seen if key[0] == "tts_process_state"}
    assert states == {tuple(sorted((kind, state))) for kind in KINDS for state in STATES}


def test_render_when_the_gateway_is_there_then_both_are_one_exposition(gateway_text):
    seen = samples(render(Observation(gateway_text=gateway_text)).decode())
    assert seen["tts_up",] == 1
    assert seen["tts_requests_accepted_total",] == 0


def test_render_when_in_openmetrics_then_both_are_one_exposition_with_one_end():
    registry = GatewayMetrics(("speech",)).registry
    text = openmetrics.generate_latest(registry).decode()
    assert is_joinable(text, is_openmetrics=True)
    assert not is_joinable(text[:-20], is_openmetrics=True)
    rendered = render(Observation(text, is_openmetrics=True)).decode()
    assert (rendered.count("# EOF"), rendered.endswith("# EOF\n")) == (1, True)
    seen = {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for family in openmetrics_families(rendered)
        for sample in family.samples
    }
    assert (seen["tts_up",], seen["tts_requests_accepted_total",]) == (1, 0)
    gone = render(Observation(is_openmetrics=True)).decode()
    assert "tts_up 0.0" in gone
    assert gone.endswith("# EOF\n")


def test_series_when_in_openmetrics_then_named_as_in_plain_text():
    registry = GatewayMetrics(("speech",)).registry
    plain, other = (
        {sample.name for family in families for sample in family.samples}
        for families in (
            text_string_to_metric_families(generate_latest(registry).decode()),
            openmetrics_families(openmetrics.generate_latest(registry).decode()),
        )
    )
    assert plain == other


def test_render_when_the_gateway_is_gone_then_all_else_is_there():
    processes = (
        Process("worker", "running", resident_bytes=10, restarts=2),
        Process("worker", "fatal", resident_bytes=5, restarts=1, is_degraded=True),
        Process("gateway", "backoff", hangs=4),
        Process("exporter", "running", is_ready=True),
    )
    seen = samples(
        render(
            Observation(processes=processes, log_lines_dropped=3, disk_used_ratio=0.5, db_bytes=9)
        ).decode()
    )
    assert seen["tts_up",] == 0
    assert seen["tts_supervisor_up",] == 1
    assert seen["tts_process_state", "running", "worker"] == 1
    assert seen["tts_process_state", "fatal", "worker"] == 1
    assert seen["tts_process_state", "backoff", "gateway"] == 1
    assert seen["tts_process_resident_memory_bytes", "worker"] == 15
    assert seen["tts_process_restarts_total", "worker"] == 3
    assert seen["tts_process_ready", "exporter"] == 1
    assert seen["tts_process_hangs_total", "gateway"] == 4
    assert (seen["tts_process_degraded", "worker"], seen["tts_process_degraded", "gateway"]) == (1, 0)
    assert seen["tts_container_log_lines_dropped_total",] == 3
    assert (seen["tts_disk_used_ratio",], seen["tts_db_bytes",]) == (0.5, 9)


def test_render_when_supervisord_is_gone_then_it_says_so():
    assert samples(render(Observation(processes=None)).decode())["tts_supervisor_up",] == 0


def test_gateway_text_when_whole_then_it_is_joinable(gateway_text):
    assert is_joinable(gateway_text)


@pytest.mark.parametrize(
    "broken",
    [
        "",
        "no metrics at all\n",
        "tts_x{a=",
        'tts_x{a="1"} one\n',
        "# TYPE tts_up gauge\ntts_up 1.0\n",
        "# TYPE tts_x gauge\ntts_x 1.0",
    ],
)
def test_gateway_text_when_broken_or_clashing_then_it_is_left_out(broken):
    assert not is_joinable(broken)
