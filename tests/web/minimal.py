"""A small scenario for the tests of the web app."""

from pathlib import Path

from advisor.web.question import Opened, Question, read_question

MINIMAL = """\
schema_version: 1
name: small
model: Llama-3.1-8B
adapters: {count: 2, rank: 8}
workload:
  kind: generator
  arrivals: {kind: poisson, rate: 2 req/s}
  prompt_tokens: {kind: fixed, tokens: 100}
  output_tokens: {kind: fixed, tokens: 10}
  duration: 60s
"""


def read(text: str) -> Question:
    """A question of a visitor to whom no folder is opened."""
    return read_question(text, Opened(Path("/nowhere"), False))
