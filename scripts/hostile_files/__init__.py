"""Files that films are read from and should not be: made on the spot, by the tests, the fuzzer and the table."""
