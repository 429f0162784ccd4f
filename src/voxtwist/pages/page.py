"""Self-contained HTML pages in one style (templates/page.html.jinja)."""

from pathlib import Path
from typing import Any

import jinja2


def write_page(page: Path, template: str, **values: Any) -> None:
    """Fill in one of the templates, making the page's folder; text is escaped."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("voxtwist.pages"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text(environment.get_template(template).render(**values), encoding="utf-8")
