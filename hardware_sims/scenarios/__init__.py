"""Days of a hospital, played by scripted staff over the agents' pages and the wires of simulated devices."""
