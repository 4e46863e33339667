"""Fields of the explorer's forms: files, numbers, settings, rows; their values read and put back."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from magicgui.types import FileDialogMode
from magicgui.widgets import CheckBox, ComboBox, Container, FileEdit, FloatSpinBox, Label, LineEdit, PushButton, SpinBox
from magicgui.widgets.bases import RangedWidget, SliderWidget, ValueWidget
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QAbstractSpinBox, QLabel, QSizePolicy

from napari_sfh.config import SETTINGS
from napari_sfh.errors import SfhInputError

WEIGHTS = "Weights (*.safetensors)"
FITS = "FITS files (*.fits *.fit *.fits.gz *.fits.fz *.fz)"
#: Least width of an opened list: it may be wider than its field.
POPUP_PX = 260
#: The number beside a slider: of one width, so that all sliders end at one place.
READOUT = "background: transparent; border: 0; padding: 0; min-width: 40px; max-width: 40px;"


def make_file_edit(label: str, tip: str, folder: bool = False, kind: str = FITS) -> FileEdit:
    """A field for a file (or folder) with a small button; empty = none.

    Parameters
    ----------
    label, tip : str
        Beside the field, and above it.
    folder : bool
        A folder is chosen, not a file.
    kind : str
        Filter of the dialog, as Qt writes it.
    """
    mode = FileDialogMode.EXISTING_DIRECTORY if folder else FileDialogMode.EXISTING_FILE
    edit = FileEdit(label=label, tooltip=tip, mode=mode, filter=None if folder else kind, nullable=True)
    edit.choose_btn.text = "…"
    edit.choose_btn.max_width = 28
    edit.margins = (0, 0, 0, 0)
    line = edit.line_edit.native
    line.setPlaceholderText("cube, mosaics, MAPS" if folder else "none")
    # Long names have no room.
    line.textChanged.connect(line.setToolTip)
    return edit


def make_number_edit(label: str, placeholder: str, tip: str) -> LineEdit:
    """A field for a number that may be empty; read it with `parse_number`.

    Parameters
    ----------
    label, tip : str
        Beside the field, and above it.
    placeholder : str
        Stands in the empty field.
    """
    edit = LineEdit(label=label, tooltip=tip)
    edit.native.setPlaceholderText(placeholder)
    return edit


def connect_whole_text(edit: LineEdit, act: Callable[[str], None]) -> None:
    """Call ``act`` with the text of a field when that is whole.

    A text that is set (a path that is chosen or dropped, say) is whole at once; one that is typed or pasted when
    Return is pressed or the field is left: on the way a path names other folders, ``/`` to begin with.

    Parameters
    ----------
    edit : LineEdit
    act : callable
        A bound method; it is not kept alive.
    """
    called = weakref.WeakMethod(act)

    def tell() -> None:
        method = called()
        if method is not None:
            method(line.text())

    line = edit.native
    typing: list[str] = []
    line.textEdited.connect(typing.append)  # comes before the change itself

    def changed(_: str) -> None:
        if not typing:
            tell()

    def finished() -> None:
        if typing:
            typing.clear()
            tell()

    edit.changed.connect(changed)
    line.editingFinished.connect(finished)


def read_path(edit: FileEdit) -> Path | None:
    """The path in a field for a file, None if it is empty."""
    text = edit.line_edit.value.strip()
    return Path(text).expanduser() if text else None


def parse_number(edit: LineEdit, lowest: float, highest: float) -> float | None:
    """The number in a field, None if it is empty.

    Parameters
    ----------
    edit : LineEdit
    lowest, highest : float
        Range, both allowed, in the unit of the field.

    Raises
    ------
    SfhInputError
        No number, or outside ``lowest`` to ``highest``.
    """
    text = edit.value.strip()
    if not text:
        return None
    try:
        number = float(text)
    except ValueError:
        number = float("nan")
    if not lowest <= number <= highest:
        raise SfhInputError(f"{edit.label}: {text!r} is not a number from {lowest:g} to {highest:g}; or leave it empty")
    return number


def make_setting_control(name: str, other: str = "") -> Any:
    """The control of a setting of `config.SETTINGS`: its label, default, range, choices and help.

    Parameters
    ----------
    name : str
        Of the setting.
    other : str
        Value of the choice by which something else is given in a field of its own, where the setting has one.
    """
    setting = SETTINGS[name]
    tip = setting.help[:1].upper() + setting.help[1:] + (f", {setting.unit}" if setting.unit else "")
    if setting.is_file:
        return make_file_edit(setting.label, tip)
    if setting.kind is bool:
        return CheckBox(text=setting.label, value=setting.default, tooltip=tip)
    if setting.choices:
        choices = [(words, value) for value, words in setting.choices.items()]
        choices += [(setting.other[1], other)] if setting.other[0] else []
        return ComboBox(label=setting.label, value=setting.default, choices=choices, tooltip=tip)
    if setting.default is None:
        return make_number_edit(setting.label, setting.unset, tip)
    box = SpinBox if setting.kind is int else FloatSpinBox
    limits: dict[str, Any] = {"min": setting.low, "max": setting.high, "step": setting.step}
    return box(label=setting.label, value=setting.default, tooltip=tip, **limits)


def read_controls(controls: Mapping[str, Any]) -> dict[str, Any]:
    """Values of settings from their controls; None where a field is empty.

    Raises
    ------
    SfhInputError
        A field that is not a number of the setting's range.
    """
    values: dict[str, Any] = {}
    for name, control in controls.items():
        low, high = SETTINGS[name].low, SETTINGS[name].high
        if isinstance(control, LineEdit) and low is not None and high is not None:
            values[name] = parse_number(control, low, high)
        elif isinstance(control, LineEdit):
            values[name] = control.value.strip() or None
        else:
            values[name] = control.value
    return values


def narrow_combo_box(box: ComboBox) -> ComboBox:
    """Let a list be narrower than its longest entry: the dock must fit small screens."""
    native = box.native
    native.setSizeAdjustPolicy(native.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
    native.setMinimumContentsLength(7)
    native.view().setMinimumWidth(POPUP_PX)
    return box


def make_note_label() -> Label:
    """A sentence below the fields that it belongs to, which can be copied; hidden while it says nothing."""
    words = Label(value="", visible=False)
    native = words.native
    native.setWordWrap(True)
    native.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
    # It must not widen the dock.
    native.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Minimum)
    return words


def make_form(widgets: list[Any]) -> Container[Any]:
    """Labelled rows, close together; rows without a label begin where labels begin. See `align_labels`."""
    rows = Container(widgets=widgets, labels=True)
    rows.margins = (6, 2, 6, 2)
    rows.native.layout().setSpacing(3)
    for widget in widgets:
        label = _label_of(widget, rows)
        if label is not None and not label.text():
            label.hide()
        if isinstance(widget, SliderWidget):
            widget.native.layout().setContentsMargins(0, 0, 0, 0)
            widget.native.findChild(QAbstractSpinBox).setStyleSheet(READOUT)
    return rows


def make_form_row(widgets: list[Any]) -> Container[Any]:
    """Widgets in one row of a form, as wide as the form."""
    row = Container(widgets=widgets, layout="horizontal", labels=False)
    row.margins = (0, 0, 0, 0)
    return row


def align_labels(forms: Iterable[Container[Any]]) -> None:
    """Give the labels of all forms one width, that of the widest: their fields begin at one place."""
    labels = [label for rows in forms for widget in rows if (label := _label_of(widget, rows)) and label.text()]
    for label in labels:
        label.ensurePolished()
    width = max((label.sizeHint().width() for label in labels), default=0)
    for label in labels:
        label.setFixedWidth(width)


def _label_of(widget: Any, rows: Container[Any]) -> QLabel | None:
    """The label beside a field; magicgui puts both into a widget of their own."""
    beside = widget.native.parentWidget()
    if beside is None or beside is rows.native:
        return None
    label = beside.layout().itemAt(0).widget()
    return label if isinstance(label, QLabel) else None


def read_form(form: object) -> dict[str, Any]:
    """Values of a form's fields by their names, as a workspace keeps them: JSON types, files as paths."""
    state: dict[str, Any] = {}
    for name, field in ((n, f) for n, f in vars(form).items() if not n.startswith("_")):
        if isinstance(field, dict):
            state[name] = {key: _field_value(one) for key, one in field.items() if _is_field(one)}
        elif _is_field(field):
            state[name] = _field_value(field)
    return state


def fill_form(form: object, state: Mapping[str, Any]) -> None:
    """Put `read_form` back; fields that are not named keep their value, and so do those whose range excludes it.

    Parameters
    ----------
    form : object
        Its attributes are fields, or dictionaries of fields.
    state : Mapping of str to Any
        Values by name of the attribute.
    """
    for name, field in vars(form).items():
        if name in state and isinstance(field, dict):
            for key, one in field.items():
                if key in state[name]:
                    _set_field(one, state[name][key])
        elif name in state and _is_field(field):
            _set_field(field, state[name])


def _is_field(field: object) -> bool:
    return isinstance(field, FileEdit | ValueWidget) and not isinstance(field, PushButton | Label)


def _field_value(field: Any) -> Any:
    return read_path(field) if isinstance(field, FileEdit) else field.value


def _set_field(field: Any, value: Any) -> None:
    if isinstance(field, FileEdit):
        field.line_edit.value = str(value or "")
    elif isinstance(field, ComboBox):
        field.value = value if value in field.choices else field.value
    elif isinstance(field, RangedWidget):
        field.value = min(max(value, field.min), field.max)
    else:
        field.value = value
