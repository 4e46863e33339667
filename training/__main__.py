"""``python -m napari_sfh.training`` is ``napari-sfh-train``."""

import sys

from napari_sfh.training.cli import main

if __name__ == "__main__":
    sys.exit(main())
