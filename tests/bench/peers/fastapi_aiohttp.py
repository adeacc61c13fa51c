"""The service as FastAPI and aiohttp: asyncio.gather under an asyncio.Semaphore."""

import asyncio

import aiohttp

import service


class Client:
    max_in_flight = 256  # as fanoutd's default; fewer are not cheaper
    errors = (aiohttp.ClientError, asyncio.TimeoutError, ValueError)

    async def open(self):
        self.session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=self.max_in_flight),
            timeout=aiohttp.ClientTimeout(total=service.TIMEOUT_SECONDS),
        )

    async def close(self):
        await self.session.close()

    async def get(self, url):
        async with self.session.get(url) as response:
            return response.status, await response.json()


if __name__ == "__main__":
    service.run(Client)
