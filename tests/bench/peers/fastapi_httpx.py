"""The service as FastAPI and httpx: asyncio.gather under an asyncio.Semaphore.

It is given few connections: each request walks through httpx's whole pool, so the fewer, the
cheaper.
"""

import httpx

import service


class Client:
    errors = (httpx.HTTPError, ValueError)

    def __init__(self, max_in_flight, timeout_seconds):
        limits = httpx.Limits(
            max_connections=max_in_flight, max_keepalive_connections=max_in_flight
        )
        self.options = {"timeout": timeout_seconds, "limits": limits}

    async def open(self):
        self.client = httpx.AsyncClient(**self.options)

    async def close(self):
        await self.client.aclose()

    async def get(self, url):
        response = await self.client.get(url)
        return response.status_code, response.json()


if __name__ == "__main__":
    service.run(Client)
