"""Labelled films: the shards they lie in, the table that describes them, and splits that keep patients apart."""
