from __future__ import annotations

import io
import time
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from advisor.errors import InputError
from advisor.spec.yamlfile import MAX_BYTES, lines_of, parse_mapping, read_source, write_mapping


def test_numbers_are_read_as_yaml_1_2_does() -> None:
    assert parse_mapping("a: 1e3\nb: 1.5E-3\nc: 12\nd: 1e3x", "s") == {
        "a": 1000.0,
        "b": 0.0015,
        "c": 12,
        "d": "1e3x",
    }


@given(st.text())
@example("a\x85b")
@example(" \u2028 ")
@example("1e3")
@example("no")
@example("a: b # c\n\td")
def test_any_text_reads_back_equal(text: str) -> None:
    assert parse_mapping(write_mapping({"a": text}), "s") == {"a": text}


def test_readable_text_is_written_plainly() -> None:
    assert (
        write_mapping({"name": "größte Plattform", "rate": "3 req/s"})
        == "name: größte Plattform\nrate: 3 req/s\n"
    )


def test_lines_are_those_of_keys_and_items() -> None:
    lines = lines_of("a: 1\n\nb:\n  - c: 2\n    d: 3\n  - 4\n")
    assert lines["a",] == 1
    assert lines["b",] == 3
    assert lines["b", 0, "d"] == 5
    assert lines["b", 1] == 6


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: 1\na: 2\n", "s.yaml: line 2, column 1: not valid YAML: the key 'a' is given twice."),
        ("a: {b: 1, c: 2, b: 3}", "s.yaml: line 1, column 17: not valid YAML: the key 'b' is given twice."),
        ("a: &x [1]\nb: *x\n", "s.yaml: line 2: *x stands for another value. Write it out."),
        ("a: [1, 2", ": not valid YAML: "),
        ("a: 'open", "s.yaml: line 1, column 9: not valid YAML: found unexpected end of stream"),
        ("a: 1\n---\nb: 2\n", "s.yaml: line 2, column 1: not valid YAML: found another document."),
        ("a: 2025-99-99", "s.yaml: holds a value that cannot be read: month must be in 1..12."),
        ("a: \x00", "s.yaml: not valid YAML: unacceptable character #x0000"),
        ("a: !!python/object:os.system {}", "could not determine a constructor for the tag"),
        ("? [1]\n: 2\n", "s.yaml: line 1, column 3: not valid YAML: a key must be plain text."),
        ("- 1\n- 2\n", "s.yaml: holds a list; allowed: a mapping of fields, one `field: value` a line."),
        ("just words", "s.yaml: holds the single value 'just words'; allowed: a mapping"),
        ("# a comment\n", "s.yaml: holds nothing but comments; allowed: a mapping"),
    ],
)
def test_bad_yaml_is_refused_in_one_sentence(text: str, said: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_mapping(text, "s.yaml")
    assert said in str(caught.value)
    assert len(caught.value.sentences) == 1


@pytest.mark.parametrize(
    "text",
    [
        "a: " + "[" * 100_000,
        "a: " + "[" * 60 + "]" * 60,
        "a: " + "{b: " * 60 + "1" + "}" * 60,
        "a: [" + "1," * 400_000 + "]",
        "a: &a [x]\nb: &b [*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b]\n",
        "a: " + "9" * 5000,
    ],
)
def test_bombs_are_refused_quickly(text: str) -> None:
    start = time.perf_counter()
    with pytest.raises(InputError):
        parse_mapping(text, "s.yaml")
    assert time.perf_counter() - start < 5


def test_a_file_above_the_limit_is_refused_unread(tmp_path: Path) -> None:
    file = tmp_path / "large.yaml"
    file.write_text("a: 1\n" * (MAX_BYTES // 4))
    with pytest.raises(InputError, match=r"bytes; allowed: at most 1,048,576"):
        read_source(file)


def test_standard_input_has_the_same_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    def feed(content: bytes) -> None:
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(content)))

    feed(b"a: 1\n")
    assert read_source("-") == ("a: 1\n", "standard input")
    feed(b" \n")
    with pytest.raises(InputError, match="standard input: is empty"):
        read_source("-")
    feed(b"x" * (MAX_BYTES + 1))
    with pytest.raises(InputError, match="standard input: holds more than"):
        read_source("-")
    feed(b"\xff\xfe")
    with pytest.raises(InputError, match="is not UTF-8 text"):
        read_source("-")
