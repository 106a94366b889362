"""Outside platforms. Each has its own durable queue, and a timeout is a state of it: unknown, never failed."""
