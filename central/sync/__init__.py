"""Facts in from the agents, acks and deltas out to them, over MQTT (design.md §6)."""
