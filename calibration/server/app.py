"""Routes of the server."""

from __future__ import annotations

import hmac
import json
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final, TypeVar

from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from advisor.errors import InputError
from calibration.engine.peft import inside
from calibration.engine.sampler import Sampling
from calibration.server.held import held_text
from calibration.server.loop import Ask, EngineFailedError, EngineLoop, OverloadedError, refused
from calibration.server.protocol import (
    ChatRequest,
    Common,
    CompletionRequest,
    chat_text,
    error_body,
    sentence_of,
)
from calibration.server.reply import Events, Refused, Reply
from calibration.server.wording import Wording

MAX_BODY_BYTES: Final = 16 * 2**20
_DEFAULT_TOKENS: Final = 16
_Asked = TypeVar("_Asked", bound=Common)


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


class _Json(JSONResponse):
    """JSON in plain ASCII: a name may hold half a surrogate pair, which UTF-8 has no bytes for."""

    def render(self, content: Any) -> bytes:
        return json.dumps(content).encode()


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
    return Starlette(routes=routes, exception_handlers={HTTPException: _no_route})


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
            return _Json(refusal.body, status_code=refusal.status)
        except OverloadedError:
            body = error_body("too many requests are unfinished; try again later.", "ServiceUnavailable", 503)
            return _Json(body, status_code=503, headers={"Retry-After": "1"})
        except EngineFailedError as failure:
            return _Json(error_body(str(failure), "InternalServerError", 500), status_code=500)
        return response

    return endpoint


async def _no_route(_: Request, error: Exception) -> Response:
    """No such path or method, as OpenAI would say it."""
    code = error.status_code if isinstance(error, HTTPException) else 500
    kind = "NotFoundError" if code == HTTPStatus.NOT_FOUND else "BadRequestError"
    return _Json(error_body(f"{HTTPStatus(code).phrase}.", kind, code), status_code=code)


def _check_key(request: Request, serving: Serving) -> None:
    if serving.api_key is None:
        return
    given = request.headers.get("authorization", "").removeprefix("Bearer ")
    if not hmac.compare_digest(given.encode(), serving.api_key.encode()):
        raise Refused(401, "the API key is missing or wrong.", "AuthenticationError")


async def _health(_: Request, serving: Serving) -> Response:
    serving.loop.check()
    return Response()


async def _version(_: Request, __: Serving) -> Response:
    from advisor import __version__

    return _Json({"version": f"lora-advisor-{__version__}"})


async def _metrics(_: Request, serving: Serving) -> Response:
    text = serving.loop.metrics.text(idle=serving.loop.outstanding == 0) + held_text(serving.loop.engine)
    return PlainTextResponse(text, media_type="text/plain; version=0.0.4")


async def _models(_: Request, serving: Serving) -> Response:
    def entry(name: str, parent: str | None) -> dict[str, Any]:
        return {
            "id": name, "object": "model", "created": serving.created, "owned_by": "lora-advisor",
            "root": name, "parent": parent, "max_model_len": serving.max_length,
        }  # fmt: skip

    names = [entry(serving.name, None)]
    names += [entry(name, serving.name) for name in serving.loop.engine.adapters]
    return _Json({"object": "list", "data": names})


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


async def _parsed(request: Request, kind: type[_Asked]) -> _Asked:
    """A null field counts as left out, as OpenAI's API has it."""
    raw = {name: value for name, value in (await _body(request)).items() if value is not None}
    try:
        try:
            return kind.model_validate(raw)
        except ValidationError as error:
            raise Refused(400, sentence_of(error)) from None
    except RecursionError:
        raise Refused(400, "the body is nested too deeply.") from None


async def _completions(request: Request, serving: Serving) -> Response:
    asked = await _parsed(request, CompletionRequest)
    prompt = asked.prompt
    if isinstance(prompt, list) and isinstance(prompt[0], str):
        prompt = prompt[0]
    ids = _ids(serving, prompt) if isinstance(prompt, str) else [int(token) for token in prompt]
    left = serving.max_length - len(ids)
    return await _answer(request, serving, asked, ids, asked.max_tokens or max(1, min(_DEFAULT_TOKENS, left)))


async def _chat(request: Request, serving: Serving) -> Response:
    asked = await _parsed(request, ChatRequest)
    ids = _ids(serving, chat_text(asked.messages))
    most = asked.max_completion_tokens or asked.max_tokens
    return await _answer(request, serving, asked, ids, most or max(1, serving.max_length - len(ids)))


def _ids(serving: Serving, text: str) -> list[int]:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise Refused(400, "the prompt has half of a surrogate pair; allowed: Unicode text.") from None
    return serving.wording.ids(text)


async def _answer(request: Request, serving: Serving, asked: Common, ids: list[int], most: int) -> Response:
    name = asked.model or serving.name
    adapter = None if name == serving.name else name
    if adapter is not None and adapter not in serving.loop.engine.adapters:
        raise Refused(404, f"The model `{name}` does not exist.", "NotFoundError")
    ignore_eos = asked.ignore_eos or asked.min_tokens >= most
    if asked.min_tokens and not ignore_eos:
        raise Refused(400, f"min_tokens is {asked.min_tokens}; allowed: 0, or as many as max_tokens, {most}.")
    seed = uuid.uuid4().int if asked.seed is None else asked.seed
    sampling = Sampling(asked.temperature, asked.top_p, seed % 2**63)
    ask = Ask(ids, adapter, most, sampling, ignore_eos, tuple(asked.stop_token_ids), asked.priority)
    try:
        answer = await serving.loop.submit(ask)
    except InputError as error:
        raise Refused(400, refused(error)) from None
    reply = Reply(serving.loop, serving.wording, asked, answer, name, ids)
    return Events(reply) if asked.stream else _Json(await reply.whole(request))


async def _load(request: Request, serving: Serving) -> Response:
    name, path = await _adapter_fields(request, serving, "lora_name", "lora_path")
    root = serving.adapter_root
    assert root is not None
    if name in (serving.name, *serving.loop.engine.adapters):
        raise Refused(400, f"The lora adapter '{name}' has already been loaded.", "InvalidUserInput")
    try:
        folder = inside(root, path)
        await serving.loop.call(lambda: serving.loop.engine.add_adapter(name, folder))
    except InputError as error:
        raise Refused(400, refused(error)) from None
    except OSError as error:
        raise Refused(400, f"lora_path cannot be read: {error.strerror}.") from None
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
        if not isinstance(value, str) or not value or not value.isprintable():
            raise Refused(
                400,
                f"{name} is {value!r:.60}; allowed: printable text that is not empty.",
                "InvalidUserInput",
            )
    return [str(value) for value in values]
