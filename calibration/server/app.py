"""Routes of the server."""

from __future__ import annotations

import hmac
import json
import uuid
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from advisor.errors import InputError
from calibration.engine.peft import inside
from calibration.engine.sampler import Sampling
from calibration.server.loop import Answer, Ask, EngineFailedError, EngineLoop, OverloadedError, refused
from calibration.server.protocol import (
    ChatRequest,
    Common,
    CompletionRequest,
    chat_text,
    error_body,
    sentence_of,
)
from calibration.server.wording import Stream, Wording

MAX_BODY_BYTES: Final = 16 * 2**20
_DEFAULT_TOKENS: Final = 16


@dataclass(slots=True)
class Serving:
    """What the routes work with."""

    loop: EngineLoop
    wording: Wording
    name: str  # of the base model
    max_length: int
    adapter_root: Path | None = None  # adapters may be loaded from here
    api_key: str | None = None
    created: int = field(default_factory=lambda: int(datetime.now(UTC).timestamp()))


class Refused(Exception):  # noqa: N818 - an answer, not a fault
    """A request that gets an error."""

    def __init__(self, status: int, message: str, kind: str = "BadRequestError") -> None:
        self.status, self.message, self.kind = status, message, kind
        super().__init__(message)


def application(serving: Serving) -> Starlette:
    """The ASGI application."""
    routes = [
        Route("/health", _guarded(_health, serving, open_to_all=True)),
        Route("/version", _guarded(_version, serving, open_to_all=True)),
        Route("/metrics", _guarded(_metrics, serving, open_to_all=True)),
        Route("/v1/models", _guarded(_models, serving)),
        Route("/v1/completions", _guarded(_completions, serving), methods=["POST"]),
        Route("/v1/chat/completions", _guarded(_chat, serving), methods=["POST"]),
        Route("/v1/load_lora_adapter", _guarded(_load, serving), methods=["POST"]),
        Route("/v1/unload_lora_adapter", _guarded(_unload, serving), methods=["POST"]),
    ]
    return Starlette(routes=routes)


def _guarded(
    handle: Callable[..., Any], serving: Serving, *, open_to_all: bool = False
) -> Callable[..., Any]:
    """Check the key, and turn what is refused into an answer."""

    async def endpoint(request: Request) -> Response:
        try:
            if not open_to_all:
                _check_key(request, serving)
            response: Response = await handle(request, serving)
        except Refused as refusal:
            return JSONResponse(
                error_body(refusal.message, refusal.kind, refusal.status), status_code=refusal.status
            )
        except OverloadedError:
            body = error_body("too many requests are unfinished; try again later.", "ServiceUnavailable", 503)
            return JSONResponse(body, status_code=503, headers={"Retry-After": "1"})
        except EngineFailedError:
            body = error_body("the engine failed; restart the server.", "InternalServerError", 500)
            return JSONResponse(body, status_code=500)
        return response

    return endpoint


def _check_key(request: Request, serving: Serving) -> None:
    if serving.api_key is None:
        return
    given = request.headers.get("authorization", "").removeprefix("Bearer ")
    if not hmac.compare_digest(given.encode(), serving.api_key.encode()):
        raise Refused(401, "the API key is missing or wrong.", "AuthenticationError")


async def _health(_: Request, serving: Serving) -> Response:
    if serving.loop.failed is not None:
        raise EngineFailedError
    return Response()


async def _version(_: Request, __: Serving) -> Response:
    from advisor import __version__

    return JSONResponse({"version": f"lora-advisor-{__version__}"})


async def _metrics(_: Request, serving: Serving) -> Response:
    text = serving.loop.metrics.text(idle=serving.loop.outstanding == 0)
    return PlainTextResponse(text, media_type="text/plain; version=0.0.4")


async def _models(_: Request, serving: Serving) -> Response:
    def entry(name: str, parent: str | None) -> dict[str, Any]:
        return {
            "id": name, "object": "model", "created": serving.created, "owned_by": "lora-advisor",
            "root": name, "parent": parent, "max_model_len": serving.max_length,
        }  # fmt: skip

    names = [entry(serving.name, None)]
    names += [entry(name, serving.name) for name in serving.loop.engine.adapters]
    return JSONResponse({"object": "list", "data": names})


async def _body(request: Request) -> dict[str, Any]:
    content = bytearray()
    async for part in request.stream():
        content += part
        if len(content) > MAX_BODY_BYTES:
            raise Refused(413, f"the body has more than {MAX_BODY_BYTES} bytes.")
    try:
        raw = json.loads(bytes(content))
    except (ValueError, RecursionError):
        raise Refused(400, "the body is no JSON.") from None
    if not isinstance(raw, dict):
        raise Refused(400, "the body is no JSON object.")
    return raw


async def _completions(request: Request, serving: Serving) -> Response:
    try:
        asked = CompletionRequest.model_validate(await _body(request))
    except ValidationError as error:
        raise Refused(400, sentence_of(error)) from None
    prompt = asked.prompt
    if isinstance(prompt, list) and isinstance(prompt[0], str):
        prompt = prompt[0]
    ids = serving.wording.ids(prompt) if isinstance(prompt, str) else [int(token) for token in prompt]
    return await _answer(request, serving, asked, ids, asked.max_tokens, chat=False)


async def _chat(request: Request, serving: Serving) -> Response:
    try:
        asked = ChatRequest.model_validate(await _body(request))
    except ValidationError as error:
        raise Refused(400, sentence_of(error)) from None
    ids = serving.wording.ids(chat_text(asked.messages))
    most = asked.max_completion_tokens or asked.max_tokens
    return await _answer(request, serving, asked, ids, most, chat=True)


async def _answer(
    request: Request, serving: Serving, asked: Common, ids: list[int], most: int | None, *, chat: bool
) -> Response:
    name = asked.model or serving.name
    adapter = None if name == serving.name else name
    if adapter is not None and adapter not in serving.loop.engine.adapters:
        raise Refused(404, f"The model `{name}` does not exist.", "NotFoundError")
    left = serving.max_length - len(ids)
    seed = uuid.uuid4().int if asked.seed is None else asked.seed
    ask = Ask(
        ids,
        adapter,
        most or min(_DEFAULT_TOKENS if not chat else max(left, 1), max(left, 1)),
        asked.min_tokens,
        Sampling(asked.temperature, asked.top_p, seed % 2**63),
        asked.ignore_eos,
        tuple(asked.stop_token_ids),
        asked.priority,
    )
    try:
        answer = await serving.loop.submit(ask)
    except InputError as error:
        raise Refused(400, refused(error)) from None
    reply = _Reply(serving, asked, answer, name, len(ids), chat=chat)
    if asked.stream:
        return StreamingResponse(reply.events(request), media_type="text/event-stream")
    return JSONResponse(await reply.whole(request))


class _Reply:
    """One answer, whole or as events."""

    def __init__(
        self, serving: Serving, asked: Common, answer: Answer, name: str, prompt_tokens: int, *, chat: bool
    ) -> None:
        self._serving, self._asked, self._parts, self._chat = serving, asked, answer, chat
        self._name, self._prompt_tokens, self._tokens = name, prompt_tokens, 0
        self._id = f"{'chatcmpl' if chat else 'cmpl'}-{uuid.uuid4().hex}"
        self._created = int(datetime.now(UTC).timestamp())
        self._stream = Stream(serving.wording, asked.stops)

    async def _texts(self) -> AsyncIterator[tuple[str, str | None]]:
        """(text, reason) of each part; a stop string ends the request."""
        while True:
            output = await self._parts.parts.get()
            self._tokens += len(output.tokens)
            text = self._stream.add(output.tokens, last=output.reason is not None)
            if output.reason == "error":
                raise Refused(500, output.error or "the request failed.", "InternalServerError")
            if self._stream.stopped and output.reason is None:
                self._serving.loop.abort(self._parts.number)
                yield text, "stop"
                return
            reason = "stop" if self._stream.stopped else output.reason
            yield text, reason
            if output.reason is not None:
                return

    async def whole(self, request: Request) -> dict[str, Any]:
        """Wait for the end; a client that leaves ends the request."""
        import asyncio

        gone = asyncio.ensure_future(_until_gone(request))
        collecting = asyncio.ensure_future(self._collect())
        try:
            await asyncio.wait({gone, collecting}, return_when=asyncio.FIRST_COMPLETED)
            if not collecting.done():
                self._serving.loop.abort(self._parts.number)
                collecting.cancel()
                raise Refused(499, "the client closed the connection.")
            text, reason = collecting.result()
        finally:
            gone.cancel()
        choice: dict[str, Any] = {"index": 0, "finish_reason": reason, "logprobs": None}
        choice |= {"message": {"role": "assistant", "content": text}} if self._chat else {"text": text}
        return self._envelope([choice], stream=False) | {"usage": self._usage()}

    async def _collect(self) -> tuple[str, str | None]:
        texts, reason = [], None
        async for text, why in self._texts():
            texts.append(text)
            reason = why
        return "".join(texts), reason

    async def events(self, request: Request) -> AsyncIterator[str]:
        """Server-sent events; usage where it was asked for; [DONE] at the end."""
        options = self._asked.stream_options
        ended = False
        try:
            if self._chat:
                yield self._event([self._choice("", None, role=True)])
            async for text, reason in self._texts():
                ended = reason is not None
                event = [self._choice(text, reason)]
                yield self._event(event, usage=bool(options and options.continuous_usage_stats))
            if options and options.include_usage:
                yield self._event([], usage=True)
            yield "data: [DONE]\n\n"
        except Refused as refusal:
            ended = True
            yield f"data: {json.dumps(error_body(refusal.message, refusal.kind, refusal.status))}\n\n"
            yield "data: [DONE]\n\n"
        finally:
            if not ended:
                self._serving.loop.abort(self._parts.number)

    def _choice(self, text: str, reason: str | None, *, role: bool = False) -> dict[str, Any]:
        choice: dict[str, Any] = {"index": 0, "finish_reason": reason, "logprobs": None}
        if self._chat:
            delta = {"role": "assistant", "content": ""} if role else {"content": text}
            return choice | {"delta": delta}
        return choice | {"text": text}

    def _event(self, choices: list[dict[str, Any]], *, usage: bool = False) -> str:
        body = self._envelope(choices, stream=True)
        if usage:
            body["usage"] = self._usage()
        return f"data: {json.dumps(body)}\n\n"

    def _envelope(self, choices: list[dict[str, Any]], *, stream: bool) -> dict[str, Any]:
        kind = "text_completion"
        if self._chat:
            kind = "chat.completion.chunk" if stream else "chat.completion"
        return {
            "id": self._id, "object": kind, "created": self._created, "model": self._name, "choices": choices,
        }  # fmt: skip

    def _usage(self) -> dict[str, int]:
        total = self._prompt_tokens + self._tokens
        return {
            "prompt_tokens": self._prompt_tokens, "completion_tokens": self._tokens, "total_tokens": total,
        }  # fmt: skip


async def _until_gone(request: Request) -> None:
    """Return when the client has closed the connection."""
    while True:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            return


async def _load(request: Request, serving: Serving) -> Response:
    name, path = await _adapter_fields(request, serving, "lora_name", "lora_path")
    root = serving.adapter_root
    assert root is not None
    if name in (serving.name, *serving.loop.engine.adapters):
        raise Refused(400, f"The lora adapter '{name}' has already been loaded.")
    try:
        folder = inside(root, path)
        await serving.loop.call(lambda: serving.loop.engine.add_adapter(name, folder))
    except InputError as error:
        raise Refused(400, refused(error)) from None
    return PlainTextResponse(f"Success: LoRA adapter '{name}' added successfully.")


async def _unload(request: Request, serving: Serving) -> Response:
    (name,) = await _adapter_fields(request, serving, "lora_name")
    if name not in serving.loop.engine.adapters:
        raise Refused(404, f"The lora adapter '{name}' cannot be found.", "NotFoundError")
    await serving.loop.call(lambda: serving.loop.engine.remove_adapter(name))
    return PlainTextResponse(f"Success: LoRA adapter '{name}' removed successfully.")


async def _adapter_fields(request: Request, serving: Serving, *names: str) -> list[str]:
    if serving.adapter_root is None:
        raise Refused(403, "adapters cannot be changed: start with --allow-adapter-changes DIR.", "Forbidden")
    raw = await _body(request)
    values = [raw.get(name) for name in names]
    for name, value in zip(names, values, strict=True):
        if not isinstance(value, str) or not value:
            raise Refused(400, f"{name} is {value!r}; allowed: text that is not empty.")
    return [str(value) for value in values]
