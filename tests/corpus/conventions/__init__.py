"""Other people's conventions: the same data as other surveys, programs and typists write them.

Each must be read to the same maps, or be refused with its cause; none of them is damaged.
"""
