"""`GET /admin/diagnoses`: what failures point to, and what to do, in the words of `ttsctl doctor`.

Owns: the shape of the answer.
Refuses to know: what ails this appliance; doctor looks at files and processes, which the gateway shall not.
"""

from __future__ import annotations

from aiohttp import web

from appliance.diagnoses import FAILURES, OTHER_FAILURE, REMEDIES
from processes.gateway.access import AccessRules, guarded
from processes.gateway.answers import json_response


@guarded(AccessRules.check_admin)
async def get_diagnoses(_request: web.Request) -> web.Response:
    """List what each code of a failed request points to, and what to do about each fault."""
    return json_response(
        {
            "failures": {code: each._asdict() for code, each in FAILURES.items()},
            "other_failure": OTHER_FAILURE._asdict(),
            "faults": {fault: each._asdict() for fault, each in REMEDIES.items()},
        }
    )
