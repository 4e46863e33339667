"""``python -m napari_sfh`` is ``napari-sfh``."""

import sys

from napari_sfh.cli import main

if __name__ == "__main__":
    sys.exit(main())
