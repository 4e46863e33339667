"""How a tool (a region, a comparison, a gradient, ...) comes into the explorer: one class, one line in `registry`.

A tool is a folded section of the dock with its own form, layers, keys and memory. To add one:

1. Write the work as public functions without Qt (a module beside `analysis.regions`), and a subclass of `Tool` in this
   folder that only passes values in and out. `region` is an example; one with plots is a `DockTool` (`ppxf`).
2. Name the class in `registry.TOOLS`. The explorer makes a `Section` of it, in that order.

What a tool may count on:

- ``self.host`` (a `Host`) is a weak proxy of the explorer: ``viewer``, ``session`` (result and selection), ``stack``
  (the layers), ``panel`` (the plots), ``exports`` (``ask`` for a file name). Touch nothing else of the explorer.
- Long work is a function of ``progress`` and ``cancel`` and goes through ``host.start(work, after)``: one at a time,
  with the bar and the Cancel button; an error becomes the sentence at the top of the dock. ``after`` runs in the main
  thread and is not called when the work was cancelled. ``on_busy`` tells when work begins and ends.
- Short work that may fail goes through ``host.attempt(act)``, which says a `SfhInputError` or `ComputeError`. Sentences
  for the user: ``host.show_message``.
- A plot of its own goes into a dock below: ``host.show_dock(title, widget)``; it is taken away at the end.
- ``on_result`` comes after all layers are there (None: the result has gone), ``on_selection`` after each change of the
  selected or compared bins: it must stay under 5 ms, or do nothing while ``self.unfolded`` is False and
  catch up in ``on_unfold``. All calls come in the main thread, where no call may take over 100 ms.
- Everything that is connected (layer events, timers) is undone in ``release``; layers stay, as the user's. Connect
  bound methods only (psygnal and napari hold these weakly), never lambdas that close over ``self``. A window that
  closes destroys the widgets without calling anything: a ``QTimer`` is a child of the tool's widget.
- ``state`` is what a workspace keeps of the tool, as JSON types and `pathlib.Path`; ``restore`` gets it back after
  ``on_result`` and must take a dictionary that lacks keys. Do not keep what is computed in less than a second: restore
  the form and compute.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, ClassVar, Protocol

from napari_sfh._qt.canvas.result_layers import LayerStack
from napari_sfh._qt.jobs.step_queue import UnpaintedStep
from napari_sfh._qt.jobs.workers import Work
from napari_sfh._qt.plots.side_plots import ToolDock
from napari_sfh._qt.session import Session
from napari_sfh._qt.widgets.small_widgets import Section
from napari_sfh.errors import SfhInputError
from napari_sfh.types import Result

#: A bound method that is given the name of the key.
KeyAct = Callable[[str], None]


class Host(Protocol):
    """What a tool may use of the explorer."""

    viewer: Any
    session: Session
    stack: LayerStack
    panel: Any
    exports: Any
    export: Any  # the form with the distance
    data: Any  # the form of files: `photometry`, `maps_path`
    strokes: Any  # what keeps the places of the mouse: `hold`, `let_go`

    @property
    def busy(self) -> bool:
        """True while long work runs."""

    def show_message(self, text: str, error: bool = False) -> None:
        """Show a sentence at the top of the dock."""

    def attempt(self, act: Callable[[], object]) -> bool:
        """Call ``act``; say its `SfhInputError`, `ComputeError` or `OSError`. True if there was none."""

    def forget_error(self) -> None:
        """What was wrong is right now."""

    def start(self, work: Work, after: Callable[[Any], None], button: str = "") -> None:
        """Run ``work(progress, cancel)`` in the thread, after what runs now.

        ``after`` gets its value unless it was cancelled: then the user is told to press ``button`` to start it again.
        """

    def when_ready(self, act: Callable[[], object]) -> None:
        """Do an act now, or as soon as no work runs and all layers are there."""

    def in_turns(self, steps: list[Callable[[], object]]) -> None:
        """Do steps one by one, one per turn of the event loop, so that the window does not block."""

    def show_map(self, name: str) -> None:
        """Put one map (a key of `maps.MAPS`, or one that a tool has added) on the canvas; the grid goes."""

    def refresh_cursor(self) -> None:
        """Say anew what is under the cursor."""

    def show_panel(self) -> None:
        """Open the dock with the plots, or bring it back."""

    def show_dock(self, title: str, widget: Any) -> None:
        """Show a widget as a tab beside the plots, or bring it back; it goes with the explorer."""

    def hide_dock(self, title: str) -> None:
        """Take a tab beside the plots out of sight until it is shown again."""


class Tool:
    """A section of the dock.

    Parameters
    ----------
    host : Host
        The explorer, by a weak proxy.

    Attributes
    ----------
    name : str
        Key in a workspace and in the explorer's ``tools``.
    title : str
        Of the section.
    needs_result : bool
        The section is hidden without a result.
    container : magicgui Container or QWidget
        To be made by the subclass in ``__init__``.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    needs_result: ClassVar[bool] = True

    def __init__(self, host: Host) -> None:
        self.host = host
        self.container: Any = None
        self.section: Section | None = None
        self._told_wrong = False

    @property
    def widget(self) -> Any:
        """The Qt widget of `container`."""
        return getattr(self.container, "native", self.container)

    @property
    def working(self) -> bool:
        """True while something is on its way that the tool has begun by itself: `Explorer.wait` waits for it."""
        return False

    @property
    def unfolded(self) -> bool:
        """True while the section is open."""
        return self.section is not None and self.section.expanded

    def need_result(self) -> Result:
        """The result that is shown.

        Raises
        ------
        SfhInputError
            There is none.
        """
        result: Result | None = self.host.session.result
        if result is None:
            raise SfhInputError("no result yet: press Run or open a result file first")
        return result

    def do_unpainted(self, *steps: Callable[[], object]) -> None:
        """Do steps with layers, one per turn of the event loop, and let the canvas be painted in turns of its own."""
        self.host.in_turns([UnpaintedStep(step) for step in steps])

    def press(self, act: Callable[[], object]) -> None:
        """What a button or key does: an act that may fail, unless work runs, which is said."""
        if self.host.busy:
            self.host.show_message("Work is in progress: wait for its end, or press Cancel.")
        else:
            self.host.attempt(act)

    def check_field(self, read: Callable[[], object]) -> bool:
        """A field was left: what is wrong with it is told, and no longer once it is right; whether it is."""
        if not self.host.attempt(read):
            self._told_wrong = True
            return False
        self.tell_right()
        return True

    def tell_wrong(self, error: Exception) -> None:
        """Work has found out what is wrong with a field."""
        self._told_wrong = True
        self.host.show_message(str(error), error=True)

    def tell_right(self) -> None:
        """What was told of a field is right now."""
        if self._told_wrong:
            self._told_wrong = False
            self.host.forget_error()

    def saved(self, path: Any) -> None:
        """Say that a file was written."""
        self.host.show_message(f"Saved {path}.")

    def shortcuts(self) -> dict[str, KeyAct]:
        """Keys on the canvas (``Alt-R``) and the bound methods that they call; each tooltip should name its key.

        Alt with F, V, L, P, W, H, D opens a menu, and napari has Alt with C, S, T.
        """
        return {}

    def suits(self, result: Result) -> bool:
        """Whether the tool is of use for a result: some need histories, or a spectrum."""
        return True

    def on_result(self, result: Result | None) -> None:
        """Another result is shown, or none."""

    def on_selection(self, bins: tuple[int, ...]) -> None:
        """Other bins are selected: the selected one first, then the compared ones."""

    def describe(self, bin_id: int) -> str:
        """What a bin has on a layer of this tool that hides the map, for the text under the cursor; else nothing."""
        return ""

    def on_busy(self, busy: bool) -> None:
        """Long work has begun or ended: enable and disable what starts some."""

    def on_unfold(self) -> None:
        """The section was opened."""

    def list_work(self) -> dict[str, object]:
        """What was made by hand, or in long work, and is asked about before another galaxy comes: name and content."""
        return {}

    def state(self) -> dict[str, Any]:
        """What a workspace keeps, as JSON types; paths as `pathlib.Path`."""
        return {}

    def restore(self, state: dict[str, Any]) -> None:
        """Take over what `state` returned, perhaps in an older version."""

    def release(self) -> None:
        """Undo every connection."""


class DockTool(Tool):
    """A tool with plots in a dock below the canvas; they are made when they are needed first.

    Attributes
    ----------
    dock_title : str
    dock : ToolDock or None
        None until it was opened.
    """

    dock_title: ClassVar[str]

    def __init__(self, host: Host) -> None:
        super().__init__(host)
        self.dock: ToolDock | None = None

    def make_dock(self) -> ToolDock:
        """Made by the subclass: its plots, words and buttons."""
        raise NotImplementedError

    def prepare_dock(self) -> ToolDock:
        """The dock, made if it is not there yet."""
        if self.dock is None:
            self.dock = self.make_dock()
        return self.dock

    def open_dock(self) -> None:
        """Show the plots."""
        self.host.show_dock(self.dock_title, self.prepare_dock())

    def open_dock_with(self, *fill: Callable[[], object]) -> None:
        """Make the plots, show them, then fill them, each in a turn of the event loop: together they would block it."""
        self.host.in_turns([self.prepare_dock, self.open_dock, *fill])

    def empty_dock(self) -> None:
        """What was drawn was another result's: the plots go from the window until there is something to show again."""
        if self.dock is not None:
            self.dock.fill(False)
            self.host.hide_dock(self.dock_title)

    def release(self) -> None:
        """Let go of the plots; a subclass undoes its own connections first."""
        if self.dock is not None:
            self.dock.release()


def _restore_tool(tool: Tool, kept: dict[str, Any]) -> None:
    """Give back to a tool what it kept.

    Raises
    ------
    SfhInputError
        It cannot be read: a workspace may have been edited by hand.
    """
    try:
        tool.restore(kept)
    except SfhInputError:
        raise
    except (KeyError, TypeError, ValueError) as error:
        raise SfhInputError(
            f"workspace: what it keeps of {tool.title} is damaged ({error}); set it again and save"
        ) from error


class Toolbox:
    """The tools of an explorer, told of what happens one after the other.

    A tool that fails with an error of ours says so and does not keep the others from hearing.
    """

    def __init__(self, host: Host, kinds: tuple[type[Tool], ...]) -> None:
        self._host = host
        self._tools = {kind.name: kind(host) for kind in kinds}
        for tool in self:
            tool.section = Section(tool.title, tool.widget, False)
            tool.section.on_unfold(tool.on_unfold)

    def __iter__(self) -> Iterator[Tool]:
        return iter(self._tools.values())

    def __getitem__(self, name: str) -> Any:
        return self._tools[name]

    @property
    def working(self) -> bool:
        """Whether one of them is."""
        return any(tool.working for tool in self)

    def shortcuts(self) -> dict[str, KeyAct]:
        """All keys.

        Raises
        ------
        ValueError
            Two tools want the same key.
        """
        keys: dict[str, KeyAct] = {}
        for tool in self:
            for key, act in tool.shortcuts().items():
                if key in keys:
                    raise ValueError(f"key {key} of the tool {tool.name} is taken: choose another")
                keys[key] = act
        return keys

    def describe(self, bin_id: int) -> str:
        """What a bin has on the layer of a tool that hides the map, or nothing."""
        return next((text for tool in self if (text := tool.describe(bin_id))), "")

    def on_result(self, result: Result | None) -> None:
        """Tell all of a result."""
        for step in self.result_steps(result):
            step()

    def result_steps(self, result: Result | None) -> list[Callable[[], object]]:
        """The same in steps, one a tool."""
        return [partial(self._host.attempt, partial(tool.on_result, result)) for tool in self]

    def on_selection(self, bins: tuple[int, ...]) -> None:
        """Tell all of a selection."""
        for tool in self:
            self._host.attempt(partial(tool.on_selection, bins))

    def set_enabled(self, result: Result | None, busy: bool) -> None:
        """Show and enable what can be used: without a result, the dock is about files and the run."""
        for tool in self:
            usable = not tool.needs_result if result is None else tool.suits(result)
            tool.widget.setEnabled(usable)
            if tool.section is not None:
                tool.section.setVisible(usable)
            tool.on_busy(busy)

    def list_work(self) -> dict[str, object]:
        """What would be lost with the result, of all tools."""
        return {name: work for tool in self for name, work in tool.list_work().items()}

    def state(self) -> dict[str, dict[str, Any]]:
        """Of every tool that keeps something, by name; whether its section is open comes along."""
        return {tool.name: {**tool.state(), "unfolded": tool.unfolded} for tool in self}

    def restore_steps(self, state: dict[str, dict[str, Any]]) -> list[Callable[[], object]]:
        """Steps that give back to every tool what it kept; names that are not known are left alone.

        A tool may begin long work in its step: the next one is for when that is done.
        """
        return [partial(self._restore, tool, state[tool.name]) for tool in self if tool.name in state]

    def _restore(self, tool: Tool, kept: dict[str, Any]) -> None:
        self._host.attempt(partial(_restore_tool, tool, kept))
        # After that: what is opened may fill a form that is still empty.
        if tool.section is not None:
            tool.section.expand(bool(kept.get("unfolded", False)))

    def release(self) -> None:
        """Release all."""
        for tool in self:
            tool.release()
