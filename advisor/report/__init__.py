"""The answer as something to read: one list of sections, three ways to set them.

sections.py    what is said, in which order: words, tables, figures
plain.py       for a terminal
markdown.py    a Markdown file with pictures beside it
html.py        one HTML file that needs nothing else
folder.py      writes HTML, Markdown and pictures
"""
