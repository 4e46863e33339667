"""The subcommands of ``napari-sfh-train``, one module each."""
