"""Runs under a Python that has vLLM: parses command lines, one JSON list a line, and prints what vLLM read.

Each version of vLLM keeps its parsers elsewhere, hence the tries.
"""

import importlib
import json
import sys
from typing import Any


def first(*names: str) -> Any:
    for name in names:
        try:
            return importlib.import_module(name)
        except ModuleNotFoundError:
            continue
    raise SystemExit(f"none of {names} in this vLLM")


def plainly(value: object) -> bool:
    """Whether JSON can hold a value."""
    try:
        json.dumps(value, default=str)
    except TypeError:
        return False
    return True


parsers = first("vllm.utils.argparse_utils", "vllm.utils")
serving = first("vllm.entrypoints.launchers.cli_args", "vllm.entrypoints.openai.cli_args")
bench = first("vllm.benchmarks.serve")

for line in sys.stdin:
    kind, *words = json.loads(line)
    parser = parsers.FlexibleArgumentParser()
    if kind == "serve":
        found = serving.make_arg_parser(parser).parse_args(words)
        serving.validate_parsed_serve_args(found)
    else:
        bench.add_cli_args(parser)
        found = parser.parse_args(words)
    plain = {name: value for name, value in vars(found).items() if isinstance(name, str) and plainly(value)}
    sys.stdout.write(f"PARSED {json.dumps(plain, default=str)}\n")
