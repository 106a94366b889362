"""Two SQLite files: the journal, which is precious, and the replica, which may be deleted at any time."""
