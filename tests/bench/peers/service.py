"""What the FastAPI peers share: the endpoint, the answer document, the start.

A peer brings a client: open(), close(), get(url) -> (status, parsed body), and `errors`, the
exceptions that get may raise. Everything else is as a careful user would write it: one client
for the process, one semaphore, one gather, and a JSONResponse at once, which spares FastAPI's
slow walk through the document (jsonable_encoder).
"""

import asyncio
import contextlib
import json
import sys
import time

import fastapi
import uvicorn
from fastapi.responses import JSONResponse


def run(client_class):
    """PROGRAM PORT SETTINGS.json, with upstreams, timeout_ms, max_in_flight and may_fail."""
    port, settings_file = sys.argv[1:]
    with open(settings_file, encoding="utf-8") as file:
        settings = json.load(file)
    client = client_class(settings["max_in_flight"], settings["timeout_ms"] / 1000)
    uvicorn.run(
        make_app(client, settings),
        host="127.0.0.1",
        port=int(port),
        log_level="warning",
        access_log=False,
        timeout_keep_alive=75,
        backlog=4096,
    )


def make_app(client, settings):
    @contextlib.asynccontextmanager
    async def lifespan(_):
        await client.open()
        yield
        await client.close()

    app = fastapi.FastAPI()
    app.router.lifespan_context = lifespan
    slots = asyncio.Semaphore(settings["max_in_flight"])
    upstreams = settings["upstreams"].items()

    async def fetch(name, url):
        start = time.perf_counter()
        status = body = error = None
        try:
            async with slots:
                status, body = await client.get(url)
            if not 200 <= status < 300:
                error = {"id": name, "code": "http_status", "message": f"status {status}"}
        except client.errors as problem:
            error = {"id": name, "code": type(problem).__name__, "message": str(problem)}
        return result(name, status, body, error, time.perf_counter() - start)

    @app.get("/fetch-multiple")
    async def fetch_multiple():
        start = time.perf_counter()
        results = await asyncio.gather(*(fetch(name, url) for name, url in upstreams))
        return answer(results, time.perf_counter() - start, settings["may_fail"])

    return app


def result(name, status, body, error, seconds):
    entry = {
        "id": name,
        "ok": error is None,
        "status": status,
        "elapsed_ms": round(seconds * 1000, 1),
        "body": body,
    }
    if error:
        entry["error"] = error
    return entry


def answer(results, seconds, may_fail):
    errors = [entry["error"] for entry in results if not entry["ok"]]
    status = "ok" if not errors else "failed" if len(errors) == len(results) else "partial"
    return JSONResponse(
        {
            "status": status,
            "elapsed_ms": round(seconds * 1000, 1),
            "results": results,
            "errors": errors,
        },
        status_code=200 if not errors or may_fail else 502,
        headers={"X-Fanout-Complete": "false" if errors else "true"},
    )
