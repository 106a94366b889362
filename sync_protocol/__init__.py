"""What happened: the language that edge agents and central share. Pure: no I/O, no clock, no chance."""
