"""Server-sent events, read as they come in pieces of any size (WHATWG HTML, section 9.2)."""

from __future__ import annotations

from collections.abc import Iterator

from advisor.errors import MeasurementError

MAX_LINE_BYTES = 4 * 2**20


class EventStream:
    """Bytes in, the data of whole events out."""

    def __init__(self) -> None:
        self._line_parts: list[bytes] = []  # of a line whose end has not come
        self._size = 0
        self._data: list[str] = []
        self._data_size = 0

    def feed(self, piece: bytes) -> Iterator[str]:
        """Events that this piece completes.

        Raises:
            MeasurementError: a line, or an event of many lines, without end.
        """
        first, *others = piece.split(b"\n")
        self._keep(first)
        for following in others:
            event = self._line(b"".join(self._line_parts).rstrip(b"\r").decode("utf-8", "replace"))
            self._line_parts, self._size = [], 0
            self._keep(following)
            if event is not None:
                yield event

    def _keep(self, part: bytes) -> None:
        self._line_parts.append(part)
        self._size += len(part)
        if self._size > MAX_LINE_BYTES:
            raise MeasurementError("the server sends a line without end.")

    def _line(self, line: str) -> str | None:
        if not line:
            data, self._data, self._data_size = self._data, [], 0
            return "\n".join(data) if data else None
        if line.startswith("data:"):
            self._data.append(line[5:].removeprefix(" "))
            self._data_size += len(line)
            if self._data_size > MAX_LINE_BYTES:
                raise MeasurementError("the server sends an event without end.")
        return None
