"""Redis, by redis-py."""

from __future__ import annotations

import pytest
from redis.asyncio import Redis as Client
from redis.exceptions import AuthenticationError, ConnectionError, TimeoutError

from tests.servers import Redis, ServerDidNotStart, private_redis


async def test_it_is_new_enough_for_functions_and_sharded_channels(redis_server: Redis) -> None:
    async with redis_server.space() as space, Client.from_url(space.url) as client:
        name = space.prefix.strip(":")
        await client.function_load(f"#!lua name={name}\nredis.register_function('{name}', function() return 42 end)")
        assert await client.fcall(name, 0) == 42
        assert await client.spublish(f"{space.prefix}channel", "wake") == 0
        await client.function_delete(name)


async def test_a_wrong_password_is_refused(redis_server: Redis) -> None:
    async with Client.from_url(redis_server.address.url().replace(redis_server.address.password, "guessed")) as client:
        with pytest.raises(AuthenticationError):
            await client.get("key")


async def test_spaces_of_two_tests_have_nothing_in_common(redis_server: Redis) -> None:
    async with redis_server.space() as mine, redis_server.space() as other:
        assert mine.prefix != other.prefix
        async with Client.from_url(mine.url) as client:
            await client.set("key", "mine")
        async with Client.from_url(other.url) as client:
            assert await client.get("key") is None


async def test_a_space_is_empty_when_its_test_is_over(redis_server: Redis) -> None:
    async with redis_server.space() as space, Client.from_url(space.url) as client:
        await client.set("key", "mine")
    async with Client.from_url(space.url) as client:
        assert await client.dbsize() == 0


@pytest.mark.parametrize("durable", [True, False], ids=["durable", "memory"])
async def test_a_private_one_keeps_over_a_kill_only_what_it_was_asked_to(durable: bool) -> None:
    async with private_redis(durable=durable) as own:
        async with Client.from_url(own.server.address.url()) as client:
            await client.set("key", "kept")
        await own.kill()
        with pytest.raises(ConnectionError):
            await get(own.server)
        await own.start()
        assert await get(own.server) == (b"kept" if durable else None)
        await own.wipe()
        assert await get(own.server) is None


async def test_one_that_stands_still_answers_nobody_and_then_goes_on() -> None:
    async with private_redis() as own, Client.from_url(own.server.address.url(), socket_timeout=0.2, retry=None) as client:
        await client.set("key", "kept")
        async with own.stop_signal():
            with pytest.raises(TimeoutError):
                await client.get("key")
        assert await client.get("key") == b"kept"


async def test_a_start_that_fails_says_why() -> None:
    with pytest.raises(ServerDidNotStart, match=r"(?s)^Redis did not start: it ended with 1\..*no-such-setting"):
        async with private_redis(settings={"no-such-setting": "1"}):
            pass


async def get(redis: Redis) -> object:
    """``key``, over a new connection."""
    async with Client.from_url(redis.address.url()) as client:
        return await client.get("key")
