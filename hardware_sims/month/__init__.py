"""Three months of a paper's hospital, played through the real programs in compressed time."""
