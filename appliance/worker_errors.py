"""Errors about workers that an operator names, as `appliance.errors` describes them.

Owns: the class.
Refuses to know: which workers there are.
"""

from __future__ import annotations

from appliance.errors import RequestError


class WorkerNotFoundError(RequestError):
    """No worker of this name can be replaced now; GET /admin/status lists those that are connected."""

    code = "worker_not_found"
    status = 404
