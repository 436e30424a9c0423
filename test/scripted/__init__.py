"""Primaries that misbehave on purpose: the faults that no real tagger makes when asked to."""
