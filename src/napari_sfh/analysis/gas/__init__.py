"""What the ionised gas says: line maps, line fits, gas compared with the young stars."""
