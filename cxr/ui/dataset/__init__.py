"""The dataset page: which table, which films of it, what they say, and the films themselves."""
