"""One thing that the doctor has found, and the way out of it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from rich.console import Console
from rich.text import Text

from voxtwist.credentials import masked


@dataclass(frozen=True)
class Finding:
    """
    Attributes:
        check: the check's name.
        problem: what is the matter, in one sentence.
        fix: what the user can do.
        wrong: False for what is only worth knowing.
        mend: does what is safe, and says what it has done; None: that is up to the user.
        done: what `mend` has said.
    """

    check: str
    problem: str
    fix: str
    wrong: bool = True
    mend: Callable[[], str] | None = None
    done: str | None = None

    def __post_init__(self) -> None:
        for text in ("problem", "fix"):
            object.__setattr__(self, text, masked(getattr(self, text)))

    def mended(self) -> "Finding":
        """This finding after `mend`, if it has one."""
        if self.mend is None:
            return self
        return replace(self, done=self.mend(), wrong=False)

    def as_dict(self) -> dict[str, Any]:
        return {
            "check": self.check,
            "problem": self.problem,
            "fix": self.fix,
            "wrong": self.wrong,
            "fixable": self.mend is not None,
            "done": self.done,
        }


def show_findings(findings: Sequence[Finding]) -> None:
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
