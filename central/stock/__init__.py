"""What the hospital's stock is about: documents, orders, people, the work list. The rules behind every face."""
