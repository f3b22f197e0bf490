"""Long work in slices: those who rest go on one by one, and nobody waits for who has left."""

import asyncio

from broker.management.answers import rest


def test_one_goes_on_in_each_turn_of_the_loop() -> None:
    """However many rest at once, other work comes between any two of them."""
    turns: list[int] = []

    async def work(clock: list[int]) -> None:
        for _ in range(5):
            await rest()
            turns.append(clock[0])

    async def main() -> None:
        clock, loop = [0], asyncio.get_running_loop()

        def tick() -> None:
            clock[0] += 1
            loop.call_soon(tick)

        tick()
        await asyncio.gather(*(work(clock) for _ in range(10)))

    asyncio.run(main())
    assert len(turns) == 50
    assert len(set(turns)) == 50


def test_who_leaves_keeps_nobody_waiting() -> None:
    """A request that is cancelled while it rests is passed over."""

    async def main() -> None:
        tasks = [asyncio.create_task(rest()) for _ in range(3)]
        await asyncio.sleep(0)
        tasks[0].cancel()
        tasks[2].cancel()
        done = await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 10)
        assert [isinstance(one, asyncio.CancelledError) for one in done] == [True, False, True]
        await asyncio.wait_for(rest(), 10)

    asyncio.run(main())
