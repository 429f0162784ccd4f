"""One thing that the doctor has found, and the way out of it."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any


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
