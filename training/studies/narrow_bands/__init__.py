"""Published networks on narrow bands, measured on their own terms."""
