"""The help of a command and of all below it as Markdown: what the reference pages of command lines hold."""

from __future__ import annotations

from collections.abc import Iterator

import click

_WIDTH = 100


def command_pages(command: click.Command, name: str) -> str:
    """One section a command, its help as it is printed."""
    context = click.Context(command, info_name=name, terminal_width=_WIDTH, **command.context_settings)
    return "\n".join(_sections(command, context))


def _sections(command: click.Command, context: click.Context) -> Iterator[str]:
    yield f"## {context.command_path}\n\n```text\n{_plain(command.get_help(context))}\n```\n"
    if isinstance(command, click.Group):
        for inner in command.list_commands(context):
            found = command.get_command(context, inner)
            if found is not None and not found.hidden:
                below = click.Context(
                    found, info_name=inner, parent=context, terminal_width=_WIDTH, max_content_width=_WIDTH
                )
                yield from _sections(found, below)


def _plain(text: str) -> str:
    return "\n".join(line.rstrip() for line in click.unstyle(text).splitlines())
