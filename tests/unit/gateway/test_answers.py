import json
import math

import pytest

from appliance.errors import WorkerLostError
from appliance.store.errors import (
    StorageError,
    StoreBusyError,
    StoreFailedError,
    StoreReadonlyError,
    StoreSlowError,
)
from processes.gateway.answers import error_response, json_response


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_json_response_when_a_number_is_not_one_of_jsons_then_it_is_refused(value: float) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        json_response({"level_dbfs": value})


def test_json_response_when_it_holds_half_a_character_then_it_is_json_still() -> None:
    body = json_response({"text": "\udc00ż"}).body
    assert isinstance(body, bytes)
    assert json.loads(body) == {"text": "?ż"}


def test_error_response_when_a_worker_was_lost_then_not_all_come_back_at_the_same_second() -> None:
    told = {error_response(WorkerLostError()).headers["Retry-After"] for _ in range(100)}
    assert told == {"1", "2"}


@pytest.mark.parametrize("error", [StoreBusyError, StoreFailedError, StoreReadonlyError, StoreSlowError])
def test_error_response_when_the_store_is_away_then_when_to_come_back_and_not_all_at_once(
    error: type[StorageError],
) -> None:
    told = {error_response(error()).headers["Retry-After"] for _ in range(100)}
    assert told == {"5", "6"}
