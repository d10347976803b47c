"""The application: which handler answers at which path.

Owns: the routes and the order of the middleware.
Refuses to know: sockets and processes (`__main__`).
"""

from __future__ import annotations

import asyncio

from aiohttp import web

from processes.gateway import (
    backup_admin,
    cache_admin,
    captions,
    control,
    diagnosis_admin,
    dictionary_admin,
    health,
    history_list,
    job_control,
    job_intake,
    job_results,
    key_admin,
    lists,
    maintenance,
    openapi,
    page_files,
    speech_get,
    speech_post,
    speech_socket,
    voice_admin,
    worker_admin,
)
from processes.gateway.access import ACCESS_KEY, LOCAL_KEY, AccessRules, guarded
from processes.gateway.dialects import coqui_server, elevenlabs, marytts, piper, xtts
from processes.gateway.gateway import GATEWAY_KEY, Gateway
from processes.gateway.lists import STRINGS_PREFIX
from processes.gateway.middleware import (
    METRICS_KEY,
    OTHER_ROUTE,
    ROUTES_KEY,
    STOPPING_KEY,
    TRACER_KEY,
    around,
    observe_start,
)

API_PREFIXES = ("/v1", f"{STRINGS_PREFIX}/v1")


def make_app(gateway: Gateway, *, is_local: bool) -> web.Application:
    """Return the application of a gateway; nothing runs yet.

    Args:
        gateway: What is served.
        is_local: Whether it is served on `run/gateway.sock`, where every caller is an operator.
    """
    app = web.Application(middlewares=[around], client_max_size=gateway.settings.http.max_body_bytes)
    app[GATEWAY_KEY] = gateway
    app[ACCESS_KEY] = gateway.access
    app[LOCAL_KEY] = is_local
    app[METRICS_KEY] = gateway.metrics
    app[TRACER_KEY] = gateway.tracer
    app[STOPPING_KEY] = asyncio.Event()
    app.on_response_prepare.append(observe_start)
    add_routes(app)
    app[ROUTES_KEY] = frozenset(route_names())
    return app


def add_routes(app: web.Application) -> None:
    """Route every path to its handler."""
    router = app.router
    for prefix in API_PREFIXES:
        router.add_post(f"{prefix}/audio/speech", speech_post.post_speech)
        router.add_get(f"{prefix}/audio/speech", guarded(AccessRules.check_referer)(speech_get.get_speech))
        router.add_get(
            f"{prefix}/audio/captions.{{kind:{captions.KINDS}}}",
            guarded(AccessRules.check_referer)(captions.get_captions),
        )
        router.add_get(f"{prefix}/audio/voices", lists.get_voices)
        router.add_get(f"{prefix}/audio/models", lists.get_audio_models)
        router.add_get(f"{prefix}/models", lists.get_models)
        router.add_get(f"{prefix}/models/{{model}}", lists.get_model)
    router.add_get("/v1/audio/stream", speech_socket.get_stream, allow_head=False)
    router.add_get("/v1/history", history_list.get_history)
    add_job_routes(router)
    add_dialect_routes(router)
    router.add_get("/health", health.get_health)
    router.add_get("/health/live", health.get_live)
    router.add_get("/health/ready", health.get_ready)
    router.add_get("/health/tts", health.get_tts_health)
    add_admin_routes(router)
    router.add_get("/metrics", control.get_metrics)
    router.add_get("/openapi.json", openapi.get_openapi)
    page_files.add_page(app)


def add_dialect_routes(router: web.UrlDispatcher) -> None:
    """Route the paths of other servers' APIs."""
    by_get = guarded(AccessRules.check_referer)
    router.add_post("/process", marytts.process)
    router.add_get("/process", by_get(marytts.process))
    router.add_get("/voices", marytts.get_voices)
    router.add_get("/locales", marytts.get_locales)
    router.add_get("/version", marytts.get_version)
    router.add_get("/audioformats", marytts.get_audio_formats)
    router.add_get("/datatypes", marytts.get_data_types)
    router.add_post("/api/tts", coqui_server.speak)
    router.add_get("/api/tts", by_get(coqui_server.speak))
    router.add_post("/synthesize", piper.synthesize)
    router.add_post(f"{piper.PREFIX}/synthesize", piper.synthesize)
    router.add_get(f"{piper.PREFIX}/voices", piper.get_voices)
    router.add_post(f"{piper.PREFIX}/", piper.post_text)
    router.add_get(f"{piper.PREFIX}/", by_get(piper.get_text))
    router.add_get("/speakers", xtts.get_speakers)
    router.add_get("/languages", xtts.get_languages)
    router.add_post("/set_tts_settings", xtts.post_settings)
    router.add_post("/tts_to_audio/", xtts.post_speech)
    router.add_get("/tts_stream/", by_get(xtts.get_stream), allow_head=False)
    router.add_get("/tts_stream", by_get(xtts.get_stream), allow_head=False)
    router.add_post("/v1/text-to-speech/{voice_id}", elevenlabs.post_speech)
    router.add_post("/v1/text-to-speech/{voice_id}/stream", elevenlabs.post_speech)
    router.add_get("/v1/voices", elevenlabs.get_voices)
    router.add_get("/v2/voices", elevenlabs.get_voices)


def add_admin_routes(router: web.UrlDispatcher) -> None:
    """Route the operator's paths."""
    router.add_get("/admin/status", control.get_status)
    router.add_post("/admin/drain", control.post_drain)
    router.add_get("/admin/diagnoses", diagnosis_admin.get_diagnoses)
    router.add_get("/admin/programs", worker_admin.get_programs)
    router.add_post("/admin/workers/restart", worker_admin.post_restart_all)
    router.add_post("/admin/workers/{worker}/restart", worker_admin.post_restart)
    router.add_post("/admin/pools", control.post_pools)
    router.add_post("/admin/probe", control.post_probe)
    router.add_post("/admin/maintenance", maintenance.post_maintenance)
    router.add_post("/admin/backups", backup_admin.post_backup)
    router.add_get("/admin/store", backup_admin.get_store)
    router.add_get("/admin/keys", key_admin.get_keys)
    router.add_post("/admin/keys", key_admin.post_keys)
    router.add_get("/admin/voices", voice_admin.get_voices)
    router.add_post("/admin/voices", voice_admin.post_voice)
    router.add_delete("/admin/voices/{voice}", voice_admin.delete_voice)
    router.add_get("/admin/dictionary", dictionary_admin.get_dictionary)
    router.add_put("/admin/dictionary", dictionary_admin.put_dictionary)
    router.add_post("/admin/dictionary", dictionary_admin.post_dictionary)
    router.add_delete("/admin/dictionary", dictionary_admin.delete_entry)
    router.add_post("/admin/dictionary/try", dictionary_admin.post_try)
    router.add_get("/admin/cache", cache_admin.get_cache)
    router.add_delete("/admin/cache", cache_admin.delete_cache)
    router.add_post("/admin/cache/pin", cache_admin.post_pin)
    router.add_post("/admin/cache/unpin", cache_admin.post_unpin)
    router.add_post("/admin/cache/warm", cache_admin.post_warm)


def add_job_routes(router: web.UrlDispatcher) -> None:
    """Route the paths of jobs."""
    job = f"/v1/jobs/{{id:{job_control.JOB_ID}}}"
    router.add_post("/v1/jobs", job_intake.post_job)
    router.add_get("/v1/jobs", job_control.get_jobs)
    router.add_get(job, job_control.get_job)
    router.add_delete(job, job_control.delete_job)
    router.add_get(f"{job}/audio", job_results.get_audio)
    router.add_get(f"{job}/captions.{{kind:{captions.KINDS}}}", job_results.get_job_captions)
    router.add_get(f"{job}/events", job_results.get_events, allow_head=False)
    router.add_post(f"{job}/{{change:{job_control.CHANGES}}}", job_control.post_change)


def route_names() -> list[str]:
    """Return the closed set of route names for metrics."""
    app = web.Application()
    add_routes(app)
    return sorted({resource.canonical for resource in app.router.resources()} | {OTHER_ROUTE})
