"""Real processes under real faults for as long as asked, then an audit that reads files only."""
