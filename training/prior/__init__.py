"""What a synthetic set is drawn from: histories, enrichment, dust, gas, noise."""
