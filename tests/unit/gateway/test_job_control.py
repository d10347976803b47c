"""What is asked of a job that ends at the same moment."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer

from appliance.store import jobs
from processes.gateway.app import make_app
from processes.gateway.gateway import Gateway
from tests.unit.gateway.test_job_runner import RESULT, accepted, files_of, gateway, state_of, until

__all__ = ["gateway"]


async def answered(gateway: Gateway, method: str, path: str) -> tuple[int, dict[str, Any]]:
    app = await asyncio.to_thread(lambda: make_app(gateway, is_local=True))
    async with TestClient(TestServer(app)) as client, client.request(method, path) as answer:
        return answer.status, await answer.json()


@pytest.mark.parametrize(("method", "path"), [("DELETE", ""), ("POST", "/cancel")])
async def test_cancel_when_the_job_completes_meanwhile_then_409_and_its_audio_is_kept(
    gateway: Gateway, method: str, path: str
) -> None:
    folder = await accepted(gateway, 1, "audio", "result.json")
    database = gateway.store.database
    values = {"id": folder.path.name, "now": 0.0, **RESULT._asdict()}
    async with database.transaction() as transaction:  # so that the cancel waits for its turn
        asked = asyncio.create_task(answered(gateway, method, f"/v1/jobs/{folder.path.name}{path}"))
        await until(lambda: gateway.jobs._changes)
        assert await transaction.execute("complete_job", values)
    status, answer = await asked
    assert (status, answer["error"]["code"]) == (409, "job_state")
    assert "(completed)" in answer["error"]["message"]
    assert await state_of(gateway, folder) == ("completed", "")
    assert files_of(folder) == {"audio", "result.json"}


@pytest.mark.parametrize("state", jobs.ENDED)
async def test_cancel_when_the_job_has_ended_then_409_and_it_stays_until_deleted(
    gateway: Gateway, state: str
) -> None:
    folder = await accepted(gateway, 1, "audio")
    database, job_id = gateway.store.database, folder.path.name
    row = await jobs.find_job(database, job_id)
    assert row is not None
    if state == "completed":
        assert await jobs.complete_job(database, row, RESULT)
    else:
        assert await jobs.change_job(database, {"failed": "fail", "cancelled": "cancel"}[state], job_id)
    status, answer = await answered(gateway, "POST", f"/v1/jobs/{job_id}/cancel")
    assert (status, answer["error"]["code"]) == (409, "job_state")
    assert f"({state})" in answer["error"]["message"]
    assert files_of(folder) == {"audio"}
    assert (await answered(gateway, "DELETE", f"/v1/jobs/{job_id}"))[0] == 200
    assert not await asyncio.to_thread(folder.path.exists)
    assert (await answered(gateway, "DELETE", f"/v1/jobs/{job_id}"))[0] == 404


async def test_cancel_when_the_job_has_not_ended_then_cancelled(gateway: Gateway) -> None:
    folder = await accepted(gateway, 1, "text")
    status, job = await answered(gateway, "POST", f"/v1/jobs/{folder.path.name}/cancel")
    assert (status, job["state"], job["reason"]) == (200, "cancelled", "operator")
    assert not await asyncio.to_thread(folder.path.exists)
