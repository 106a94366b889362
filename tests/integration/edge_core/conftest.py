"""Real processes, real disks that fail, a real broker."""
