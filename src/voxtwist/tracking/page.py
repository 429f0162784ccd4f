"""Self-contained HTML pages in one style (page.html.jinja)."""

from pathlib import Path
from typing import Any

import jinja2

STYLE = "voxtwist.tracking"  # the package with the templates that pages are built on


def write_page(page: Path, package: str, template: str, **values: Any) -> None:
    """Fill in a template of a package, making the page's folder; text is escaped."""
    environment = jinja2.Environment(
        loader=jinja2.ChoiceLoader([jinja2.PackageLoader(name, ".") for name in (package, STYLE)]),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text(environment.get_template(template).render(**values), encoding="utf-8")
