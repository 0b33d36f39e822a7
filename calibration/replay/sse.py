"""Server-sent events, read as they come in pieces of any size (WHATWG HTML, section 9.2)."""

from __future__ import annotations

from collections.abc import Iterator

from advisor.errors import MeasurementError

MAX_EVENT_BYTES = 4 * 2**20


class EventStream:
    """Bytes in, the data of whole events out."""

    def __init__(self) -> None:
        self._rest = b""
        self._data: list[str] = []

    def feed(self, piece: bytes) -> Iterator[str]:
        """Events that this piece completes.

        Raises:
            MeasurementError: a line without end.
        """
        self._rest += piece
        if len(self._rest) > MAX_EVENT_BYTES and b"\n" not in self._rest:
            raise MeasurementError("the server sends a line without end.")
        *lines, self._rest = self._rest.replace(b"\r\n", b"\n").split(b"\n")
        if self._rest.endswith(b"\r"):  # its \n may come with the next piece
            pass
        for line in lines:
            event = self._line(line.rstrip(b"\r").decode("utf-8", "replace"))
            if event is not None:
                yield event

    def _line(self, line: str) -> str | None:
        if not line:
            data, self._data = self._data, []
            return "\n".join(data) if data else None
        if line.startswith("data:"):
            self._data.append(line[5:].removeprefix(" "))
        return None
