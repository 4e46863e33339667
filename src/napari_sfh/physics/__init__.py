"""Physics shared by the viewer and the training: stated once, imported by both."""
