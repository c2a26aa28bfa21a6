"""Text that is filled in: the one way in which bundles and applications are written from templates."""

import json
from pathlib import Path

import jinja2


def pages(folder: Path) -> jinja2.Environment:
    """The templates of a folder. What is not given is an error; nothing is escaped but by the filter `quoted`."""
    found = jinja2.Environment(
        loader=jinja2.FileSystemLoader(folder),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,
    )
    found.filters["quoted"] = lambda text: json.dumps(text, ensure_ascii=False)
    return found
