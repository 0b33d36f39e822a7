"""Writes docs/reference/profile.md from the contract: `python -m calibration.reference`."""

from __future__ import annotations

import sys
from typing import Final

from advisor.profile import Profile
from advisor.spec.reference import reachable, section

_HEAD: Final = """\
# The profile file

One JSON file describes one device with one engine version: what a step costs, term by term, and where each
figure comes from. `calibrate` writes it, `advisor` reads it, `advisor profile show NAME` prints it,
`advisor profile compare A B` puts several side by side.
[Where the shipped figures come from](../explanation/profiles.md) and
[the equations](../explanation/model.md) are pages of their own. This page is written from the models by
`python -m calibration.reference`; a test fails when it is stale.

- All times are seconds, all sizes bytes.
- Unknown fields are refused; a file of a newer version is refused by name.
- A list of numbers stands on one line; fields that have their default are not written.

From Python: `find_profiles()` names the shipped ones, `shipped_profile(name)` and `load_profile(path)` read,
`save_profile(profile, path)` writes; all in `advisor.profile`.
"""


def reference() -> str:
    """Return the reference page as Markdown: one section a mapping, one row a field."""
    return f"{_HEAD}\n" + "\n".join(section(model) for model in reachable(Profile))


if __name__ == "__main__":
    sys.stdout.write(reference())
