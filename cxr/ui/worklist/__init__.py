"""The page Worklist: the list of studies, and the reading of one."""
