"""Tools come into the dock by one line, hear of everything, and leave without a trace."""

from __future__ import annotations

import gc
import weakref
from typing import Any, ClassVar

import pytest
from qtpy.QtWidgets import QLabel

from napari_sfh._qt.tools.base import Tool, Toolbox
from napari_sfh.errors import SfhInputError
from napari_sfh.types import Result


class Host:
    """As much of an explorer as the toolbox asks for."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def attempt(self, act: Any) -> bool:
        try:
            act()
        except SfhInputError as error:
            self.said.append(str(error))
            return False
        return True


class Ear(Tool):
    """Writes down what it hears."""

    name: ClassVar[str] = "ear"
    title: ClassVar[str] = "Ear"

    def __init__(self, host: Any) -> None:
        super().__init__(host)
        self.container = QLabel("ear")
        self.heard: list[Any] = []

    def shortcuts(self) -> dict[str, Any]:
        return {"Alt-Y": self.key}

    def key(self, key: str) -> None:
        self.heard.append(key)

    def on_result(self, result: Result | None) -> None:
        if result is None:
            raise SfhInputError("ear: no result; open one")
        self.heard.append(result)

    def on_selection(self, bins: tuple[int, ...]) -> None:
        self.heard.append(bins)

    def on_busy(self, busy: bool) -> None:
        self.heard.append(busy)

    def on_unfold(self) -> None:
        self.heard.append("unfolded")

    def state(self) -> dict[str, Any]:
        return {"n": len(self.heard)}

    def restore(self, state: dict[str, Any]) -> None:
        self.heard = [None] * state["n"]

    def release(self) -> None:
        self.heard.append("released")


class Twin(Ear):
    """Wants the same key."""

    name: ClassVar[str] = "twin"


def test_a_tool_hears_of_everything(qtbot: Any, result: Result) -> None:
    host = Host()
    box = Toolbox(host, (Ear,))
    ear = box["ear"]
    qtbot.addWidget(ear.section)
    box.shortcuts()["Alt-Y"]("Alt-Y")
    box.on_result(result)
    box.on_selection((3, 4))
    box.set_enabled(result, busy=True)
    ear.section.expand(True)
    box.release()
    assert ear.heard == ["Alt-Y", result, (3, 4), True, "unfolded", "released"]
    assert ear.unfolded
    box.on_result(None)
    assert host.said == ["ear: no result; open one"]
    box.set_enabled(None, busy=False)
    assert not ear.widget.isEnabled()


def test_state_goes_round(qtbot: Any) -> None:
    box, other = Toolbox(Host(), (Ear,)), Toolbox(Host(), (Ear, Twin))
    for tool in (*box, *other):
        qtbot.addWidget(tool.section)
    box["ear"].heard = ["a", "b"]
    state = box.state()
    assert state == {"ear": {"n": 2, "unfolded": False}}
    for step in other.restore_steps({**state, "gone": {"n": 1}}):
        step()
    assert other["ear"].heard == [None, None]
    assert other["twin"].heard == []


def test_a_key_belongs_to_one_tool(qtbot: Any) -> None:
    box = Toolbox(Host(), (Ear, Twin))
    for tool in box:
        qtbot.addWidget(tool.section)
    with pytest.raises(ValueError, match="Alt-Y of the tool twin is taken"):
        box.shortcuts()


def test_a_section_does_not_keep_its_tool(qtbot: Any) -> None:
    box = Toolbox(Host(), (Ear,))
    section = box["ear"].section
    qtbot.addWidget(section)
    gone = weakref.ref(box["ear"])
    del box
    gc.collect()
    assert gone() is None
    section.expand(True)
