"""What can be learnt from a result: bins, regions, gradients, gas, comparisons, pPXF. No Qt."""
