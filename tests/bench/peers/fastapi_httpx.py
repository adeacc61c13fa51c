"""The service as FastAPI and httpx: asyncio.gather under an asyncio.Semaphore.

httpx gets 10 connections where fanoutd may have 256: each request walks through its whole pool,
so the fewer, the cheaper. Upstreams that take their time would need more.
HTTPX_CONNECTIONS=256 tries it.
"""

import os

import httpx

import service


class Client:
    max_in_flight = int(os.environ.get("HTTPX_CONNECTIONS", "10"))
    errors = (httpx.HTTPError, ValueError)

    async def open(self):
        self.client = httpx.AsyncClient(
            timeout=service.TIMEOUT_SECONDS,
            limits=httpx.Limits(
                max_connections=self.max_in_flight,
                max_keepalive_connections=self.max_in_flight,
            ),
        )

    async def close(self):
        await self.client.aclose()

    async def get(self, url):
        response = await self.client.get(url)
        return response.status_code, response.json()


if __name__ == "__main__":
    service.run(Client)
