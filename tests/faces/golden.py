"""The shape of `advisor recommend --json`; after a reviewed change: python -m tests.faces.golden"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.faces.example import example


def keys_of(value: Any) -> Any:
    """Keys all the way down; of a list the keys of its items together; maps of causes stay maps."""
    if isinstance(value, dict):
        return {key: keys_of(item) for key, item in sorted(value.items())}
    if isinstance(value, list):
        merged: dict[str, Any] = {}
        for item in value:
            found = keys_of(item)
            if not isinstance(found, dict):
                return ["..."]
            merged |= {k: v for k, v in found.items() if k not in merged or v is not None}
        return [merged] if merged else []
    return None


if __name__ == "__main__":
    shape = keys_of(json.loads(example().model_dump_json()))
    Path(__file__).with_name("recommend_keys.json").write_text(
        json.dumps(shape, indent=1) + "\n", encoding="utf-8"
    )
