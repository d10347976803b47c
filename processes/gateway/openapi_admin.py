"""The description of what operators do with kept answers and with the pronunciation dictionary.

Owns: these paths of OpenAPI 3.1.
Refuses to know: all others (`openapi`).
"""

from __future__ import annotations

from typing import Any

from processes.gateway.dictionary_admin import Entry
from processes.gateway.openapi_parts import JSON, SCHEMAS, answers, json_answer, parameter
from processes.gateway.pronunciation_book import MAX_ENTRIES
from processes.gateway.warm_list import MAX_WANTED


def cache_paths() -> dict[str, Any]:
    """Return what is done with kept answers."""

    def post(summary: str, schema: dict[str, Any]) -> dict[str, Any]:
        found = answers(json_answer("How it stands"), 400, 401, 403, 404, 413, 415, 422, 507)
        body = {"required": True, "content": {JSON: {"schema": schema}}}
        return {"post": {"summary": summary, "requestBody": body, "responses": found}}

    speech = {"$ref": f"{SCHEMAS}SpeechBody"}
    wanted = {"requests": {"type": "array", "items": speech, "maxItems": MAX_WANTED}}
    warm = post(
        "Have requests spoken ahead", {"type": "object", "required": ["requests"], "properties": wanted}
    )
    warm["post"]["responses"]["202"] = warm["post"]["responses"].pop("200")
    return {
        "/admin/cache": {
            "get": {
                "summary": "Describe the cache of answers",
                "responses": answers(json_answer("Figures"), 401, 403, 404),
            },
            "delete": {
                "summary": "Forget every answer that isn't pinned",
                "responses": answers(json_answer("How many there were"), 401, 403, 404),
            },
        },
        "/admin/cache/pin": post("Keep the answer to a request for good", speech),
        "/admin/cache/unpin": post("Let the answer to a request go when its time comes", speech),
        "/admin/cache/warm": warm,
    }


def dictionary_paths() -> dict[str, Any]:
    """Return what is done with the pronunciation dictionary."""
    entries = {"entries": {"type": "array", "items": Entry.model_json_schema(), "maxItems": MAX_ENTRIES}}
    body = {"schema": {"type": "object", "required": ["entries"], "properties": entries}}
    listed = json_answer("All entries")

    def change(summary: str) -> dict[str, Any]:
        given = {"required": True, "content": {JSON: body}}
        return {
            "summary": summary,
            "requestBody": given,
            "responses": answers(listed, 400, 401, 403, 404, 413, 415, 507),
        }

    names = [parameter("word", {"type": "string"}, is_required=True)]
    names += [parameter(name, {"type": "string", "default": ""}) for name in ("language", "voice")]
    speech = {"schema": {"$ref": f"{SCHEMAS}SpeechBody"}}
    return {
        "/admin/dictionary": {
            "get": {
                "summary": "Export the pronunciation dictionary",
                "responses": answers(listed, 401, 403, 404),
            },
            "post": change("Add entries, or change those that are there"),
            "put": change("Import: have these entries in place of all there are"),
            "delete": {
                "summary": "Remove an entry",
                "parameters": names,
                "responses": answers(json_answer("How many there were"), 401, 403, 404, 507),
            },
        },
        "/admin/dictionary/try": {
            "post": {
                "summary": "Show what a worker would get for a request",
                "requestBody": {"required": True, "content": {JSON: speech}},
                "responses": answers(json_answer("Utterances"), 400, 401, 403, 404, 413, 415),
            }
        },
    }
