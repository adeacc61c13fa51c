"""FastAPI and aiohttp, where a fetch that fails is tried three times in all, after a wait."""

import asyncio

import fastapi_aiohttp
import service

ATTEMPTS = 3
FIRST_WAIT_SECONDS = 0.01


class Client(fastapi_aiohttp.Client):
    async def get(self, url):
        for attempt in range(ATTEMPTS):
            status, body = await super().get(url)
            if status < 500:
                break
            await asyncio.sleep(FIRST_WAIT_SECONDS * 2**attempt)
        return status, body


if __name__ == "__main__":
    service.run(Client)
