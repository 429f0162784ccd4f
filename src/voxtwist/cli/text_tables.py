"""Results of text suites as tables for the terminal."""

from collections.abc import Mapping

from rich.table import Table

from voxtwist.evaluation.statistics import PairedComparison

_STDERR = "_stderr"


def results_table(metrics: Mapping[str, float]) -> Table:
    """One row for each figure that has a standard error, and each leaked mass."""
    table = Table("", "value", "standard error", "questions", box=None, header_style="bold")
    for name, value in metrics.items():
        level, _, metric = _split(name, metrics)
        stem, slash, answer_filter = metric.partition("/")
        error = metrics.get(f"{level}/{stem}{_STDERR}{slash}{answer_filter}")
        if stem.endswith("leaked_mass"):
            table.add_row(name, f"{value:.2g}", "", "")
        elif error is not None and not stem.endswith(_STDERR):
            n = metrics.get(f"{level}/n")
            table.add_row(name, f"{value:.1%}", f"{error:.1%}", f"{n:.0f}" if n else "")
    return table


def comparison_table(compared: Mapping[str, PairedComparison]) -> Table:
    """One row a comparison: before, after, and the difference with its interval and p."""
    header = ("", "before", "after", "difference", "95 % interval", "p", "questions")
    table = Table(*header, box=None, header_style="bold")
    for name, c in compared.items():
        interval = f"{c.low:+.1%} … {c.high:+.1%}"
        figures = (f"{c.before:.1%}", f"{c.after:.1%}", f"{c.difference:+.1%}", interval)
        table.add_row(name, *figures, f"{c.p_value:.3f}", str(c.n))
    return table


def _split(name: str, metrics: Mapping[str, float]) -> tuple[str, str, str]:
    """ "trivia/acc" -> ("trivia", "/", "acc"); names of groups may hold a slash themselves."""
    level = name
    while "/" in level:
        level = level.rpartition("/")[0]
        if f"{level}/n" in metrics:
            return level, "/", name.removeprefix(f"{level}/")
    return name.partition("/")
