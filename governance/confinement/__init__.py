"""What code that is not trusted may ask of the kernel: a filter of system calls, and the files that it may read."""
