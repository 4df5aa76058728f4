"""``python -m session_platform.simulators [--port 0] [--speed 1.0] [--seed 0]``: the clearinghouse and the enrollment system.

Prints ``listening http://127.0.0.1:PORT`` and answers until its standard input closes.
"""

from __future__ import annotations

import argparse
import asyncio
import sys

from session_platform.simulators.clearinghouse.service import Clearinghouse
from session_platform.simulators.enrollment.service import PREFIX, EnrollmentSystem
from session_platform.simulators.http import Connection, Request, Response
from session_platform.simulators.lifetime import Lifetime


def main() -> int:
    parser = argparse.ArgumentParser(prog="simulators", description="The outside world, simulated on this machine.")
    parser.add_argument("--port", type=int, default=0, help="port on 127.0.0.1; 0 takes a free one")
    parser.add_argument("--speed", type=_positive, default=1.0, help="how many times faster than the real ones they answer")
    parser.add_argument("--seed", type=int, default=0, help="the same seed, the same latencies")
    options = parser.parse_args()
    try:
        asyncio.run(_serve(options.port, options.speed, options.seed))
    except OSError as error:
        sys.stderr.write(f"Cannot listen on port {options.port}: {error.strerror}.\n")
        return 1
    return 0


async def _serve(port: int, speed: float, seed: int) -> None:
    lifetime = Lifetime()
    clearinghouse = Clearinghouse(speed=speed, seed=seed)
    enrollment = EnrollmentSystem(speed=speed, seed=seed)

    async def answer(request: Request) -> Response:
        asked = enrollment if request.path.startswith(f"{PREFIX}/") else clearinghouse
        return await asked.answer(request)

    server = await asyncio.get_running_loop().create_server(lambda: Connection(answer), "127.0.0.1", port)
    sys.stdout.write(f"listening http://127.0.0.1:{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await lifetime.over()
    server.close()  # not wait_closed: that waits for clients, and some of them wait for us


def _positive(text: str) -> float:
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError("must be a number above 0")
    return value


if __name__ == "__main__":
    sys.exit(main())
