"""Simulated devices, one a driver. Each is told what happens to it by an in-process API and talks over a ``Cable``."""
