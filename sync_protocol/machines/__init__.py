"""The decisions of sync as pure machines: ``handle(event) -> effects``. Shells carry the effects out and report back.

They hold no clock: every event that needs one says when it is, in microseconds of a clock that never jumps.
"""
