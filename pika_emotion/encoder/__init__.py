"""The encoder tagger's model: its training, its files, and how a turn becomes its input."""
