"""What the process that makes a voice tells of an exception."""

import errno

from appliance.errors import CheckpointBrokenError, VoiceConfigError
from appliance.import_errors import VoiceNotWrittenError
from processes.importer.maker import failure_of


def test_failure_when_something_unforeseen_comes_while_the_model_is_read_then_its_config_is_refused(
    capsys,
) -> None:
    failure = failure_of(TypeError("'int' object is not iterable"), is_reading=True)
    assert isinstance(failure, VoiceConfigError)
    assert failure.message == "config.json: 'int' object is not iterable"
    assert "TypeError" in capsys.readouterr().err


def test_failure_when_something_unforeseen_comes_later_then_it_is_our_own() -> None:
    assert failure_of(TypeError(), is_reading=False) is None
    assert failure_of(MemoryError(), is_reading=True) is None


def test_failure_when_foreseen_then_as_it_is_in_any_stage() -> None:
    broken = CheckpointBrokenError()
    full = OSError(errno.ENOSPC, "No space left on device")
    for is_reading in (True, False):
        assert failure_of(broken, is_reading=is_reading) is broken
        failure = failure_of(full, is_reading=is_reading)
        assert isinstance(failure, VoiceNotWrittenError)
        assert failure.message == "The voice couldn't be written: No space left on device"
