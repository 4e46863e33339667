"""Messages in the words of the window: settings by the labels of their controls; text of files as text, not as HTML."""

from __future__ import annotations

import re
from collections.abc import Mapping
from html import escape

from napari_sfh.config import SETTINGS, name_settings

#: What the window calls a setting.
SETTING_LABELS: Mapping[str, str] = {name: f"“{setting.label}”" for name, setting in SETTINGS.items()}

#: Keeps a line from being broken.
_JOINER = "\u2060"


def name_form_labels(sentence: str) -> str:
    """A message with its settings named as the forms name them."""
    return name_settings(sentence, SETTING_LABELS)


def shorten_words(text: str, most: int = 40) -> str:
    """A sentence whose words are at most so long: of a path beginning and end stay.

    Parameters
    ----------
    text : str
    most : int
        Letters of a word.

    Returns
    -------
    str

    Examples
    --------
    >>> shorten_words("/data/phangs/muse/cubes/NGC0628_DATACUBE.fits: no such file", 24)
    '/data/…28_DATACUBE.fits: no such file'
    """
    head, tail = most // 4, most // 4 + 1 - most
    return " ".join(word if len(word) <= most else f"{word[:head]}…{word[tail:]}" for word in text.split(" "))


def shorten_leading_path(sentence: str, most: int = 120) -> str:
    """An error with the name of the file alone where it begins with a whole path, and is long.

    Parameters
    ----------
    sentence : str
        ``path: what is wrong; what to do``.
    most : int
        Letters up to which it is left as it is.

    Returns
    -------
    str

    Examples
    --------
    >>> shorten_leading_path("/data/phangs/NGC0628_DATACUBE.fits: covers 4750-9300 AA; give its redshift", 60)
    '…/NGC0628_DATACUBE.fits: covers 4750-9300 AA; give its redshift'
    """
    path, colon, rest = sentence.partition(": ")
    name = re.split(r"[/\\]", path)[-1]
    is_path = re.match(r"(?:[/\\~]|[A-Za-z]:[/\\])", path) is not None
    return f"…/{name}{colon}{rest}" if colon and name and is_path and len(sentence) > most else sentence


def shorten_middle(text: str, most: int) -> str:
    """A name of at most so many letters, of which beginning and end stay; it is not broken where it was cut.

    Parameters
    ----------
    text : str
    most : int

    Examples
    --------
    >>> len(shorten_middle("wide (NGC0628_second_run_sfh.fits)", 16).replace(_JOINER, ""))
    16
    """
    if len(text) <= most:
        return text
    tail = most // 2
    return f"{text[: most - tail - 1]}{_JOINER}…{_JOINER}{text[-tail:]}"


def escape_tip(text: str) -> str:
    """A tooltip that shows text of a file as it stands: Qt would take it for HTML where it looks like that.

    Parameters
    ----------
    text : str
        A message, a path, the description of a column.

    Returns
    -------
    str
    """
    return f"<span>{escape(text)}</span>" if "<" in text else text
