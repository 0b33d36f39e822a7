"""One answer, whole or as events."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from calibration.server.loop import Answer, EngineLoop
from calibration.server.protocol import Common, error_body
from calibration.server.wording import Stream, Wording


class Refused(Exception):  # noqa: N818 - an answer, not a fault
    """A request that gets an error."""

    def __init__(self, status: int, message: str, kind: str = "BadRequestError") -> None:
        self.status, self.message, self.kind = status, message, kind
        super().__init__(message)

    @property
    def body(self) -> dict[str, Any]:
        """As OpenAI sends it."""
        return error_body(self.message, self.kind, self.status)


class Reply:
    """Text, usage and end of one request."""

    def __init__(
        self, loop: EngineLoop, wording: Wording, asked: Common, answer: Answer, name: str, prompt: list[int]
    ) -> None:
        self._loop, self._asked, self._answer = loop, asked, answer
        self._name, self._prompt = name, prompt
        self._tokens = 0
        self._chat = asked.chat
        self._id = f"{'chatcmpl' if self._chat else 'cmpl'}-{uuid.uuid4().hex}"
        self._created = int(datetime.now(UTC).timestamp())
        self._stream = Stream(wording, asked.stops)

    def close(self) -> None:
        """End the request if it is under way; nothing happens if it has ended."""
        self._loop.abort(self._answer.number)

    async def whole(self, request: Request) -> dict[str, Any]:
        """Wait for the end; a client that leaves ends the request."""
        gone = asyncio.ensure_future(_until_gone(request))
        collecting = asyncio.ensure_future(self._collect())
        try:
            await asyncio.wait({gone, collecting}, return_when=asyncio.FIRST_COMPLETED)
            if not collecting.done():
                raise Refused(499, "the client closed the connection.")
            text, tokens, reason = collecting.result()
        finally:
            gone.cancel()
            collecting.cancel()
            self.close()
        choice: dict[str, Any] = {"index": 0, "finish_reason": reason, "logprobs": None}
        choice |= {"message": {"role": "assistant", "content": text}} if self._chat else {"text": text}
        if self._asked.return_token_ids:
            choice |= {"token_ids": tokens, "prompt_token_ids": self._prompt}
        return self._envelope([choice], stream=False) | {"usage": self._usage()}

    async def events(self) -> AsyncIterator[str]:
        """Server-sent events; usage where it was asked for; [DONE] at the end."""
        options = self._asked.stream_options
        try:
            if self._chat:
                yield self._event([self._choice("", [], None, role=True)])
            first = True
            async for text, tokens, reason in self._parts():
                choice = self._choice(text, tokens, reason)
                if first and self._asked.return_token_ids:
                    choice["prompt_token_ids"] = self._prompt
                first = False
                yield self._event([choice], usage=bool(options and options.continuous_usage_stats))
            if options and options.include_usage:
                yield self._event([], usage=True)
        except Refused as refusal:
            yield f"data: {json.dumps(refusal.body)}\n\n"
        yield "data: [DONE]\n\n"

    async def _parts(self) -> AsyncIterator[tuple[str, list[int], str | None]]:
        """(text, tokens, reason) of each part; a stop string ends the request."""
        reason = None
        while reason is None:
            output = await self._answer.parts.get()
            if output.reason == "error":
                raise Refused(500, output.error or "the request failed.", "InternalServerError")
            self._tokens += len(output.tokens)
            text = self._stream.add(output.tokens, last=output.reason is not None)
            if self._stream.stopped and output.reason is None:
                self._loop.abort(self._answer.number, "stop")
            reason = "stop" if self._stream.stopped else output.reason
            yield text, list(output.tokens), reason

    async def _collect(self) -> tuple[str, list[int], str | None]:
        texts: list[str] = []
        tokens: list[int] = []
        reason = None
        async for text, new, why in self._parts():
            texts.append(text)
            tokens += new
            reason = why
        return "".join(texts), tokens, reason

    def _choice(self, text: str, tokens: list[int], reason: str | None, *, role: bool = False) -> Any:
        choice: dict[str, Any] = {"index": 0, "finish_reason": reason, "logprobs": None}
        if self._chat:
            choice["delta"] = {"role": "assistant", "content": ""} if role else {"content": text}
        else:
            choice["text"] = text
        return choice | ({"token_ids": tokens} if self._asked.return_token_ids else {})

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
        prompt = len(self._prompt)
        total = prompt + self._tokens
        return {"prompt_tokens": prompt, "completion_tokens": self._tokens, "total_tokens": total}


class Events(StreamingResponse):
    """A streamed answer whose request ends with the response, also where no event was sent yet."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(reply.events(), media_type="text/event-stream")
        self._reply = reply

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._reply.close()


async def _until_gone(request: Request) -> None:
    """Return when the client has closed the connection."""
    while True:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            return
