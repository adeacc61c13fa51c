"""The service as FastAPI and aiohttp: asyncio.gather under an asyncio.Semaphore."""

import asyncio

import aiohttp

import service


class Client:
    errors = (aiohttp.ClientError, asyncio.TimeoutError, ValueError)

    def __init__(self, max_in_flight, timeout_seconds):
        self.max_in_flight = max_in_flight
        self.timeout = timeout_seconds

    async def open(self):
        self.session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=self.max_in_flight),
            timeout=aiohttp.ClientTimeout(total=self.timeout),
        )

    async def close(self):
        await self.session.close()

    async def get(self, url):
        async with self.session.get(url) as response:
            return response.status, await response.json()


if __name__ == "__main__":
    service.run(Client)
