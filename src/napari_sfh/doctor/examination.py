"""All checks, in order; one that breaks is a finding, too."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib import import_module

from napari_sfh.doctor.findings import Finding

Check = Callable[[], Iterator[Finding]]
#: Modules and their checks. They are imported one by one, so that a package that is missing hides no other finding.
CHECKS: tuple[tuple[str, str], ...] = (
    ("machine_checks", "check_python"),
    ("machine_checks", "check_packages"),
    ("machine_checks", "check_torch"),
    ("machine_checks", "check_memory"),
    ("window_checks", "check_window"),
    ("data_checks", "check_weights"),
    ("data_checks", "check_template_cache"),
)
RUN_CHECK: tuple[str, str] = ("data_checks", "check_tiny_run")


def examine_installation(run: bool = True) -> Iterator[Finding]:
    """Look at everything that a run needs.

    Parameters
    ----------
    run : bool
        Run a tiny galaxy as well; some ten seconds.

    Yields
    ------
    Finding
        As soon as it is known.
    """
    for module, name in (*CHECKS, *([RUN_CHECK] if run else [])):
        try:
            check: Check = getattr(import_module(f"napari_sfh.doctor.{module}"), name)
            yield from check()
        except Exception as error:  # whatever breaks here is what the user came for
            topic = name.removeprefix("check_").replace("_", " ")
            yield Finding(topic, f"{type(error).__name__}: {error}", "problem", propose_fix(error))


def propose_fix(error: Exception) -> str:
    """What helps against an error that no check expected."""
    if isinstance(error, ImportError):
        return "install the package again into a fresh environment"
    return "report this with the text above"
