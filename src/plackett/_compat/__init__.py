"""Private surfaces of other libraries: one module per library, each naming the releases it was tried with."""
