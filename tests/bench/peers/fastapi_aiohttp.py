"""The service as FastAPI and aiohttp: asyncio.gather under an asyncio.Semaphore."""

import asyncio

import aiohttp

import service


class Client:
    errors = (aiohttp.ClientError, asyncio.TimeoutError, ValueError)

    async def open(self):
        self.session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=service.MAX_IN_FLIGHT),
            timeout=aiohttp.ClientTimeout(total=service.TIMEOUT_SECONDS),
        )

    async def close(self):
        await self.session.close()

    async def get(self, url):
        async with self.session.get(url) as response:
            return response.status, await response.json()


if __name__ == "__main__":
    service.run(Client)
