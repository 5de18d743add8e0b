"""The database: the only meeting point of the pages and the engine, and the only place with SQL."""
