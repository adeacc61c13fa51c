"""The service as FastAPI and httpx: asyncio.gather under an asyncio.Semaphore."""

import httpx

import service


class Client:
    errors = (httpx.HTTPError, ValueError)

    async def open(self):
        self.client = httpx.AsyncClient(
            timeout=service.TIMEOUT_SECONDS,
            limits=httpx.Limits(
                max_connections=service.MAX_IN_FLIGHT,
                max_keepalive_connections=service.MAX_IN_FLIGHT,
            ),
        )

    async def close(self):
        await self.client.aclose()

    async def get(self, url):
        response = await self.client.get(url)
        return response.status_code, response.json()


if __name__ == "__main__":
    service.run(Client)
