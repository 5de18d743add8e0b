"""The clients' data: the embedded world of parts bins, and how clients differ from each other."""
