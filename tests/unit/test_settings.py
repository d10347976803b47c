"""The settings' bounds, beyond those of a single one."""

from __future__ import annotations

import pytest

from appliance.errors import ConfigurationError
from appliance.settings import load_settings


@pytest.mark.parametrize(
    ("heartbeat_s", "silence_s", "is_right"),
    [
        ("0.25", "0.5", True),
        ("0.25", "0.49", False),
        ("1", "1", False),
        ("5", None, False),
        ("0.5", None, True),
    ],
)
def test_silence_when_shorter_than_two_heartbeats_then_refused_with_value_and_bound(
    heartbeat_s: str, silence_s: str | None, is_right: bool
) -> None:
    environ = {"APPLIANCE_WORKERS_HEARTBEAT_S": heartbeat_s}
    if silence_s is not None:
        environ["APPLIANCE_WORKERS_SILENCE_S"] = silence_s
    if is_right:
        assert load_settings(environ).workers.silence_s >= 2 * float(heartbeat_s)
        return
    with pytest.raises(ConfigurationError) as caught:
        load_settings(environ)
    value = 1.0 if silence_s is None else silence_s
    bound_s = 2 * float(heartbeat_s)
    assert f"workers.silence_s = {value!r}: must be at least {bound_s:g}" in caught.value.message


def test_silence_when_the_heartbeat_is_wrong_itself_then_only_that_is_said() -> None:
    with pytest.raises(ConfigurationError) as caught:
        load_settings({"APPLIANCE_WORKERS_HEARTBEAT_S": "99"})
    assert "workers.heartbeat_s = '99'" in caught.value.message
    assert "silence_s" not in caught.value.message
