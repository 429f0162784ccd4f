"""Self-contained HTML pages in one style (templates/style.css)."""

from pathlib import Path
from typing import Any

import jinja2


def render_page(template: str, **values: Any) -> str:
    """Fill in one of the templates; text is escaped."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("voxtwist.pages"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(template).render(**values)


def write_page(page: Path, template: str, **values: Any) -> None:
    """Write a filled-in template, making the page's folder."""
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text(render_page(template, **values), encoding="utf-8")
