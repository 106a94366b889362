"""Outside platforms on real HTTP, built from their own documents: they know nothing of codepool."""
