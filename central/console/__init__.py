"""The console: pages for pharmacists and administrators."""
