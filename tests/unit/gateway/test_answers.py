import json
import math

import pytest

from processes.gateway.answers import json_response


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_json_response_when_a_number_is_not_one_of_jsons_then_it_is_refused(value: float) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        json_response({"level_dbfs": value})


def test_json_response_when_it_holds_half_a_character_then_it_is_json_still() -> None:
    body = json_response({"text": "\udc00ż"}).body
    assert isinstance(body, bytes)
    assert json.loads(body) == {"text": "?ż"}
