"""Facts go up, state comes down: the link to the broker, and the shell that carries out what the machines decide."""
