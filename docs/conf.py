"""Configuration of the site: Sphinx with MyST notebooks and numpydoc. ``make docs`` builds it."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import napari_sfh

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE / "_ext"))

project = "napari-sfh"
author = "The napari-sfh developers"
project_copyright = "2026, The napari-sfh developers"
version = release = napari_sfh.__version__

extensions = [
    "myst_nb",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "sphinx_copybutton",
    "sphinx_design",
    "field_comments",
    "generated_pages",
]
exclude_patterns = ["_build", "**/_*.md", "report/**", "tutorials/jupyter_execute"]
nitpicky = False
templates_path = ["_templates"]
smartquotes = False  # commands are copied: no dash of theirs becomes another

# Markdown
myst_enable_extensions = ["colon_fence", "deflist", "dollarmath", "fieldlist", "attrs_inline"]
myst_heading_anchors = 3

# Tutorials run when the site is built; an error in a cell ends the build.
highlight_language = "none"  # commands are no Python; what is says so
nb_execution_mode = os.environ.get("NAPARI_SFH_DOCS_EXECUTE", "cache")
nb_execution_cache_path = str(HERE / "_build" / ".jupyter_cache")
# What the tutorials write, which git ignores: what an earlier build left would stop a training.
shutil.rmtree(HERE / "tutorials" / "output", ignore_errors=True)
(HERE / "tutorials" / "output").mkdir()
os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])  # for lines of commands
nb_execution_excludepatterns = ["**/window.ipynb"]  # needs a screen; tests/qt runs it
nb_execution_raise_on_error = True
nb_execution_timeout = 900  # of a cell, which takes seconds: for busy machines
nb_merge_streams = True

# The reference of the public names
default_role = "py:obj"  # names in backquotes are links where they are known
autosummary_generate = True
autodoc_typehints = "none"  # numpydoc has the types
numpydoc_show_class_members = False
numpydoc_class_members_toctree = False

# Looks
html_theme = "pydata_sphinx_theme"
html_title = "napari-sfh"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_js_files = ["enlarge.js"]
html_copy_source = False
html_show_sourcelink = False
html_theme_options = {
    "logo": {"text": "napari-sfh"},
    "navbar_align": "left",
    "navbar_persistent": ["search-button"],  # a sign, not a field: the names of all parts fit beside it
    "header_links_before_dropdown": 7,
    "show_nav_level": 1,
    "show_toc_level": 2,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": [],
    "show_prev_next": True,
    "pygments_light_style": "tango",
    "pygments_dark_style": "monokai",
}
# No internet is needed to build the site, so addresses outside it are not asked.
linkcheck_ignore = [r"https?://.*"]
suppress_warnings = ["config.cache"]
