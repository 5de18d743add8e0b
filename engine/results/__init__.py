"""What you do with a finished run: ask it, analyse it, export it."""
