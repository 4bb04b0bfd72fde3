"""Studies that wait to be read, what was said of them, and by whom: one database, and one folder of films."""
