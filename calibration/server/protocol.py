"""What requests may say (OpenAI's fields, and vLLM's that benchmarks use), and what errors look like."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

Tokens = list[Annotated[int, Field(ge=0, le=10_000_000)]]

# Fields that would change the answer and that this server lacks; their neutral values are let through.
_LACKING: Final[dict[str, tuple[Any, ...]]] = {
    "best_of": (1,), "echo": (False,), "suffix": ("",), "logprobs": (False, 0), "top_logprobs": (0,),
    "prompt_logprobs": (0,), "logit_bias": ({},), "frequency_penalty": (0,), "presence_penalty": (0,),
    "repetition_penalty": (1,), "top_k": (0, -1), "min_p": (0,), "use_beam_search": (False,), "n": (1,),
    "tools": ([],), "response_format": ({"type": "text"},),
}  # fmt: skip


class StreamOptions(BaseModel):
    """When usage is told."""

    include_usage: bool = False
    continuous_usage_stats: bool = False


class Common(BaseModel):
    """Fields of both kinds of request. Unknown fields are ignored, as OpenAI's clients send many."""

    model_config = ConfigDict(extra="ignore")
    chat: ClassVar[bool]

    model: str = ""
    max_tokens: int | None = Field(None, ge=1, le=1_000_000)
    min_tokens: int = Field(0, ge=0, le=1_000_000)
    temperature: float = Field(1.0, ge=0, le=100)
    top_p: float = Field(1.0, gt=0, le=1)
    seed: int | None = Field(None, ge=-(2**63), lt=2**63)
    stream: bool = False
    stream_options: StreamOptions | None = None
    stop: str | Annotated[list[str], Field(max_length=16)] | None = None
    stop_token_ids: Tokens = Field(default_factory=list, max_length=64)
    ignore_eos: bool = False
    priority: int = Field(0, ge=-(2**31), lt=2**31)
    return_token_ids: bool = False

    @property
    def stops(self) -> list[str]:
        """Stop strings."""
        return [self.stop] if isinstance(self.stop, str) else list(self.stop or ())

    @model_validator(mode="before")
    @classmethod
    def _has_only_what_is_here(cls, raw: Any) -> Any:
        for name, neutral in _LACKING.items():
            if isinstance(raw, dict) and raw.get(name) is not None and raw[name] not in neutral:
                told = " or ".join(repr(value) for value in neutral)
                raise ValueError(f"{name} is {raw[name]!r:.60}; allowed: {told}. This server has no other.")
        return raw


class CompletionRequest(Common):
    """POST /v1/completions."""

    chat = False
    prompt: str | Tokens | Annotated[list[str], Field(min_length=1, max_length=1)] = Field(min_length=1)


class Message(BaseModel):
    """One turn of a chat; only text."""

    model_config = ConfigDict(extra="ignore")

    role: str = Field(min_length=1, max_length=64)
    content: str


class ChatRequest(Common):
    """POST /v1/chat/completions."""

    chat = True
    messages: list[Message] = Field(min_length=1, max_length=1000)
    max_completion_tokens: int | None = Field(None, ge=1, le=1_000_000)


def chat_text(messages: list[Message]) -> str:
    """A plain template: one line a turn, then the assistant's."""
    turns = [f"{message.role}: {message.content}" for message in messages]
    return "\n".join([*turns, "assistant:"])


def sentence_of(error: ValidationError) -> str:
    """The first fault of a body, in one sentence."""
    first = error.errors(include_url=False)[0]
    if first["type"] == "value_error":
        return str(first["ctx"]["error"])
    where = ".".join(str(part) for part in first["loc"] if not _internal(part)) or "body"
    given = repr(first.get("input"))[:60]
    return f"{where} is {given}; allowed: {first['msg'].removeprefix('Input should be ').rstrip('.')}."


def _internal(part: Any) -> bool:
    """Names of union members that pydantic puts into the path."""
    return isinstance(part, str) and ("[" in part or part in ("str", "constrained-str", "int"))


def error_body(message: str, kind: str, code: int) -> dict[str, Any]:
    """An error as OpenAI and vLLM send it."""
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}
