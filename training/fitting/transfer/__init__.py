"""Networks that go on from those of other instruments."""
