"""Processes that tests start are forked from one that has loaded what each of them would load by itself."""

import multiprocessing
from multiprocessing import forkserver


def load_beforehand(*modules: str) -> None:
    """Start the process that others are forked from, where there is such a thing (not on Windows)."""
    if "forkserver" in multiprocessing.get_all_start_methods():
        multiprocessing.get_context("forkserver").set_forkserver_preload(list(modules))
        forkserver.ensure_running()
