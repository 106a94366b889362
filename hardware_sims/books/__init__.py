"""The independent checker: journals, ledger, insurer's rows and truth, read as files.

It shares no code with the programs that write them: what both hands have alike is right, or both misread one design.
"""
