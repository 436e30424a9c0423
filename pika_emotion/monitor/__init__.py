"""The monitor: one live page about a running node, served by a process of its own."""
