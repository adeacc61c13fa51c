"""What the FastAPI peers share: the endpoint, the answer document, the start.

A peer brings a client: open(), close(), get(url) -> (status, parsed body), `errors`, the
exceptions that get may raise, and `max_in_flight`, its fetches at once. Everything else is as a careful user would write it: one client
for the process, one semaphore, one gather, and a JSONResponse at once, which spares FastAPI's
slow walk through the document (jsonable_encoder).
"""

import asyncio
import collections
import json
import sys
import time

import fastapi
import uvicorn
from fastapi.responses import JSONResponse

TIMEOUT_SECONDS = 2.0  # as fanoutd's default deadline


def run(client_class):
    """PROGRAM PORT UPSTREAMS.json, the file being {"name": "url", ...}."""
    port, upstreams_file = sys.argv[1:]
    with open(upstreams_file, encoding="utf-8") as file:
        upstreams = json.load(file)
    uvicorn.run(
        make_app(client_class(), upstreams),
        host="127.0.0.1",
        port=int(port),
        log_level="warning",
        access_log=False,
    )


def make_app(client, upstreams):
    app = fastapi.FastAPI()
    slots = asyncio.Semaphore(client.max_in_flight)
    outcomes = collections.Counter()
    app.add_event_handler("startup", client.open)
    app.add_event_handler("shutdown", client.close)

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
        outcomes[error["code"] if error else "ok"] += 1
        return result(name, status, body, error, time.perf_counter() - start)

    @app.get("/fetch-multiple")
    async def fetch_multiple():
        start = time.perf_counter()
        results = await asyncio.gather(*(fetch(name, url) for name, url in upstreams.items()))
        return answer(results, time.perf_counter() - start)

    @app.get("/upstreams")
    async def state():
        return {"upstreams": [{"name": "all", "outcomes": outcomes}]}

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


def answer(results, seconds):
    errors = [entry["error"] for entry in results if not entry["ok"]]
    status = "ok" if not errors else "failed" if len(errors) == len(results) else "partial"
    return JSONResponse(
        {
            "status": status,
            "elapsed_ms": round(seconds * 1000, 1),
            "results": results,
            "errors": errors,
        },
        status_code=502 if status == "failed" else 200,
        headers={"X-Fanout-Complete": "false" if errors else "true"},
    )
