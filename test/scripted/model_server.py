"""A model server whose abilities and faults are chosen.

python model_server.py PROFILE PORT CERTIFICATE

Port 0 is any free one. Prints its port, then serves until its input ends. It answers as a model
would that finds token T as probable as ``likelihood`` says, or that says ``happy`` and ``yes``.
``POST /fault`` with a name switches a fault on; an empty one ends it.
"""

import asyncio
import json
import math
import ssl
import sys

from aiohttp import web

PROFILES = ("ids", "allowed", "top", "restricted", "chat_top", "chat_text", "one_head", "strict")
KNOWN = {"model", "prompt", "max_tokens", "temperature", "logprobs", "logit_bias"}
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def likelihood(token):
    return math.exp(-(token % 7)) / 10


class Server:
    def __init__(self, profile):
        self.profile = profile
        self.fault = ""
        self.seen = []
        self.dropped = 0

    def refuse(self, why, status=400):
        return web.json_response({"error": {"message": why, "type": "BadRequest"}}, status=status)

    async def models(self, request):
        if (answer := await self.misbehave(request)) is not None:
            return answer
        return web.json_response({"object": "list", "data": [{"id": "scripted"}]})

    async def completions(self, request):
        body = await request.json()
        self.seen.append(("completions", body))
        if (answer := await self.misbehave(request)) is not None:
            return answer
        if self.profile.startswith("chat"):
            return self.refuse("no such path", 404)
        prompts = body["prompt"]
        several = isinstance(prompts[0], list)
        if several and self.profile == "one_head":
            return self.refuse("one prompt at a time")
        unknown = {"strict": set(body) - KNOWN, "restricted": {"logprobs"} & set(body)}
        if unknown.get(self.profile):
            return self.refuse("a field that is not known")
        if body.get("logprobs", 0) > 20:
            return self.refuse("at most 20 logprobs")
        prompts = prompts if several else [prompts]
        choices = [self.choice(i, body) for i in range(len(prompts))]
        usage = {"prompt_tokens": sum(map(len, prompts)), "prompt_tokens_details": None}
        return web.json_response({"choices": choices[::-1], "usage": usage})

    def choice(self, index, body):
        tokens, named = self.tokens_of(body), body.get("return_tokens_as_token_ids")
        if tokens is None:
            allowed = sorted(map(int, body.get("logit_bias", {})))
            best = max(allowed, key=likelihood)
            return {"index": index, "text": TEXTS.get(best, "?"), "logprobs": None}
        if self.profile in ("top", "strict") or not named:
            first = [{TEXTS.get(t, "?"): math.log(p) for t, p in tokens.items()}]
        else:
            first = [{f"token_id:{t}": math.log(p) for t, p in tokens.items()}]
        return {"index": index, "text": "?", "logprobs": {"top_logprobs": first}}

    def tokens_of(self, body):
        """The tokens with a probability that this server tells about."""
        if "logprobs" not in body:
            return None
        if self.profile in ("ids", "one_head"):
            wanted = body.get("logprob_token_ids", [1])
            return {t: likelihood(t) for t in wanted}
        if self.profile == "allowed":
            wanted = body.get("allowed_token_ids", [1, 2, 3])
            whole = sum(map(likelihood, wanted))
            return {t: likelihood(t) / whole for t in wanted}
        best = sorted(TEXTS, key=lambda t: (-likelihood(t), t))[: body["logprobs"]]
        return {t: likelihood(t) for t in best}

    async def chat(self, request):
        body = await request.json()
        self.seen.append(("chat", body))
        if (answer := await self.misbehave(request)) is not None:
            return answer
        if not self.profile.startswith("chat"):
            return self.refuse("no such path", 404)
        asked = body["messages"][-1]["content"].splitlines()[-1]
        choice = {"index": 0, "message": {"content": "Happy." if "motion" in asked else "**yes**"}}
        if body.get("logprobs"):
            if self.profile == "chat_text":
                return self.refuse("no logprobs")
            if body["top_logprobs"] > 20:
                return self.refuse("at most 20")
            words = LETTERS[: 17 if "motion" in asked else 2]
            top = [
                {"token": space + word, "logprob": math.log(likelihood(i) / 2)}
                for i, word in enumerate(words)
                for space in ("", " ")
            ][: body["top_logprobs"]]
            choice["logprobs"] = {"content": [{**top[0], "top_logprobs": top}]}
        return web.json_response({"choices": [choice]})

    async def misbehave(self, request):
        """Do what the fault says; None where there is none."""
        if not self.fault:
            return None
        try:
            return await self.faulty(request)
        except asyncio.CancelledError:
            self.dropped += 1
            raise

    async def faulty(self, request):
        fault = self.fault
        if fault == "slow":
            await asyncio.sleep(30)
        if fault in ("reset", "drip", "cut"):
            return await self.broken_off(request)
        if fault == "moved":
            raise web.HTTPFound("http://127.0.0.1:9/")
        if fault.startswith("echo"):
            return await self.echo(request, int(fault.removeprefix("echo ")))
        top = [{f"token_id:{t}": float("nan") for t in range(5000)}]
        answers = {
            "busy": lambda: web.json_response({}, status=429, headers={"Retry-After": "0.6"}),
            "no_json": lambda: web.Response(text="<html>hello</html>"),
            "wrong_json": lambda: web.json_response({"choices": [{"logprobs": "many"}] * 2}),
            "nan": lambda: web.json_response(
                {"choices": [{"logprobs": {"top_logprobs": top}}] * 2}
            ),
            "huge": lambda: web.Response(text="[" + "0," * 5_000_000 + "0]"),
        }
        if fault in answers:
            return answers[fault]()
        return self.refuse("you said: a secret", int(fault))

    async def echo(self, request, status):
        """Answer with what was asked, as servers do in their errors."""
        said = await request.text()
        if status == 200:
            return web.json_response({"choices": [{"finish_reason": said}] * 2})
        return self.refuse(f"cannot read {said}", status)

    async def broken_off(self, request):
        """Send nothing, a little, or much but slowly."""
        answer = web.StreamResponse(headers={"Content-Length": "4000"})
        if self.fault != "reset":
            await answer.prepare(request)
            for _ in range(4000 if self.fault == "drip" else 3):
                await answer.write(b" ")
                await asyncio.sleep(0.005)
        request.transport.abort()
        return answer

    async def set_fault(self, request):
        self.fault = await request.text()
        return web.Response()

    async def record(self, request):
        seen, self.seen = self.seen, []
        headers = dict(request.headers)
        return web.json_response({"seen": seen, "dropped": self.dropped, "headers": headers})


TEXTS = {}


async def main():
    profile = sys.argv[1]
    TEXTS.update({int(token): text for token, text in json.loads(sys.stdin.readline()).items()})
    server = Server(profile)
    app = web.Application(client_max_size=1 << 22)
    app.router.add_get("/v1/models", server.models)
    app.router.add_post("/v1/completions", server.completions)
    app.router.add_post("/v1/chat/completions", server.chat)
    app.router.add_post("/fault", server.set_fault)
    app.router.add_get("/v1/record", server.record)
    # A connection that the client closes ends what is done for it, as model servers do.
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True)
    await runner.setup()
    tls = None
    if sys.argv[3]:
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        tls.load_cert_chain(sys.argv[3])
    site = web.TCPSite(runner, "127.0.0.1", int(sys.argv[2]), ssl_context=tls, reuse_address=True)
    await site.start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.to_thread(sys.stdin.read)  # until the test that started it is gone
    await runner.cleanup()


if __name__ == "__main__":
    asyncio.run(main())
