"""The ledger: facts in order, and the state folded from them. One writer; readers see only what is committed."""
