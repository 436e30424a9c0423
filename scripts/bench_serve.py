"""Measures ``pika-emotion serve`` under an open-loop load from a process of its own.

scripts/in_env.sh python scripts/bench_serve.py --rate 200 --seconds 30
scripts/in_env.sh python scripts/bench_serve.py --route chat --tagger vllm --set vllm.model=…

Starts the server, sends so many requests a second over connections that are kept, whether answers
come or not, and prints one line of JSON. A latency counts from the time at which the request was
to be sent, so that a generator that falls behind makes it longer, not shorter. Ends with 1 where a
request failed.
"""

import argparse
import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import aiohttp

from pika_emotion.commands.bench import demo_turns
from pika_emotion.dialogue import Turn
from pika_emotion.measurement import machine, percentiles, resident_mb, versions
from pika_emotion.stalls import StallWatch

ROOT = Path(__file__).resolve().parent.parent
ROUTES = {"tag": "/tag", "chat": "/v1/chat/completions"}


def body_of(turn: Turn, route: str) -> bytes:
    """Return the request's body for a turn."""
    if route == "tag":
        content = {"question": turn.question, "child": turn.child, "reply": turn.reply}
        return json.dumps(content).encode()
    said = json.dumps(turn.child), json.dumps(turn.reply)
    text = f"[CONTEXT]\nuser_last_message: {said[0]}\npika_response: {said[1]}"
    messages = [{"role": "system", "content": "Tag it."}, {"role": "user", "content": text}]
    return json.dumps({"model": "pika", "messages": messages}).encode()


class Load:
    """What was sent and how it went; times are of ``time.monotonic``.

    Attributes:
        spans: when each answered request was to be sent, and when its answer was there whole.
        behind_ms: how much later than intended each was sent.
        statuses: how often which status came, or which error.
    """

    def __init__(self) -> None:
        self.spans: list[tuple[float, float]] = []
        self.behind_ms: list[float] = []
        self.statuses: Counter[str] = Counter()

    async def run(self, url: str, bodies: list[bytes], rate: float, count: int) -> None:
        """Send so many requests at a fixed rate."""
        connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=60)
        headers = {"Content-Type": "application/json"}
        async with aiohttp.ClientSession(connector=connector, headers=headers) as session:
            begun = time.monotonic() + 0.05
            under_way = set()
            for number in range(count):
                due = begun + number / rate
                await asyncio.sleep(max(0.0, due - time.monotonic()))
                sending = asyncio.create_task(
                    self._send(session, url, bodies[number % len(bodies)], due)
                )
                under_way.add(sending)
                sending.add_done_callback(under_way.discard)
            await asyncio.gather(*under_way)

    async def _send(
        self, session: aiohttp.ClientSession, url: str, body: bytes, due: float
    ) -> None:
        self.behind_ms.append(1000 * (time.monotonic() - due))
        try:
            async with session.post(url, data=body) as response:
                await response.read()
                self.spans.append((due, time.monotonic()))
                self.statuses[str(response.status)] += 1
        except aiohttp.ClientError as error:
            self.statuses[type(error).__name__] += 1


def start(options: argparse.Namespace) -> tuple[subprocess.Popen[str], str]:
    """Start the server on a free port; return it and its address."""
    command = [sys.executable, "-m", "pika_emotion.cli", "serve", "--port", "0"]
    command += ["--tagger", options.tagger, "--deadline-ms", str(options.deadline_ms)]
    for assignment in options.set:
        command += ["--set", assignment]
    environment = {
        **os.environ,
        "PYTHONPATH": f"{os.environ.get('PYTHONPATH', '')}{os.pathsep}{ROOT / 'test'}",
    }
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    line = server.stdout.readline()
    found = re.search(r"http://[^,\s]+", line)
    if found is None:
        raise SystemExit(f"the server did not start: exit code {server.wait()}")
    return server, found[0]


def cpu_s(server: subprocess.Popen[str] | None) -> float:
    """Return the processor time that the server has used so far, in seconds."""
    if server is None:
        return 0.0
    text = Path(f"/proc/{server.pid}/stat").read_text(encoding="ascii")
    user, system = text.rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


async def wait_loaded(url: str, timeout_s: float) -> str:
    """Wait while the primary is loading; return the server's status."""
    end = time.monotonic() + timeout_s
    async with aiohttp.ClientSession() as session:
        while True:
            async with session.get(f"{url}/health") as response:
                status = (await response.json())["status"]
            if status != "loading" or time.monotonic() > end:
                return status
            await asyncio.sleep(0.2)


async def sources(url: str) -> dict[str, int]:
    """Return the server's tags by who answered."""
    async with aiohttp.ClientSession() as session, session.get(f"{url}/metrics") as response:
        text = await response.text()
    found = re.findall(r'pika_emotion_tags_total{source="(\w+)"} ([\d.e+]+)', text)
    return {name: int(float(count)) for name, count in found if float(count)}


def measure(options: argparse.Namespace) -> dict:
    """Start a server, load it, stop it; return the figures."""
    url = options.url
    server = None
    if not url:
        server, url = start(options)
    try:
        status = asyncio.run(wait_loaded(url, options.load_timeout))
        bodies = [body_of(turn, options.route) for turn in demo_turns()]
        count = round(options.rate * options.seconds)
        target = url + ROUTES[options.route]
        asyncio.run(Load().run(target, bodies, options.rate, options.warm_up))
        load, used_s = Load(), cpu_s(server)
        with StallWatch() as watch:
            asyncio.run(load.run(target, bodies, options.rate, count))
        used_s = cpu_s(server) - used_s
        by_source = asyncio.run(sources(url))
        memory = resident_mb(server.pid) if server else None
    finally:
        if server:
            server.send_signal(signal.SIGTERM)
            server.wait(30)
    latencies_ms = [1000 * (there - due) for due, there in load.spans]
    beyond = [
        1000 * (there - due - watch.within(due, there)) > options.deadline_ms
        for due, there in load.spans
    ]
    return {
        "machine": machine(),
        "versions": versions("fastapi", "uvicorn", "aiohttp"),
        "route": options.route,
        "tagger": options.tagger,
        "status": status,
        "rate_hz": options.rate,
        "n": count,
        **{f"{name}_ms": value for name, value in percentiles(latencies_ms).items()},
        "late": sum(latency > options.deadline_ms for latency in latencies_ms),
        "late_beyond_stalls": sum(beyond),
        "stalls": len(watch.stalls),
        "longest_stall_ms": round(1000 * watch.longest_s, 3),
        "sent_behind_p99_ms": percentiles(load.behind_ms)["p99"],
        "statuses": dict(load.statuses),
        "by_source": by_source,
        "server_cpu_ms": round(1000 * used_s / count, 3),
        "server_resident_mb": memory,
    }


def main() -> int:
    """Measure and print one JSON object in one line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rate", type=float, default=200.0, help="requests a second")
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--warm-up", type=int, default=200, help="requests before, not counted")
    parser.add_argument("--route", choices=ROUTES, default="tag")
    parser.add_argument("--tagger", default="reflex")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--deadline-ms", type=float, default=50.0)
    parser.add_argument("--load-timeout", type=float, default=600.0, help="for the load, s")
    parser.add_argument("--url", help="a server that runs already (default: start one)")
    options = parser.parse_args()
    result = measure(options)
    print(json.dumps(result))
    return 0 if result["statuses"] == {"200": result["n"]} else 1


if __name__ == "__main__":
    sys.exit(main())
