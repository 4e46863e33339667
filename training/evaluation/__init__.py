"""How good a bundle is: test sets, metrics, the independent simulator, pPXF, reports."""
