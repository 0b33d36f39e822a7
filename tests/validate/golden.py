"""The shape of report.json; after a reviewed change: python -m tests.validate.golden FOLDER/report.json"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from tests.faces.golden import keys_of

KEYS = Path(__file__).with_name("report_keys.json")


def shape_of(report: dict[str, Any]) -> Any:
    """Keys all the way down; options by name and versions of packages are left out."""
    shape = keys_of(report)
    shape["environment"] = {}
    for case in shape["cases"]:
        case["decision"] |= {"predicted_s": {}, "measured_s": {}}
    return shape


if __name__ == "__main__":
    shape = shape_of(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))
    KEYS.write_text(json.dumps(shape, indent=1) + "\n", encoding="utf-8")
