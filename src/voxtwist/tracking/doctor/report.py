"""The doctor's findings on the terminal."""

from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.text import Text

from voxtwist.tracking.doctor.finding import Finding


def show(findings: Sequence[Finding]) -> None:
    """What is wrong in red, what was mended in green, what is worth knowing in yellow."""
    console = Console(soft_wrap=True, highlight=False)
    for finding in findings:
        style = "bold red" if finding.wrong else "green" if finding.done else "yellow"
        console.print(Text.assemble((f"{finding.check}: ", style), finding.problem))
        console.print(Text(f"  {finding.done or finding.fix}", style="dim"))
    wrong = sum(finding.wrong for finding in findings)
    console.print(f"{wrong} wrong, {len(findings) - wrong} worth knowing or mended")


def as_dicts(findings: Sequence[Finding]) -> list[dict[str, Any]]:
    return [finding.as_dict() for finding in findings]
