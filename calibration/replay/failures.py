"""What is wrong with a server all of whose requests end in the same way, in words."""

from __future__ import annotations

from typing import Final

LATER: Final = ("http_429", "http_503")
_WHY: Final = {
    "http_401": "answers 401 to every request: the key is missing or wrong. See --api-key-env.",
    "http_403": "answers 403 to every request: the key may not do this.",
    "http_404": "answers 404 to every request: no such model. See the server's /v1/models for names.",
    "http_429": "answers 429 to every request: its rate limit is below the trace's. Lower --speed.",
    "http_503": "answers 503 to every request: it is overloaded, or still loading its model.",
    "connection": "cannot be reached. Is the server running?",
    "cut_off": "closes every connection before its answer is whole. See the server's log.",
    "timeout": "gives no whole answer within --timeout.",
    "not_streaming": "does not stream; it answers without text/event-stream.",
    "no_usage": "sends no usage, so tokens cannot be counted.",
    "no_tokens": "sends answers without a token.",
    "malformed": "sends what is no event stream of completions.",
    "endless": "sends many more parts than tokens were asked for.",
    "server_error": "fails in the middle of every answer. See the server's log.",
}


def why(status: str) -> str:
    """One sentence on a server all of whose requests end alike."""
    return _WHY.get(status, f"answers {status.removeprefix('http_')} to every request.")
